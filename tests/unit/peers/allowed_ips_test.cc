// Allowed IPs: longest match, ownership, and random tables against a model that looks at every
// entry.
#include "peers/allowed_ips.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace cipe {
namespace {

using ::testing::HasSubstr;
constexpr uint32_t kNone = AllowedIps::kNoPeer;

IpPrefix P(absl::string_view text) { return *IpPrefix::Parse(text); }

uint32_t Find(const AllowedIps& ips, absl::string_view address) {
  return ips.Lookup(*IpAddress::Parse(address));
}

TEST(AllowedIps, LongestPrefixWins) {
  AllowedIps ips;
  const AllowedIps::Entry entries[] = {
      {P("0.0.0.0/0"), 1},         {P("10.0.0.0/8"), 2},
      {P("10.1.0.0/16"), 3},       {P("10.1.2.3/32"), 4},
      {P("10.1.2.0/24"), 5},       {P("192.168.4.0/24"), 6},
      {P("2001:db8::/32"), 7},     {P("2001:db8:1::/48"), 8},
      {P("2001:db8:1::5/128"), 9}, {P("2001:db8:0:0:8000::/65"), 10}};
  for (const auto& e : entries) ASSERT_TRUE(ips.Insert(e.prefix, e.peer).ok());
  EXPECT_EQ(ips.size(), 10u);
  EXPECT_EQ(Find(ips, "8.8.8.8"), 1u);
  EXPECT_EQ(Find(ips, "10.200.0.1"), 2u);
  EXPECT_EQ(Find(ips, "10.1.255.255"), 3u);
  EXPECT_EQ(Find(ips, "10.1.2.3"), 4u);
  EXPECT_EQ(Find(ips, "10.1.2.4"), 5u);
  EXPECT_EQ(Find(ips, "192.168.4.200"), 6u);
  EXPECT_EQ(Find(ips, "192.168.5.1"), 1u);
  EXPECT_EQ(Find(ips, "2001:db8:2::1"), 7u);
  EXPECT_EQ(Find(ips, "2001:db8:1::6"), 8u);
  EXPECT_EQ(Find(ips, "2001:db8:1::5"), 9u);
  EXPECT_EQ(Find(ips, "2001:db8::8000:0:0:1"), 10u);
  EXPECT_EQ(Find(ips, "2001:db8::7fff:0:0:1"), 7u);
  EXPECT_EQ(Find(ips, "::1"), kNone) << "an IPv4 default route is none for IPv6";
  EXPECT_EQ(ips.Lookup(IpAddress()), kNone);
}

TEST(AllowedIps, EmptyHoldsNothing) {
  const AllowedIps ips;
  EXPECT_EQ(Find(ips, "10.0.0.1"), kNone);
  EXPECT_EQ(Find(ips, "::"), kNone);
  EXPECT_EQ(ips.HeapOctets(), 0u);
}

TEST(AllowedIps, OnePrefixHasOneOwner) {
  AllowedIps ips;
  ASSERT_TRUE(ips.Insert(P("10.0.0.0/8"), 1).ok());
  EXPECT_TRUE(ips.Insert(P("10.9.9.9/8"), 1).ok()) << "host bits do not count";
  EXPECT_EQ(ips.size(), 1u);
  const auto name = [](uint32_t peer) { return std::string(peer == 1 ? "site-a" : "site-b"); };
  const absl::Status status = ips.Insert(P("10.1.1.1/8"), 2, name);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("10.0.0.0/8"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("site-a"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("site-b"));
  EXPECT_EQ(Find(ips, "10.1.1.1"), 1u);
  EXPECT_EQ(ips.size(), 1u);
  EXPECT_EQ(AllowedIps::Build({{P("fd00::/8"), 1}, {P("fd00::/8"), 2}}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(AllowedIps, RefusesWhatIsNoPrefix) {
  AllowedIps ips;
  for (IpPrefix bad : {IpPrefix{}, IpPrefix{P("10.0.0.0/8").address, 33},
                       IpPrefix{P("::/0").address, 129}, IpPrefix{P("::/0").address, -1}}) {
    EXPECT_EQ(ips.Insert(bad, 1).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(ips.Insert(P("10.0.0.0/8"), kNone).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ips.size(), 0u);
  EXPECT_EQ(Find(ips, "10.0.0.1"), kNone);
}

TEST(AllowedIps, RemovingAPeerUncoversTheOneBelow) {
  AllowedIps ips = *AllowedIps::Build(
      {{P("10.0.0.0/8"), 1}, {P("10.1.0.0/16"), 2}, {P("10.1.2.0/24"), 1}, {P("fd00::/8"), 2}});
  const AllowedIps before = ips;
  ips.RemovePeer(2);
  EXPECT_EQ(ips.size(), 2u);
  EXPECT_EQ(Find(ips, "10.1.0.1"), 1u);
  EXPECT_EQ(Find(ips, "fd00::1"), kNone);
  EXPECT_EQ(Find(before, "10.1.0.1"), 2u) << "copies are apart";
  EXPECT_TRUE(ips.Insert(P("10.1.0.0/16"), 3).ok());
  ips.RemovePeer(77);
  EXPECT_EQ(ips.size(), 3u);
  ASSERT_EQ(ips.Entries().size(), 3u);
  EXPECT_EQ(ips.Entries()[1].prefix.ToString(), "10.1.0.0/16");
  EXPECT_EQ(ips.Entries()[1].peer, 3u);
}

// A list, and the definition of longest match read out loud.
class Model {
 public:
  bool Insert(const IpPrefix& prefix, uint32_t peer) {
    for (const auto& e : entries_) {
      if (e.prefix == prefix.Masked()) return e.peer == peer;
    }
    entries_.push_back({prefix.Masked(), peer});
    return true;
  }
  void RemovePeer(uint32_t peer) {
    std::erase_if(entries_, [&](const auto& e) { return e.peer == peer; });
  }
  uint32_t Lookup(const IpAddress& address) const {
    int best = -1;
    uint32_t peer = kNone;
    for (const auto& e : entries_) {
      if (e.prefix.length > best && e.prefix.Contains(address)) {
        best = e.prefix.length;
        peer = e.peer;
      }
    }
    return peer;
  }
  std::vector<AllowedIps::Entry>& entries() { return entries_; }

 private:
  std::vector<AllowedIps::Entry> entries_;
};

// Few distinct octets, so that prefixes share their beginnings and addresses hit them.
IpAddress RandomAddress(std::mt19937_64& rng, bool v6) {
  IpAddress a;
  a.family = v6 ? Family::kIpv6 : Family::kIpv4;
  const uint8_t pool[] = {0x00, 0x01, 0x80, 0xff, static_cast<uint8_t>(rng())};
  for (size_t i = 0; i < a.size(); ++i) a.octets[i] = pool[rng() % std::size(pool)];
  return a;
}

// An address equal to `base` up to some bit: near misses are where tries go wrong.
IpAddress Near(std::mt19937_64& rng, IpAddress base) {
  const int bit = static_cast<int>(rng() % static_cast<uint64_t>(base.bits()));
  base.octets[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(0x80 >> bit % 8);
  return base;
}

void ExpectSame(const AllowedIps& ips, Model& model, std::mt19937_64& rng) {
  ASSERT_EQ(ips.size(), model.entries().size());
  for (int i = 0; i < 300; ++i) {
    IpAddress a = RandomAddress(rng, i % 2 == 0);
    if (!model.entries().empty() && i % 3 != 0) {
      a = Near(rng, model.entries()[rng() % model.entries().size()].prefix.address);
    }
    ASSERT_EQ(ips.Lookup(a), model.Lookup(a)) << a.ToString();
  }
}

TEST(AllowedIps, RandomTablesAgreeWithTheModel) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    AllowedIps ips;
    Model model;
    for (int i = 0; i < 200; ++i) {
      const IpAddress a = RandomAddress(rng, rng() % 2 == 0);
      const IpPrefix prefix{a, static_cast<int>(rng() % static_cast<uint64_t>(a.bits() + 1))};
      const uint32_t peer = static_cast<uint32_t>(rng() % 10);
      ASSERT_EQ(ips.Insert(prefix, peer).ok(), model.Insert(prefix, peer)) << prefix.ToString();
    }
    ExpectSame(ips, model, rng);
    const uint32_t gone = static_cast<uint32_t>(rng() % 10);
    ips.RemovePeer(gone);
    model.RemovePeer(gone);
    ExpectSame(ips, model, rng);
    std::sort(model.entries().begin(), model.entries().end(),
              [](const auto& x, const auto& y) { return x.prefix < y.prefix; });
    const auto entries = ips.Entries();
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(entries[i].prefix, model.entries()[i].prefix);
      EXPECT_EQ(entries[i].peer, model.entries()[i].peer);
    }
  }
}

TEST(AllowedIps, TenThousandPeersInAHundredOctetsAPrefix) {
  std::vector<AllowedIps::Entry> entries;
  for (uint32_t peer = 0; peer < 10000; ++peer) {
    const uint32_t high = peer >> 8, low = peer & 0xff;
    entries.push_back({P(absl::StrCat("10.", high, ".", low, ".0/24")), peer});
    entries.push_back({P(absl::StrCat("172.16.", high, ".", low, "/32")), peer});
    entries.push_back({P(absl::StrCat("fd00:1:", absl::Hex(peer), "::/48")), peer});
  }
  const AllowedIps ips = *AllowedIps::Build(entries);
  EXPECT_EQ(ips.size(), 30000u);
  EXPECT_LE(ips.HeapOctets(), 100 * ips.size());
  for (const auto& e : entries) ASSERT_EQ(ips.Lookup(e.prefix.address), e.peer);
}

}  // namespace
}  // namespace cipe
