/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Per-CPU counters: drops by reason, steered frames by peer. */
#ifndef CIPE_BPF_COUNTERS_H
#define CIPE_BPF_COUNTERS_H

#include "maps.h"

static __always_inline void cipe_count_drop(__u32 reason) {
  __u64* count = bpf_map_lookup_elem(&cipe_drops, &reason);

  if (count) *count += 1;
}

static __always_inline void cipe_count_peer(__u32 peer, __u32 octets) {
  struct cipe_peer_stats* stats = bpf_map_lookup_elem(&cipe_peer_stats, &peer);

  if (!stats) {
    struct cipe_peer_stats fresh = {};

    /* NOEXIST: another CPU may have made the entry and counted in it since. */
    bpf_map_update_elem(&cipe_peer_stats, &peer, &fresh, BPF_NOEXIST);
    stats = bpf_map_lookup_elem(&cipe_peer_stats, &peer);
    if (!stats) return;
  }
  stats->steered_frames += 1;
  stats->steered_bytes += octets;
}

#endif
