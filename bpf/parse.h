/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an Ethernet frame to the few facts the classifier wants: Ethernet, up to two VLAN tags, IPv4
 * with options or IPv6 with extension headers, UDP. No maps, no helpers: tests compile it natively.
 * Whatever it does not understand is left to the kernel: every function returns 0 for that.
 */
#ifndef CIPE_BPF_PARSE_H
#define CIPE_BPF_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <linux/udp.h>

#include "cipe/abi/maps.h"

#define CIPE_INLINE static inline __attribute__((always_inline))

#ifdef __clang__
#define CIPE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CIPE_UNROLL
#endif

/* Both ends of the build are little endian, as controller/base/bytes.h insists on. */
#define CIPE_SWAP16(x) ((__u16)__builtin_bswap16(x))

#define CIPE_MAX_TAGS 2
#define CIPE_MAX_EXTENSION_HEADERS 6

#define CIPE_IPV4_FRAGMENT 0x3fff /* more-fragments bit and offset, host order (RFC 791) */
#define CIPE_VLAN_ID 0x0fff       /* IEEE 802.1Q */

struct cipe_cursor {
  const __u8* pos;
  const __u8* end;
};

/* What is known about a frame that carries UDP for somebody. */
struct cipe_view {
  struct cipe_listener_key destination;
  struct cipe_source_key source;
  __u8 mac[ETH_ALEN]; /* destination */
  __u8 reserved[2];
  __u32 frame_length;   /* Ethernet header included, octets */
  __u32 payload_length; /* of UDP, octets; 0 when the UDP length is inconsistent */
  __u32 head[2];        /* first 8 octets of the payload, little endian, zeros beyond its end */
};

struct cipe_vlan_tag {
  __u16 tci;
  __u16 protocol;
};

CIPE_INLINE int cipe_has(const struct cipe_cursor* cursor, __u32 octets) {
  return cursor->pos + octets <= cursor->end;
}

/* Copies an address 32 bits at a time: frames give no alignment beyond that, and often not even it.
 */
CIPE_INLINE void cipe_copy(void* to, const void* from, const __u32 octets) {
  __builtin_memcpy(to, from, octets);
}

/* Past Ethernet and its tags; *protocol is the EtherType in host order. */
CIPE_INLINE int cipe_parse_ethernet(struct cipe_cursor* cursor, struct cipe_view* view,
                                    __u16* protocol) {
  const struct ethhdr* eth = (const struct ethhdr*)cursor->pos;
  __u32 vlan = 0;

  if (!cipe_has(cursor, sizeof(*eth))) return 0;
  cipe_copy(view->mac, eth->h_dest, ETH_ALEN);
  *protocol = CIPE_SWAP16(eth->h_proto);
  cursor->pos += sizeof(*eth);
  CIPE_UNROLL
  for (int i = 0; i < CIPE_MAX_TAGS; i++) {
    const struct cipe_vlan_tag* tag = (const struct cipe_vlan_tag*)cursor->pos;

    if (*protocol != ETH_P_8021Q && *protocol != ETH_P_8021AD) break;
    if (!cipe_has(cursor, sizeof(*tag))) return 0;
    /* A priority tag (id 0) alone leaves this 0: such a frame belongs to the untagged carrier. */
    vlan = vlan << 16 | (CIPE_SWAP16(tag->tci) & CIPE_VLAN_ID);
    *protocol = CIPE_SWAP16(tag->protocol);
    cursor->pos += sizeof(*tag);
  }
  view->destination.vlan = vlan;
  return 1;
}

/* Past an IPv4 header that starts an unfragmented UDP datagram; *length is what it says follows. */
CIPE_INLINE int cipe_parse_ipv4(struct cipe_cursor* cursor, struct cipe_view* view, __u32* length) {
  const struct iphdr* ip = (const struct iphdr*)cursor->pos;
  __u32 header, total;

  if (!cipe_has(cursor, sizeof(*ip))) return 0;
  header = ip->ihl * 4;
  total = CIPE_SWAP16(ip->tot_len);
  if (ip->version != 4 || header < sizeof(*ip) || total < header) return 0;
  if (ip->protocol != IPPROTO_UDP) return 0;
  if (CIPE_SWAP16(ip->frag_off) & CIPE_IPV4_FRAGMENT) return 0;
  if (!cipe_has(cursor, header) || total > (__u64)(cursor->end - cursor->pos)) return 0;
  view->destination.family = 4;
  view->source.family = 4;
  cipe_copy(view->destination.address, &ip->daddr, sizeof(ip->daddr));
  cipe_copy(view->source.prefix, &ip->saddr, sizeof(ip->saddr));
  *length = total - header;
  cursor->pos += header;
  return 1;
}

/*
 * Past one extension header (RFC 8200 section 4). Fragments, AH, a routing header that is not done
 * with and anything unknown are the kernel's business.
 */
CIPE_INLINE int cipe_parse_extension(struct cipe_cursor* cursor, __u8* next, __u32* length) {
  __u32 size;

  if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING && *next != IPPROTO_DSTOPTS) return 0;
  if (!cipe_has(cursor, 8)) return 0;
  if (*next == IPPROTO_ROUTING && cursor->pos[3] != 0) return 0;
  size = ((__u32)cursor->pos[1] + 1) * 8;
  if (size > *length || !cipe_has(cursor, size)) return 0;
  *next = cursor->pos[0];
  *length -= size;
  cursor->pos += size;
  return 1;
}

/* Past an IPv6 header and its extension headers, up to UDP. */
CIPE_INLINE int cipe_parse_ipv6(struct cipe_cursor* cursor, struct cipe_view* view, __u32* length) {
  const struct ipv6hdr* ip = (const struct ipv6hdr*)cursor->pos;
  __u8 next;

  if (!cipe_has(cursor, sizeof(*ip))) return 0;
  if (ip->version != 6) return 0;
  view->destination.family = 6;
  view->source.family = 6;
  cipe_copy(view->destination.address, &ip->daddr, sizeof(ip->daddr));
  cipe_copy(view->source.prefix, &ip->saddr, sizeof(view->source.prefix));
  next = ip->nexthdr;
  *length = CIPE_SWAP16(ip->payload_len);
  cursor->pos += sizeof(*ip);
  if (*length > (__u64)(cursor->end - cursor->pos)) return 0;
  CIPE_UNROLL
  for (int i = 0; i < CIPE_MAX_EXTENSION_HEADERS; i++) {
    if (next == IPPROTO_UDP) return 1;
    if (!cipe_parse_extension(cursor, &next, length)) return 0;
  }
  return next == IPPROTO_UDP;
}

/* Ports and the start of the payload. An inconsistent UDP length is for the classifier to judge. */
CIPE_INLINE int cipe_parse_udp(struct cipe_cursor* cursor, struct cipe_view* view, __u32 length) {
  const struct udphdr* udp = (const struct udphdr*)cursor->pos;
  __u32 claimed;

  if (length < sizeof(*udp) || !cipe_has(cursor, sizeof(*udp))) return 0;
  view->destination.port = udp->dest;
  claimed = CIPE_SWAP16(udp->len);
  cursor->pos += sizeof(*udp);
  if (claimed <= sizeof(*udp) || claimed > length) return 1;
  view->payload_length = claimed - sizeof(*udp);
  if (view->payload_length >= sizeof(view->head)) {
    if (!cipe_has(cursor, sizeof(view->head))) return 0;
    cipe_copy(view->head, cursor->pos, sizeof(view->head));
    return 1;
  }
  if (!cipe_has(cursor, 1)) return 0;
  view->head[0] = cursor->pos[0];
  return 1;
}

/* Fills *view (zeroed by the caller) from the frame [data, end). 0: leave it to the kernel. */
CIPE_INLINE int cipe_parse(const void* data, const void* end, struct cipe_view* view) {
  struct cipe_cursor cursor = {(const __u8*)data, (const __u8*)end};
  __u16 protocol;
  __u32 length;

  view->frame_length = (__u32)(cursor.end - cursor.pos);
  if (!cipe_parse_ethernet(&cursor, view, &protocol)) return 0;
  if (protocol == ETH_P_IP) {
    if (!cipe_parse_ipv4(&cursor, view, &length)) return 0;
  } else if (protocol == ETH_P_IPV6) {
    if (!cipe_parse_ipv6(&cursor, view, &length)) return 0;
  } else {
    return 0;
  }
  return cipe_parse_udp(&cursor, view, length);
}

#endif
