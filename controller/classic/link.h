// The keys of one tunnel of protocol 3, shared by all workers: static, sending, receiving and the
// receiving ones before that, as long as the peer uses them. The control thread installs and drops
// keys as Exchange says; workers seal and open whole batches under one lock per direction.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "base/spin_lock.h"
#include "classic/cipher.h"
#include "classic/packet.h"
#include "classic/policy.h"

namespace cipe::classic {

inline constexpr uint32_t kSendPackets = 32767;  // under one key, then a new one is due
inline constexpr uint32_t kReceivePackets = 65534;

enum class Under : uint8_t { kNothing, kStatic, kDynamic, kPrevious };

// What a worker has to tell the control thread, which then asks Link::Due; each at most once a
// second while it holds.
struct LinkReport {
  bool send_limit = false;     // Exchange::OnSendLimit
  bool receive_limit = false;  // Exchange::OnReceiveLimit
  bool no_key = false;         // Exchange::OnNoReceiveKey
  // For some time dynamic packets came and none of them could be opened: Exchange::OnBadPackets.
  bool bad_packets = false;
  bool any() const { return send_limit || receive_limit || no_key || bad_packets; }
};

struct OpenJob {
  uint8_t* data = nullptr;  // in: the packet, decrypted in place
  uint32_t size = 0;        // in
  int drop = 0;             // out: 0 or a drop reason; then nothing below is set
  Under under = Under::kNothing;
  Disassembled packet{};
};

class Link {
 public:
  struct Setup {
    Algorithm algorithm = Algorithm::kBlowfish;
    Key static_key;
    Policy policy;
  };
  static absl::StatusOr<std::unique_ptr<Link>> Create(const Setup& setup);

  // ---- any thread ----

  // False: data has to wait for the next sending key.
  bool MaySend() const { return may_send_.load(std::memory_order_acquire); }

  // Encrypts assembled data packets of any number. False, with the packets untouched: there is no
  // key for data any more, they have to wait.
  [[nodiscard]] bool SealData(absl::Span<const CbcPacket> packets, Instant now, LinkReport* report);

  // Exchange and control blocks: under the sending key, or if there is none or `under` says so
  // under the static one.
  void SealBlock(const CbcPacket& packet, Under under, Instant now, LinkReport* report);

  // Opens what came in. Length, key flag, CRC and type are checked here, and whether data may come
  // under the static key; the inner packet is not.
  void Open(absl::Span<OpenJob> jobs, Instant now, LinkReport* report);

  // ---- control thread ----

  // `lifetime` zero: no end. Fails as Cipher::Create does; then the state is as before.
  absl::Status InstallSendKey(const Key& key, Instant now, Duration lifetime);
  void DropSendKey();
  // The current receiving key becomes a former one. Those are tried, too, for kPreviousLifetime
  // after their last good packet, kFormerKeys of them; the one that was silent longest makes room.
  absl::Status InstallReceiveKey(const Key& key, Instant now, Duration lifetime);
  // There is no current receiving key from here on; the one there was is a former one.
  void RetireReceiveKey(Instant now);

  // Which limits are reached by the keys of this moment: a worker's report may be about keys that
  // were replaced since. `no_key` only says that there is no receiving key, `bad_packets` that it
  // still is so.
  LinkReport Due(Instant now);

  static constexpr Duration kPreviousLifetime = std::chrono::seconds(30);
  static constexpr size_t kFormerKeys = 3;
  // So many packets that cannot be opened, and none that can for so long, are `bad_packets`.
  static constexpr uint32_t kBadPackets = 4;
  static constexpr Duration kBadTime = std::chrono::seconds(2);

  bool has_send_key() const { return has_send_.load(std::memory_order_relaxed); }
  bool has_receive_key() const { return has_receive_.load(std::memory_order_relaxed); }
  uint32_t sent_packets() const { return send_count_.load(std::memory_order_relaxed); }
  uint32_t received_packets() const { return receive_count_.load(std::memory_order_relaxed); }

 private:
  struct ReceiveKey {
    Cipher cipher;
    Instant expires;    // as current: that is due for a new one; as former: that is forgotten
    Instant last_used;  // latest packet that was opened; zero: none
    bool used() const { return last_used != Instant{}; }
  };

  Link(const Setup& setup, Cipher static_send, Cipher static_receive);
  void CountSent(size_t packets, Instant now, LinkReport* report);
  void CountReceived(Instant now, LinkReport* report);
  bool SendLimitReached(Instant now) const;     // under send_lock_
  bool ReceiveLimitReached(Instant now) const;  // under receive_lock_
  void OpenUnder(Cipher& cipher, absl::Span<OpenJob* const> jobs, Under under);
  void OpenDynamic(Instant now);
  void OpenFormer(Instant now);
  void ForgetFormer(Instant now);
  void MakeFormer(Instant now);  // of current_
  bool NothingOpens(Instant now) const;
  void Keep();  // copies the ciphertext of dynamic_jobs_ to kept_

  const Algorithm algorithm_;
  const Policy policy_;
  std::atomic<bool> may_send_;
  std::atomic<bool> has_send_{false}, has_receive_{false};
  std::atomic<uint32_t> send_count_{0}, receive_count_{0};

  SpinLock send_lock_;  // around everything down to receive_lock_
  Cipher static_send_;
  std::optional<Cipher> send_;
  Instant send_expires_{};
  Instant next_send_report_{};

  SpinLock receive_lock_;  // around everything below
  Cipher static_receive_;
  std::optional<ReceiveKey> current_;
  std::vector<ReceiveKey> former_;  // kFormerKeys at most
  bool agreed_ = false;             // a receiving key was installed at some time
  Instant next_receive_report_{}, next_no_key_report_{}, next_bad_report_{};
  Instant last_opened_{};  // of a dynamic packet, or when there first was a key for one
  uint32_t bad_packets_ = 0;
  struct Retry {
    OpenJob* job;
    size_t kept;  // where its ciphertext stands in kept_
  };
  std::vector<OpenJob*> static_jobs_, dynamic_jobs_, retry_jobs_;
  std::vector<Retry> retries_;
  std::vector<CbcPacket> packets_;
  std::vector<uint8_t> kept_;  // ciphertext, for further tries under former keys
};

}  // namespace cipe::classic
