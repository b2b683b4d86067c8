// Which peer an inner address belongs to: longest matching prefix, IPv4 and IPv6 apart. The
// transmit road asks it for the destination, the receive road for the source.
//
// A plain value: the engine builds one (or copies and changes one) and publishes it as immutable;
// any number of workers then call the const members at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ip_address.h"
#include "peers/prefix_trie.h"

namespace cipe {

class AllowedIps {
 public:
  using PeerHandle = uint32_t;  // any number but kNoPeer
  static constexpr PeerHandle kNoPeer = ~uint32_t{0};
  struct Entry {
    IpPrefix prefix;
    PeerHandle peer = kNoPeer;
  };
  // How a peer is called in an error message.
  using NameOf = absl::FunctionRef<std::string(PeerHandle)>;

  // AlreadyExists names the prefix and both peers (as Insert does) and stops there.
  static absl::StatusOr<AllowedIps> Build(absl::Span<const Entry> entries, NameOf name_of);
  static absl::StatusOr<AllowedIps> Build(absl::Span<const Entry> entries);

  // Host bits of `prefix` are ignored. The same prefix for the same peer again changes nothing; for
  // another peer it is AlreadyExists. Prefixes inside each other are fine. InvalidArgument for a
  // prefix without family or with an impossible length, or for kNoPeer. An error changes nothing.
  absl::Status Insert(const IpPrefix& prefix, PeerHandle peer, NameOf name_of);
  absl::Status Insert(const IpPrefix& prefix, PeerHandle peer);
  // Forgets all prefixes of `peer`. Takes time in the number of all prefixes.
  void RemovePeer(PeerHandle peer);

  // `octets` in network order: 4 or 16 of them. kNoPeer when no prefix holds the address.
  PeerHandle LookupV4(const uint8_t* octets) const { return v4_.Lookup(TrieKeyV4::Load(octets)); }
  PeerHandle LookupV6(const uint8_t* octets) const { return v6_.Lookup(TrieKeyV6::Load(octets)); }
  PeerHandle Lookup(const IpAddress& address) const;

  // Gives back what insertions reserved for more of them.
  void ShrinkToFit();

  size_t size() const { return size_; }  // prefixes
  std::vector<Entry> Entries() const;    // sorted by prefix
  // Octets on the heap, for status and for the test that holds the promise of at most 100 a prefix.
  size_t HeapOctets() const { return v4_.HeapOctets() + v6_.HeapOctets(); }

 private:
  PrefixTrie<TrieKeyV4> v4_;
  PrefixTrie<TrieKeyV6> v6_;
  size_t size_ = 0;
};

}  // namespace cipe
