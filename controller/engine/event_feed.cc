#include "engine/event_feed.h"

#include "engine/engine.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;

}  // namespace

void EventFeed::Publish(const control::Event& event) {
  if (!server_.watched()) return;
  server_.Publish(event.tunnel, control::EventJson(event, clock_.Wall().unix_ns / 1'000'000));
}

void EventFeed::LookAtDrops(const Engine& engine) {
  if (!server_.watched()) return counted_.clear();
  const Instant now = clock_.Now();
  if (now - looked_at_ < 1s) return;
  const bool lately = now - looked_at_ < 5s;  // else what we know is old
  looked_at_ = now;
  std::map<std::string, Counted> next;
  for (const auto& [name, counts] : engine.DropsByTunnel()) {
    const auto old = counted_.find(name);
    Counted& counted = next[name];
    if (old != counted_.end()) counted.told = old->second.told;
    counted.counts = counts;
    for (unsigned reason = 0; old != counted_.end() && reason < counts.size(); ++reason) {
      const uint64_t before = old->second.counts[reason];
      const uint64_t more = counts[reason] > before ? counts[reason] - before : 0;
      const Instant told = counted.told[reason];
      if (!lately || more < kBurst || (told != Instant() && now - told < kCalm)) continue;
      counted.told[reason] = now;
      Publish({control::EventKind::kDropBurst,
               name,
               "",
               {{"reason", control::DropReasonName(reason)},
                {"count", more},
                {"sentence", control::DropReasonSentence(reason)}}});
    }
  }
  counted_ = std::move(next);
}

}  // namespace cipe::engine
