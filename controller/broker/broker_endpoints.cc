// What the endpoint book asks of this host, and what its choices mean for tunnels that are up.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "broker/broker.h"
#include "netlink/route.h"

namespace cipe::broker {

std::unique_ptr<EndpointBook> Broker::MakeEndpointBook() {
  EndpointBook::Hooks hooks;
  hooks.resolve = [this](const config::EndpointSpec& spec, Resolver::Done done) {
    resolver_->Resolve(spec, std::move(done));
  };
  hooks.check = [this](ipc::TunnelId tunnel, ipc::PeerId peer, const Endpoint& endpoint) {
    return CheckPeerEndpoint(tunnel, peer, endpoint);
  };
  hooks.reachable = [this](ipc::TunnelId tunnel, const Endpoint& endpoint) {
    return Reachable(tunnel, endpoint);
  };
  hooks.announce = [this](ipc::TunnelId tunnel, ipc::PeerId peer, const Endpoint& endpoint,
                          const std::string& trouble) {
    OnEndpoint(tunnel, peer, endpoint, trouble);
  };
  return std::make_unique<EndpointBook>(loop_, std::move(hooks));
}

absl::Status Broker::CheckPeerEndpoint(ipc::TunnelId id, ipc::PeerId peer,
                                       const Endpoint& endpoint) {
  Tunnel* tunnel = ById(id);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(peer);
  if (index == Tunnel::npos) return absl::NotFoundError("its tunnel has no such peer");
  const config::Tunnel& config = tunnel->config();
  if (config.classic.has_value() && !endpoint.address.is_v4()) {
    return absl::NotFoundError("the name has no IPv4 address, and protocol 3 knows no other");
  }
  if (config.classic.has_value() && endpoint.address == config.classic->ptpaddr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the name means ", endpoint.address.ToString(),
                     ", which is ptpaddr: the tunnel's packets would be routed into it"));
  }
  const absl::Status status = tunnel->AdmitEndpoint(config.peers[index], endpoint);
  next_hops_->SetMark(id, tunnel->fwmark());  // it may have got one for this address
  return status;
}

bool Broker::Reachable(ipc::TunnelId id, const Endpoint& endpoint) {
  const Tunnel* tunnel = ById(id);
  return tunnel != nullptr && tunnel->HasSocket(endpoint.address.family) &&
         netlink::LookupRoute(&socket_, endpoint.address, tunnel->fwmark(),
                              static_cast<int>(endpoint.scope_id))
             .ok();
}

void Broker::OnEndpoint(ipc::TunnelId id, ipc::PeerId peer, const Endpoint& endpoint,
                        const std::string& trouble) {
  Tunnel* tunnel = ById(id);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(peer);
  if (index == Tunnel::npos) return;
  const config::Tunnel& config = tunnel->config();
  if (!endpoint.is_set()) {
    Log(Severity::kWarning, "tunnel ", config.name, ", peer ", config.peers[index].name,
        " has no endpoint: ", trouble);
  } else {
    tunnel->peers[index].endpoint = endpoint;
    // The way there may be by another interface. Many names may be answered at once.
    paths_changed_ = true;
    SettleSoon();
  }
  Tell(ipc::EndpointResolved{id, peer, endpoint, trouble});
}

}  // namespace cipe::broker
