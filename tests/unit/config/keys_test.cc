#include "config/keys.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/rng.h"

namespace cipe::config {
namespace {

std::vector<uint8_t> Octets(absl::string_view s) { return {s.begin(), s.end()}; }

// RFC 4648 section 10.
TEST(Base64, PublishedVectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    const std::vector<uint8_t> octets = Octets(plain);
    EXPECT_EQ(EncodeBase64(octets), encoded);
    EXPECT_EQ(EncodeSecretBase64(octets).UnsafeView(), encoded);
    std::vector<uint8_t> back(octets.size());
    EXPECT_TRUE(DecodeBase64(encoded, absl::MakeSpan(back)));
    EXPECT_EQ(back, octets);
  }
  const std::vector<uint8_t> octets = Octets("foobar");
  EXPECT_EQ(EncodeHex(octets), "666f6f626172");
}

TEST(Base64, AgreesWithAnotherImplementation) {
  SystemRng rng;
  for (size_t size : {16, 31, 32, 33, 64}) {
    for (int i = 0; i < 500; ++i) {
      std::vector<uint8_t> octets(size), back(size);
      rng.Fill(absl::MakeSpan(octets));
      const absl::string_view raw(reinterpret_cast<const char*>(octets.data()), size);
      const std::string text = EncodeBase64(octets);
      ASSERT_EQ(text, absl::Base64Escape(raw));
      ASSERT_TRUE(DecodeBase64(text, absl::MakeSpan(back)));
      ASSERT_EQ(back, octets);
      ASSERT_EQ(EncodeHex(octets), absl::BytesToHexString(raw));
      ASSERT_TRUE(DecodeHex(absl::AsciiStrToUpper(EncodeHex(octets)), absl::MakeSpan(back)));
      ASSERT_EQ(back, octets);
    }
  }
}

// Every octet at every position of a key: exactly the alphabet is taken.
TEST(Base64, ExactlyTheAlphabetIsAccepted) {
  const std::string good = EncodeBase64(std::vector<uint8_t>(32, 0x5a));
  std::vector<uint8_t> out(32);
  for (size_t position = 0; position + 2 < good.size(); ++position) {
    for (int c = 0; c < 256; ++c) {
      std::string text = good;
      text[position] = static_cast<char>(c);
      const bool in_alphabet = c < 128 && (absl::ascii_isalnum(c) || c == '+' || c == '/');
      ASSERT_EQ(DecodeBase64(text, absl::MakeSpan(out)), in_alphabet) << position << " " << c;
      if (!in_alphabet) {
        ASSERT_EQ(out, std::vector<uint8_t>(32)) << "nothing is left of a bad key";
      }
    }
  }
}

TEST(Base64, OneKeyHasOneSpelling) {
  // 43 digits carry 258 bits: the last two must be zero, and so for 16 octets the last four.
  const std::pair<size_t, int> cases[] = {{32, 16}, {16, 4}};
  for (const auto& [size, accepted] : cases) {
    std::string text = EncodeBase64(std::vector<uint8_t>(size, 0x5a));
    const size_t last = text.find('=') - 1;
    std::vector<uint8_t> out(size);
    int good = 0;
    for (int c = 0; c < 256; ++c) {
      text[last] = static_cast<char>(c);
      good += DecodeBase64(text, absl::MakeSpan(out));
    }
    EXPECT_EQ(good, accepted) << size;
  }
  std::string no_padding = EncodeBase64(std::vector<uint8_t>(32, 0x5a));
  no_padding.back() = 'A';
  std::vector<uint8_t> out(32);
  EXPECT_FALSE(DecodeBase64(no_padding, absl::MakeSpan(out)));
}

TEST(Hex, ExactlyTheDigitsAreAccepted) {
  std::vector<uint8_t> out(16);
  for (size_t position : {0u, 1u, 31u}) {
    for (int c = 0; c < 256; ++c) {
      std::string text(32, '7');
      text[position] = static_cast<char>(c);
      ASSERT_EQ(DecodeHex(text, absl::MakeSpan(out)), c < 128 && absl::ascii_isxdigit(c)) << c;
    }
  }
}

TEST(Keys, SharedKeyTakesFourForms) {
  const std::vector<uint8_t> sixteen(16, 0xc3), thirty_two(32, 0xc3);
  for (const auto& octets : {sixteen, thirty_two}) {
    for (const std::string& text : {EncodeHex(octets), EncodeBase64(octets)}) {
      const auto key = ParseSharedKey(text);
      ASSERT_TRUE(key.ok()) << text << key.status();
      EXPECT_EQ(absl::MakeConstSpan(octets), key->UnsafeBytes());
    }
  }
  for (size_t size = 0; size < 70; ++size) {
    const bool hex = size == 32 || size == 64;
    EXPECT_EQ(ParseSharedKey(std::string(size, 'c')).ok(), hex) << size;
  }
}

TEST(Keys, RoundTripAndRefusals) {
  SystemRng rng;
  const Secret<32> key = GeneratePrivateKey(rng);
  const SecretText text = FormatSecretKey(key);
  EXPECT_EQ(text.size(), kKeyBase64Size);
  EXPECT_TRUE(*ParseSecretKey(text.UnsafeView()) == key);
  const PublicKeyBytes pub = *PublicKey(key);
  EXPECT_EQ(*ParsePublicKey(FormatPublicKey(pub)), pub);

  const std::string zero = EncodeBase64(std::vector<uint8_t>(32));
  EXPECT_FALSE(ParseSecretKey(zero).ok());
  EXPECT_FALSE(ParsePublicKey(zero).ok());
  EXPECT_FALSE(ParseSharedKey(std::string(32, '0')).ok());
  EXPECT_FALSE(ParseSecretKey(std::string(64, 'a')).ok()) << "hex is for shared keys only";
}

TEST(Keys, ErrorsNeverRepeatTheText) {
  const std::string almost = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk";  // one short
  for (const absl::Status& s : {ParseSecretKey(almost).status(), ParseSharedKey(almost).status(),
                                ParsePublicKey(almost).status()}) {
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(s.message().find("yAnz"), absl::string_view::npos) << s;
    EXPECT_NE(s.message().find("43 characters"), absl::string_view::npos) << s;
  }
}

TEST(SecretText, IsWipedWhenMovedFromAndTruncated) {
  SecretText a = SecretText::Copy("geheim");
  a.Truncate(4);
  EXPECT_EQ(a.UnsafeView(), "gehe");
  a.Truncate(100);
  EXPECT_EQ(a.size(), 4u);
  const SecretText b = std::move(a);
  EXPECT_EQ(b.UnsafeView(), "gehe");
  EXPECT_EQ(a.size(), 0u);  // NOLINT: the promise under test
}

}  // namespace
}  // namespace cipe::config
