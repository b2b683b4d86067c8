#include "classic/link.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/status_macros.h"
#include "cipe/abi/drop_reasons.h"

namespace cipe::classic {
namespace {

constexpr Duration kReportInterval = std::chrono::seconds(1);

Instant Expiry(Instant now, Duration lifetime) {
  return lifetime == Duration::zero() ? Instant::max() : now + lifetime;
}

// True at most once per kReportInterval.
bool MayReport(Instant now, Instant* next) {
  if (now < *next) return false;
  *next = now + kReportInterval;
  return true;
}

}  // namespace

Link::Link(const Setup& setup, Cipher static_send, Cipher static_receive)
    : algorithm_(setup.algorithm),
      policy_(setup.policy),
      may_send_(setup.policy.static_data),
      static_send_(std::move(static_send)),
      static_receive_(std::move(static_receive)) {}

absl::StatusOr<std::unique_ptr<Link>> Link::Create(const Setup& setup) {
  CIPE_ASSIGN_OR_RETURN(Cipher send,
                        Cipher::Create(setup.algorithm, setup.static_key, Use::kEncrypt));
  CIPE_ASSIGN_OR_RETURN(Cipher receive,
                        Cipher::Create(setup.algorithm, setup.static_key, Use::kDecrypt));
  return std::unique_ptr<Link>(new Link(setup, std::move(send), std::move(receive)));
}

bool Link::SealData(absl::Span<const CbcPacket> packets, Instant now, LinkReport* report) {
  std::lock_guard lock(send_lock_);
  if (!send_.has_value()) {
    if (!policy_.static_data) return false;
    static_send_.Encrypt(packets);
    return true;
  }
  for (const CbcPacket& packet : packets) packet.data[0] |= kKeyFlag;
  send_->Encrypt(packets);
  CountSent(packets.size(), now, report);
  return true;
}

void Link::SealBlock(const CbcPacket& packet, Under under, Instant now, LinkReport* report) {
  std::lock_guard lock(send_lock_);
  if (!send_.has_value() || under == Under::kStatic) {
    static_send_.Encrypt(absl::MakeConstSpan(&packet, 1));
    return;
  }
  packet.data[0] |= kKeyFlag;
  send_->Encrypt(absl::MakeConstSpan(&packet, 1));
  CountSent(1, now, report);
}

bool Link::SendLimitReached(Instant now) const {
  return send_.has_value() &&
         (send_count_.load(std::memory_order_relaxed) > kSendPackets || now > send_expires_);
}

bool Link::ReceiveLimitReached(Instant now) const {
  return current_.has_value() &&
         (receive_count_.load(std::memory_order_relaxed) > kReceivePackets ||
          now > current_->expires);
}

LinkReport Link::Due(Instant now) {
  LinkReport report;
  {
    std::lock_guard lock(send_lock_);
    report.send_limit = SendLimitReached(now);
  }
  std::lock_guard lock(receive_lock_);
  report.receive_limit = ReceiveLimitReached(now);
  report.no_key = !current_.has_value();
  report.bad_packets = NothingOpens(now);
  return report;
}

void Link::CountSent(size_t packets, Instant now, LinkReport* report) {
  send_count_.fetch_add(static_cast<uint32_t>(packets), std::memory_order_relaxed);
  if (SendLimitReached(now) && MayReport(now, &next_send_report_)) report->send_limit = true;
}

void Link::CountReceived(Instant now, LinkReport* report) {
  if (!current_.has_value()) return;
  receive_count_.fetch_add(1, std::memory_order_relaxed);
  if (ReceiveLimitReached(now) && MayReport(now, &next_receive_report_)) {
    report->receive_limit = true;
  }
}

void Link::Open(absl::Span<OpenJob> jobs, Instant now, LinkReport* report) {
  std::lock_guard lock(receive_lock_);
  static_jobs_.clear();
  dynamic_jobs_.clear();
  ForgetFormer(now);
  for (OpenJob& job : jobs) {
    job.under = Under::kNothing;
    job.drop = CheckLength(job.size);
    if (job.drop != 0) continue;
    if (!HasKeyFlag(job.data)) {
      static_jobs_.push_back(&job);
    } else if (current_.has_value() || !former_.empty()) {
      dynamic_jobs_.push_back(&job);
    } else {
      job.drop = cipe_drop_rx_classic_no_key;
    }
    if (HasKeyFlag(job.data) && !current_.has_value()) {
      report->no_key |= MayReport(now, &next_no_key_report_);
    }
  }
  if (!static_jobs_.empty()) OpenUnder(static_receive_, static_jobs_, Under::kStatic);
  if (!dynamic_jobs_.empty()) OpenDynamic(now);
  for (OpenJob& job : jobs) {
    if (job.drop == 0) CountReceived(now, report);
  }
  if (NothingOpens(now)) report->bad_packets |= MayReport(now, &next_bad_report_);
}

bool Link::NothingOpens(Instant now) const {
  return current_.has_value() && bad_packets_ >= kBadPackets && now - last_opened_ >= kBadTime;
}

void Link::OpenUnder(Cipher& cipher, absl::Span<OpenJob* const> jobs, Under under) {
  packets_.clear();
  for (const OpenJob* job : jobs) packets_.push_back({job->data, job->size});
  cipher.Decrypt(packets_);
  for (OpenJob* job : jobs) {
    job->drop = Disassemble(job->data, job->size, &job->packet);
    if (job->drop != 0) continue;
    job->under = under;
    if (under == Under::kStatic && job->packet.type == PacketType::kData && agreed_ &&
        !policy_.static_data) {
      job->drop = cipe_drop_rx_classic_static_data;
    }
  }
}

void Link::OpenDynamic(Instant now) {
  if (!former_.empty()) Keep();
  if (current_.has_value()) OpenUnder(current_->cipher, dynamic_jobs_, Under::kDynamic);
  retries_.clear();
  size_t kept = 0;
  for (OpenJob* job : dynamic_jobs_) {
    if (current_.has_value() && job->drop == 0) {
      current_->last_used = now;
    } else if (!current_.has_value() || job->drop == cipe_drop_rx_classic_crc) {
      retries_.push_back({job, kept});
    }
    kept += job->size;
  }
  if (!former_.empty() && !retries_.empty()) OpenFormer(now);
  for (const OpenJob* job : dynamic_jobs_) {
    if (job->under == Under::kNothing) {
      ++bad_packets_;
    } else {
      bad_packets_ = 0;
      last_opened_ = now;
    }
  }
}

// The peer need not use the key it offered last: that offer may be an old one, come late or sent
// again by somebody else. Whatever key opens something stays.
void Link::OpenFormer(Instant now) {
  for (ReceiveKey& key : former_) {
    if (retries_.empty()) return;
    retry_jobs_.clear();
    for (const Retry& retry : retries_) {
      std::memcpy(retry.job->data, kept_.data() + retry.kept, retry.job->size);
      retry_jobs_.push_back(retry.job);
    }
    OpenUnder(key.cipher, retry_jobs_, Under::kPrevious);
    const size_t closed = std::erase_if(
        retries_, [](const Retry& r) { return r.job->drop != cipe_drop_rx_classic_crc; });
    if (closed == 0) continue;
    key.last_used = now;
    // Beside a current key that is used, or one that has reached its limit, the end stays near.
    if (current_.has_value() && !current_->used()) key.expires = now + kPreviousLifetime;
  }
}

void Link::ForgetFormer(Instant now) {
  std::erase_if(former_, [&](const ReceiveKey& key) { return now > key.expires; });
}

void Link::Keep() {
  kept_.clear();
  for (const OpenJob* job : dynamic_jobs_) {
    kept_.insert(kept_.end(), job->data, job->data + job->size);
  }
}

absl::Status Link::InstallSendKey(const Key& key, Instant now, Duration lifetime) {
  // The key is expanded before the lock is taken, and the old one freed after it is let go.
  CIPE_ASSIGN_OR_RETURN(Cipher cipher, Cipher::Create(algorithm_, key, Use::kEncrypt));
  std::optional<Cipher> fresh(std::move(cipher));
  std::lock_guard lock(send_lock_);
  send_.swap(fresh);
  send_expires_ = Expiry(now, lifetime);
  next_send_report_ = Instant{};
  send_count_.store(0, std::memory_order_relaxed);
  has_send_.store(true, std::memory_order_relaxed);
  may_send_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

void Link::DropSendKey() {
  std::optional<Cipher> old;
  std::lock_guard lock(send_lock_);
  send_.swap(old);
  has_send_.store(false, std::memory_order_relaxed);
  may_send_.store(policy_.static_data, std::memory_order_release);
}

// A key under which nothing ever came makes room for any other: offers whose acknowledgement was
// lost, or old ones that somebody replays, must not push out the key in use.
void Link::MakeFormer(Instant now) {
  if (!current_.has_value()) return;
  ForgetFormer(now);
  if (former_.size() == kFormerKeys) {
    const auto oldest =
        std::min_element(former_.begin(), former_.end(),
                         [](const auto& a, const auto& b) { return a.last_used < b.last_used; });
    if (current_->last_used < oldest->last_used) return;
    former_.erase(oldest);
  }
  current_->expires = now + kPreviousLifetime;
  former_.insert(former_.begin(), *std::move(current_));
}

absl::Status Link::InstallReceiveKey(const Key& key, Instant now, Duration lifetime) {
  CIPE_ASSIGN_OR_RETURN(Cipher cipher, Cipher::Create(algorithm_, key, Use::kDecrypt));
  std::lock_guard lock(receive_lock_);
  MakeFormer(now);
  current_.emplace(ReceiveKey{std::move(cipher), Expiry(now, lifetime), Instant{}});
  if (!agreed_) last_opened_ = now;
  agreed_ = true;
  next_receive_report_ = Instant{};
  receive_count_.store(0, std::memory_order_relaxed);
  has_receive_.store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

void Link::RetireReceiveKey(Instant now) {
  std::lock_guard lock(receive_lock_);
  MakeFormer(now);
  current_.reset();
  next_no_key_report_ = Instant{};
  has_receive_.store(false, std::memory_order_relaxed);
}

}  // namespace cipe::classic
