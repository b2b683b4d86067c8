// What a finished handshake leaves behind.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/secret.h"
#include "crypto/suite.h"
#include "protocol/frame.h"

namespace cipe::handshake {

struct SessionSecrets {
  Suite suite{};
  protocol::Pattern pattern{};
  bool initiator = false;
  Secret<32> send_key;  // of the direction; each lane has its own, see LaneKey
  Secret<32> receive_key;
  uint32_t local_index = 0;     // what we receive on, lane bits zero
  uint32_t remote_index = 0;    // what we send to, lane bits zero
  protocol::Parameters remote;  // takes effect only with the first data frame opened
  // Public key. When both ends start at once, the session with the greater one (octet by octet from
  // the first, as memcmp) becomes current.
  std::array<uint8_t, 32> initiation_ephemeral{};
  std::array<uint8_t, 32> handshake_hash{};
};

// Key of one lane (0..63): HKDF-Expand (RFC 5869) of the direction's key with the suite's hash.
Secret<32> LaneKey(Suite suite, const Secret<32>& direction_key, int lane);

}  // namespace cipe::handshake
