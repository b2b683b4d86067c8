/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a parsed frame: a pure decision over the view and four look-ups that the includer
 * provides (the XDP program from maps, tests from plain tables). Decides, and counts nothing.
 */
#ifndef CIPE_BPF_CLASSIFY_H
#define CIPE_BPF_CLASSIFY_H

#include "cipe/abi/drop_reasons.h"
#include "cipe/abi/maps.h"
#include "parse.h"

/* docs/protocol.md, frames; controller/protocol/constants.h has the same for C++. */
#define CIPE_FRAME_INITIATION 0x51
#define CIPE_FRAME_COOKIE_REPLY 0x53
#define CIPE_FRAME_DATA 0x54
#define CIPE_FRAME_DATA_LEAST 32 /* header and tag, octets */

#define CIPE_PROTOCOL_CLASSIC 3
#define CIPE_PROTOCOL_5 5

enum cipe_verdict {
  CIPE_VERDICT_PASS = 0,  /* to the kernel */
  CIPE_VERDICT_DROP = 1,  /* for `reason` */
  CIPE_VERDICT_STEER = 2, /* to the AF_XDP socket of its queue */
};

struct cipe_decision {
  __u32 verdict;
  __u32 reason;   /* enum cipe_drop_reason, with CIPE_VERDICT_DROP */
  __u32 peer;     /* with CIPE_VERDICT_STEER and has_peer */
  __u32 has_peer; /* classic frames name nobody */
};

/* Provided by the includer. The look-ups return null for "no such entry". */
static const struct cipe_carrier* cipe_find_carrier(void);
static const struct cipe_listener* cipe_find_listener(const struct cipe_listener_key* key);
static const struct cipe_session* cipe_find_session(__u32 session);
/* Whether this source may send another control frame now. */
static int cipe_take_control_token(const struct cipe_source_key* source);

CIPE_INLINE struct cipe_decision cipe_pass(void) {
  return (struct cipe_decision){CIPE_VERDICT_PASS, 0, 0, 0};
}

CIPE_INLINE struct cipe_decision cipe_drop(enum cipe_drop_reason reason) {
  return (struct cipe_decision){CIPE_VERDICT_DROP, reason, 0, 0};
}

CIPE_INLINE int cipe_steers(const struct cipe_listener* listener) {
  return (listener->flags & CIPE_LISTENER_STEER) != 0;
}

/* Octet by octet: a call of memcmp has nothing to link to in a BPF object. */
CIPE_INLINE int cipe_same_mac(const __u8* a, const __u8* b) {
  __u8 difference = 0;

  CIPE_UNROLL
  for (int i = 0; i < ETH_ALEN; i++) difference |= a[i] ^ b[i];
  return difference == 0;
}

/*
 * Token bucket in nanoseconds of credit: a frame costs `cost_ns`, credit grows with time up to
 * burst * cost_ns. 1: the frame may pass. Two CPUs may both spend the last credit; the limit
 * protects a socket's queue, so that inaccuracy is accepted and no lock taken.
 */
CIPE_INLINE int cipe_bucket_take(struct cipe_source_bucket* bucket, __u64 now_ns, __u64 cost_ns,
                                 __u64 burst) {
  const __u64 full = burst * cost_ns;
  __u64 credit = bucket->credit_ns;

  if (now_ns > bucket->refilled_ns) {
    const __u64 gained = now_ns - bucket->refilled_ns;
    credit = gained >= full || credit + gained > full ? full : credit + gained;
    bucket->refilled_ns = now_ns;
  }
  if (credit < cost_ns) {
    bucket->credit_ns = credit;
    return 0;
  }
  bucket->credit_ns = credit - cost_ns;
  return 1;
}

/* A frame of type CIPE_FRAME_DATA: worth waking a worker for? */
CIPE_INLINE struct cipe_decision cipe_classify_data(const struct cipe_view* view,
                                                    const struct cipe_listener* listener) {
  const struct cipe_session* session;

  if (view->payload_length < CIPE_FRAME_DATA_LEAST) return cipe_drop(cipe_drop_xdp_malformed);
  if (view->head[0] != CIPE_FRAME_DATA) return cipe_drop(cipe_drop_xdp_reserved_bits);
  session = cipe_find_session(view->head[1] >> CIPE_LANE_BITS);
  if (!session) return cipe_drop(cipe_drop_xdp_unknown_session);
  if (session->tunnel != listener->tunnel) return cipe_drop(cipe_drop_xdp_wrong_listener);
  if ((view->head[1] & (CIPE_MAX_LANES - 1)) >= session->lanes)
    return cipe_drop(cipe_drop_xdp_unknown_lane);
  if (!cipe_steers(listener)) return cipe_pass();
  return (struct cipe_decision){CIPE_VERDICT_STEER, 0, session->peer, 1};
}

CIPE_INLINE struct cipe_decision cipe_classify(const struct cipe_view* view) {
  const struct cipe_carrier* carrier = cipe_find_carrier();
  const struct cipe_listener* listener;
  const __u8 type = view->head[0] & 0xff;

  /* A promiscuous or bridging carrier shows us other hosts' frames: not ours to judge. */
  if (!carrier || !cipe_same_mac(view->mac, carrier->mac)) return cipe_pass();
  listener = cipe_find_listener(&view->destination);
  if (!listener) return cipe_pass();
  if (listener->protocol != CIPE_PROTOCOL_5 && listener->protocol != CIPE_PROTOCOL_CLASSIC)
    return cipe_pass();
  if (view->payload_length == 0) return cipe_drop(cipe_drop_xdp_malformed);
  /* Classic frames start with a random IV: nothing to tell them apart by. */
  if (listener->protocol == CIPE_PROTOCOL_CLASSIC)
    return cipe_steers(listener) ? (struct cipe_decision){CIPE_VERDICT_STEER, 0, 0, 0}
                                 : cipe_pass();
  if (type == CIPE_FRAME_DATA) return cipe_classify_data(view, listener);
  if (type < CIPE_FRAME_INITIATION || type > CIPE_FRAME_COOKIE_REPLY)
    return cipe_drop(cipe_drop_xdp_unknown_type);
  return cipe_take_control_token(&view->source) ? cipe_pass()
                                                : cipe_drop(cipe_drop_xdp_control_flood);
}

#endif
