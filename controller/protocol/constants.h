// Limits of protocol 5 (docs/protocol.md). Two peers must agree on these; what may be tuned freely
// stands with the code it tunes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cipe::protocol {

using namespace std::chrono_literals;

inline constexpr uint8_t kTypeInitiation = 0x51;
inline constexpr uint8_t kTypeResponse = 0x52;
inline constexpr uint8_t kTypeCookieReply = 0x53;
inline constexpr uint8_t kTypeData = 0x54;

inline constexpr size_t kDataHeaderSize = 16;
inline constexpr size_t kTagSize = 16;
inline constexpr size_t kDataOverhead = kDataHeaderSize + kTagSize;

inline constexpr int kLaneBits = 6;
inline constexpr uint32_t kLaneMask = (1u << kLaneBits) - 1;

inline constexpr auto kSessionLifetime = 180s;  // both ends, after the keys were made
inline constexpr auto kRekeyDefault = 120s;     // initiator, only with traffic to send
inline constexpr auto kKeepaliveTimeout = 10s;  // heard, nothing sent
inline constexpr auto kDeadTimeout = 15s;       // sent, nothing heard
inline constexpr auto kHandshakeRetry = 5s;     // plus jitter up to 333 ms
inline constexpr auto kHandshakeGiveUp = 90s;
inline constexpr auto kSimultaneousWindow = 5s;
inline constexpr auto kIndexReuse = 180s;
inline constexpr auto kInitiationSpacing = 20ms;  // of one peer, else hs_too_soon
inline constexpr auto kClockBehind = 10s;         // stamp this far below the floor: hs_clock_behind

inline constexpr uint64_t kAesRekeyPackets = uint64_t{1} << 26;  // RFC 9001 appendix B
inline constexpr uint64_t kAesStopPackets = uint64_t{1} << 28;
inline constexpr uint64_t kAesRekeyBlocks = uint64_t{1} << 33;
inline constexpr uint64_t kAesStopBlocks = uint64_t{1} << 35;
inline constexpr uint64_t kChaChaRekeyPackets = uint64_t{1} << 60;
inline constexpr uint64_t kChaChaStopPackets = (uint64_t{1} << 60) + (uint64_t{1} << 32);

inline constexpr uint64_t kReplayWindow = 8192;  // counters, per lane
inline constexpr int kTunnelOverhead = 80;       // MTU auto = path MTU minus this, any family

}  // namespace cipe::protocol
