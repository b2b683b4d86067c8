#include "classic/block.h"

#include "base/bytes.h"
#include "cipe/abi/drop_reasons.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {
namespace {

std::vector<uint8_t> Write(const Block& block, uint64_t seed = 1) {
  CountingRng rng(seed);
  std::vector<uint8_t> out(kMostBlock);
  out.resize(WriteBlock(block, WallTime{1'700'000'000'000'000'000}, rng, out.data()));
  return out;
}

Block OfKind(Kind kind) {
  Block block;
  block.kind = kind;
  return block;
}

TEST(BlockTest, EveryKindComesBack) {
  for (const Kind kind : {Kind::kRequest, Kind::kIndication, Kind::kAcknowledge, Kind::kDummy,
                          Kind::kDebug, Kind::kPing, Kind::kPong, Kind::kKill}) {
    Block block = OfKind(kind);
    block.key = DynamicKey();
    block.key_crc = KeyCrc(block.key);
    block.text = "hello";
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto octets = Write(block, seed);
      EXPECT_GE(octets.size(), kLeastBlock);
      Block read;
      ASSERT_EQ(ReadBlock(octets, &read), 0);
      EXPECT_EQ(read.kind, kind);
      EXPECT_EQ(read.timestamp, 1'700'000'000u);
      if (kind == Kind::kIndication) {
        EXPECT_TRUE(read.key == DynamicKey());
      }
      if (kind == Kind::kAcknowledge) {
        EXPECT_EQ(read.key_crc, block.key_crc);
      }
      if (kind == Kind::kDebug) {
        EXPECT_EQ(read.text, "hello");
      }
    }
  }
}

TEST(BlockTest, OnlyTheOctetsOfTheKindHaveToBeThere) {
  Block indication = OfKind(Kind::kIndication);
  indication.key = DynamicKey();
  indication.key_crc = KeyCrc(indication.key);
  struct {
    Block block;
    size_t least;
  } cases[] = {{OfKind(Kind::kRequest), 1},     {std::move(indication), 21},
               {OfKind(Kind::kAcknowledge), 5}, {OfKind(Kind::kDebug), 1},
               {OfKind(Kind::kPing), 1},        {OfKind(Kind::kKill), 1}};
  for (const auto& c : cases) {
    const auto octets = Write(c.block);
    for (size_t size = 0; size <= octets.size(); ++size) {
      Block read;
      const int drop = ReadBlock(absl::MakeConstSpan(octets).first(size), &read);
      ASSERT_EQ(drop, size < c.least ? cipe_drop_rx_classic_block : 0)
          << static_cast<int>(c.block.kind) << " of " << size;
      if (drop == 0) {
        ASSERT_EQ(read.timestamp.has_value(), size >= 52);
      }
    }
  }
}

TEST(BlockTest, UnknownKindsAreDropped) {
  int known = 0;
  for (int kind = 0; kind < 256; ++kind) {
    std::vector<uint8_t> octets(kLeastBlock);
    octets[0] = static_cast<uint8_t>(kind);
    Block read;
    const int drop = ReadBlock(octets, &read);
    known += drop == 0;
    EXPECT_TRUE(drop == 0 || drop == cipe_drop_rx_classic_block);
  }
  // The NK_IND among them offers the key of zeros, whose CRC is zero.
  EXPECT_EQ(known, 8);
}

TEST(BlockTest, AWrongKeyCrcChangesNothing) {
  Block indication = OfKind(Kind::kIndication);
  indication.key = DynamicKey();
  indication.key_crc = KeyCrc(indication.key) ^ 1;
  Block read;
  read.text = "untouched";
  EXPECT_EQ(ReadBlock(Write(indication), &read), cipe_drop_rx_classic_key_crc);
  EXPECT_EQ(read.text, "untouched");
  EXPECT_EQ(read.kind, Kind::kDummy);
}

TEST(BlockTest, DebugTextCannotSpoilALog) {
  std::vector<uint8_t> octets(kLeastBlock, 'x');
  octets[0] = static_cast<uint8_t>(Kind::kDebug);
  const uint8_t text[] = {'a', '\n', 0x1b, '[', '3', '1', 'm', '\\', 0x80, 0xff, 0x7f, 'z', 0};
  std::copy(std::begin(text), std::end(text), octets.begin() + 1);
  Block read;
  ASSERT_EQ(ReadBlock(octets, &read), 0);
  EXPECT_EQ(read.text, "a\\x0a\\x1b[31m\\\\\\x80\\xff\\x7fz");
  // Without an end it is cut.
  std::fill(octets.begin() + 1, octets.end(), '\n');
  ASSERT_EQ(ReadBlock(octets, &read), 0);
  EXPECT_EQ(read.text.size(), 4 * kMostDebugText);
}

TEST(BlockTest, LongDebugTextIsCutWhenWritten) {
  Block debug = OfKind(Kind::kDebug);
  debug.text = std::string(500, 'q');
  const auto octets = Write(debug);
  EXPECT_EQ(octets[47], 0);
  EXPECT_EQ(LoadBe32(octets.data() + 48), 1'700'000'000u);
  Block read;
  ASSERT_EQ(ReadBlock(octets, &read), 0);
  EXPECT_EQ(read.text, std::string(kMostDebugText, 'q'));
}

}  // namespace
}  // namespace cipe::classic
