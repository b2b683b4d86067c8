#include "classic/packet.h"

#include <set>

#include "cipe/abi/drop_reasons.h"
#include "classic/key_history.h"
#include "classic/socks_header.h"
#include "crypto/stream_rng.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {
namespace {

TEST(PacketTest, EveryPayloadSizeComesBack) {
  StreamRng rng;
  for (size_t size = 0; size <= 1500; ++size) {
    std::vector<uint8_t> payload(size);
    rng.Fill(absl::MakeSpan(payload));
    std::vector<uint8_t> packet(SealedSize(size));
    ASSERT_EQ(Assemble(PacketType::kData, payload, rng, packet.data()), packet.size());
    ASSERT_EQ(packet.size() % 8, 0u);
    ASSERT_GE(packet.size() - size, 13u);
    ASSERT_LE(packet.size() - size, 20u);
    ASSERT_FALSE(HasKeyFlag(packet.data()));
    Disassembled out;
    ASSERT_EQ(CheckLength(packet.size()), 0);
    ASSERT_EQ(Disassemble(packet.data(), packet.size(), &out), 0);
    ASSERT_EQ(out.type, PacketType::kData);
    ASSERT_EQ(absl::MakeConstSpan(out.payload, out.size), absl::MakeConstSpan(payload));
  }
}

TEST(PacketTest, ThePayloadMayStandInItsPlace) {
  StreamRng rng;
  std::vector<uint8_t> packet(SealedSize(100));
  for (size_t i = 0; i < 100; ++i) packet[kIvSize + i] = static_cast<uint8_t>(i);
  Assemble(PacketType::kNewKey, absl::MakeConstSpan(packet).subspan(kIvSize, 100), rng,
           packet.data());
  Disassembled out;
  ASSERT_EQ(Disassemble(packet.data(), packet.size(), &out), 0);
  EXPECT_EQ(out.type, PacketType::kNewKey);
  ASSERT_EQ(out.size, 100u);
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(out.payload[i], i);
}

TEST(PacketTest, LengthsThatCannotBe) {
  for (const size_t size : {0, 1, 8, 15, 17, 23, 1441, 65505, 65507, 65512}) {
    EXPECT_EQ(CheckLength(size), cipe_drop_rx_classic_length) << size;
  }
  for (const size_t size : {16, 24, 1440, 65504}) EXPECT_EQ(CheckLength(size), 0) << size;
}

TEST(PacketTest, EveryFlippedBitIsNoticed) {
  StreamRng rng;
  const std::vector<uint8_t> payload(40, 0x45);
  std::vector<uint8_t> packet(SealedSize(payload.size()));
  Assemble(PacketType::kData, payload, rng, packet.data());
  for (size_t bit = 8 * kIvSize; bit < 8 * packet.size(); ++bit) {
    auto damaged = packet;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    Disassembled out;
    ASSERT_EQ(Disassemble(damaged.data(), damaged.size(), &out), cipe_drop_rx_classic_crc) << bit;
  }
}

// Makes the CRC right for a packet whose trailer was set by hand.
std::vector<uint8_t> WithTrailer(size_t size, uint8_t trailer) {
  // A payload of size - 13 octets needs no padding when the packet has whole blocks.
  const std::vector<uint8_t> payload(size - 13, 0x11);
  ScriptedRng rng(std::vector<uint8_t>(8));
  std::vector<uint8_t> packet(size);
  EXPECT_EQ(Assemble(static_cast<PacketType>(trailer), payload, rng, packet.data()), size);
  return packet;
}

TEST(PacketTest, TrailersThatCannotBe) {
  Disassembled out;
  auto reserved = WithTrailer(24, 6);
  EXPECT_EQ(Disassemble(reserved.data(), 24, &out), cipe_drop_rx_classic_type);
  // Seven octets of padding in a packet that has room for three octets.
  auto padding = WithTrailer(16, 0x70);
  EXPECT_EQ(Disassemble(padding.data(), 16, &out), cipe_drop_rx_classic_length);
  EXPECT_EQ(out.payload, nullptr) << "a rejected packet changed something";
  // Bits 7, 3 and 0 mean nothing.
  auto ignored = WithTrailer(24, 0x89 | 2);
  ASSERT_EQ(Disassemble(ignored.data(), 24, &out), 0);
  EXPECT_EQ(out.type, PacketType::kNewKey);
  EXPECT_EQ(out.size, 11u);
}

// All octets zero: the CRC matches, so what is inside has to be looked at by the receive road.
TEST(PacketTest, ZerosAreAValidEmptyHandedPacket) {
  std::vector<uint8_t> packet(48);
  Disassembled out;
  ASSERT_EQ(Disassemble(packet.data(), packet.size(), &out), 0);
  EXPECT_EQ(out.type, PacketType::kData);
  ASSERT_EQ(out.size, 35u);
  EXPECT_EQ(out.payload[0], 0);
}

TEST(StreamRngTest, DoesNotRepeatItself) {
  StreamRng a, b;
  std::set<uint64_t> seen;
  // Past the first reseeding: 1024 refills of 4064 octets.
  for (int i = 0; i < 600'000; ++i) ASSERT_TRUE(seen.insert(a.U64()).second);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(seen.insert(b.U64()).second);
  // A draw greater than the buffer is served whole.
  std::vector<uint8_t> big(10'000);
  a.Fill(absl::MakeSpan(big));
  EXPECT_LT(std::count(big.begin(), big.end(), 0), 100);
}

TEST(SocksHeaderTest, TenOctets) {
  const Endpoint peer = *Endpoint::Parse("192.0.2.7:6789");
  std::vector<uint8_t> header(kSocksHeaderSize);
  WriteSocksHeader(peer, header.data());
  EXPECT_EQ(ToHex(header), "00000001c00002071a85");
  EXPECT_EQ(ReadSocksHeader(header), peer);
}

TEST(SocksHeaderTest, WhatIsNotTaken) {
  for (const char* hex : {"", "00000001c00002071a", "00000101c00002071a85", "00000003c00002071a85",
                          "00000004c00002071a85", "00000001c00002070000", "00000001000000001a85"}) {
    EXPECT_FALSE(ReadSocksHeader(FromHex(hex)).has_value()) << hex;
  }
}

TEST(KeyHistoryTest, RemembersTheLatest) {
  KeyHistory history;
  CountingRng rng(3);
  std::vector<Key> keys(KeyHistory::kCapacity + 1);
  for (Key& key : keys) {
    rng.Fill(key.UnsafeMutableBytes());
    EXPECT_FALSE(history.Contains(key));
    history.Add(key);
    history.Add(key);
  }
  EXPECT_FALSE(history.Contains(keys.front()));
  for (size_t i = 1; i < keys.size(); ++i) ASSERT_TRUE(history.Contains(keys[i])) << i;
}

}  // namespace
}  // namespace cipe::classic
