// Payloads of NEWKEY packets: key exchange blocks (NK_*) and control blocks (CT_*).
//
//   0 kind | 1..46 body of the kind, then filler | 47 filler, 0 for CT_* | 48 time stamp | 52
//   filler
//
// Written exactly as genuine peers do, 56 to 311 octets; read tolerantly: only the octets that the
// kind needs have to be there, filler is never looked at, and nothing follows from the length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/types/span.h"
#include "base/clock.h"
#include "base/rng.h"
#include "classic/cipher.h"

namespace cipe::classic {

enum class Kind : uint8_t {
  kRequest = 1,      // NK_REQ: send me your key
  kIndication = 2,   // NK_IND: this is my new key
  kAcknowledge = 3,  // NK_ACK: I have your new key
  kDummy = 0x70,
  kDebug = 0x71,  // text for the receiver's log
  kPing = 0x72,
  kPong = 0x73,
  kKill = 0x74,  // the receiver shall end
};

inline constexpr size_t kLeastBlock = 56;  // octets as sent
inline constexpr size_t kMostBlock = kLeastBlock + 255;
inline constexpr size_t kMostDebugText = 46;

struct Block {
  Kind kind = Kind::kDummy;
  Key key;                            // kIndication
  uint32_t key_crc = 0;               // kIndication, kAcknowledge
  std::string text;                   // kDebug; as received: printable ASCII, the rest escaped
  std::optional<uint32_t> timestamp;  // seconds since 1970; absent: block too short to have one
};

uint32_t KeyCrc(const Key& key);

// Writes `block` with the time stamp of `wall` and 0 to 255 octets of extra filler at random, but
// not beyond `most` octets (kLeastBlock at least): answers must not be longer than what they
// answer. `out` has room for kMostBlock octets. Returns the size. The caller wipes `out` after
// kIndication.
size_t WriteBlock(const Block& block, WallTime wall, Rng& rng, uint8_t* out,
                  size_t most = kMostBlock);

// 0, or the drop reason. An NK_IND whose CRC does not match its key is one.
int ReadBlock(absl::Span<const uint8_t> octets, Block* block);

}  // namespace cipe::classic
