#include "packet/checksum.h"

#include <gtest/gtest.h>

#include "packet/ecn.h"
#include "packet/outer_header.h"
#include "packet_builder.h"

namespace cipe::packet {
namespace {

Bytes Random(std::mt19937* random, size_t size) {
  Bytes b(size);
  for (uint8_t& x : b) x = static_cast<uint8_t>((*random)());
  return b;
}

TEST(Checksum, AgreesWithTheNaiveSumAtEveryLengthAndAlignment) {
  std::mt19937 random(2);
  for (size_t size = 0; size < 300; ++size) {
    for (size_t shift = 0; shift < 8; ++shift) {
      const Bytes b = Random(&random, size + shift);
      const unsigned naive = NaiveSum(b, shift, b.size());
      EXPECT_EQ(SwapBytes(FoldSum(SumOctets(b.data() + shift, size))), naive) << size;
    }
  }
  for (const uint8_t fill : {0x00, 0xff}) {
    const Bytes b(65535, fill);
    EXPECT_EQ(SwapBytes(FoldSum(SumOctets(b.data(), b.size()))), NaiveSum(b, 0, b.size()));
  }
}

TEST(Checksum, KnownValues) {
  // RFC 1071 section 3: the sum of these is ddf2.
  const Bytes b = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(SwapBytes(FoldSum(SumOctets(b.data(), b.size()))), 0xddf2);
  // RFC 1624 section 4: checksum dd2f, 5555 becomes 3285, result 0000.
  EXPECT_EQ(UpdateChecksum(SwapBytes(uint16_t{0xdd2f}), SwapBytes(uint16_t{0x5555}),
                           SwapBytes(uint16_t{0x3285})),
            0);
}

TEST(Checksum, UpdatingEqualsSummingAnew) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    Bytes b = Random(&random, 40);
    const uint16_t before = ChecksumOf(SumOctets(b.data(), b.size()));
    const size_t at = random() % 20 * 2;
    const uint16_t from = LoadLe16(&b[at]);
    StoreLe16(&b[at], static_cast<uint16_t>(random()));
    EXPECT_EQ(UpdateChecksum(before, from, LoadLe16(&b[at])),
              ChecksumOf(SumOctets(b.data(), b.size())));
  }
}

TEST(Checksum, VerifiesPackets) {
  for (int i = 0; i < 8; ++i) {
    Spec spec;
    spec.v6 = i & 1;
    spec.tcp = i & 2;
    spec.payload = i & 4 ? 101 : 0;
    Bytes p = Build(spec);
    IpView v;
    ASSERT_TRUE(ParseIp(p.data(), p.size(), &v));
    EXPECT_TRUE(L4ChecksumOk(v) && HeaderChecksumOk(v)) << i;
    for (size_t at = v.l4_offset; at < p.size(); ++at) {
      p[at] ^= 0x10;
      EXPECT_FALSE(L4ChecksumOk(v)) << at;
      p[at] ^= 0x10;
    }
    if (spec.v6) continue;
    p[8] ^= 1;
    EXPECT_FALSE(HeaderChecksumOk(v));
  }
}

TEST(Ecn, DecapsulationFollowsFigure4OfRfc6040) {
  // Written out again from the RFC: {inner, outer, result}.
  constexpr uint8_t kDrop = kEcnDrop;
  const uint8_t expected[16][3] = {{kNotEct, kNotEct, kNotEct}, {kNotEct, kEct0, kNotEct},
                                   {kNotEct, kEct1, kNotEct},   {kNotEct, kCe, kDrop},
                                   {kEct0, kNotEct, kEct0},     {kEct0, kEct0, kEct0},
                                   {kEct0, kEct1, kEct1},       {kEct0, kCe, kCe},
                                   {kEct1, kNotEct, kEct1},     {kEct1, kEct0, kEct1},
                                   {kEct1, kEct1, kEct1},       {kEct1, kCe, kCe},
                                   {kCe, kNotEct, kCe},         {kCe, kEct0, kCe},
                                   {kCe, kEct1, kCe},           {kCe, kCe, kCe}};
  for (const auto& row : expected) {
    EXPECT_EQ(DecapsulateEcn(row[0], row[1]), row[2]) << int{row[0]} << " " << int{row[1]};
    for (const bool v6 : {false, true}) {
      Spec spec;
      spec.v6 = v6;
      spec.tos = static_cast<uint8_t>(0xb8 | row[0]);
      Bytes p = Build(spec);
      const Bytes before = p;
      ASSERT_EQ(EcnOf(p.data()), row[0]);
      ASSERT_EQ(ApplyOuterEcn(p.data(), row[1]), row[2] != kDrop);
      spec.tos = static_cast<uint8_t>(0xb8 | row[2]);
      EXPECT_EQ(p, row[2] == kDrop ? before : Build(spec));
      EXPECT_EQ(NaiveCheck(p), "");
    }
  }
  for (uint8_t e = 0; e < 4; ++e) EXPECT_EQ(OuterEcn(e), e);
}

TEST(OuterHeader, BuildsFramesThatANaiveCheckerAccepts) {
  std::mt19937 random(4);
  for (int i = 0; i < 400; ++i) {
    const bool v6 = i & 1;
    OuterPath path;
    path.source_mac = {2, 0, 0, 0, 0, 1};
    path.destination_mac = {2, 0, 0, 0, 0, 2};
    path.vlan = i & 2 ? 42 : 0;
    path.source = *Endpoint::Parse(v6 ? "[fd00::1]:6789" : "192.0.2.1:6789");
    path.destination = *Endpoint::Parse(v6 ? "[2001:db8::5]:51820" : "198.51.100.7:51820");
    path.udp4_checksum = i & 4;
    path.dont_fragment = i & 8;
    path.dscp = 46;
    OuterHeader header;
    ASSERT_TRUE(header.Prepare(path));
    const size_t ethernet = path.vlan ? 18 : 14;
    ASSERT_EQ(header.size(), ethernet + (v6 ? 48 : 28));
    EXPECT_EQ(header.MaxPayload(1500), v6 ? 1452u : 1472u);
    const Bytes payload = Random(&random, random() % 1473);
    Bytes frame(header.size());
    frame.insert(frame.end(), payload.begin(), payload.end());
    const auto ecn = static_cast<uint8_t>(random() % 4);
    const auto id = static_cast<uint16_t>(random());
    const OuterFields fields{
        .tos = ecn, .ttl = static_cast<uint8_t>(i & 16 ? 7 : 0), .may_fragment = (i & 32) != 0};
    header.Write(frame.data(), payload.size(), fields, id);
    EXPECT_EQ(Get16(frame, ethernet - 2), v6 ? 0x86ddu : 0x0800u);
    if (path.vlan) {
      EXPECT_EQ(Get32(frame, 12), 0x8100002au);
    }
    Bytes ip(frame.begin() + static_cast<long>(ethernet), frame.end());
    EXPECT_EQ(EcnOf(ip.data()), ecn);
    const size_t l4 = L4Offset(ip);
    if (!v6) {
      EXPECT_EQ(ip[1], 46 << 2 | ecn);
      EXPECT_EQ(Get16(ip, 4), id);
      EXPECT_EQ(Get16(ip, 6), path.dont_fragment && !fields.may_fragment ? 0x4000u : 0u);
      EXPECT_EQ(ip[8], fields.ttl != 0 ? 7 : 64);
    }
    EXPECT_EQ(Get32(ip, l4), 6789u << 16 | 51820u);
    if (!v6 && !path.udp4_checksum) {
      EXPECT_EQ(NaiveCheck(ip), "no checksum");
    } else {
      EXPECT_EQ(NaiveCheck(ip), "");
    }
  }
}

TEST(OuterHeader, RefusesMixedFamilies) {
  OuterPath path;
  OuterHeader header;
  EXPECT_FALSE(header.Prepare(path));
  path.source = *Endpoint::Parse("192.0.2.1:1");
  path.destination = *Endpoint::Parse("[fd00::1]:1");
  EXPECT_FALSE(header.Prepare(path));
  EXPECT_FALSE(header.ready());
}

}  // namespace
}  // namespace cipe::packet
