#include "broker/endpoint_book.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace cipe::broker {
namespace {

// So that thousands of names that were answered together are not asked for together ever after.
Duration Spread(const std::string& key, Duration ttl) {
  return ttl / 16 * static_cast<int64_t>(std::hash<std::string>()(key) % 16) / 16;
}

Duration PauseAfter(int failures) {
  Duration pause = EndpointBook::kFirstPause;
  for (int i = 1; i < failures && pause < EndpointBook::kLastPause; ++i) pause *= 2;
  return std::min<Duration>(pause, EndpointBook::kLastPause);
}

}  // namespace

EndpointBook::~EndpointBook() {
  for (auto& [key, name] : names_) loop_.Cancel(name.again);
  for (auto& [id, peer] : peers_) {
    loop_.Cancel(peer->patience);
    loop_.Cancel(peer->back);
  }
}

// ---- peers ----

Endpoint EndpointBook::Add(ipc::TunnelId tunnel, ipc::PeerId id,
                           const std::vector<config::EndpointSpec>& lines) {
  Remove(id);
  auto& slot = peers_[id] = std::make_unique<Peer>();
  Peer& peer = *slot;
  peer.tunnel = tunnel;
  SetLines(id, peer, lines);
  if (peer.lines.size() == 1 && peer.lines.front().number.is_set()) {
    peer.used = peer.lines.front().number;
  } else {
    Revise(id);
  }
  peer.announces = true;
  return peer.used;
}

void EndpointBook::Change(ipc::PeerId id, const std::vector<config::EndpointSpec>& lines) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  Peer& peer = *it->second;
  // The new names are taken before the old ones go: a name that stays keeps its answer.
  Peer before;
  before.lines = std::move(peer.lines);
  SetLines(id, peer, lines);
  std::set<std::string> kept;
  for (const Line& line : peer.lines) kept.insert(line.name);
  std::erase_if(before.lines, [&](const Line& line) { return kept.contains(line.name); });
  DropNames(id, before);
  if (lines.empty()) peer.used = {};
  Revise(id);
}

void EndpointBook::Remove(ipc::PeerId id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  loop_.Cancel(it->second->patience);
  loop_.Cancel(it->second->back);
  DropNames(id, *it->second);
  peers_.erase(it);
}

void EndpointBook::SetLines(ipc::PeerId id, Peer& peer,
                            const std::vector<config::EndpointSpec>& lines) {
  peer.lines.clear();
  for (const config::EndpointSpec& spec : lines) {
    Line& line = peer.lines.emplace_back();
    if (const auto number = ParseNumericEndpoint(spec); number.ok()) {
      line.number = *number;
      continue;
    }
    line.name = spec.ToString();
    Name& name = names_[line.name];
    name.spec = spec;
    name.users.insert(id);
    if (!name.answered && !name.asking) Ask(name);
  }
  loop_.Cancel(peer.patience);
  peer.patience = TimerId::kNone;
  peer.patient =
      peer.lines.size() > 1 && std::any_of(peer.lines.begin(), peer.lines.end(),
                                           [](const Line& line) { return !line.number.is_set(); });
  if (!peer.patient) return;
  peer.patience = loop_.After(kPatience, [this, id] {
    Peer& waited = *peers_.at(id);
    waited.patience = TimerId::kNone;
    waited.patient = false;
    Revise(id);
  });
}

void EndpointBook::DropNames(ipc::PeerId id, Peer& peer) {
  for (const Line& line : peer.lines) {
    const auto it = names_.find(line.name);
    if (it == names_.end()) continue;
    it->second.users.erase(id);
    if (!it->second.users.empty()) continue;
    loop_.Cancel(it->second.again);
    failing_.erase(line.name);
    names_.erase(it);
  }
}

// ---- names ----

void EndpointBook::Ask(Name& name) {
  if (name.asking) return;
  loop_.Cancel(name.again);
  name.again = TimerId::kNone;
  name.asking = true;
  name.asked_at = loop_.Now();
  hooks_.resolve(name.spec, [this, key = name.spec.ToString()](Resolved answer) {
    OnAnswer(key, std::move(answer));
  });
}

void EndpointBook::AskLater(Name& name, Duration pause) {
  loop_.Cancel(name.again);
  name.again = loop_.After(pause, [this, key = name.spec.ToString()] {
    Name& due = names_.at(key);  // its timer goes with it
    due.again = TimerId::kNone;
    Ask(due);
  });
}

void EndpointBook::OnAnswer(const std::string& key, Resolved answer) {
  const auto it = names_.find(key);
  if (it == names_.end()) return;  // nobody wants it any more
  Name& name = it->second;
  name.asking = false;
  name.answered = true;
  if (answer.ok()) {
    name.failures = 0;
    name.trouble = absl::OkStatus();
    name.addresses = std::move(answer->endpoints);
    failing_.erase(key);
    const Duration ttl = std::clamp<Duration>(answer->ttl, kLeastTtl, kMostTtl);
    AskLater(name, ttl + Spread(key, ttl));
  } else {
    ++name.failures;
    if (answer.status() != name.trouble) {
      Log(Severity::kWarning, "endpoint ", key, ": ", answer.status().message(),
          name.addresses.empty() ? "" : "; its last addresses are kept",
          "; asked again until it has an address");
    }
    name.trouble = answer.status();
    failing_.insert(key);
    AskLater(name, PauseAfter(name.failures));
  }
  const std::vector<ipc::PeerId> users(name.users.begin(), name.users.end());
  for (const ipc::PeerId user : users) Revise(user);
  if (answer.ok() && SomebodyHasNone(name)) AskLater(name, kFirstPause);
}

// The answer is one that a user may not use (an address of this host, for example): as good as
// none.
bool EndpointBook::SomebodyHasNone(const Name& name) const {
  return std::any_of(name.users.begin(), name.users.end(), [&](ipc::PeerId user) {
    return !peers_.at(user)->used.is_set() || !peers_.at(user)->trouble.empty();
  });
}

void EndpointBook::NetworkChanged() {
  for (const std::string& key : failing_) {
    Name& name = names_.at(key);
    // A link that comes up brings dozens of changes.
    if (loop_.Now() - name.asked_at >= std::chrono::seconds(1)) Ask(name);
  }
}

// ---- the choice ----

std::vector<EndpointBook::Candidate> EndpointBook::Candidates(ipc::PeerId id, const Peer& peer,
                                                              absl::Status* refused) const {
  std::vector<Candidate> all;
  const auto add = [&](const Endpoint& endpoint, size_t line) {
    absl::Status status = hooks_.check(peer.tunnel, id, endpoint);
    if (status.ok()) {
      all.push_back({endpoint, line});
    } else {
      *refused = std::move(status);
    }
  };
  for (size_t i = 0; i < peer.lines.size(); ++i) {
    const Line& line = peer.lines[i];
    if (line.number.is_set()) {
      add(line.number, i);
      continue;
    }
    for (const Endpoint& endpoint : names_.at(line.name).addresses) add(endpoint, i);
  }
  return all;
}

std::optional<EndpointBook::Candidate> EndpointBook::Choose(const Peer& peer,
                                                            const std::vector<Candidate>& all,
                                                            size_t from) const {
  if (all.empty()) return std::nullopt;
  if (all.size() == 1) return all.front();  // whatever the routes say, there is nothing better
  for (size_t i = 0; i < all.size(); ++i) {
    const Candidate& one = all[(from + i) % all.size()];
    if (hooks_.reachable(peer.tunnel, one.endpoint)) return one;
  }
  return all[from % all.size()];
}

// At the start a name gets its chance before a less preferred line is taken.
bool EndpointBook::MustWait(const Peer& peer, size_t line) const {
  if (!peer.patient || peer.used.is_set()) return false;
  return std::any_of(peer.lines.begin(), peer.lines.begin() + static_cast<ptrdiff_t>(line),
                     [&](const Line& before) {
                       return !before.number.is_set() && !names_.at(before.name).answered;
                     });
}

std::string EndpointBook::TroubleOf(const Peer& peer, const absl::Status& refused) const {
  for (const Line& line : peer.lines) {
    if (line.number.is_set()) continue;
    const Name& name = names_.at(line.name);
    if (!name.answered) return "";  // not known yet
    if (!name.trouble.ok()) return std::string(name.trouble.message());
  }
  return std::string(refused.message());
}

// Something about the peer's endpoints changed: what is in use stays while it is one of them.
void EndpointBook::Revise(ipc::PeerId id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  Peer& peer = *it->second;
  absl::Status refused;
  const std::vector<Candidate> all = Candidates(id, peer, &refused);
  const auto used = std::find_if(all.begin(), all.end(),
                                 [&](const Candidate& c) { return c.endpoint == peer.used; });
  if (used != all.end()) {
    peer.used_line = used->line;
    if (used->line > all.front().line && peer.back == TimerId::kNone) BackLater(id, peer);
    if (!peer.trouble.empty()) Announce(id, peer, peer.used, "");
    return;
  }
  if (all.empty()) {
    const std::string trouble = TroubleOf(peer, refused);
    if (!trouble.empty() && trouble != peer.trouble) Announce(id, peer, {}, trouble);
    return;
  }
  // A name that moved: its new address rather than another line.
  const auto same_line = std::find_if(all.begin(), all.end(), [&](const Candidate& c) {
    return peer.used.is_set() && c.line == peer.used_line;
  });
  const size_t from = same_line == all.end() ? 0 : static_cast<size_t>(same_line - all.begin());
  const Candidate next = *Choose(peer, all, from);
  if (!MustWait(peer, next.line)) Use(id, peer, next, next.line == all.front().line);
}

// `preferred`: there is none before it to come back to.
void EndpointBook::Use(ipc::PeerId id, Peer& peer, const Candidate& candidate, bool preferred) {
  peer.used = candidate.endpoint;
  peer.used_line = candidate.line;
  loop_.Cancel(peer.back);
  peer.back = TimerId::kNone;
  if (!preferred) BackLater(id, peer);
  Announce(id, peer, peer.used, "");
}

void EndpointBook::Announce(ipc::PeerId id, Peer& peer, const Endpoint& endpoint,
                            const std::string& trouble) {
  if (!peer.announces) return;
  peer.trouble = trouble;
  hooks_.announce(peer.tunnel, id, endpoint, trouble);
}

void EndpointBook::Failed(ipc::PeerId id, const Endpoint& endpoint) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || it->second->used != endpoint || !endpoint.is_set()) return;
  Peer& peer = *it->second;
  if (peer.lines.size() == 1 && peer.lines.front().number.is_set()) return;  // there is no other
  const std::string name = peer.lines[std::min(peer.used_line, peer.lines.size() - 1)].name;
  absl::Status refused;
  const std::vector<Candidate> all = Candidates(id, peer, &refused);
  const auto used = std::find_if(all.begin(), all.end(),
                                 [&](const Candidate& c) { return c.endpoint == endpoint; });
  if (used != all.end() && all.size() > 1) {
    const Candidate next = *Choose(peer, all, static_cast<size_t>(used - all.begin()) + 1);
    if (next.endpoint != endpoint) Use(id, peer, next, next.line == all.front().line);
  }
  const auto known = names_.find(name);
  if (known == names_.end()) return;
  if (loop_.Now() - known->second.asked_at >= kSpacing) Ask(known->second);
}

void EndpointBook::BackLater(ipc::PeerId id, Peer& peer) {
  loop_.Cancel(peer.back);
  peer.back = loop_.After(kReturn, [this, id] { GoBack(id); });
}

// A more preferred line again: the engine tries it with the next handshake. Not another address of
// the same name, whose order is the DNS server's whim.
void EndpointBook::GoBack(ipc::PeerId id) {
  Peer& peer = *peers_.at(id);
  peer.back = TimerId::kNone;
  absl::Status refused;
  const std::vector<Candidate> all = Candidates(id, peer, &refused);
  if (all.empty()) return;
  const Candidate first = *Choose(peer, all, 0);
  // The most preferred of all may have no route only now: then there is still one to come back to.
  const bool preferred = first.line == all.front().line;
  if (first.line < peer.used_line) return Use(id, peer, first, preferred);
  if (!preferred) BackLater(id, peer);
}

}  // namespace cipe::broker
