#include "broker/carrier_table.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::broker {

absl::StatusOr<const Carrier*> CarrierTable::Acquire(const netlink::Link& link) {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.link().index != link.index) continue;
    ++carrier.users;
    return &carrier;
  }
  CIPE_ASSIGN_OR_RETURN(Carrier carrier, Carrier::Attach(next_id_, link, maps_));
  CIPE_ASSIGN_OR_RETURN(ipc::CarrierAdd add, carrier.MakeSockets());
  carrier.users = 1;
  announce_(std::move(add));
  const auto [place, inserted] = carriers_.emplace(next_id_++, std::move(carrier));
  return &place->second;
}

void CarrierTable::Release(ipc::CarrierId id) {
  const auto found = carriers_.find(id);
  if (found == carriers_.end() || --found->second.users > 0) return;
  carriers_.erase(found);
  announce_(ipc::CarrierRemove{id});
}

void CarrierTable::StopSteering() {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost) continue;
    const absl::Status status = carrier.StopSteering();
    if (!status.ok())
      Log(Severity::kError, "carrier ", carrier.link().name, ": ", status.message());
  }
}

std::vector<CarrierHandover> CarrierTable::Describe() const {
  std::vector<CarrierHandover> all;
  for (const auto& [id, carrier] : carriers_) {
    if (carrier.lost) continue;
    all.push_back(
        {carrier.link().name, static_cast<uint32_t>(carrier.link().index), carrier.Link()});
  }
  return all;
}

void CarrierTable::Adopt(netlink::Socket* socket, std::vector<CarrierHandover> carriers) {
  for (CarrierHandover& one : carriers) {
    absl::StatusOr<netlink::Link> link = netlink::GetLink(socket, static_cast<int>(one.ifindex));
    absl::Status status = link.status();
    if (link.ok() && !link->mac.has_value()) status = absl::NotFoundError("it has no MAC address");
    if (status.ok()) {
      absl::StatusOr<Carrier> carrier = Carrier::Adopt(next_id_, *link, maps_, std::move(one.link));
      status = carrier.status();
      if (carrier.ok()) carriers_.emplace(next_id_++, *std::move(carrier));
    }
    if (!status.ok()) {
      Log(Severity::kWarning, "carrier ", one.name, " is not taken over: ", status.message());
    }
  }
}

void CarrierTable::DropUnused() {
  std::erase_if(carriers_, [](const auto& entry) { return entry.second.users == 0; });
}

void CarrierTable::Reannounce() {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost) continue;
    absl::StatusOr<ipc::CarrierAdd> add = carrier.MakeSockets();
    if (add.ok()) {
      announce_(*std::move(add));
    } else {
      Log(Severity::kError, "carrier ", carrier.link().name,
          " goes on without AF_XDP: ", add.status().message());
      ipc::CarrierAdd bare;
      bare.carrier = id;
      bare.name = carrier.link().name;
      bare.ifindex = static_cast<uint32_t>(carrier.link().index);
      bare.mac = *carrier.link().mac;
      bare.mtu = carrier.link().mtu;
      announce_(std::move(bare));
    }
  }
}

const Carrier* CarrierTable::Find(int ifindex) const {
  for (const auto& [id, carrier] : carriers_) {
    if (!carrier.lost && carrier.link().index == ifindex) return &carrier;
  }
  return nullptr;
}

void CarrierTable::OnLink(const netlink::Link& link) {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.link().index != link.index) continue;
    if (!link.name.empty() && link.name != carrier.link().name) {
      Log(Severity::kNotice, "carrier ", carrier.link().name, " is ", link.name, " now");
      carrier.SetName(link.name);
      announce_(ipc::CarrierRenamed{id, link.name});
    }
    if (!link.mac.has_value() || carrier.link().mac == link.mac) continue;
    const absl::Status status = carrier.SetMac(*link.mac);
    if (!status.ok()) Log(Severity::kError, "carrier ", link.name, ": ", status.message());
  }
}

void CarrierTable::OnLinkRemoved(int ifindex) {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.link().index != ifindex) continue;
    carrier.lost = true;
    Log(Severity::kWarning, "carrier ", carrier.link().name, " went away");
  }
}

void CarrierTable::Resync(netlink::Socket* socket) {
  for (auto& [id, carrier] : carriers_) {
    const absl::StatusOr<netlink::Link> link = netlink::GetLink(socket, carrier.link().index);
    if (link.ok()) {
      OnLink(*link);
    } else if (absl::IsNotFound(link.status())) {
      OnLinkRemoved(carrier.link().index);
    }
  }
}

bool CarrierTable::AllAlive(const std::vector<ipc::CarrierId>& ids) const {
  return std::all_of(ids.begin(), ids.end(), [&](ipc::CarrierId id) {
    const auto found = carriers_.find(id);
    return found != carriers_.end() && !found->second.lost;
  });
}

}  // namespace cipe::broker
