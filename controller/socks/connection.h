// Keeps a SOCKS5 UDP association: connects, asks for it, watches the TCP connection that it lives
// and dies with (RFC 1928 section 7), and starts again when that ends, with growing pauses.
//
// Belongs to the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "socks/client.h"

namespace cipe::socks {

struct ConnectionTimes {
  Duration patience = std::chrono::seconds(10);  // for a connection and the whole exchange on it
  Duration first_pause = std::chrono::seconds(1);
  Duration longest_pause = std::chrono::seconds(60);
  Duration stands = std::chrono::seconds(30);  // an association that lasted so long was a good one
};

class Connection {
 public:
  // `relay` unset: there is no association just now. `text` says how things stand, for people.
  using OnChange = std::function<void(const Endpoint& relay, const std::string& text)>;
  // How the server's address is found; the answer must come on the loop's thread, and may come
  // after the connection has gone (it is ignored then).
  using Found = std::function<void(absl::StatusOr<Endpoint> server)>;
  using Find = std::function<void(Found)>;

  // Starts at once; `on_change` is never called from within. `loop` must outlive the connection.
  Connection(EventLoop& loop, std::string name, Find find, Credentials credentials,
             OnChange on_change, ConnectionTimes times = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

 private:
  void Start();
  void Connect(const Endpoint& server);
  void OnEvents(uint32_t events);
  absl::Status Advance(uint32_t events);
  absl::Status Flush();
  absl::Status ReadSome();
  void OnAssociated();
  std::string WhyNoRelay(const IpAddress& relay) const;
  void Fail(const absl::Status& why);
  void Close();

  EventLoop& loop_;
  const std::string name_;  // of the server, for messages
  const Find find_;
  const Credentials credentials_;
  const OnChange on_change_;
  const ConnectionTimes times_;
  Endpoint server_;
  UniqueFd fd_;
  std::unique_ptr<Client> client_;
  SecretBytes sending_;
  size_t sent_ = 0;
  bool associated_ = false;
  Instant associated_at_{};
  size_t surplus_ = 0;  // octets of the server after the association
  int failures_ = 0;    // in a row
  TimerId timer_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cipe::socks
