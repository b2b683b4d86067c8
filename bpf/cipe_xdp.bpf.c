// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Receive entry, native XDP on a carrier: frames of ours go to the AF_XDP socket of their queue,
 * junk that claims to be ours is dropped and counted, everything else passes to the kernel.
 */
#define CIPE_BPF_CARRIER_MAPS
#include "counters.h"
#include "lookups.h"

static __always_inline int cipe_steer(__u32 queue, const struct cipe_decision* decision,
                                      __u32 octets) {
  /* Without a socket on this queue the kernel's road carries the frame (slow path). */
  const int action = bpf_redirect_map(&cipe_xsks, queue, XDP_PASS);

  if (action == XDP_REDIRECT && decision->has_peer) cipe_count_peer(decision->peer, octets);
  return action;
}

SEC("xdp")
int cipe_xdp(struct xdp_md* context) {
  struct cipe_view view = {};
  struct cipe_decision decision;

  if (!cipe_parse((void*)(long)context->data, (void*)(long)context->data_end, &view))
    return XDP_PASS;
  decision = cipe_classify(&view);
  switch (decision.verdict) {
    case CIPE_VERDICT_STEER:
      return cipe_steer(context->rx_queue_index, &decision, view.frame_length);
    case CIPE_VERDICT_DROP:
      cipe_count_drop(decision.reason);
      return XDP_DROP;
    default:
      return XDP_PASS;
  }
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
