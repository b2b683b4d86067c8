/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Keys and values of every BPF map, shared by the XDP program and the controller. Plain C, fixed
 * width, explicit padding; the byte order is in the comment. tests/bpf compares these with the BTF
 * of the built object.
 */
#ifndef CIPE_ABI_MAPS_H
#define CIPE_ABI_MAPS_H

#ifdef __cplusplus
#include <cstdint>
#define CIPE_ABI_ASSERT static_assert
extern "C" {
typedef uint8_t cipe_u8;
typedef uint16_t cipe_u16;
typedef uint32_t cipe_u32;
typedef uint64_t cipe_u64;
#else
#include <linux/bpf.h>
#include <linux/types.h>
#define CIPE_ABI_ASSERT _Static_assert
typedef __u8 cipe_u8;
typedef __u16 cipe_u16;
typedef __u32 cipe_u32;
typedef __u64 cipe_u64;
#endif

/* Version of everything below; who takes over maps of another version discards them. */
#define CIPE_ABI_VERSION 2

#define CIPE_MAX_LISTENERS 4096
#define CIPE_MAX_PEERS 65536
#define CIPE_MAX_SESSIONS 65536
#define CIPE_MAX_LANE_SLOTS 131072
#define CIPE_MAX_QUEUES 64
#define CIPE_MAX_SOURCES 16384

#define CIPE_LANE_BITS 6
#define CIPE_MAX_LANES 64

/* cipe_listeners: where frames of ours may arrive. IPv4 addresses use the first four octets. */
struct cipe_listener_key {
  cipe_u8 address[16]; /* network order, rest zero */
  cipe_u16 port;       /* network order */
  cipe_u8 family;      /* 4 or 6 */
  cipe_u8 reserved[1];
  cipe_u32 vlan; /* VLAN id the frame must carry, 0 for none; with two tags outer << 16 | inner */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_listener_key) == 24, "layout");

/* Redirect data frames to AF_XDP; without it the good ones pass to the kernel (bad ones never do).
 */
#define CIPE_LISTENER_STEER 1u

struct cipe_listener {
  cipe_u32 tunnel;  /* tunnel id */
  cipe_u32 flags;   /* CIPE_LISTENER_* */
  cipe_u8 protocol; /* 5, or 3 for the classic one */
  cipe_u8 reserved[3];
};
CIPE_ABI_ASSERT(sizeof(struct cipe_listener) == 12, "layout");

/* cipe_carrier: array of one entry, one map per attached program. */
struct cipe_carrier {
  cipe_u8 mac[6]; /* destination MAC of frames for this host */
  cipe_u8 reserved[2];
  cipe_u32 queues; /* RX queues with an AF_XDP socket */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_carrier) == 12, "layout");

/* cipe_peers: peer id -> what the controller knows; for people with bpftool and for who takes over.
 */
struct cipe_peer {
  cipe_u32 tunnel;
  cipe_u32 mtu;                 /* greatest inner packet it takes, octets; 0: it has not said yet */
  cipe_u8 endpoint_address[16]; /* network order */
  cipe_u16 endpoint_port;       /* network order */
  cipe_u8 endpoint_family;      /* 4, 6, 0 for none */
  cipe_u8 reserved[1];
  cipe_u32 endpoint_scope;
  cipe_u8 identity[32]; /* public key, or the key id of a shared key and zeros */
  cipe_u64 last_handshake_unix_ns;
  cipe_u64 rx_bytes; /* inner octets and packets; at most a second old under traffic */
  cipe_u64 tx_bytes;
  cipe_u64 rx_packets;
  cipe_u64 tx_packets;
};
CIPE_ABI_ASSERT(sizeof(struct cipe_peer) == 104, "layout");

/* cipe_sessions: key is the receiver index without its lane bits (index >> CIPE_LANE_BITS). */
#define CIPE_SESSION_INITIATOR 1u /* we started the handshake */
#define CIPE_SESSION_CONFIRMED 2u /* the peer has proved that it has the keys */
#define CIPE_SESSION_SLOT_SHIFT 8 /* 0 previous, 1 current, 2 next, in bits 8-9 */

struct cipe_session {
  cipe_u32 peer;
  cipe_u32 tunnel;
  cipe_u32 lanes;      /* lanes we receive on, 1..64 */
  cipe_u32 flags;      /* CIPE_SESSION_* */
  cipe_u64 generation; /* grows with every session of this daemon */
  cipe_u32 lane_slot;  /* first of its entries in cipe_lane_state */
  cipe_u32 lane_slots; /* how many */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_session) == 32, "layout");

/*
 * cipe_session_keys: what a restarted engine needs, never referenced by a BPF program. `sealed` is
 * AES-256-GCM under a key that only broker and engine hold: send key (32), receive key (32), tag
 * (16). The lock makes updates with BPF_F_LOCK happen in place: a plain update of a hash map puts
 * the new value beside the old one, whose octets would stay in freed kernel memory.
 */
struct cipe_session_key {
  cipe_u32 version; /* CIPE_ABI_VERSION */
  cipe_u32 remote_index;
  cipe_u64 created_boot_ns;
  cipe_u8 suite; /* 1 AES-GCM/SHA256, 2 ChaChaPoly/BLAKE2s */
  cipe_u8 send_lanes;
  cipe_u8 reserved[2];
  cipe_u32 peer_mtu;
  cipe_u8 tie_break[32]; /* initiation ephemeral, decides when both sides started at once */
  cipe_u8 nonce[12];
  cipe_u8 sealed[80];
#ifdef __bpf__
  struct bpf_spin_lock lock;
#else
  cipe_u32 lock; /* the kernel's; always reads as zero */
#endif
};
CIPE_ABI_ASSERT(sizeof(struct cipe_session_key) == 152, "layout");

/* cipe_lane_state: mmapable array, written by the engine without a system call. */
struct cipe_lane_state {
  cipe_u64 send_reserved;    /* every counter below may have been used */
  cipe_u64 receive_greatest; /* greatest counter delivered, plus one; 0 for none */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_lane_state) == 16, "layout");

/* cipe_control_sources: token bucket per source of control frames, LRU. IPv6 by /64. */
struct cipe_source_key {
  cipe_u8 prefix[8]; /* IPv4 address and zeros, or the first half of an IPv6 address */
  cipe_u32 family;   /* 4 or 6 */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_source_key) == 12, "layout");

struct cipe_source_bucket {
  cipe_u64 refilled_ns; /* bpf_ktime_get_ns */
  cipe_u64 credit_ns;   /* a frame costs 1e9 / rate of it */
};
CIPE_ABI_ASSERT(sizeof(struct cipe_source_bucket) == 16, "layout");

/* cipe_drops: per CPU, index is enum cipe_drop_reason. cipe_peer_stats: per CPU, key is peer id. */
struct cipe_peer_stats {
  cipe_u64 steered_frames;
  cipe_u64 steered_bytes;
};
CIPE_ABI_ASSERT(sizeof(struct cipe_peer_stats) == 16, "layout");

#ifdef __cplusplus
}
#endif
#endif
