#include "broker/classic_links.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/classic_socks.h"
#include "config/classic_parser.h"
#include "config/config.h"
#include "config/endpoint_address.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

constexpr auto kScriptLimit = std::chrono::seconds(60);

// The address that packets to the peer will carry, as far as it can be told now.
std::string OwnCarrier(netlink::Socket* socket, const Tunnel& tunnel) {
  const config::ClassicOptions& options = *tunnel.config().classic;
  std::string host = options.me.host;
  if (host.empty() || host == "0.0.0.0" || options.dynip) {
    host = "0.0.0.0";
    const Endpoint& peer = tunnel.peers[0].endpoint;
    const auto route = peer.is_set()
                           ? netlink::LookupRoute(socket, peer.address)
                           : absl::StatusOr<netlink::RouteLookup>(absl::NotFoundError(""));
    if (route.ok() && route->preferred_source.has_value()) {
      host = route->preferred_source->ToString();
    }
  }
  return absl::StrCat(host, ":", tunnel.listen_port());
}

// Packets to `peer`, its carrier address, must not be routed into the netdev.
bool IsUsablePtpaddr(const IpAddress& address, const config::ClassicOptions& options,
                     const Endpoint& peer) {
  if (!address.is_v4() || address == options.ipaddr || address == peer.address) return false;
  return config::WhyNoInnerHost(address).empty();
}

std::vector<std::pair<std::string, std::string>> Environment(const config::ClassicOptions& o,
                                                             const std::string& device) {
  return {{"CIPE_DEVICE", device},
          {"CIPE_PID", absl::StrCat(getpid())},
          {"CIPE_IPADDR", o.ipaddr.ToString()},
          {"CIPE_ARG", o.arg},
          {"CIPE_PROTOCOL", "3"},
          {"CIPE_CIPHER", o.nokey ? "none" : o.CipherName()},
          {"CIPE_MTU", absl::StrCat(o.mtu)}};
}

}  // namespace

ClassicLinks::ClassicLinks(EventLoop& loop, netlink::Socket* socket, std::string links_dir,
                           bool hook_units, Tell tell, std::function<void()> script_ended)
    : loop_(loop),
      socket_(socket),
      links_dir_(std::move(links_dir)),
      tell_(std::move(tell)),
      script_ended_(std::move(script_ended)),
      hooks_(loop, hook_units) {}

ClassicLinks::~ClassicLinks() = default;

std::string ClassicLinks::Path(const std::string& name, const char* suffix) const {
  return absl::StrCat(links_dir_, "/", name, suffix);
}

void ClassicLinks::OpenLog(Tunnel* tunnel) const {
  const auto& options = tunnel->config().classic;
  if (!options.has_value() || !options->debug) return;
  // Nobody reads it any more after a restart of ours: ENXIO, and no harm done.
  const std::string path = Path(tunnel->config().name, ".log");
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) return;
  AddLogTap(tunnel->config().name, UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)));
  tunnel->SetLog(std::move(fd));
}

absl::StatusOr<config::Tunnel> ClassicLinks::Load(const std::string& config_dir,
                                                  const std::string& name) const {
  CIPE_RETURN_IF_ERROR(config::CheckTunnelName(name));
  const std::string path = Path(name, ".options");
  if (access(path.c_str(), F_OK) != 0) return config::LoadTunnel(config_dir, name);
  CIPE_ASSIGN_OR_RETURN(const config::SecretText text, config::ReadOptionsFile(path));
  return config::ParseClassicTunnel(name, path, text.UnsafeView());
}

void ClassicLinks::Forget(const std::string& name) const {
  for (const char* suffix : {".options", ".log"}) {
    const std::string path = Path(name, suffix);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      Log(Severity::kError, "cannot remove ", path, ": ", strerror(errno));
    }
  }
}

void ClassicLinks::OnUp(Tunnel* tunnel) {
  if (!tunnel->config().classic.has_value()) return;
  const config::ClassicOptions& options = *tunnel->config().classic;
  Log(Severity::kWarning, "tunnel ", tunnel->config().name, " uses protocol 3, which is INSECURE: ",
      options.nokey ? "with nokey everything is sent in the clear, and anybody can send into it"
                    : "packets can be forged and replayed, old traffic can be read by who gets the "
                      "key",
      "; use protocol 5: 'cipectl convert' writes its configuration");
  Link& link = Enter(tunnel);
  if (!options.LearnsPtpaddr()) RunScript(link, true, "");
}

ClassicLinks::Link& ClassicLinks::Enter(Tunnel* tunnel) {
  const config::ClassicOptions& options = *tunnel->config().classic;
  Link& link = links_[tunnel->id()];
  link.tunnel = tunnel;
  link.peer = tunnel->peers[0].endpoint;
  link.ptpaddr = options.ptpaddr;
  if (options.socks.has_value()) {
    link.socks =
        std::make_unique<ClassicSocks>(loop_, tunnel->id(), tunnel->config().name, options, tell_);
  }
  return link;
}

void ClassicLinks::OnAdopted(Tunnel* tunnel, bool ip_up_ran, const IpAddress& learned_ptpaddr) {
  if (!tunnel->config().classic.has_value()) return;
  Link& link = Enter(tunnel);
  link.ip_up_ran = ip_up_ran;
  link.me = OwnCarrier(socket_, *tunnel);
  if (learned_ptpaddr.is_set()) link.ptpaddr = learned_ptpaddr;
}

bool ClassicLinks::HasRunIpUp(ipc::TunnelId tunnel) const {
  const auto found = links_.find(tunnel);
  return found != links_.end() && found->second.ip_up_ran;
}

void ClassicLinks::OnPeer(Tunnel* tunnel, const ipc::ClassicPeer& message) {
  const auto found = links_.find(tunnel->id());
  if (found == links_.end()) return;
  Link& link = found->second;
  const config::ClassicOptions& options = *tunnel->config().classic;
  const std::string& name = tunnel->config().name;
  if (message.peer.is_set() && message.peer.address.is_v4()) {
    link.peer = message.peer;
    tunnel->peers[0].endpoint = message.peer;
  }
  if (!options.LearnsPtpaddr() || message.ptpaddr == link.ptpaddr) return;
  if (!IsUsablePtpaddr(message.ptpaddr, options, link.peer)) return;
  const absl::Status status = tunnel->SetPtpaddr(message.ptpaddr);
  if (!status.ok()) {
    Log(Severity::kError, "tunnel ", name, ": the peer's address ", message.ptpaddr.ToString(),
        " cannot be set: ", status.message());
    return;
  }
  Log(Severity::kNotice, "tunnel ", name, ": the peer's address is ", message.ptpaddr.ToString());
  link.ptpaddr = message.ptpaddr;
  if (!link.ip_up_ran) RunScript(link, true, "");
}

void ClassicLinks::OnDown(const Tunnel& tunnel, const std::string& reason) {
  RemoveLogTap(tunnel.config().name);
  auto link = links_.extract(tunnel.id());
  if (!link.empty() && link.mapped().ip_up_ran) RunScript(link.mapped(), false, reason);
}

void ClassicLinks::OnEngineStart() {
  for (auto& [id, link] : links_) {
    if (link.socks != nullptr) link.socks->TellAgain();
  }
}

void ClassicLinks::RunScript(Link& link, bool up, const std::string& reason) {
  const config::ClassicOptions& options = *link.tunnel->config().classic;
  const std::string& device = link.tunnel->config().name;
  if (up) link.me = OwnCarrier(socket_, *link.tunnel);
  link.ip_up_ran = true;
  HookJob job;
  job.group = device;
  job.label = up ? "ip-up" : "ip-down";
  job.path = up ? options.ipup : options.ipdown;
  job.arguments = {device,
                   link.me,
                   absl::StrCat(getpid()),
                   options.ipaddr.ToString(),
                   link.ptpaddr.ToString(),
                   options.arg};
  job.environment = Environment(options, device);
  job.environment.push_back({"CIPE_EVENT", up ? "up" : "down"});
  job.environment.push_back({"CIPE_ME", link.me});
  job.environment.push_back({"CIPE_PEER", link.peer.is_set() ? link.peer.ToString() : ""});
  job.environment.push_back({"CIPE_PTPADDR", link.ptpaddr.ToString()});
  if (!up) job.environment.push_back({"CIPE_REASON", reason});
  job.limit = kScriptLimit;
  job.done = [this](const absl::Status&) {
    if (script_ended_) script_ended_();
  };
  hooks_.Run(std::move(job));
}

}  // namespace cipe::broker
