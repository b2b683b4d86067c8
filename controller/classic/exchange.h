// The key exchange of protocol 3, one machine per link: no I/O, no clock. Every event returns a
// Step, which the caller carries out in the order of its members.
//
// Each end invents the key of its own sending direction, offers it (NK_IND, under the static key)
// and uses it once the peer has acknowledged it (NK_ACK). Nothing of the 1999 wire is changed;
// three habits are better than its:
//  - an offer not answered is repeated after 1/4, 1/2, 1 ... seconds, a fresh key is offered every
//    tokxc; after a network error only the latter, for nobody is there;
//  - a key offered once is never installed again (replays), but acknowledged again while current;
//  - NK_ACK goes under the kind of key that NK_IND came under, so that a restarted peer can read
//  it.
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
  std::string log;  // one line; empty: nothing to say
  std::string end;  // why the tunnel has to end; empty: it does not
};

class Exchange {
 public:
  // `rng` gives keys and outlives the machine.
  Exchange(const Timing& timing, const Policy& policy, Rng& rng);

  // The peer's carrier address is known: offers the first key. Later calls do nothing.
  Step Start(Instant now);
  // A block that came in a NEWKEY or CTRL packet under `under`.
  Step OnBlock(const Block& block, Under under, Instant now, WallTime wall);
  Step OnSendLimit(Instant now);     // packets or age of the sending key
  Step OnReceiveLimit(Instant now);  // likewise of the receiving key
  Step OnNoReceiveKey(Instant now);  // a packet under a dynamic key we do not have
  // An error of the carrier (ICMP, mostly). Errors within one second count as one.
  Step OnNetworkError(Instant now);
  // Due at NextTick(), harmless before.
  Step Tick(Instant now);
  std::optional<Instant> NextTick() const;

  bool started() const { return started_; }
  bool exchanging() const { return pending_.has_value(); }
  std::optional<Instant> send_since() const { return send_since_; }
  std::optional<Instant> receive_since() const { return receive_since_; }
  int errors() const { return errors_; }
  uint64_t completed() const { return completed_; }  // sending keys agreed

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
  bool TimestampGood(const Block& block, WallTime wall) const;
  Step OnIndication(const Block& block, Under under, Instant now);
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
  std::optional<Instant> last_offer_, next_request_, last_error_;
  Duration request_interval_ = std::chrono::seconds(1);
  std::optional<Key> receive_key_;  // the one offered last
  KeyHistory history_;
  std::optional<Instant> next_ping_, pong_due_;
  int errors_ = 0;
  uint64_t completed_ = 0;
};

}  // namespace cipe::classic
