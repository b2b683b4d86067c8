#include "classic/exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cipe/abi/drop_reasons.h"

namespace cipe::classic {
namespace {

using namespace std::chrono_literals;

// An unanswered offer is repeated after this, then after twice this, and so on up to tokxc.
constexpr Duration kFirstRepeat = 250ms;
constexpr Duration kLongestRepeat = 8s;
// NK_REQ is answered, and sent, not more often than this.
constexpr Duration kLeastRequest = 1s;
// What cannot be opened is not asked about more often than this.
constexpr Duration kLeastBadRequest = 5s;
// The peer has so long to be heard before errors end the tunnel.
constexpr Duration kLastChance = 1s;
// Stands in for tokxc = 0 where something has to end.
constexpr Duration kDefaultTokxc = 10s;

bool Reached(const std::optional<Instant>& when, Instant now) {
  return when.has_value() && now >= *when;
}

Step Dropped(int reason, std::string log = {}) {
  Step step;
  step.drop = reason;
  step.log = std::move(log);
  return step;
}

void Send(Kind kind, Under under, Step* step) {
  Step::Outgoing& out = step->send.emplace_back();
  out.block.kind = kind;
  out.under = under;
}

// Static questions get static answers: their sender may have no other key.
Under AnswerTo(Under under) { return under == Under::kStatic ? Under::kStatic : Under::kDynamic; }

}  // namespace

Exchange::Exchange(const Timing& timing, const Policy& policy, Rng& rng)
    : timing_(timing), policy_(policy), rng_(rng) {}

Step Exchange::Start(Instant now) {
  Step step;
  if (started_) return step;
  started_ = true;
  if (timing_.ping > 0s) next_ping_ = now + timing_.ping;
  Offer(now, &step);
  return step;
}

// Begins an exchange, or begins it anew: the sending key in use is given up.
void Exchange::Offer(Instant now, Step* step) {
  Pending pending;
  rng_.Fill(pending.key.UnsafeMutableBytes());
  pending.crc = KeyCrc(pending.key);
  pending.interval = kFirstRepeat;
  if (timing_.tokxc > 0s) pending.give_up = now + timing_.tokxc;
  // An offer of ours that comes back must not become a receiving key.
  history_.Add(pending.key);
  pending_ = std::move(pending);
  send_since_.reset();
  step->drop_send_key = true;
  SendOffer(now, step);
}

void Exchange::SendOffer(Instant now, Step* step) {
  Send(Kind::kIndication, Under::kStatic, step);
  step->send.back().block.key = pending_->key.Clone();
  step->send.back().block.key_crc = pending_->crc;
  last_offer_ = now;
  crossed_ = false;
  pending_->repeat = now + pending_->interval;
  pending_->interval = std::min(2 * pending_->interval, kLongestRepeat);
  if (pending_->give_up.has_value() && *pending_->repeat >= *pending_->give_up) {
    pending_->repeat.reset();
  }
}

bool Exchange::TimestampGood(const Block& block, WallTime wall) const {
  if (timing_.tokxts == 0s) return true;
  if (!block.timestamp.has_value()) return false;
  // Modulo 2^32, so that 2106 is no special year.
  const auto ours = static_cast<uint32_t>(wall.unix_ns / 1'000'000'000);
  const auto difference = static_cast<int32_t>(*block.timestamp - ours);
  return std::chrono::seconds(std::abs(static_cast<int64_t>(difference))) <= timing_.tokxts;
}

Step Exchange::OnBlock(const Block& block, Under under, Instant now, WallTime wall,
                       bool elsewhere) {
  if (!TimestampGood(block, wall)) return Dropped(cipe_drop_rx_classic_timestamp);
  Step step;
  switch (block.kind) {
    case Kind::kRequest:
      return OnRequest(now);
    case Kind::kIndication:
      return OnIndication(block, under, now, elsewhere);
    case Kind::kAcknowledge:
      return OnAcknowledge(block, now);
    case Kind::kDummy:
      break;
    case Kind::kDebug:
      step.log = absl::StrCat("the peer says: ", block.text);
      break;
    case Kind::kPing:
      if (!MayAnswer(now, elsewhere)) return Dropped(cipe_drop_rx_classic_too_often);
      Send(Kind::kPong, AnswerTo(under), &step);
      break;
    case Kind::kPong:
      pong_due_.reset();
      end_.reset();
      errors_ = 0;
      break;
    case Kind::kKill:
      return OnKill();
  }
  return step;
}

Step Exchange::OnKill() {
  if (!policy_.kill) {
    return Dropped(cipe_drop_rx_classic_kill,
                   "the peer sent CT_KILL, which is ignored (kill = no)");
  }
  Step step;
  step.end = "the peer sent CT_KILL";
  return step;
}

Step Exchange::OnRequest(Instant now) {
  // A captured NK_REQ sent again and again must not keep the tunnel in one exchange after another.
  if (last_offer_.has_value() && now - *last_offer_ < kLeastRequest) {
    // The first of them may have crossed our offer on its way.
    if (!std::exchange(crossed_, true)) return {};
    return Dropped(cipe_drop_rx_classic_too_often);
  }
  return Retry(now);
}

Step Exchange::OnIndication(const Block& block, Under under, Instant now, bool elsewhere) {
  const bool again = receive_key_.has_value() && *receive_key_ == block.key;
  if (!again && history_.Contains(block.key)) {
    return Dropped(cipe_drop_rx_classic_old_key,
                   "the peer's offered key was used before; somebody replays an old NK_IND");
  }
  if (again && !MayAnswer(now, elsewhere)) return Dropped(cipe_drop_rx_classic_too_often);
  Step step;
  if (!again) {
    history_.Add(block.key);
    receive_key_ = block.key.Clone();
    receive_since_ = now;
    request_interval_ = kLeastRequest;
    next_request_.reset();
    step.receive_key = block.key.Clone();
    step.lifetime = 2 * timing_.tokey;
  }
  Send(Kind::kAcknowledge, AnswerTo(under), &step);
  step.send.back().block.key_crc = block.key_crc;
  // The peer is there: our own offer, if it got lost before, need not wait long.
  if (pending_.has_value()) {
    pending_->interval = kFirstRepeat;
    pending_->repeat = *last_offer_ + kFirstRepeat;
    if (Reached(pending_->repeat, now)) SendOffer(now, &step);
  } else if (!again && elsewhere) {
    OfferElsewhere(now, &step);
  }
  return step;
}

// A peer that restarted somewhere else, or an old offer that somebody sends from there: only the
// peer can acknowledge a key that was never offered before.
void Exchange::OfferElsewhere(Instant now, Step* step) {
  const bool soon = last_offer_.has_value() && now - *last_offer_ < kLeastRequest;
  if (started_ && !soon) Offer(now, step);
}

bool Exchange::MayAnswer(Instant now, bool elsewhere) {
  Bucket& bucket = elsewhere ? answers_elsewhere_ : answers_;
  const double passed = std::chrono::duration<double>(now - bucket.at).count();
  bucket.at = now;
  bucket.left = std::min(kAnswers, bucket.left + std::min(passed, 1.0) * kAnswers);
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}

Step Exchange::OnAcknowledge(const Block& block, Instant now) {
  // Repeated offers are answered more than once, and a replay looks the same: both are counted.
  if (!pending_.has_value() || pending_->crc != block.key_crc) {
    return Dropped(cipe_drop_rx_classic_ack);
  }
  Step step;
  step.send_key = std::move(pending_->key);
  step.lifetime = timing_.tokey;
  pending_.reset();
  send_since_ = now;
  errors_ = 0;
  end_.reset();
  ++completed_;
  // A peer that knows us from before goes on under a key that we do not have: better asked than
  // waited for. Either way it hears something under our new key.
  if (!receive_key_.has_value()) Request(now, &step);
  if (step.send.empty()) Send(Kind::kDummy, Under::kDynamic, &step);
  return step;
}

Step Exchange::Retry(Instant now) {
  Step step;
  if (pending_.has_value()) {
    SendOffer(now, &step);
  } else if (started_) {
    Offer(now, &step);
  }
  return step;
}

Step Exchange::OnSendLimit(Instant now) {
  Step step;
  if (!pending_.has_value() && started_) Offer(now, &step);
  return step;
}

void Exchange::Request(Instant now, Step* step) {
  if (next_request_.has_value() && now < *next_request_) return;
  Send(Kind::kRequest, Under::kDynamic, step);
  next_request_ = now + request_interval_;
  const Duration longest = timing_.tokxc > 0s ? timing_.tokxc : kDefaultTokxc;
  request_interval_ = std::min(2 * request_interval_, longest);
}

Step Exchange::OnReceiveLimit(Instant now) {
  Step step;
  if (!receive_key_.has_value()) return step;
  receive_key_.reset();
  receive_since_.reset();
  step.retire_receive_key = true;
  Request(now, &step);
  return step;
}

Step Exchange::OnNoReceiveKey(Instant now) {
  Step step;
  if (started_ && !receive_key_.has_value()) Request(now, &step);
  return step;
}

Step Exchange::Rest() {
  Step step;
  started_ = false;
  pending_.reset();
  send_since_.reset();
  last_error_.reset();
  next_ping_.reset();
  pong_due_.reset();
  end_.reset();
  errors_ = 0;
  step.drop_send_key = true;
  return step;
}

Step Exchange::OnBadPackets(Instant now) {
  Step step;
  if (!started_ || (next_bad_request_.has_value() && now < *next_bad_request_)) return step;
  next_bad_request_ = now + kLeastBadRequest;
  // The static key is the one thing that both ends are sure to have.
  Send(Kind::kRequest, Under::kStatic, &step);
  step.log = "packets come that cannot be opened: the peer is asked for a new key";
  return step;
}

void Exchange::Heard(Instant when) {
  if (!last_error_.has_value() || when <= *last_error_) return;
  errors_ = 0;
  end_.reset();
}

void Exchange::CountError(const char* what, Step* step) {
  ++errors_;
  if (timing_.max_errors < 0 || errors_ <= timing_.max_errors) return;
  step->lost = true;
  step->end = absl::StrCat(what, ": ", errors_, " errors since the last key exchange, maxerr is ",
                           timing_.max_errors);
}

Step Exchange::OnNetworkError(Instant now) {
  Step step;
  if (last_error_.has_value() && now - *last_error_ < 1s) return step;
  last_error_ = now;
  if (pending_.has_value() && pending_->give_up.has_value()) pending_->repeat.reset();
  CountError("the peer cannot be reached", &step);
  if (step.end.empty()) return step;
  // Anybody can send ICMP: the peer itself has the last word.
  if (!end_.has_value()) end_ = End{now + kLastChance, step.end};
  step.end.clear();
  Send(Kind::kPing, Under::kDynamic, &step);
  return step;
}

void Exchange::TickPing(Instant now, Step* step) {
  if (Reached(pong_due_, now)) {
    pong_due_.reset();
    CountError("no answer to a ping", step);
  }
  if (!Reached(next_ping_, now)) return;
  Send(Kind::kPing, Under::kDynamic, step);
  next_ping_ = now + timing_.ping;
  if (timing_.toping > 0s && !pong_due_.has_value()) pong_due_ = now + timing_.toping;
}

Step Exchange::Tick(Instant now) {
  Step step;
  if (pending_.has_value() && Reached(pending_->give_up, now)) {
    Offer(now, &step);
  } else if (pending_.has_value() && Reached(pending_->repeat, now)) {
    SendOffer(now, &step);
  }
  TickPing(now, &step);
  if (end_.has_value() && now >= end_->at) {
    step.lost = true;
    step.end = end_->why;
  }
  return step;
}

std::optional<Instant> Exchange::NextTick() const {
  std::optional<Instant> next;
  const auto consider = [&](const std::optional<Instant>& when) {
    if (when.has_value() && (!next.has_value() || *when < *next)) next = when;
  };
  if (pending_.has_value()) {
    consider(pending_->give_up);
    consider(pending_->repeat);
  }
  consider(next_ping_);
  consider(pong_due_);
  if (end_.has_value()) consider(end_->at);
  return next;
}

}  // namespace cipe::classic
