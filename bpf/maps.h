/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps that the XDP program uses. Those of the first half are made once for the daemon (through
 * cipe_maps.bpf.c) and shared by the programs of all carriers; hash maps are not preallocated, so
 * that an idle daemon costs little. The LRU map has to be: the kernel knows no other kind.
 */
#ifndef CIPE_BPF_MAPS_H
#define CIPE_BPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "cipe/abi/drop_reasons.h"
#include "cipe/abi/maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CIPE_MAX_LISTENERS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct cipe_listener_key);
  __type(value, struct cipe_listener);
} cipe_listeners SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CIPE_MAX_SESSIONS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, cipe_u32);
  __type(value, struct cipe_session);
} cipe_sessions SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, CIPE_DROP_REASONS);
  __type(key, cipe_u32);
  __type(value, cipe_u64);
} cipe_drops SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, CIPE_MAX_PEERS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, cipe_u32);
  __type(value, struct cipe_peer_stats);
} cipe_peer_stats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, CIPE_MAX_SOURCES);
  __type(key, struct cipe_source_key);
  __type(value, struct cipe_source_bucket);
} cipe_control_sources SEC(".maps");

#ifdef CIPE_BPF_CARRIER_MAPS
/* One set per carrier, made with its program. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, CIPE_MAX_QUEUES);
  __type(key, cipe_u32);
  __type(value, cipe_u32);
} cipe_xsks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, cipe_u32);
  __type(value, struct cipe_carrier);
} cipe_carrier SEC(".maps");
#endif

#endif
