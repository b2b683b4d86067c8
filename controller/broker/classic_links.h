// What tunnels of protocol 3 need of the broker beside netdev and sockets: their options files, the
// scripts ip-up and ip-down, the address of a peer that had to be learned, the SOCKS server.
//
// Belongs to the loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "broker/hook.h"
#include "broker/tunnel.h"
#include "config/model.h"
#include "ipc/messages.h"
#include "netlink/socket.h"

namespace cipe::broker {

class ClassicSocks;

class ClassicLinks {
 public:
  using Tell = std::function<void(ipc::Message)>;
  // `links_dir` holds NAME.options of links that ciped-cb, ciped-ci or `cipectl up FILE` started.
  // `loop` and `socket` must outlive the object; `tell` sends to the engine that runs just now;
  // `hook_units`: scripts run as transient units. `script_ended` runs whenever one has ended.
  ClassicLinks(EventLoop& loop, netlink::Socket* socket, std::string links_dir, bool hook_units,
               Tell tell, std::function<void()> script_ended);
  ~ClassicLinks();

  // LINKS_DIR/NAME.options where there is one (it must be root's alone), else CONFIG_DIR/NAME.conf,
  // of whatever protocol that is.
  absl::StatusOr<config::Tunnel> Load(const std::string& config_dir, const std::string& name) const;

  // All of the following do nothing for tunnels of another protocol.

  // Before the tunnel is told to the engine: with `debug` its starter reads LINKS_DIR/NAME.log, a
  // FIFO.
  void OpenLog(Tunnel* tunnel) const;
  // The tunnel was set up and told to the engine. Runs ip-up, unless ptpaddr must be learned first.
  void OnUp(Tunnel* tunnel);
  // The tunnel was taken over from another daemon: no script runs. HasRunIpUp is what that one
  // said.
  void OnAdopted(Tunnel* tunnel, bool ip_up_ran, const IpAddress& learned_ptpaddr);
  bool HasRunIpUp(ipc::TunnelId tunnel) const;
  // Ignores what contradicts the configuration: the engine is not trusted.
  void OnPeer(Tunnel* tunnel, const ipc::ClassicPeer& message);
  // Before the tunnel is destroyed. Runs ip-down if ip-up was run; `reason` is for the script.
  void OnDown(const Tunnel& tunnel, const std::string& reason);
  // The tunnel is not wanted any more: its options file goes.
  void Forget(const std::string& name) const;
  // A new engine knows nothing of relays.
  void OnEngineStart();
  // Scripts run, or wait for their turn.
  bool Busy() const { return hooks_.pending() > 0; }
  // Lets scripts run to their end, each within its limit, or until Hurry.
  void Drain() { hooks_.Drain(kScriptsTogether); }
  void Hurry() { hooks_.Hurry(); }

 private:
  // ip-up and ip-down of one tunnel, with the time that ending them takes.
  static constexpr Duration kScriptsTogether = std::chrono::seconds(125);
  struct Link {
    Tunnel* tunnel = nullptr;
    bool ip_up_ran = false;
    Endpoint peer;      // carrier address, as far as known
    IpAddress ptpaddr;  // 0.0.0.0 as long as it is not known
    std::string me;     // carrier address reported to the scripts
    std::unique_ptr<ClassicSocks> socks;
  };
  Link& Enter(Tunnel* tunnel);
  void RunScript(Link& link, bool up, const std::string& reason);
  std::string Path(const std::string& name, const char* suffix) const;

  EventLoop& loop_;
  netlink::Socket* const socket_;
  const std::string links_dir_;
  const Tell tell_;
  const std::function<void()> script_ended_;
  HookRunner hooks_;
  std::map<ipc::TunnelId, Link> links_;
};

}  // namespace cipe::broker
