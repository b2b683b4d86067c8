#include "packet/fragmenter.h"

#include <gtest/gtest.h>

#include <random>

#include "packet/checksum.h"
#include "tests/unit/packet/packet_builder.h"

namespace cipe::packet {
namespace {

IpView ViewOf(const Bytes& p) {
  IpView view;
  EXPECT_TRUE(ParseIp(p.data(), p.size(), &view));
  return view;
}

Bytes Packet(bool v6, size_t payload, bool df) {
  Spec spec;
  spec.v6 = v6;
  spec.payload = payload;
  spec.df = df;
  return Build(spec);
}

std::vector<Bytes> Cut(const Bytes& p, uint32_t mtu) {
  std::vector<Bytes> out;
  Fragmenter cutter;
  if (!cutter.Start(ViewOf(p), mtu)) return out;
  Bytes buffer(mtu);
  while (const uint32_t n = cutter.Next(buffer.data())) {
    out.emplace_back(buffer.begin(), buffer.begin() + n);
  }
  return out;
}

// Puts fragments of one packet together again, checking each on the way.
Bytes Joined(const std::vector<Bytes>& pieces, uint32_t mtu, bool last_has_more = false) {
  Bytes payload;
  const size_t base = (Get16(pieces[0], 6) & 0x1fff) * 8u;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Bytes& f = pieces[i];
    EXPECT_LE(f.size(), mtu);
    EXPECT_TRUE(HeaderChecksumOk(ViewOf(f)));
    EXPECT_EQ(Get16(f, 2), f.size());
    EXPECT_EQ(Get16(f, 4), Get16(pieces[0], 4));
    EXPECT_EQ((Get16(f, 6) & 0x1fff) * 8u, base + payload.size());
    EXPECT_EQ((Get16(f, 6) & 0x2000) != 0, i + 1 < pieces.size() || last_has_more);
    payload.insert(payload.end(), f.begin() + static_cast<ptrdiff_t>(L4Offset(f)), f.end());
  }
  return payload;
}

TEST(Fragmenter, EverySizeComesTogetherAgain) {
  const Bytes p = Packet(false, 1400, false);
  const Bytes payload(p.begin() + 20, p.end());
  for (const uint32_t mtu : {28u, 29u, 68u, 576u, 1000u, 1339u, 1340u}) {
    const auto pieces = Cut(p, mtu);
    ASSERT_GT(pieces.size(), 1u) << mtu;
    EXPECT_EQ(Joined(pieces, mtu), payload) << mtu;
  }
}

TEST(Fragmenter, FragmentsAreCutFurther) {
  Bytes p = Packet(false, 1000, false);
  Put16(&p, 6, 0x2000 | 100);
  const auto pieces = Cut(p, 300);
  ASSERT_GT(pieces.size(), 3u);
  EXPECT_EQ(Get16(pieces[0], 6) & 0x1fff, 100u);
  EXPECT_EQ(Joined(pieces, 300, true), Bytes(p.begin() + 20, p.end()));
}

TEST(Fragmenter, WhatMayNotBeCut) {
  EXPECT_TRUE(Cut(Packet(false, 1000, true), 500).empty());
  EXPECT_TRUE(Cut(Packet(true, 1000, true), 500).empty());
  EXPECT_TRUE(Cut(Packet(false, 1000, false), 27).empty());
}

TEST(Fragmenter, OptionsAreCopiedAsTheyAskFor) {
  Spec spec;
  spec.df = false;
  spec.payload = 1000;
  // Record route (not copied), loose source route (copied), padding.
  spec.ip_options = {7, 7, 4, 0, 0, 0, 0, 1, 0x83, 3, 4, 0};
  const Bytes p = Build(spec);
  const auto pieces = Cut(p, 400);
  ASSERT_GT(pieces.size(), 2u);
  EXPECT_EQ(L4Offset(pieces[0]), 32u);
  EXPECT_EQ(L4Offset(pieces[1]), 24u);
  EXPECT_EQ(pieces[1][20], 0x83);
  EXPECT_EQ(pieces[1][23], 0);
  EXPECT_EQ(Joined(pieces, 400), Bytes(p.begin() + 32, p.end()));
}

TEST(Fragmenter, RandomHeaders) {
  std::mt19937 random(11);
  for (int i = 0; i < 5000; ++i) {
    Spec spec;
    spec.df = false;
    spec.payload = random() % 3000;
    spec.ip_options.resize(4 * (random() % 11));
    for (uint8_t& o : spec.ip_options)
      o = static_cast<uint8_t>(random() % 5 ? random() % 8 : random());
    const Bytes p = Build(spec);
    const auto mtu = static_cast<uint32_t>(20 + random() % 1500);
    const auto pieces = Cut(p, mtu);
    if (pieces.empty()) {
      EXPECT_LT(mtu, L4Offset(p) + 8u);
      continue;
    }
    EXPECT_EQ(Joined(pieces, mtu), Bytes(p.begin() + static_cast<ptrdiff_t>(L4Offset(p)), p.end()));
  }
}

}  // namespace
}  // namespace cipe::packet
