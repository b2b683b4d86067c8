#include "broker/carrier_table.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::broker {

namespace {

constexpr Duration kBusyStep = std::chrono::milliseconds(10);

}  // namespace

CarrierTable::~CarrierTable() {
  for (const auto& [id, carrier] : carriers_) CancelTimers(id);
}

absl::StatusOr<const Carrier*> CarrierTable::Acquire(const netlink::Link& link) {
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.link().index != link.index) continue;
    if (carrier.state() == Carrier::State::kFailed) continue;
    ++carrier.users;
    return &carrier;
  }
  CIPE_ASSIGN_OR_RETURN(Carrier made, Carrier::Attach(next_id_, link, maps_));
  Carrier& carrier = carriers_.emplace(next_id_++, std::move(made)).first->second;
  carrier.users = 1;
  Offer(&carrier);
  return &carrier;
}

void CarrierTable::Offer(Carrier* carrier) {
  CancelTimers(carrier->id());
  absl::StatusOr<ipc::CarrierAdd> add = carrier->Offer();
  if (!add.ok()) return Fail(carrier, "sockets_not_made", add.status());
  announce_(*std::move(add));
  timers_[carrier->id()].patience = loop_.After(kPatience, [this, id = carrier->id()] {
    timers_[id].patience = TimerId::kNone;
    Carrier& late = carriers_.at(id);
    late.late = true;
    Log(Severity::kWarning, "carrier ", late.link().name,
        ": the engine has not mapped its AF_XDP sockets within ",
        kPatience / std::chrono::seconds(1), " s; nobody waits for it any more");
    settled_(id);
  });
}

void CarrierTable::OnMapped(const ipc::CarrierMapped& answer) {
  const auto found = carriers_.find(answer.carrier);
  if (found == carriers_.end() || steering_stopped_) return;
  Carrier& carrier = found->second;
  Timers& timers = timers_[answer.carrier];
  const bool binding = timers.retry != TimerId::kNone;
  if (carrier.lost || carrier.state() != Carrier::State::kOffered || binding) return;
  if (!answer.status.ok()) {
    Fail(&carrier, "rings_not_mapped", answer.status);
    return settled_(answer.carrier);
  }
  timers.busy_until = loop_.Now() + kBusyPatience;
  Bind(answer.carrier);
}

void CarrierTable::Bind(ipc::CarrierId id) {
  Carrier& carrier = carriers_.at(id);
  Timers& timers = timers_[id];
  if (carrier.lost || steering_stopped_) return;
  const absl::Status bound = carrier.Bind();
  if (absl::IsUnavailable(bound) && loop_.Now() < timers.busy_until) {
    timers.retry = loop_.After(kBusyStep, [this, id] {
      timers_[id].retry = TimerId::kNone;
      Bind(id);
    });
    return;
  }
  CancelTimers(id);
  if (bound.ok()) {
    announce_(ipc::CarrierReady{id, carrier.zero_copy(), bound});
  } else {
    Fail(&carrier, "sockets_not_bound", bound);
  }
  settled_(id);
}

void CarrierTable::Fail(Carrier* carrier, const char* cause, const absl::Status& why) {
  CancelTimers(carrier->id());
  Log(Severity::kError, "carrier ", carrier->link().name,
      " goes on without AF_XDP: ", why.message());
  announce_(ipc::CarrierReady{carrier->id(), false, why});
  carrier->Fail({cause, absl::StrCat("carrier ", carrier->link().name, ": ", why.message())});
}

void CarrierTable::CancelTimers(ipc::CarrierId id) {
  const auto timers = timers_.extract(id);
  if (timers.empty()) return;
  loop_.Cancel(timers.mapped().patience);
  loop_.Cancel(timers.mapped().retry);
}

void CarrierTable::Release(ipc::CarrierId id) {
  const auto found = carriers_.find(id);
  if (found == carriers_.end() || --found->second.users > 0) return;
  CancelTimers(id);
  carriers_.erase(found);
  announce_(ipc::CarrierRemove{id});
}

void CarrierTable::StopSteering() {
  steering_stopped_ = true;
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
    if (carrier.lost || carrier.state() == Carrier::State::kFailed) continue;
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

void CarrierTable::OnEngineDeath() {
  for (auto& [id, carrier] : carriers_) {
    // Who waits goes on waiting for what the next engine says.
    loop_.Cancel(std::exchange(timers_[id].retry, TimerId::kNone));
    carrier.Withdraw();
  }
}

void CarrierTable::Reannounce() {
  steering_stopped_ = false;
  for (auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.state() == Carrier::State::kFailed) continue;
    Offer(&carrier);
  }
}

const Carrier* CarrierTable::ById(ipc::CarrierId id) const {
  const auto found = carriers_.find(id);
  return found == carriers_.end() ? nullptr : &found->second;
}

bool CarrierTable::FailedAsItIs(const netlink::Link& link) const {
  return std::any_of(carriers_.begin(), carriers_.end(), [&](const auto& entry) {
    const Carrier& carrier = entry.second;
    return !carrier.lost && carrier.state() == Carrier::State::kFailed &&
           carrier.link().index == link.index && carrier.AsWhenFailed(link);
  });
}

const Carrier* CarrierTable::Find(int ifindex) const {
  for (const auto& [id, carrier] : carriers_) {
    if (carrier.lost || carrier.state() == Carrier::State::kFailed) continue;
    if (carrier.link().index == ifindex) return &carrier;
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
    if (carrier.state() == Carrier::State::kFailed) continue;
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
