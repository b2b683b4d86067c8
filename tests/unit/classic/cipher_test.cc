#include "classic/cipher.h"

#include <algorithm>
#include <random>

#include "base/bytes.h"
#include "classic/crc32.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {
namespace {

Cipher Make(Algorithm algorithm, const Key& key, Use use) {
  auto cipher = Cipher::Create(algorithm, key, use);
  EXPECT_TRUE(cipher.ok()) << cipher.status();
  return *std::move(cipher);
}

// With a zero vector the first CBC block is the bare cipher.
std::string EncryptBlock(Algorithm algorithm, absl::string_view key, absl::string_view text) {
  auto made = Cipher::Create(algorithm, FromHex(key), Use::kEncrypt);
  EXPECT_TRUE(made.ok()) << made.status();
  Cipher cipher = *std::move(made);
  std::vector<uint8_t> packet(8);
  const std::vector<uint8_t> block = FromHex(text);
  packet.insert(packet.end(), block.begin(), block.end());
  const CbcPacket cbc{packet.data(), static_cast<uint32_t>(packet.size())};
  cipher.Encrypt(absl::MakeConstSpan(&cbc, 1));
  return ToHex(absl::MakeConstSpan(packet).subspan(8));
}

std::string Reorder(absl::string_view hex, size_t group) {
  std::vector<uint8_t> octets = FromHex(hex);
  for (size_t i = 0; i + group <= octets.size(); i += group) {
    std::reverse(octets.begin() + i, octets.begin() + i + group);
  }
  return ToHex(octets);
}

// Published for the little-endian variant, with keys longer than protocol 3 has them.
TEST(CipherTest, BlowfishInLittleEndianOrder) {
  EXPECT_EQ(EncryptBlock(Algorithm::kBlowfish, absl::BytesToHexString("abcdefghijklmnopqrstuvwxyz"),
                         absl::BytesToHexString("BLOWFISH")),
            "824d920d004d7ee3");
  EXPECT_EQ(EncryptBlock(Algorithm::kBlowfish, absl::BytesToHexString("Who is John Galt?"),
                         "fedcba9876543210"),
            "d4f9b006d384927e");
}

// Eric Young's vectors of Blowfish.
TEST(CipherTest, BlowfishIsTheTextbookCipherWithReversedHalves) {
  struct {
    const char *key, *text, *cipher;
  } const kTextbook[] = {
      {"0000000000000000", "0000000000000000", "4ef997456198dd78"},
      {"ffffffffffffffff", "ffffffffffffffff", "51866fd5b85ecb8a"},
      {"0123456789abcdef", "1111111111111111", "61f9c3802281b096"},
      {"fedcba9876543210", "0123456789abcdef", "0aceab0fc6a0a28d"},
      {"7ca110454a1a6e57", "01a1d6d039776742", "59c68245eb05282b"},
  };
  for (const auto& v : kTextbook) {
    EXPECT_EQ(EncryptBlock(Algorithm::kBlowfish, v.key, Reorder(v.text, 4)), Reorder(v.cipher, 4));
  }
}

// The example of Lai's thesis: key words 1 to 8, text words 0 to 3.
TEST(CipherTest, IdeaInThePublishedOrder) {
  EXPECT_EQ(EncryptBlock(Algorithm::kIdeaBigEndian, "00010002000300040005000600070008",
                         "0000000100020003"),
            "11fbed2b01986de5");
}

TEST(CipherTest, IdeaInLittleEndianOrderIsThePublishedOneWithSwappedPairs) {
  EXPECT_EQ(EncryptBlock(Algorithm::kIdea, Reorder("00010002000300040005000600070008", 2),
                         Reorder("0000000100020003", 2)),
            Reorder("11fbed2b01986de5", 2));
}

class ManyPackets : public testing::TestWithParam<Algorithm> {
 protected:
  // Packets of `sizes`, with random contents.
  static std::vector<std::vector<uint8_t>> Draw(const std::vector<uint32_t>& sizes) {
    CountingRng rng(sizes.size());
    std::vector<std::vector<uint8_t>> packets;
    for (const uint32_t size : sizes) rng.Fill(absl::MakeSpan(packets.emplace_back(size)));
    return packets;
  }
  static std::vector<CbcPacket> Jobs(std::vector<std::vector<uint8_t>>& packets) {
    std::vector<CbcPacket> jobs;
    for (auto& packet : packets) {
      jobs.push_back({packet.data(), static_cast<uint32_t>(packet.size())});
    }
    return jobs;
  }
};

// Side by side or one after the other, in any mixture of sizes, the octets are the same.
TEST_P(ManyPackets, ABatchGivesWhatSinglePacketsGive) {
  Cipher encrypt = Make(GetParam(), DynamicKey(), Use::kEncrypt);
  Cipher decrypt = Make(GetParam(), DynamicKey(), Use::kDecrypt);
  std::mt19937 random(7);
  for (const size_t count : {1, 2, 3, 4, 5, 7, 31, 64, 65, 130}) {
    std::vector<uint32_t> sizes;
    for (size_t i = 0; i < count; ++i) {
      sizes.push_back(random() % 3 == 0 ? 1440 : 8 * (2 + random() % 30));
    }
    const auto plain = Draw(sizes);
    auto single = plain, batch = plain;
    for (const CbcPacket& job : Jobs(single)) encrypt.Encrypt(absl::MakeConstSpan(&job, 1));
    encrypt.Encrypt(Jobs(batch));
    ASSERT_EQ(single, batch) << count << " packets";
    ASSERT_NE(batch, plain);
    for (const CbcPacket& job : Jobs(single)) decrypt.Decrypt(absl::MakeConstSpan(&job, 1));
    decrypt.Decrypt(Jobs(batch));
    EXPECT_EQ(single, plain) << count << " packets";
    EXPECT_EQ(batch, plain) << count << " packets";
  }
}

TEST_P(ManyPackets, TheGreatestPacketFits) {
  Cipher encrypt = Make(GetParam(), DynamicKey(), Use::kEncrypt);
  Cipher decrypt = Make(GetParam(), DynamicKey(), Use::kDecrypt);
  const auto plain = Draw({65504, 65504, 16});
  auto packets = plain;
  encrypt.Encrypt(Jobs(packets));
  ASSERT_NE(packets, plain);
  decrypt.Decrypt(Jobs(packets));
  EXPECT_EQ(packets, plain);
}

INSTANTIATE_TEST_SUITE_P(All, ManyPackets,
                         testing::Values(Algorithm::kBlowfish, Algorithm::kIdea,
                                         Algorithm::kIdeaBigEndian));

TEST(Crc32Test, CheckValues) {
  const auto crc = [](absl::string_view text) {
    return Crc32({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(crc("123456789"), 0x2DFD2D88u);
  EXPECT_EQ(crc(""), 0u);
  EXPECT_EQ(crc(std::string(100, '\0')), 0u);
  // Leading zero octets are invisible: part of why this is no integrity protection.
  EXPECT_EQ(crc(std::string(13, '\0') + "123456789"), 0x2DFD2D88u);
}

// Against the definition, bit by bit, at every length and alignment the fast loop treats apart.
TEST(Crc32Test, AgreesWithTheDefinition) {
  std::vector<uint8_t> octets(2100);
  CountingRng(1).Fill(absl::MakeSpan(octets));
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; size < 200; ++size) {
      uint32_t want = 0;
      for (size_t i = 0; i < size; ++i) {
        want ^= octets[start + i];
        for (int bit = 0; bit < 8; ++bit) want = (want >> 1) ^ ((want & 1) != 0 ? 0xEDB88320 : 0);
      }
      ASSERT_EQ(Crc32(absl::MakeConstSpan(octets).subspan(start, size)), want);
    }
  }
}

}  // namespace
}  // namespace cipe::classic
