#include "protocol/control_tlv.h"

#include <gtest/gtest.h>

#include <vector>

namespace cipe::protocol {
namespace {

std::vector<uint8_t> Build(const ControlMessage& m, size_t size) {
  std::vector<uint8_t> out(size, 0xee);
  EXPECT_EQ(BuildControl(m, absl::MakeSpan(out)), size);
  return out;
}

TEST(ControlTlv, Octets) {
  EXPECT_EQ(Build(EchoRequest{0x0102030405060708, 0}, 14),
            (std::vector<uint8_t>{0, 1, 8, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0}));
  EXPECT_EQ(Build(EchoReply{1, 1400}, 14),
            (std::vector<uint8_t>{0, 2, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x78, 5}));
  EXPECT_EQ(Build(ChangedParameters{1280}, 6), (std::vector<uint8_t>{0, 3, 2, 0, 0, 5}));
  EXPECT_EQ(Build(Close{}, 4), (std::vector<uint8_t>{0, 4, 0, 0}));
}

TEST(ControlTlv, RoundTripWithPadding) {
  auto request = ParseControl(Build(EchoRequest{7, 0}, 1400));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(std::get<EchoRequest>(*request).id, 7u);
  EXPECT_EQ(std::get<EchoRequest>(*request).plaintext_size, 1400u);
  auto reply = ParseControl(Build(EchoReply{7, 1400}, 100));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(std::get<EchoReply>(*reply).seen_size, 1400);
  auto changed = ParseControl(Build(ChangedParameters{1300}, 6));
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(std::get<ChangedParameters>(*changed).mtu, 1300);
  auto close = ParseControl(Build(Close{}, 4));
  ASSERT_TRUE(close.ok());
  EXPECT_TRUE(std::holds_alternative<Close>(*close));
}

TEST(ControlTlv, StartOfALongOne) {
  const std::vector<uint8_t> whole = Build(EchoRequest{7, 0}, 1400);
  auto request = ParseControl(absl::MakeConstSpan(whole).first(kLongestControl), whole.size());
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(std::get<EchoRequest>(*request).id, 7u);
  EXPECT_EQ(std::get<EchoRequest>(*request).plaintext_size, 1400u);
  std::vector<uint8_t> unknown(600);
  unknown[1] = 200;
  unknown[2] = 596 & 255;
  unknown[3] = 596 >> 8;
  EXPECT_TRUE(ParseControl(absl::MakeConstSpan(unknown).first(512), 600).ok());
  EXPECT_EQ(ParseControl(absl::MakeConstSpan(unknown).first(512), 599).reason(),
            cipe_drop_rx_bad_inner);
}

TEST(ControlTlv, UnknownIsNoError) {
  for (int type = 0; type < 256; ++type) {
    if (type >= 1 && type <= 4) continue;
    auto m = ParseControl(std::vector<uint8_t>{0, static_cast<uint8_t>(type), 1, 0, 9});
    ASSERT_TRUE(m.ok());
    EXPECT_EQ(std::get<UnknownTlv>(*m).type, type);
  }
}

TEST(ControlTlv, TruncationAndWrongSizes) {
  for (const ControlMessage& m :
       {ControlMessage(EchoRequest{}), ControlMessage(EchoReply{}),
        ControlMessage(ChangedParameters{1280}), ControlMessage(Close{})}) {
    const std::vector<uint8_t> whole = Build(m, ControlSize(m));
    for (size_t size = 0; size < whole.size(); ++size) {
      EXPECT_EQ(ParseControl(absl::MakeConstSpan(whole).first(size)).reason(),
                cipe_drop_rx_bad_inner);
      std::vector<uint8_t> small(size);
      EXPECT_EQ(BuildControl(m, absl::MakeSpan(small)), 0u);
    }
    std::vector<uint8_t> longer = whole;
    longer.push_back(0);
    ++longer[2];
    EXPECT_EQ(ParseControl(longer).reason(), cipe_drop_rx_bad_inner);
  }
  EXPECT_FALSE(ParseControl(std::vector<uint8_t>{0x45, 1, 0, 0}).ok());
  EXPECT_FALSE(ParseControl(std::vector<uint8_t>{0, 3, 2, 0, 67, 0}).ok());
  std::vector<uint8_t> huge(65536);
  EXPECT_EQ(BuildControl(Close{}, absl::MakeSpan(huge)), 0u);
  EXPECT_EQ(BuildControl(UnknownTlv{9}, absl::MakeSpan(huge).first(100)), 0u);
}

}  // namespace
}  // namespace cipe::protocol
