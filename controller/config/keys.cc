#include "config/keys.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::config {
namespace {

// All ones when low <= c <= high, else zero; no branch, no table.
constexpr uint32_t InRange(uint32_t c, uint32_t low, uint32_t high) {
  return (((c - low) | (high - c)) >> 31) - 1;
}

// Six bits of a base64 character; clears *ok (a mask) when it is none.
uint32_t Base64Value(char character, uint32_t* ok) {
  const uint32_t c = static_cast<unsigned char>(character);
  const uint32_t upper = InRange(c, 'A', 'Z');
  const uint32_t lower = InRange(c, 'a', 'z');
  const uint32_t digit = InRange(c, '0', '9');
  const uint32_t plus = InRange(c, '+', '+');
  const uint32_t slash = InRange(c, '/', '/');
  *ok &= upper | lower | digit | plus | slash;
  return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (plus & 62) |
         (slash & 63);
}

uint32_t HexValue(char character, uint32_t* ok) {
  const uint32_t c = static_cast<unsigned char>(character);
  const uint32_t digit = InRange(c, '0', '9');
  const uint32_t upper = InRange(c, 'A', 'F');
  const uint32_t lower = InRange(c, 'a', 'f');
  *ok &= digit | upper | lower;
  return (digit & (c - '0')) | (upper & (c - 'A' + 10)) | (lower & (c - 'a' + 10));
}

char Base64Char(uint32_t v) {
  uint32_t c = v + 'A';
  c += InRange(v, 26, 63) & ('a' - 'Z' - 1);
  c -= InRange(v, 52, 63) & ('z' - '0' + 1);
  c -= InRange(v, 62, 63) & ('9' - '+' + 1);
  c += InRange(v, 63, 63) & ('/' - '+' - 1);
  return static_cast<char>(c);
}

void EncodeBase64To(absl::Span<const uint8_t> in, char* out) {
  for (size_t i = 0; i < in.size(); i += 3) {
    const size_t left = std::min<size_t>(in.size() - i, 3);
    uint32_t group = uint32_t{in[i]} << 16;
    if (left > 1) group |= uint32_t{in[i + 1]} << 8;
    if (left > 2) group |= in[i + 2];
    *out++ = Base64Char(group >> 18 & 63);
    *out++ = Base64Char(group >> 12 & 63);
    *out++ = left > 1 ? Base64Char(group >> 6 & 63) : '=';
    *out++ = left > 2 ? Base64Char(group & 63) : '=';
  }
}

bool AllZero(absl::Span<const uint8_t> octets) {
  uint32_t any = 0;
  for (uint8_t o : octets) any |= o;
  return any == 0;
}

absl::Status ZeroKey() {
  return absl::InvalidArgumentError("found a key of nothing but zeros, expected a random one");
}

absl::Status BadKey32(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "found ", text.size(), " characters", text.size() == kKeyBase64Size ? " that are not" : "",
      ", expected 44 base64 characters (32 octets), as 'cipectl genkey' prints them"));
}

}  // namespace

bool DecodeBase64(absl::string_view text, absl::Span<uint8_t> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  if (text.size() != Base64Size(out.size())) return false;
  uint32_t ok = ~0u;
  const size_t digits = (out.size() * 8 + 5) / 6;
  uint32_t bits = 0;
  size_t have = 0, next = 0;
  for (size_t i = 0; i < digits; ++i) {
    bits = bits << 6 | Base64Value(text[i], &ok);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[next++] = static_cast<uint8_t>(bits >> have);
      bits &= (1u << have) - 1;
    }
  }
  ok &= InRange(bits, 0, 0);  // spare bits: a second spelling of the same key
  for (size_t i = digits; i < text.size(); ++i) {
    ok &= InRange(static_cast<unsigned char>(text[i]), '=', '=');
  }
  for (uint8_t& o : out) o &= static_cast<uint8_t>(ok);
  return ok != 0;
}

bool DecodeHex(absl::string_view text, absl::Span<uint8_t> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  if (text.size() != 2 * out.size()) return false;
  uint32_t ok = ~0u;
  for (size_t i = 0; i < out.size(); ++i) {
    const uint32_t high = HexValue(text[2 * i], &ok);
    out[i] = static_cast<uint8_t>(high << 4 | HexValue(text[2 * i + 1], &ok));
  }
  for (uint8_t& o : out) o &= static_cast<uint8_t>(ok);
  return ok != 0;
}

std::string EncodeBase64(absl::Span<const uint8_t> octets) {
  std::string out(Base64Size(octets.size()), '\0');
  EncodeBase64To(octets, out.data());
  return out;
}

std::string EncodeHex(absl::Span<const uint8_t> octets) {
  std::string out;
  for (uint8_t o : octets) absl::StrAppend(&out, absl::Hex(o, absl::kZeroPad2));
  return out;
}

SecretText EncodeSecretBase64(absl::Span<const uint8_t> octets) {
  SecretText out(Base64Size(octets.size()));
  EncodeBase64To(octets, out.UnsafeMutableData());
  return out;
}

absl::StatusOr<PublicKeyBytes> ParsePublicKey(absl::string_view text) {
  PublicKeyBytes key;
  if (!DecodeBase64(text, absl::MakeSpan(key))) return BadKey32(text);
  if (AllZero(key)) return ZeroKey();
  return key;
}

absl::StatusOr<Secret<32>> ParseSecretKey(absl::string_view text) {
  Secret<32> key;
  if (!DecodeBase64(text, key.UnsafeMutableBytes())) return BadKey32(text);
  if (AllZero(key.UnsafeBytes())) return ZeroKey();
  return key;
}

absl::StatusOr<SecretBytes> ParseSharedKey(absl::string_view text) {
  const bool is_short = text.size() == 24 || text.size() == 32;
  Secret<32> buffer;
  const absl::Span<uint8_t> out = buffer.UnsafeMutableBytes().subspan(0, is_short ? 16 : 32);
  const bool hex = text.size() == 32 || text.size() == 64;
  if (!(hex ? DecodeHex(text, out) : DecodeBase64(text, out))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", text.size(), " characters", hex ? " that are not hex digits" : "",
        ", expected 32 or 64 hex digits, or 24 or 44 base64 characters (16 or 32 octets)"));
  }
  if (AllZero(out)) return ZeroKey();
  return SecretBytes::FromSpan(out);
}

SecretText FormatSecretKey(const Secret<32>& key) { return EncodeSecretBase64(key.UnsafeBytes()); }

std::string FormatPublicKey(const PublicKeyBytes& key) { return EncodeBase64(key); }

}  // namespace cipe::config
