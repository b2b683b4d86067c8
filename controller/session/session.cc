#include "session/session.h"

#include "base/status_macros.h"
#include "protocol/constants.h"

namespace cipe::session {
namespace {

// How far ahead counters are reserved in the shared map: what a crash may waste.
constexpr uint64_t kReservation = 1 << 16;

// AES-GCM counts 16-octet blocks of plaintext and associated data (RFC 9001 appendix B.1); ours has
// one block of associated data.
uint64_t Blocks(uint32_t size) { return 1 + (uint64_t{size} + 15) / 16; }

}  // namespace

KeyLimits KeyLimits::For(Suite suite) {
  if (suite == Suite::kAesGcmSha256) {
    return {protocol::kAesRekeyPackets, protocol::kAesStopPackets, protocol::kAesRekeyBlocks,
            protocol::kAesStopBlocks};
  }
  return {protocol::kChaChaRekeyPackets, protocol::kChaChaStopPackets, UINT64_MAX, UINT64_MAX};
}

std::optional<uint64_t> SendLane::TakeCounter(uint32_t size) {
  const uint64_t counter = next_.load(std::memory_order_relaxed);
  const uint64_t blocks = blocks_ + Blocks(size);
  if (counter >= limits_.stop_packets || blocks > limits_.stop_blocks) return std::nullopt;
  if (counter >= reserved_) {
    reserved_ = counter + kReservation;
    __atomic_store_n(&state_->send_reserved, reserved_, __ATOMIC_SEQ_CST);
  }
  next_.store(counter + 1, std::memory_order_relaxed);
  blocks_ = blocks;
  if (counter >= limits_.rekey_packets || blocks >= limits_.rekey_blocks) {
    wants_rekey_.store(true, std::memory_order_relaxed);
  }
  return counter;
}

void ReceiveLane::Publish() {
  __atomic_store_n(&state_->receive_greatest, greatest_.load(std::memory_order_relaxed),
                   __ATOMIC_RELEASE);
}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionSetup& setup,
                                                         absl::Span<const Secret<32>> send,
                                                         absl::Span<const Secret<32>> receive,
                                                         AeadBackend backend) {
  auto session = std::unique_ptr<Session>(new Session(setup));
  session->expires_ = setup.created + protocol::kSessionLifetime;
  session->send_ = std::make_unique<SendLane[]>(send.size());
  session->receive_ = std::make_unique<ReceiveLane[]>(receive.size());
  const KeyLimits limits = KeyLimits::For(setup.suite);
  for (size_t i = 0; i < send.size(); ++i) {
    SendLane& lane = session->send_[i];
    CIPE_ASSIGN_OR_RETURN(lane.key, AeadKey::Create(setup.suite, backend, send[i]));
    lane.limits_ = limits;
    lane.state_ = &setup.lane_state[i];
    if (setup.resume) {
      lane.reserved_ = __atomic_load_n(&lane.state_->send_reserved, __ATOMIC_ACQUIRE);
      lane.next_ = lane.reserved_;
      // The dead engine's block count is unknown; take the most its packets can have held.
      lane.blocks_ = lane.reserved_ * Blocks(9000);
    }
  }
  for (size_t i = 0; i < receive.size(); ++i) {
    ReceiveLane& lane = session->receive_[i];
    CIPE_ASSIGN_OR_RETURN(lane.key, AeadKey::Create(setup.suite, backend, receive[i]));
    lane.state_ = &setup.lane_state[i];
    if (setup.resume) {
      lane.greatest_ = __atomic_load_n(&lane.state_->receive_greatest, __ATOMIC_ACQUIRE);
      lane.window.ResumeAt(lane.greatest_);
    }
  }
  return session;
}

}  // namespace cipe::session
