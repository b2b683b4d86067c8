// The key exchange of protocol 3, one machine per link: no I/O, no clock. Every event returns a
// Step, which the caller carries out in the order of its members.
//
// Each end invents the key of its own sending direction, offers it (NK_IND, under the static key)
// and uses it once the peer has acknowledged it (NK_ACK). Nothing of the 1999 wire is changed;
// these habits are better than its:
//  - an offer not answered is repeated after 1/4, 1/2, 1 ... seconds, a fresh key is offered every
//    tokxc; after a network error only the latter, for nobody is there;
//  - once our key was acknowledged something goes out under it, be it CT_DUMMY: the peer sees
//    that the key is used, and where we are now;
//  - a new key that comes from elsewhere is answered with an offer of ours: who acknowledges that
//    is no replay;
//  - a key offered once is never installed again (replays), but acknowledged again while current;
//  - NK_ACK goes under the kind of key that NK_IND came under, so that a restarted peer can read
//    it;
//  - errors that the network reports are forgotten when the peer is heard after them, and before
//    they end a tunnel the peer is asked: anybody can send ICMP.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "classic/block.h"
#include "classic/key_history.h"
#include "classic/link.h"
#include "classic/policy.h"

namespace cipe::classic {

struct Step {
  int drop = 0;                     // the block counts under this drop reason
  bool drop_send_key = false;       // Link::DropSendKey
  bool retire_receive_key = false;  // Link::RetireReceiveKey
  std::optional<Key> receive_key;   // Link::InstallReceiveKey(receive_key, now, lifetime)
  std::optional<Key> send_key;      // Link::InstallSendKey
  Duration lifetime{0};             // of the key to install
  struct Outgoing {
    Block block;
    Under under = Under::kDynamic;  // the `under` of Link::SealBlock
  };
  std::vector<Outgoing> send;
  std::string log;    // one line; empty: nothing to say
  std::string end;    // why the tunnel has to end; empty: it does not
  bool lost = false;  // with `end`: because the peer is not there, and not because it said so
};

class Exchange {
 public:
  // `rng` gives keys and outlives the machine.
  Exchange(const Timing& timing, const Policy& policy, Rng& rng);

  // The peer's carrier address is known: offers the first key. Later calls do nothing.
  Step Start(Instant now);
  // A block that came in a NEWKEY or CTRL packet under `under`; `elsewhere`: not from where the
  // peer is known to be.
  Step OnBlock(const Block& block, Under under, Instant now, WallTime wall, bool elsewhere = false);
  // Offers a key, or repeats the offer, at once: the peer may be somewhere else now.
  Step Retry(Instant now);
  Step OnSendLimit(Instant now);     // packets or age of the sending key
  Step OnReceiveLimit(Instant now);  // likewise of the receiving key
  Step OnNoReceiveKey(Instant now);  // a packet under a dynamic key we do not have
  // For some time nothing the peer sent could be opened: its key is not ours, for whatever reason.
  Step OnBadPackets(Instant now);
  // The latest good packet of the peer came then. To be told before OnNetworkError and Tick.
  void Heard(Instant when);
  // An error of the carrier (ICMP, mostly). Errors within one second count as one. One too many
  // ends the tunnel a second later, unless the peer is heard until then.
  Step OnNetworkError(Instant now);
  // The peer is given up and nobody is known: as before Start, but for the keys that came.
  Step Rest();
  // Due at NextTick(), harmless before.
  Step Tick(Instant now);
  std::optional<Instant> NextTick() const;

  bool started() const { return started_; }
  bool exchanging() const { return pending_.has_value(); }
  std::optional<Instant> send_since() const { return send_since_; }
  std::optional<Instant> receive_since() const { return receive_since_; }
  int errors() const { return errors_; }
  uint64_t completed() const { return completed_; }  // sending keys agreed

  static constexpr double kAnswers = 10;  // to pings and repeated offers: at once, and a second

 private:
  struct Pending {
    Key key;
    uint32_t crc = 0;
    std::optional<Instant> repeat;   // the same offer again
    std::optional<Instant> give_up;  // a fresh one
    Duration interval{0};
  };

  void Offer(Instant now, Step* step);
  void SendOffer(Instant now, Step* step);
  void Request(Instant now, Step* step);
  void CountError(const char* what, Step* step);
  // A few at once, then so many a second: who sends questions from elsewhere gets no flood.
  bool MayAnswer(Instant now, bool elsewhere);
  bool TimestampGood(const Block& block, WallTime wall) const;
  Step OnIndication(const Block& block, Under under, Instant now, bool elsewhere);
  void OfferElsewhere(Instant now, Step* step);
  Step OnAcknowledge(const Block& block, Instant now);
  Step OnRequest(Instant now);
  Step OnKill();
  void TickPing(Instant now, Step* step);

  const Timing timing_;
  const Policy policy_;
  Rng& rng_;
  bool started_ = false;
  std::optional<Pending> pending_;
  std::optional<Instant> send_since_, receive_since_;
  std::optional<Instant> last_offer_, next_request_, next_bad_request_, last_error_;
  bool crossed_ = false;  // a request came that the last offer answers
  struct End {
    Instant at;
    std::string why;
  };
  std::optional<End> end_;  // unless the peer is heard
  struct Bucket {
    double left = kAnswers;
    Instant at;
  };
  Bucket answers_, answers_elsewhere_;
  Duration request_interval_ = std::chrono::seconds(1);
  std::optional<Key> receive_key_;  // the one offered last
  KeyHistory history_;
  std::optional<Instant> next_ping_, pong_due_;
  int errors_ = 0;
  uint64_t completed_ = 0;
};

}  // namespace cipe::classic
