#include "peers/allowed_ips.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe {
namespace {

std::string DefaultName(AllowedIps::PeerHandle peer) { return absl::StrCat("peer ", peer); }

absl::Status CheckEntry(const IpPrefix& prefix, AllowedIps::PeerHandle peer) {
  if (!prefix.address.is_set() || prefix.length < 0 || prefix.length > prefix.address.bits()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", prefix.ToString(), "' is no prefix: expected an IPv4 or IPv6 address, a slash and ",
        "0 to 32 or 0 to 128 bits"));
  }
  if (peer == AllowedIps::kNoPeer) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix.ToString(), " needs a peer: the handle given stands for 'none'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AllowedIps> AllowedIps::Build(absl::Span<const Entry> entries, NameOf name_of) {
  AllowedIps out;
  for (const Entry& entry : entries) {
    CIPE_RETURN_IF_ERROR(out.Insert(entry.prefix, entry.peer, name_of));
  }
  out.ShrinkToFit();
  return out;
}

void AllowedIps::ShrinkToFit() {
  v4_.ShrinkToFit();
  v6_.ShrinkToFit();
}

absl::StatusOr<AllowedIps> AllowedIps::Build(absl::Span<const Entry> entries) {
  return Build(entries, DefaultName);
}

absl::Status AllowedIps::Insert(const IpPrefix& prefix, PeerHandle peer, NameOf name_of) {
  CIPE_RETURN_IF_ERROR(CheckEntry(prefix, peer));
  const uint8_t* octets = prefix.address.octets.data();
  uint32_t& owner = prefix.address.is_v4() ? v4_.Slot(TrieKeyV4::Load(octets), prefix.length)
                                           : v6_.Slot(TrieKeyV6::Load(octets), prefix.length);
  if (owner == peer) return absl::OkStatus();
  if (owner != kNoPeer) {
    return absl::AlreadyExistsError(absl::StrCat(
        "AllowedIPs ", prefix.Masked().ToString(), " of ", name_of(peer), " belongs to ",
        name_of(owner), " already; a prefix can have one peer only: remove it from one of them"));
  }
  owner = peer;
  ++size_;
  return absl::OkStatus();
}

absl::Status AllowedIps::Insert(const IpPrefix& prefix, PeerHandle peer) {
  return Insert(prefix, peer, DefaultName);
}

void AllowedIps::RemovePeer(PeerHandle peer) {
  // Built anew without it, so that no branch stays behind that nobody needs.
  AllowedIps rest;
  const auto keep_in = [&](auto& trie) {
    return [&trie, &rest, peer](auto key, int length, PeerHandle owner) {
      if (owner == peer) return;
      trie.Slot(key, length) = owner;
      ++rest.size_;
    };
  };
  v4_.ForEach(keep_in(rest.v4_));
  v6_.ForEach(keep_in(rest.v6_));
  *this = std::move(rest);
}

AllowedIps::PeerHandle AllowedIps::Lookup(const IpAddress& address) const {
  if (address.is_v4()) return LookupV4(address.octets.data());
  return address.is_v6() ? LookupV6(address.octets.data()) : kNoPeer;
}

std::vector<AllowedIps::Entry> AllowedIps::Entries() const {
  std::vector<Entry> out;
  out.reserve(size_);
  const auto add_as = [&out](Family family) {
    return [&out, family](auto key, int length, PeerHandle owner) {
      Entry entry{{{family, {}}, length}, owner};
      key.Store(entry.prefix.address.octets.data());
      out.push_back(entry);
    };
  };
  v4_.ForEach(add_as(Family::kIpv4));
  v6_.ForEach(add_as(Family::kIpv6));
  std::sort(out.begin(), out.end(),
            [](const Entry& a, const Entry& b) { return a.prefix < b.prefix; });
  return out;
}

}  // namespace cipe
