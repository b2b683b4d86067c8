#include "packet/mss_clamp.h"

#include <gtest/gtest.h>

#include <random>

#include "packet/checksum.h"
#include "tests/unit/packet/packet_builder.h"

namespace cipe::packet {
namespace {

Bytes Syn(bool v6, Bytes options, uint8_t flags = kTcpSyn) {
  Spec spec;
  spec.v6 = v6;
  spec.flags = flags;
  spec.payload = 0;
  spec.options = std::move(options);
  return Build(spec);
}

IpView ViewOf(const Bytes& p) {
  IpView view;
  EXPECT_TRUE(ParseIp(p.data(), p.size(), &view));
  return view;
}

bool Clamp(Bytes* p, uint32_t mtu) { return ClampMss(p->data(), ViewOf(*p), mtu); }

unsigned MssAt(const Bytes& p, size_t option) { return Get16(p, L4Offset(p) + 20 + option + 2); }

TEST(MssClamp, LowersAndMendsTheChecksum) {
  for (const bool v6 : {false, true}) {
    for (const uint8_t flags : {kTcpSyn, uint8_t{kTcpSyn | kTcpAck}}) {
      Bytes p = Syn(v6, {2, 4, 0x05, 0xb4, 1, 3, 3, 7}, flags);
      ASSERT_TRUE(L4ChecksumOk(ViewOf(p)));
      EXPECT_TRUE(IsTcpSyn(ViewOf(p)));
      EXPECT_TRUE(Clamp(&p, 1340));
      EXPECT_EQ(MssAt(p, 0), v6 ? 1280u : 1300u);
      EXPECT_TRUE(L4ChecksumOk(ViewOf(p)));
      EXPECT_TRUE(HeaderChecksumOk(ViewOf(p)));
    }
  }
}

TEST(MssClamp, NeverRaises) {
  Bytes p = Syn(false, {2, 4, 0x02, 0x18});
  const Bytes before = p;
  EXPECT_FALSE(Clamp(&p, 576));
  EXPECT_FALSE(Clamp(&p, 9000));
  EXPECT_FALSE(Clamp(&p, UINT32_MAX));
  EXPECT_EQ(p, before);
}

TEST(MssClamp, FindsTheOptionAtEveryOffset) {
  for (size_t at = 0; at <= 36; ++at) {
    Bytes options(at, 1);
    options.insert(options.end(), {2, 4, 0xff, 0xff});
    while (options.size() % 4 != 0) options.push_back(0);
    if (options.size() > 40) break;
    Bytes p = Syn(false, options);
    EXPECT_TRUE(Clamp(&p, 1240)) << at;
    EXPECT_EQ(MssAt(p, at), 1200u) << at;
    EXPECT_TRUE(L4ChecksumOk(ViewOf(p))) << at;
  }
}

TEST(MssClamp, LeavesMalformedOptionsAlone) {
  const Bytes cases[] = {
      {2, 3, 0xff, 0},                 // wrong length
      {2, 4, 0xff, 0xff, 2, 0, 0, 0},  // first one counts, what follows is not looked at
      {0, 2, 4, 0xff, 0xff, 0, 0, 0},  // after the end of the list
      {3, 0, 2, 4},                    // length zero
      {3, 1, 2, 4},                    // length one
      {8, 200, 2, 4},                  // runs out of the header
      {1, 1, 1, 2},                    // no room for the length
      {1, 1, 2, 4},                    // no room for the value
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    Bytes p = Syn(false, cases[i]);
    const Bytes before = p;
    EXPECT_EQ(Clamp(&p, 1000), i == 1) << i;
    EXPECT_TRUE(i == 1 || p == before) << i;
  }
}

TEST(MssClamp, OnlySynsAreLookedAt) {
  EXPECT_FALSE(IsTcpSyn(ViewOf(Syn(false, {2, 4, 0xff, 0xff}, kTcpAck))));
  Spec udp;
  udp.tcp = false;
  EXPECT_FALSE(IsTcpSyn(ViewOf(Build(udp))));
  Bytes fragment = Syn(false, {2, 4, 0xff, 0xff});
  Put16(&fragment, 6, 0x2000);
  EXPECT_FALSE(IsTcpSyn(ViewOf(fragment)));
  Bytes cut = Syn(false, {});
  cut.resize(L4Offset(cut) + 19);
  Put16(&cut, 2, static_cast<unsigned>(cut.size()));
  EXPECT_FALSE(IsTcpSyn(ViewOf(cut)));
}

TEST(MssClamp, DataOffsetBeyondThePacketOrBelowTheHeader) {
  for (const uint8_t offset : {0x00, 0x40, 0xf0}) {
    Bytes p = Syn(false, {2, 4, 0xff, 0xff});
    p[L4Offset(p) + 12] = offset;
    const Bytes before = p;
    EXPECT_FALSE(Clamp(&p, 1000));
    EXPECT_EQ(p, before);
  }
}

// Random options and flags: nothing but two octets of an option and the checksum ever changes, a
// right checksum stays right, and the value only falls.
TEST(MssClamp, RandomOptions) {
  std::mt19937 random(7);
  int clamped = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes options(4 * (random() % 11));
    for (uint8_t& o : options) {
      o = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 6);
    }
    Bytes p = Syn(random() % 2 == 0, options);
    if (random() % 4 == 0) p[L4Offset(p) + 12] = static_cast<uint8_t>(random());
    const Bytes before = p;
    const bool was_right = L4ChecksumOk(ViewOf(p));
    const uint32_t mtu = static_cast<uint32_t>(random() % 3000);
    const bool changed = Clamp(&p, mtu);
    clamped += changed;
    EXPECT_EQ(changed, p != before);
    size_t differs = 0;
    for (size_t o = 0; o < p.size(); ++o) differs += p[o] != before[o];
    EXPECT_LE(differs, 4u);
    EXPECT_EQ(L4ChecksumOk(ViewOf(p)), was_right);
  }
  EXPECT_GT(clamped, 100);
}

}  // namespace
}  // namespace cipe::packet
