#include "broker/classic_socks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace cipe::broker {
namespace {

socks::Credentials CredentialsOf(const config::ClassicOptions& options) {
  socks::Credentials credentials;
  credentials.user = options.socks_user;
  if (options.socks_password.has_value()) credentials.password = options.socks_password->Clone();
  return credentials;
}

absl::StatusOr<Endpoint> Choose(Resolved answer) {
  if (!answer.ok()) return answer.status();
  const std::vector<Endpoint>& all = answer->endpoints;
  const auto v4 =
      std::find_if(all.begin(), all.end(), [](const Endpoint& e) { return e.address.is_v4(); });
  return v4 == all.end() ? all.front() : *v4;
}

}  // namespace

ClassicSocks::ClassicSocks(EventLoop& loop, ipc::TunnelId id, std::string name,
                           const config::ClassicOptions& options, Tell tell)
    : resolver_(loop), name_(std::move(name)), tell_(std::move(tell)) {
  state_.tunnel = id;
  const config::EndpointSpec server = *options.socks;
  const auto find = [this, server](socks::Connection::Found found) {
    resolver_.Resolve(server, [found](Resolved answer) { found(Choose(std::move(answer))); });
  };
  const auto changed = [this](const Endpoint& relay, const std::string& text) {
    Log(relay.is_set() ? Severity::kNotice : Severity::kWarning, "tunnel ", name_, ": ", text);
    state_.relay = relay;
    state_.state = text;
    tell_(state_);
  };
  state_.state = absl::StrCat("connecting to SOCKS server ", server.ToString());
  connection_ = std::make_unique<socks::Connection>(loop, server.ToString(), find,
                                                    CredentialsOf(options), changed);
  tell_(state_);
}

}  // namespace cipe::broker
