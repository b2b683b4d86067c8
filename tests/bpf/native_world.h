// A World laid out for native_classify().
#pragma once

#include <memory>
#include <vector>

#include "tests/bpf/fixtures.h"
#include "tests/bpf/native_classifier.h"

namespace cipe::bpftest {

class NativeWorld {
 public:
  NativeWorld(const World& world, uint32_t rate, uint32_t burst) : carrier_(world.carrier) {
    for (const auto& [key, listener] : world.listeners) {
      keys_.push_back(key);
      listeners_.push_back(listener);
    }
    for (const auto& [index, session] : world.sessions) {
      indices_.push_back(index);
      sessions_.push_back(session);
    }
    native_.carrier = &carrier_;
    native_.listener_keys = keys_.data();
    native_.listeners = listeners_.data();
    native_.listener_count = keys_.size();
    native_.session_indices = indices_.data();
    native_.sessions = sessions_.data();
    native_.session_count = indices_.size();
    native_.control_rate = rate;
    native_.control_burst = burst;
    native_.now_ns = 1'000'000'000'000;
  }
  NativeWorld(const NativeWorld&) = delete;
  NativeWorld& operator=(const NativeWorld&) = delete;

  native_result Run(const Octets& frame) {
    // A copy of exactly the frame's size: sanitizers see any read past its end.
    std::unique_ptr<uint8_t[]> copy(new uint8_t[frame.size()]);
    std::copy(frame.begin(), frame.end(), copy.get());
    return native_classify(&native_, copy.get(), frame.size());
  }

 private:
  cipe_carrier carrier_;
  std::vector<cipe_listener_key> keys_;
  std::vector<cipe_listener> listeners_;
  std::vector<uint32_t> indices_;
  std::vector<cipe_session> sessions_;
  native_world native_{};
};

}  // namespace cipe::bpftest
