// The inside of ControlServer, shared with the Responders that may outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "control/server.h"
#include "control/server_client.h"

namespace cipe::control {

class ServerCore : public std::enable_shared_from_this<ServerCore> {
 public:
  ServerCore(EventLoop& loop, UniqueFd listener, Handler handler, ServerOptions options);
  ~ServerCore();

  absl::Status Start();
  void Answer(uint64_t id, const Reply& reply);
  bool IsWaiting(uint64_t id) const;
  void Subscribe(uint64_t id, const std::string& tunnel);
  void Publish(const std::string& tunnel, const Json& document);
  bool watched() const { return subscribers() > 0; }
  int clients() const { return static_cast<int>(clients_.size()); }

 private:
  void OnAccept();
  void Admit(UniqueFd fd);
  void OnEvents(uint64_t id, uint32_t events);
  void Advance(uint64_t id);
  void Handle(uint64_t id, ServerClient& client, const std::string& text);
  void QueueReply(ServerClient& client, const Reply& reply);
  void UpdateEvents(uint64_t id, ServerClient& client);
  void CheckIdle(uint64_t id);
  void Close(uint64_t id);
  ServerClient* Find(uint64_t id);
  size_t Buffered() const;
  int subscribers() const;

  EventLoop& loop_;
  UniqueFd listener_;
  const Handler handler_;
  const ServerOptions options_;
  std::map<uint64_t, std::unique_ptr<ServerClient>> clients_;
  uint64_t next_id_ = 1;
  TimerId accept_again_ = TimerId::kNone;
};

}  // namespace cipe::control
