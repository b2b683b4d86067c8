#include "broker/forget.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/route_book.h"
#include "broker/state_dir.h"
#include "netlink/socket.h"

namespace cipe::broker {

absl::Status ForgetTunnel(const std::string& state_dir, const std::string& tunnel) {
  const absl::Status nothing = absl::NotFoundError(absl::StrCat("tunnel ", tunnel, " is not up"));
  std::error_code error;
  if (!std::filesystem::exists(state_dir, error)) return nothing;  // Open would make it
  CIPE_ASSIGN_OR_RETURN(const StateDir state, StateDir::Open(state_dir));
  CIPE_ASSIGN_OR_RETURN(std::vector<std::string> wanted, state.LoadWanted());
  CIPE_ASSIGN_OR_RETURN(LastingRoutes routes, state.LoadRoutes());
  const bool was_wanted = std::erase(wanted, tunnel) != 0;
  const bool has_routes = routes.contains(tunnel);
  if (!was_wanted && !has_routes) return nothing;
  if (was_wanted) CIPE_RETURN_IF_ERROR(state.SaveWanted(wanted));
  if (!has_routes) return absl::OkStatus();
  CIPE_ASSIGN_OR_RETURN(netlink::Socket socket, netlink::Socket::Open());
  RouteBook book(&socket, std::move(routes),
                 [&](const LastingRoutes& all) { return state.SaveRoutes(all); });
  book.Forget(tunnel);  // logs what it cannot remove
  if (book.Of(tunnel).empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("routes or rules of tunnel ", tunnel,
                                          " are left: see `ip route show proto 205`"));
}

}  // namespace cipe::broker
