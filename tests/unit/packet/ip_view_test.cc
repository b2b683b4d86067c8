#include "packet/ip_view.h"

#include <gtest/gtest.h>

#include "packet_builder.h"

namespace cipe::packet {
namespace {

TEST(IpView, ReadsIpv4WithOptionsAndTrimsPadding) {
  Spec spec;
  spec.ip_options = {1, 1, 1, 0, 7, 3, 0, 0};
  spec.tos = 0xb9;
  Bytes p = Build(spec);
  const size_t size = p.size();
  p.resize(size + 13);
  IpView v;
  ASSERT_TRUE(ParseIp(p.data(), p.size(), &v));
  EXPECT_EQ(v.total, size);
  EXPECT_EQ(v.l4_offset, 28);
  EXPECT_EQ(v.protocol, IPPROTO_TCP);
  EXPECT_FALSE(v.fragment);
  EXPECT_EQ(v.source_address().ToString(), "10.0.0.1");
  EXPECT_EQ(v.destination_address().ToString(), "10.1.0.255");
  EXPECT_EQ(v.traffic_class(), 0xb9);
  EXPECT_EQ(v.hop_limit(), 64);
}

TEST(IpView, WalksIpv6ExtensionHeaders) {
  Spec spec;
  spec.v6 = true;
  spec.tos = 0xb9;
  Bytes p = Build(spec);
  const Bytes extensions = {43, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // hop-by-hop, 16
                            44, 0, 0, 0, 0, 0, 0, 0,                          // routing, 8
                            6,  0, 0, 0, 0, 0, 0, 1};                         // atomic fragment
  p.insert(p.begin() + 40, extensions.begin(), extensions.end());
  p[6] = 0;
  Put16(&p, 4, static_cast<unsigned>(p.size() - 40));
  IpView v;
  ASSERT_TRUE(ParseIp(p.data(), p.size(), &v));
  EXPECT_EQ(v.l4_offset, 72);
  EXPECT_EQ(v.protocol, IPPROTO_TCP);
  EXPECT_TRUE(v.fragment);
  EXPECT_FALSE(v.later_fragment);
  EXPECT_EQ(v.traffic_class(), 0xb9);
  EXPECT_EQ(v.source_address().ToString(), "fd00::1");
  // Cut anywhere inside the extension headers it is malformed, also when its length agrees.
  for (size_t cut = 41; cut < 72; ++cut) {
    if (cut == 56 || cut == 64) continue;
    Bytes c(p.begin(), p.begin() + static_cast<long>(cut));
    Put16(&c, 4, static_cast<unsigned>(cut - 40));
    EXPECT_FALSE(ParseIp(c.data(), c.size(), &v)) << cut;
  }
}

TEST(IpView, LaterFragmentsEndTheWalk) {
  Spec spec;
  spec.v6 = true;
  Bytes p = Build(spec);
  const Bytes fragment = {60, 0, 0x10, 0, 0, 0, 0, 1};  // next header is in another fragment
  p.insert(p.begin() + 40, fragment.begin(), fragment.end());
  p[6] = IPPROTO_FRAGMENT;
  p[48] = 255;
  p[49] = 255;  // would be a destination options header much too long
  Put16(&p, 4, static_cast<unsigned>(p.size() - 40));
  IpView v;
  ASSERT_TRUE(ParseIp(p.data(), p.size(), &v));
  EXPECT_TRUE(v.fragment);
  EXPECT_TRUE(v.later_fragment);
  EXPECT_EQ(v.l4_offset, 48);
  Bytes q = Build(Spec());
  q[6] = 0x20;
  ASSERT_TRUE(ParseIp(q.data(), q.size(), &v));
  EXPECT_TRUE(v.fragment);
  EXPECT_FALSE(v.later_fragment);
  q[6] = 0;
  q[7] = 9;
  ASSERT_TRUE(ParseIp(q.data(), q.size(), &v));
  EXPECT_TRUE(v.fragment);
  EXPECT_TRUE(v.later_fragment);
}

TEST(IpView, RefusesWhatIsNotWellFormed) {
  IpView v;
  for (const bool v6 : {false, true}) {
    Spec spec;
    spec.v6 = v6;
    const Bytes p = Build(spec);
    for (size_t n = 0; n < p.size(); ++n) {
      const Bytes cut(p.begin(), p.begin() + static_cast<long>(n));
      EXPECT_FALSE(ParseIp(cut.data(), cut.size(), &v)) << n;
    }
    for (int version = 0; version < 16; ++version) {
      Bytes other = p;
      other[0] = static_cast<uint8_t>((other[0] & 15) | version << 4);
      if (version == (v6 ? 6 : 4)) continue;
      if (v6 && version == 4) continue;  // IHL 0 below
      if (!v6 && version == 6) continue;
      EXPECT_FALSE(ParseIp(other.data(), other.size(), &v)) << version;
    }
  }
  Bytes p = Build(Spec());
  p[0] = 0x44;
  EXPECT_FALSE(ParseIp(p.data(), p.size(), &v));
  p[0] = 0x45;
  Put16(&p, 2, 19);
  EXPECT_FALSE(ParseIp(p.data(), p.size(), &v));
}

TEST(IpView, RandomOctetsNeverLeadOutside) {
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 200000; ++i) {
    Bytes p(random() % 120);
    for (uint8_t& b : p) b = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 8);
    if (!p.empty()) p[0] = static_cast<uint8_t>(i % 2 ? 0x45 : 0x60);
    IpView v;
    if (!ParseIp(p.data(), p.size(), &v)) continue;
    ++accepted;
    ASSERT_LE(v.total, p.size());
    ASSERT_LE(v.l4_offset, v.total);
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace cipe::packet
