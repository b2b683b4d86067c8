// The SOCKS5 association of one protocol 3 tunnel, told to the engine whenever it changes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "broker/resolver.h"
#include "config/classic.h"
#include "ipc/messages.h"
#include "socks/connection.h"

namespace cipe::broker {

class ClassicSocks {
 public:
  using Tell = std::function<void(ipc::Message)>;
  // `options.socks` is set. `loop` must outlive the object.
  ClassicSocks(EventLoop& loop, ipc::TunnelId id, std::string name,
               const config::ClassicOptions& options, Tell tell);

  void TellAgain() { tell_(state_); }  // to an engine that is new

 private:
  Resolver resolver_;
  ipc::ClassicRelay state_;
  const std::string name_;
  const Tell tell_;
  std::unique_ptr<socks::Connection> connection_;
};

}  // namespace cipe::broker
