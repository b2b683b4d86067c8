#include "packet/icmp_error.h"

#include <gtest/gtest.h>

#include "packet/checksum.h"
#include "tests/unit/packet/packet_builder.h"

namespace cipe::packet {
namespace {

IpView ViewOf(const Bytes& p) {
  IpView view;
  EXPECT_TRUE(ParseIp(p.data(), p.size(), &view));
  return view;
}

Bytes Answer(const Bytes& p, uint32_t mtu) {
  IcmpError out;
  const size_t size = BuildTooBig(ViewOf(p), mtu, &out);
  return Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(size));
}

Bytes Packet(bool v6, size_t payload, bool df = true) {
  Spec spec;
  spec.v6 = v6;
  spec.payload = payload;
  spec.df = df;
  return Build(spec);
}

TEST(IcmpError, TooBigForIpv4) {
  const Bytes p = Packet(false, 1400);
  const Bytes a = Answer(p, 1340);
  ASSERT_EQ(a.size(), 576u);
  EXPECT_TRUE(HeaderChecksumOk(ViewOf(a)));
  EXPECT_EQ(ViewOf(a).source_address(), ViewOf(p).destination_address());
  EXPECT_EQ(ViewOf(a).destination_address(), ViewOf(p).source_address());
  EXPECT_EQ(a[9], IPPROTO_ICMP);
  EXPECT_EQ(a[20], 3);
  EXPECT_EQ(a[21], 4);
  EXPECT_EQ(Get16(a, 26), 1340u);
  EXPECT_EQ(NaiveSum(a, 20, a.size()), 0xffffu);
  EXPECT_TRUE(std::equal(a.begin() + 28, a.end(), p.begin()));
}

TEST(IcmpError, TooBigForIpv6) {
  const Bytes p = Packet(true, 1400);
  const Bytes a = Answer(p, 1340);
  ASSERT_EQ(a.size(), 1280u);
  EXPECT_EQ(a[6], IPPROTO_ICMPV6);
  EXPECT_EQ(a[40], 2);
  EXPECT_EQ(a[41], 0);
  EXPECT_EQ(Get32(a, 44), 1340u);
  const unsigned pseudo = NaiveSum(a, 8, 40, 58 + static_cast<unsigned>(a.size() - 40));
  EXPECT_EQ(NaiveSum(a, 40, a.size(), pseudo), 0xffffu);
  EXPECT_TRUE(std::equal(a.begin() + 48, a.end(), p.begin()));
  EXPECT_EQ(ViewOf(a).destination_address(), ViewOf(p).source_address());
  EXPECT_EQ(Get32(Answer(p, 700), 44), 1280u) << "less must never be said";
}

// A fragment of an ICMPv6 message whose first octet after the fragment header is `type`.
Bytes Fragment6(uint16_t offset_and_more, uint8_t type) {
  Bytes p = Packet(true, 1400);
  p[6] = IPPROTO_FRAGMENT;
  p[40] = IPPROTO_ICMPV6;
  Put16(&p, 42, offset_and_more);
  p[48] = type;
  return p;
}

TEST(IcmpError, FirstFragmentOfALargePing) {
  constexpr uint16_t kMore = 1;
  EXPECT_FALSE(Answer(Fragment6(kMore, 128), 1300).empty());
  EXPECT_FALSE(Answer(Fragment6(kMore, 129), 1300).empty());
  EXPECT_TRUE(Answer(Fragment6(kMore, 2), 1300).empty()) << "the beginning of an ICMPv6 error";
  EXPECT_TRUE(Answer(Fragment6(1400 | kMore, 128), 1300).empty()) << "may be part of an error";
}

Bytes Unreachable(const Bytes& p) {
  IcmpError out;
  const size_t size = BuildUnreachable(ViewOf(p), &out);
  return Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(size));
}

TEST(IcmpError, Unreachable) {
  const Bytes p = Packet(false, 64);
  const Bytes a = Unreachable(p);
  ASSERT_EQ(a.size(), 28 + p.size());
  EXPECT_EQ(a[20], 3);
  EXPECT_EQ(a[21], 1);
  EXPECT_EQ(Get32(a, 24), 0u);
  EXPECT_EQ(NaiveSum(a, 20, a.size()), 0xffffu);
  EXPECT_EQ(ViewOf(a).source_address(), ViewOf(p).destination_address());
  const Bytes p6 = Packet(true, 64);
  const Bytes a6 = Unreachable(p6);
  ASSERT_EQ(a6.size(), 48 + p6.size());
  EXPECT_EQ(a6[40], 1);
  EXPECT_EQ(a6[41], 3);
  EXPECT_EQ(Get32(a6, 44), 0u);
  const unsigned pseudo = NaiveSum(a6, 8, 40, 58 + static_cast<unsigned>(a6.size() - 40));
  EXPECT_EQ(NaiveSum(a6, 40, a6.size(), pseudo), 0xffffu);
  EXPECT_TRUE(Unreachable(a).empty()) << "an error is not answered by an error";
  EXPECT_TRUE(Unreachable(a6).empty());
}

TEST(IcmpError, ShortPacketsAreQuotedWhole) {
  const Bytes p = Packet(false, 100);
  EXPECT_EQ(Answer(p, 68).size(), 28 + p.size());
}

TEST(IcmpError, SilentWhereRfc1122AndRfc4443AskForIt) {
  Bytes error = Packet(false, 600);
  error[9] = IPPROTO_ICMP;
  for (const uint8_t type : {3, 4, 5, 11, 12}) {
    error[20] = type;
    EXPECT_TRUE(Answer(error, 500).empty()) << int{type};
  }
  error[20] = 8;  // an echo request is no error
  EXPECT_FALSE(Answer(error, 500).empty());
  Bytes later = Packet(false, 600);
  Put16(&later, 6, 0x4001);
  EXPECT_TRUE(Answer(later, 500).empty());
  for (const uint8_t first : {0, 127, 224, 255}) {
    Bytes p = Packet(false, 600);
    p[12] = first;
    EXPECT_TRUE(Answer(p, 500).empty());
    p = Packet(false, 600);
    p[16] = first;
    EXPECT_TRUE(Answer(p, 500).empty());
  }
  Bytes error6 = Packet(true, 1400);
  error6[6] = IPPROTO_ICMPV6;
  error6[40] = 2;
  EXPECT_TRUE(Answer(error6, 1300).empty());
  error6[40] = 128;
  EXPECT_FALSE(Answer(error6, 1300).empty());
  Bytes multicast = Packet(true, 1400);
  multicast[24] = 0xff;
  EXPECT_TRUE(Answer(multicast, 1300).empty());
  Bytes nobody = Packet(true, 1400);
  std::fill_n(nobody.begin() + 8, 16, uint8_t{0});
  EXPECT_TRUE(Answer(nobody, 1300).empty());
}

}  // namespace
}  // namespace cipe::packet
