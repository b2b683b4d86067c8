#include "packet/segmenter.h"

#include <gtest/gtest.h>

#include "packet_builder.h"

namespace cipe::packet {
namespace {

std::vector<Bytes> Cut(const VnetHeader& h, Bytes p, bool* ok) {
  Segmenter cutter;
  std::vector<Bytes> out;
  *ok = cutter.Start(h, p.data(), p.size());
  uint32_t remaining = cutter.remaining();
  for (Segment s; cutter.Next(&s);) {
    out.emplace_back(s.data, s.data + s.size);
    EXPECT_EQ(cutter.remaining(), --remaining);
  }
  return out;
}

TEST(Segmenter, RandomSuperpacketsAgreeWithTheNaiveSegmentation) {
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    Spec spec;
    spec.v6 = i & 1;
    spec.tcp = i & 2;
    spec.fill = static_cast<uint8_t>(random());
    spec.seq = i % 5 ? static_cast<uint32_t>(random()) : 0xffffff00u;
    spec.id = i % 7 ? static_cast<uint16_t>(random()) : 0xfffe;
    spec.df = random() % 2;
    spec.tos = static_cast<uint8_t>(random());
    spec.flags =
        static_cast<uint8_t>(kTcpAck | (random() & (kTcpFin | kTcpPsh | kTcpCwr | kTcpEce)));
    spec.options.resize(random() % 11 * 4, 1);
    if (!spec.v6 && i % 3 == 0) spec.ip_options = {1, 1, 1, 0};
    spec.payload = 1 + random() % (i % 10 ? 8000 : 65000);
    const auto gso = static_cast<uint16_t>(i % 10 ? 1 + random() % 1500 : 500 + random() % 9000);
    Bytes p = Build(spec);
    const VnetHeader h = MakeSuper(&p, gso);
    bool ok = false;
    const std::vector<Bytes> got = Cut(h, p, &ok);
    ASSERT_TRUE(ok) << i;
    const std::vector<Bytes> expected = NaiveSegments(h, p);
    ASSERT_EQ(got.size(), expected.size()) << i;
    for (size_t k = 0; k < got.size(); ++k) {
      ASSERT_EQ(got[k], expected[k]) << i << " segment " << k;
      ASSERT_EQ(NaiveCheck(got[k]), "") << i;
    }
  }
}

TEST(Segmenter, FlagsStandWhereTheyBelong) {
  Spec spec;
  spec.payload = 250;
  spec.flags = kTcpAck | kTcpFin | kTcpPsh | kTcpCwr;
  Bytes p = Build(spec);
  const VnetHeader h = MakeSuper(&p, 100);
  EXPECT_EQ(h.gso_type, kGsoTcp4 | kGsoEcn);
  bool ok = false;
  const std::vector<Bytes> got = Cut(h, p, &ok);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0][33], kTcpAck | kTcpCwr);
  EXPECT_EQ(got[1][33], kTcpAck);
  EXPECT_EQ(got[2][33], kTcpAck | kTcpFin | kTcpPsh);
}

TEST(Segmenter, CompletesPartialChecksums) {
  for (int i = 0; i < 4; ++i) {
    Spec spec;
    spec.v6 = i & 1;
    spec.tcp = i & 2;
    const Bytes whole = Build(spec);
    Bytes p = whole;
    VnetHeader h = MakeSuper(&p, 0);
    h.gso_type = kGsoNone;
    ASSERT_NE(p, whole);
    p.resize(p.size() + 5, 0xee);  // padding is neither summed nor sent
    bool ok = false;
    const std::vector<Bytes> got = Cut(h, p, &ok);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0], whole);
    const std::vector<Bytes> same = Cut(VnetHeader(), whole, &ok);
    ASSERT_EQ(same.size(), 1u);
    EXPECT_EQ(same[0], whole);
  }
}

TEST(Segmenter, ChecksumOfZeroIsSentAsOnes) {
  Spec spec;
  spec.tcp = false;
  spec.payload = 2;
  Bytes p = Build(spec);
  // Make the payload such that the sum of all is ffff without the checksum.
  Put16(&p, 26, 0);
  Put16(&p, 28, 0);
  const unsigned sum = NaiveSum(p, 20, p.size(), NaivePseudo(p, p.size() - 20));
  Put16(&p, 28, 0xffff - sum);
  VnetHeader h = MakeSuper(&p, 0);
  h.gso_type = kGsoNone;
  bool ok = false;
  const std::vector<Bytes> got = Cut(h, p, &ok);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(Get16(got[0], 26), 0xffffu);
}

TEST(Segmenter, RefusesMalformedInput) {
  bool ok = true;
  Bytes good = Build(Spec());
  const VnetHeader h = MakeSuper(&good, 40);
  Cut(h, good, &ok);
  ASSERT_TRUE(ok);
  const auto refused = [&](VnetHeader header, Bytes p) {
    bool accepted = true;
    const std::vector<Bytes> got = Cut(header, std::move(p), &accepted);
    return !accepted && got.empty();
  };
  VnetHeader bad = h;
  bad.gso_size = 0;
  EXPECT_TRUE(refused(bad, good));
  for (const uint8_t type : {uint8_t{2}, uint8_t{3}, kGsoTcp6, kGsoUdpL4, uint8_t{0x7f}, kGsoEcn}) {
    bad = h;
    bad.gso_type = type;
    EXPECT_TRUE(refused(bad, good)) << int{type};
  }
  bad = h;
  bad.csum_start = 21;
  EXPECT_TRUE(refused(bad, good));
  bad = h;
  bad.csum_offset = 6;
  EXPECT_TRUE(refused(bad, good));
  bad = h;
  bad.gso_type = kGsoNone;
  for (const unsigned start : {0u, 19u, 200u, 65535u}) {
    bad.csum_start = static_cast<uint16_t>(start);
    EXPECT_TRUE(refused(bad, good)) << start;
  }
  bad.csum_start = 20;
  bad.csum_offset = 65535;
  EXPECT_TRUE(refused(bad, good));
  Bytes p = good;
  p[32] = 0x40;  // TCP header of 16 octets
  EXPECT_TRUE(refused(h, p));
  p = good;
  p[33] |= kTcpSyn;
  EXPECT_TRUE(refused(h, p));
  p = good;
  p[6] = 0x20;  // a fragment
  EXPECT_TRUE(refused(h, p));
  Spec empty;
  empty.payload = 0;
  EXPECT_TRUE(refused(h, Build(empty)));
  EXPECT_TRUE(refused(VnetHeader(), Bytes()));
  EXPECT_TRUE(refused(VnetHeader(), Bytes(10, 0x45)));
}

// A checksum there would be written over what the packet was parsed by.
TEST(Segmenter, RefusesAChecksumWithinExtensionHeaders) {
  Spec spec;
  spec.v6 = true;
  spec.tcp = false;
  Bytes p = Build(spec);
  const Bytes options = {IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0};  // hop-by-hop, padding only
  p.insert(p.begin() + 40, options.begin(), options.end());
  p[6] = IPPROTO_HOPOPTS;
  Put16(&p, 4, static_cast<unsigned>(p.size() - 40));
  VnetHeader h;
  h.flags = kVnetNeedsCsum;
  h.csum_offset = kUdpChecksumOffset;
  for (uint16_t start = 40; start <= 48; ++start) {
    h.csum_start = start;
    bool ok = false;
    Cut(h, p, &ok);
    EXPECT_EQ(ok, start == 48) << start;
  }
}

}  // namespace
}  // namespace cipe::packet
