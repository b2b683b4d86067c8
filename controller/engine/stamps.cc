#include "engine/stamps.h"

#include <algorithm>

namespace cipe::engine {

using protocol::Tai64n;

namespace {

constexpr std::chrono::nanoseconds kStep(protocol::kTai64nGranularityNs);

// Least stamp after everything sent in this pair.
Tai64n After(const StampPair& pair) {
  return pair.sent.IsValid() ? pair.sent.Plus(kStep) : Tai64n();
}

}  // namespace

void Sender::Start(const Tai64n& sent, const Tai64n& reserved) {
  sent_ = std::max(sent_, sent);
  reserved_ = std::max(reserved_, reserved);
}

StampPair* Sender::PairWith(const std::array<uint8_t, 32>& peer) {
  // Another tunnel may have had this peer while this process did not: whatever was sent to anybody
  // is a safe floor.
  const auto [it, is_new] = pairs_.try_emplace(peer);
  if (is_new) it->second.sent = sent_;
  return &it->second;
}

std::optional<Tai64n> Sender::Next(const StampPair& pair, WallTime wall, bool waited) const {
  const Tai64n least = After(pair);
  if (!reserved_.IsValid() || least > reserved_) return std::nullopt;
  const Tai64n stamp = std::max(Tai64n::FromWall(wall), least);
  if (stamp <= reserved_) return stamp;
  if (waited) return reserved_;
  return std::nullopt;
}

std::optional<Tai64n> Sender::Ask(const StampPair& pair, WallTime wall, uint32_t asker) {
  if (asker_.has_value()) return std::nullopt;
  asker_ = asker;
  const Tai64n now = Tai64n::FromWall(wall);
  asked_ = std::max(now.Plus(kAhead), std::max(now, After(pair)).Plus(kAheadOfStamp));
  return asked_;
}

void Sender::Granted(const Tai64n& reserved) {
  asker_.reset();
  reserved_ = std::max(reserved_, reserved);
}

void Sender::Refused(uint32_t asker) {
  if (asker_ == asker) asker_.reset();
}

void Sender::Used(StampPair& pair, const Tai64n& stamp) {
  pair.sent = stamp;
  sent_ = std::max(sent_, stamp);
}

std::shared_ptr<Sender> Senders::Of(absl::Span<const uint8_t> identity) {
  if (senders_.size() >= sweep_at_) {
    std::erase_if(senders_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = 2 * senders_.size() + 64;
  }
  std::weak_ptr<Sender>& known = senders_[std::vector<uint8_t>(identity.begin(), identity.end())];
  std::shared_ptr<Sender> sender = known.lock();
  if (sender == nullptr) known = sender = std::make_shared<Sender>();
  return sender;
}

}  // namespace cipe::engine
