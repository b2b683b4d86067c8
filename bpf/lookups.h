/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The look-ups of classify.h, answered from maps. */
#ifndef CIPE_BPF_LOOKUPS_H
#define CIPE_BPF_LOOKUPS_H

#include "classify.h"
#include "maps.h"

/* Set before loading (steering::ProgramOptions). A rate of 0 switches the limit off. */
const volatile __u32 cipe_control_rate = 200; /* control frames per second and source */
const volatile __u32 cipe_control_burst = 400;

static __always_inline const struct cipe_carrier* cipe_find_carrier(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&cipe_carrier, &zero);
}

static __always_inline const struct cipe_listener* cipe_find_listener(
    const struct cipe_listener_key* key) {
  return bpf_map_lookup_elem(&cipe_listeners, key);
}

static __always_inline const struct cipe_session* cipe_find_session(__u32 session) {
  return bpf_map_lookup_elem(&cipe_sessions, &session);
}

static __always_inline int cipe_take_control_token(const struct cipe_source_key* source) {
  const __u32 rate = cipe_control_rate;
  struct cipe_source_bucket *bucket, fresh;
  __u64 cost;

  if (rate == 0) return 1;
  cost = 1000000000ull / rate;
  bucket = bpf_map_lookup_elem(&cipe_control_sources, source);
  if (bucket) return cipe_bucket_take(bucket, bpf_ktime_get_ns(), cost, cipe_control_burst);
  fresh.refilled_ns = bpf_ktime_get_ns();
  fresh.credit_ns = cost * cipe_control_burst;
  if (!cipe_bucket_take(&fresh, fresh.refilled_ns, cost, cipe_control_burst)) return 0;
  /* No room is no reason to lock a peer out: cookies stand behind this limit. */
  bpf_map_update_elem(&cipe_control_sources, source, &fresh, BPF_ANY);
  return 1;
}

#endif
