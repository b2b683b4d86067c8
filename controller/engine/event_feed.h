// From the engine to whoever runs `cipectl monitor`: events with their time, and bursts of drops,
// which nobody else looks for.
#pragma once

#include <array>
#include <map>
#include <string>

#include "base/clock.h"
#include "cipe/abi/drop_reasons.h"
#include "control/event.h"
#include "control/server.h"

namespace cipe::engine {

class Engine;

class EventFeed {
 public:
  // So many drops for one reason within a second are a burst; told again after kCalm at the
  // earliest.
  static constexpr uint64_t kBurst = 1000;
  static constexpr Duration kCalm = std::chrono::seconds(10);

  // Both must outlive the feed.
  EventFeed(control::ControlServer& server, const Clock& clock) : server_(server), clock_(clock) {}

  void Publish(const control::Event& event);
  // Once a second; costs nothing while nobody listens.
  void LookAtDrops(const Engine& engine);

 private:
  struct Counted {
    std::array<uint64_t, CIPE_DROP_REASONS> counts{};
    std::array<Instant, CIPE_DROP_REASONS> told{};
  };

  control::ControlServer& server_;
  const Clock& clock_;
  Instant looked_at_{};
  std::map<std::string, Counted> counted_;  // by tunnel
};

}  // namespace cipe::engine
