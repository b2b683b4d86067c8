#include "protocol/parameters.h"

#include <gtest/gtest.h>

namespace cipe::protocol {
namespace {

Parameters Full() {
  Parameters p;
  p.node_id.fill(0xab);
  p.lanes = 64;
  p.mtu = 1420;
  p.ipv4 = *IpAddress::Parse("10.9.0.2");
  p.ipv6 = *IpAddress::Parse("fd00::2");
  return p;
}

std::array<uint8_t, kInitiationPayloadSize> Encoded(const Parameters& p) {
  std::array<uint8_t, kInitiationPayloadSize> out;
  EncodeInitiationPayload({p, Tai64n::FromWall(WallTime{1'700'000'000'000'000'000})},
                          absl::MakeSpan(out));
  return out;
}

TEST(Parameters, RoundTrip) {
  const Parameters full = Full();
  Parameters bare = full;
  bare.ipv4 = bare.ipv6 = IpAddress();
  for (const Parameters& p : {full, bare}) {
    auto back = DecodeInitiationPayload(Encoded(p));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->parameters, p);
    EXPECT_EQ(back->timestamp.UnixNanos(), 1'700'000'000'000'000'000);
    std::array<uint8_t, kResponsePayloadSize> response;
    EncodeResponsePayload({p, 0x40, 0x80}, absl::MakeSpan(response));
    auto r = DecodeResponsePayload(response);
    ASSERT_TRUE(r.ok());
    EXPECT_EQ(r->parameters, p);
    EXPECT_EQ(r->initiator_index, 0x40u);
    EXPECT_EQ(r->responder_index, 0x80u);
  }
}

TEST(Parameters, WhatIsNotValidIsRejected) {
  const auto rejects = [](size_t at, std::initializer_list<uint8_t> octets) {
    auto in = Encoded(Full());
    std::copy(octets.begin(), octets.end(), in.begin() + at);
    auto back = DecodeInitiationPayload(in);
    return !back.ok() && back.reason() == cipe_drop_hs_bad_parameters;
  };
  EXPECT_TRUE(rejects(0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(rejects(16, {0}));
  EXPECT_TRUE(rejects(16, {65}));
  EXPECT_TRUE(rejects(17, {1}));
  EXPECT_TRUE(rejects(18, {67, 0}));
  EXPECT_FALSE(rejects(18, {68, 0}));
  EXPECT_TRUE(rejects(20, {224}));
  EXPECT_TRUE(rejects(20, {127}));
  EXPECT_TRUE(rejects(20, {0}));
  EXPECT_TRUE(rejects(24, {0xff}));
  for (size_t at = 40; at < 48; ++at) EXPECT_TRUE(rejects(at, {1}));
  EXPECT_TRUE(rejects(48, {0}));                       // TAI label of long ago
  EXPECT_TRUE(rejects(56, {0x3b, 0x9a, 0xca, 0x00}));  // 10^9 nanoseconds
  for (size_t size = 0; size < 100; ++size) {
    std::vector<uint8_t> in(size, 1);
    if (size != kInitiationPayloadSize) {
      EXPECT_FALSE(DecodeInitiationPayload(in).ok());
    }
    if (size != kResponsePayloadSize) {
      EXPECT_FALSE(DecodeResponsePayload(in).ok());
    }
  }
}

}  // namespace
}  // namespace cipe::protocol
