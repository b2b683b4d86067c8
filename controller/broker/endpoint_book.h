// The endpoints of every peer in order of preference, with all addresses their names have, and
// which one is in use: the first that may be used and has a way there, the next one when it does
// not answer, round and round, and back to the most preferred line a while after the last failure.
//
// Names are shared by the peers that have them, asked again when their TTL is over, when a lookup
// failed, when an address of theirs did not answer and when the network changes. Answers are kept
// while nothing better is known. Whether a peer moves to what the book says is the engine's to
// decide: it does so only while there is no session (docs/protocol.md, section 8.2).
//
// No I/O of its own; belongs to the loop's thread. Cheap for peers whose only endpoint is a number:
// they have neither timer nor name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/event_loop.h"
#include "broker/resolver.h"
#include "config/endpoint_spec.h"
#include "ipc/messages.h"

namespace cipe::broker {

class EndpointBook {
 public:
  struct Hooks {
    // Resolver::Resolve: `done` later, on the loop, at most once; not after the book's end.
    std::function<void(const config::EndpointSpec&, Resolver::Done done)> resolve;
    // May the peer's packets go there? The error says why not.
    std::function<absl::Status(ipc::TunnelId, ipc::PeerId, const Endpoint&)> check;
    // Has this host a socket of that family and a route?
    std::function<bool(ipc::TunnelId, const Endpoint&)> reachable;
    // The peer's endpoint is this one from now on; unset: it has none, because of `trouble`, and
    // goes on with the last one. Never from within Add.
    std::function<void(ipc::TunnelId, ipc::PeerId, const Endpoint&, const std::string& trouble)>
        announce;
  };

  // An answer is kept for its TTL, but not shorter or longer than this.
  static constexpr Duration kLeastTtl = std::chrono::seconds(30);
  static constexpr Duration kMostTtl = std::chrono::hours(24);
  // After a failed lookup, doubled with each further one.
  static constexpr Duration kFirstPause = std::chrono::seconds(10);
  static constexpr Duration kLastPause = std::chrono::seconds(60);
  // Between two questions about a name whose address does not answer.
  static constexpr Duration kSpacing = std::chrono::seconds(10);
  // How long a less preferred endpoint waits for the first answer about the names before it.
  static constexpr Duration kPatience = std::chrono::seconds(3);
  // From the last failure until the most preferred line is given again.
  static constexpr Duration kReturn = std::chrono::seconds(60);

  // `loop` must outlive the book.
  EndpointBook(EventLoop& loop, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {}
  ~EndpointBook();
  EndpointBook(const EndpointBook&) = delete;
  EndpointBook& operator=(const EndpointBook&) = delete;

  // Returns what can be used at once, unset when names have to be asked first; what comes later is
  // announced. A peer that is in the book is replaced. A single number is not checked here: that
  // was done before the tunnel came up.
  Endpoint Add(ipc::TunnelId tunnel, ipc::PeerId peer,
               const std::vector<config::EndpointSpec>& lines);
  // Other lines for a peer that is in the book. What is in use stays in use when it is still among
  // them; else the new choice is announced. Unknown peers are ignored.
  void Change(ipc::PeerId peer, const std::vector<config::EndpointSpec>& lines);
  void Remove(ipc::PeerId peer);

  // `endpoint` did not answer. Ignored when it is not the one in use. Another one is announced when
  // there is any; the name of this one is asked for again.
  void Failed(ipc::PeerId peer, const Endpoint& endpoint);
  // Links, addresses or routes changed: names that could not be resolved are asked for again.
  void NetworkChanged();

  size_t peers() const { return peers_.size(); }
  size_t names() const { return names_.size(); }

 private:
  // One host and port as configured, and what is known of it.
  struct Name {
    config::EndpointSpec spec;
    std::vector<Endpoint> addresses;  // of the last good answer
    absl::Status trouble;             // of the last lookup
    bool asking = false;
    bool answered = false;  // at least once, well or badly
    int failures = 0;       // in a row
    Instant asked_at{};
    TimerId again = TimerId::kNone;
    std::set<ipc::PeerId> users;
  };
  struct Line {
    Endpoint number;  // unset: a name
    std::string name;
  };
  struct Peer {
    ipc::TunnelId tunnel = 0;
    std::vector<Line> lines;
    Endpoint used;
    size_t used_line = 0;
    std::string trouble;     // as announced
    bool patient = false;    // names before the first usable line may still answer
    bool announces = false;  // Add has returned
    TimerId patience = TimerId::kNone;
    TimerId back = TimerId::kNone;
  };
  struct Candidate {
    Endpoint endpoint;
    size_t line = 0;
  };

  void SetLines(ipc::PeerId id, Peer& peer, const std::vector<config::EndpointSpec>& lines);
  void DropNames(ipc::PeerId id, Peer& peer);
  void Ask(Name& name);
  void OnAnswer(const std::string& key, Resolved answer);
  void AskLater(Name& name, Duration pause);
  bool SomebodyHasNone(const Name& name) const;
  std::vector<Candidate> Candidates(ipc::PeerId id, const Peer& peer, absl::Status* refused) const;
  // The first reachable one from position `from` on, round; else the first.
  std::optional<Candidate> Choose(const Peer& peer, const std::vector<Candidate>& all,
                                  size_t from) const;
  bool MustWait(const Peer& peer, size_t line) const;
  std::string TroubleOf(const Peer& peer, const absl::Status& refused) const;
  void Revise(ipc::PeerId id);
  void Use(ipc::PeerId id, Peer& peer, const Candidate& candidate, bool preferred);
  void BackLater(ipc::PeerId id, Peer& peer);
  void GoBack(ipc::PeerId id);
  void Announce(ipc::PeerId id, Peer& peer, const Endpoint& endpoint, const std::string& trouble);

  EventLoop& loop_;
  const Hooks hooks_;
  absl::flat_hash_map<ipc::PeerId, std::unique_ptr<Peer>> peers_;
  std::map<std::string, Name> names_;  // by host and port
  std::set<std::string> failing_;      // names whose last lookup failed
};

}  // namespace cipe::broker
