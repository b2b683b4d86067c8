// A tunnel of protocol 3 as the control thread sees it; lives in its Tunnel.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "classic/exchange.h"
#include "classic/link.h"
#include "dataplane/classic_path.h"

namespace cipe::engine {

struct ClassicState {
  std::unique_ptr<classic::Link> link;        // null: nokey
  std::optional<classic::Exchange> exchange;  // nullopt: nokey
  dataplane::ClassicPath path;
  IpAddress ptpaddr;                   // of the peer's netdev; unset = not known yet
  std::string relay_state;             // of the SOCKS5 server, as the broker says
  bool started = false;                // frames can be sent
  bool heard = false;                  // the peer was, under a dynamic key or with nokey
  bool over = false;                   // the broker was told to end it
  std::optional<Instant> pause_until;  // netdevs rest at most until then
  std::optional<Instant> ask_inner;    // when to look for an inner address again
  bool named = false;                  // the peer's endpoint is a name
  Instant next_lookup{};               // of that name
  // Where a good exchange block came from that is not the peer's known address: our offers go
  // there, too, until then or until one is acknowledged.
  session::Path candidate;
  Instant candidate_until{};
  Endpoint asked;  // who sends under a key that we do not have was asked for a new one
  Instant next_ask{};
  LogLimiter limiter{5};
};

}  // namespace cipe::engine
