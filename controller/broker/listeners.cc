#include "broker/listeners.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/abi/maps.h"
#include "netlink/address.h"

namespace cipe::broker {
namespace {

template <typename T>
std::string Octets(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T FromOctets(const std::string& octets) {
  T value;
  std::memcpy(&value, octets.data(), sizeof value);
  return value;
}

absl::Status Full(size_t wanted) {
  return absl::ResourceExhaustedError(absl::StrCat(
      wanted, " pairs of local address and ListenPort are more than the ", CIPE_MAX_LISTENERS,
      " that the XDP program has room for: what arrives at the others takes the slower way through "
      "the kernel; put peers that share an address together into one tunnel"));
}

}  // namespace

absl::Status Listeners::Adopt() {
  return maps_.listeners().ForEach(
      [this](const cipe_listener_key& key, const cipe_listener& value) {
        written_[Octets(key)] = Octets(value);
      });
}

absl::Status Listeners::Sync(netlink::Socket* socket, const std::vector<Listener>& wanted) {
  CIPE_ASSIGN_OR_RETURN(const std::vector<netlink::InterfaceAddress> addresses,
                        netlink::ListAddresses(socket));
  std::set<int> tunnels;
  for (const Listener& listener : wanted) tunnels.insert(listener.tunnel_ifindex);
  std::map<std::string, std::string> next;
  for (const Listener& listener : wanted) {
    cipe_listener value{};
    value.tunnel = listener.tunnel;
    value.flags = listener.steer ? CIPE_LISTENER_STEER : 0;
    value.protocol = listener.protocol;
    for (const netlink::InterfaceAddress& address : addresses) {
      if (tunnels.contains(address.ifindex)) continue;
      const Endpoint local{address.prefix.address, listener.port, 0};
      for (const uint32_t vlan : listener.vlans) {
        next[Octets(steering::ListenerKey(local, vlan))] = Octets(value);
      }
    }
  }
  return Write(next);
}

// `written_` is right at every moment: an error must not leave entries that nobody deletes.
absl::Status Listeners::Write(const std::map<std::string, std::string>& next) {
  const steering::ListenerMap map = maps_.listeners();
  for (auto it = written_.begin(); it != written_.end();) {
    if (next.contains(it->first)) {
      ++it;
      continue;
    }
    CIPE_RETURN_IF_ERROR(map.Delete(FromOctets<cipe_listener_key>(it->first)).status());
    it = written_.erase(it);
  }
  for (const auto& [key, value] : next) {
    const auto old = written_.find(key);
    if (old != written_.end() && old->second == value) continue;
    const absl::Status status =
        map.Update(FromOctets<cipe_listener_key>(key), FromOctets<cipe_listener>(value));
    if (absl::IsResourceExhausted(status)) return Full(next.size());
    CIPE_RETURN_IF_ERROR(status);
    written_[key] = value;
  }
  return absl::OkStatus();
}

}  // namespace cipe::broker
