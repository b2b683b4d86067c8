// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The daemon-wide maps, without any program: loading this object is how the controller makes them,
 * with the type information that lets bpftool print their entries by field. cipe_session_keys is
 * defined nowhere else, so no program can reference it.
 */
#include "maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CIPE_MAX_PEERS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, cipe_u32);
  __type(value, struct cipe_peer);
} cipe_peers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CIPE_MAX_SESSIONS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, cipe_u32);
  __type(value, struct cipe_session_key);
} cipe_session_keys SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, CIPE_MAX_LANE_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, cipe_u32);
  __type(value, struct cipe_lane_state);
} cipe_lane_state SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
