#include "classic/block.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "cipe/abi/drop_reasons.h"
#include "classic/crc32.h"

namespace cipe::classic {
namespace {

constexpr size_t kBody = 1;
constexpr size_t kIndicationSize = kBody + kKeySize + 4;
constexpr size_t kAcknowledgeSize = kBody + 4;
constexpr size_t kTextEnd = 47;
constexpr size_t kTimestamp = 48;

bool IsControl(Kind kind) { return static_cast<uint8_t>(kind) >= 0x70; }

// Whatever a peer writes, one line of printable ASCII comes out, at most four times as long.
std::string Escape(absl::Span<const uint8_t> text) {
  std::string out;
  for (const uint8_t c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c >= 0x20 && c < 0x7f) {
      out += static_cast<char>(c);
    } else {
      absl::StrAppend(&out, "\\x", absl::Hex(c, absl::kZeroPad2));
    }
  }
  return out;
}

std::string ReadText(absl::Span<const uint8_t> octets) {
  absl::Span<const uint8_t> text = octets.subspan(kBody, kMostDebugText);
  const auto end = std::find(text.begin(), text.end(), 0);
  return Escape(text.first(static_cast<size_t>(end - text.begin())));
}

}  // namespace

uint32_t KeyCrc(const Key& key) { return Crc32(key.UnsafeBytes()); }

size_t WriteBlock(const Block& block, WallTime wall, Rng& rng, uint8_t* out, size_t most) {
  uint8_t extra = 0;
  rng.Fill(absl::MakeSpan(&extra, 1));
  const size_t size = std::max(kLeastBlock, std::min(kLeastBlock + extra, most));
  rng.Fill(absl::MakeSpan(out, size));
  out[0] = static_cast<uint8_t>(block.kind);
  if (block.kind == Kind::kIndication) {
    std::memcpy(out + kBody, block.key.UnsafeBytes().data(), kKeySize);
    StoreBe32(out + kBody + kKeySize, block.key_crc);
  } else if (block.kind == Kind::kAcknowledge) {
    StoreBe32(out + kBody, block.key_crc);
  } else if (block.kind == Kind::kDebug) {
    const size_t length = std::min(block.text.size(), kMostDebugText);
    std::memcpy(out + kBody, block.text.data(), length);
    out[kBody + length] = 0;
  }
  if (IsControl(block.kind)) out[kTextEnd] = 0;
  StoreBe32(out + kTimestamp, static_cast<uint32_t>(wall.unix_ns / 1'000'000'000));
  return size;
}

int ReadBlock(absl::Span<const uint8_t> octets, Block* block) {
  if (octets.empty()) return cipe_drop_rx_classic_block;
  Block read;
  read.kind = static_cast<Kind>(octets[0]);
  if (octets.size() >= kTimestamp + 4) read.timestamp = LoadBe32(octets.data() + kTimestamp);
  switch (read.kind) {
    case Kind::kIndication:
      if (octets.size() < kIndicationSize) return cipe_drop_rx_classic_block;
      read.key = Key::FromSpan(octets.subspan(kBody, kKeySize));
      read.key_crc = LoadBe32(octets.data() + kBody + kKeySize);
      if (read.key_crc != KeyCrc(read.key)) return cipe_drop_rx_classic_key_crc;
      break;
    case Kind::kAcknowledge:
      if (octets.size() < kAcknowledgeSize) return cipe_drop_rx_classic_block;
      read.key_crc = LoadBe32(octets.data() + kBody);
      break;
    case Kind::kDebug:
      read.text = ReadText(octets);
      break;
    case Kind::kRequest:
    case Kind::kDummy:
    case Kind::kPing:
    case Kind::kPong:
    case Kind::kKill:
      break;
    default:
      return cipe_drop_rx_classic_block;
  }
  *block = std::move(read);
  return 0;
}

}  // namespace cipe::classic
