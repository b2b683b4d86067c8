// An IP network in memory between simulated hosts: delay, loss, duplication, reordering, and a
// record of every datagram, all from one seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "base/clock.h"
#include "base/ip_address.h"
#include "packet/outer_fields.h"

namespace cipe::sim {

struct Datagram {
  Endpoint from, to;
  std::vector<uint8_t> octets;
  uint8_t ecn = 0;
  packet::OuterFields fields{};  // of data
};

struct Weather {
  double loss = 0;  // 0..1
  double duplication = 0;
  double reordering = 0;  // share that takes `late` longer
  Duration delay = std::chrono::milliseconds(5);
  Duration late = std::chrono::milliseconds(50);
};

class Network {
 public:
  using Receiver = std::function<void(const Datagram&)>;

  Network(ManualClock& clock, uint64_t seed) : clock_(clock), random_(seed) {}

  void Attach(const Endpoint& at, Receiver receiver) { receivers_[at] = std::move(receiver); }
  void Detach(const Endpoint& at) { receivers_.erase(at); }

  void Send(Datagram d) {
    record.push_back(d);
    if (filter && !filter(d)) return;
    if (Chance(weather.loss)) return;
    const int copies = Chance(weather.duplication) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      Duration delay = weather.delay;
      if (Chance(weather.reordering)) delay += weather.late;
      under_way_.emplace(clock_.Now() + delay, d);
    }
  }
  // Puts a datagram on the wire that no simulated host sent; no weather.
  void Inject(Datagram d) { under_way_.emplace(clock_.Now(), std::move(d)); }

  // Hands over what is due; returns how many datagrams that were.
  size_t Deliver() {
    size_t delivered = 0;
    while (!under_way_.empty() && under_way_.begin()->first <= clock_.Now()) {
      const Datagram d = std::move(under_way_.begin()->second);
      under_way_.erase(under_way_.begin());
      const auto it = receivers_.find(d.to);
      if (it != receivers_.end()) it->second(d);
      ++delivered;
    }
    return delivered;
  }
  // When the next datagram arrives, or `never`.
  Instant Next(Instant never) const {
    return under_way_.empty() ? never : under_way_.begin()->first;
  }

  Weather weather;
  std::function<bool(const Datagram&)> filter;  // false: lost
  std::vector<Datagram> record;                 // everything sent, lost or not

 private:
  bool Chance(double p) { return p > 0 && std::uniform_real_distribution<>(0, 1)(random_) < p; }

  ManualClock& clock_;
  std::mt19937_64 random_;
  std::map<Endpoint, Receiver> receivers_;
  std::multimap<Instant, Datagram> under_way_;
};

}  // namespace cipe::sim
