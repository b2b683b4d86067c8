#include "broker/descriptor_store.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"

namespace cipe::broker {
namespace {

// "cipe-0" is the document, the others follow in its order: the store keeps names, not an order.
constexpr absl::string_view kPrefix = "cipe-";

absl::Status StoreOne(size_t number, int fd) {
  const std::string state = absl::StrCat("FDSTORE=1\nFDPOLL=0\nFDNAME=", kPrefix, number);
  const int sent = sd_pid_notify_with_fds(0, 0, state.c_str(), &fd, 1);
  if (sent > 0) return absl::OkStatus();
  if (sent == 0) {
    return absl::FailedPreconditionError("no service manager keeps descriptors for us");
  }
  return absl::UnavailableError(absl::StrCat("descriptor store: ", strerror(-sent)));
}

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;

// Null when there is none. No call takes longer than a second.
Bus OpenBus() {
  sd_bus* raw = nullptr;
  if (sd_bus_open_system(&raw) < 0) return nullptr;
  Bus bus(raw);
  sd_bus_set_method_call_timeout(bus.get(), 1'000'000);
  return bus;
}

constexpr char kSystemd[] = "org.freedesktop.systemd1";

// Object of the job that runs for our unit; empty when there is none, or nobody to ask.
std::string OwnJob(sd_bus* bus) {
  sd_bus_message* reply = nullptr;
  if (sd_bus_call_method(bus, kSystemd, "/org/freedesktop/systemd1",
                         "org.freedesktop.systemd1.Manager", "GetUnitByPID", nullptr, &reply, "u",
                         0U) < 0) {
    return "";
  }
  const char* text = nullptr;
  const std::string unit = sd_bus_message_read(reply, "o", &text) < 0 ? "" : text;
  sd_bus_message_unref(reply);
  reply = nullptr;
  if (unit.empty() ||
      sd_bus_get_property(bus, kSystemd, unit.c_str(), "org.freedesktop.systemd1.Unit", "Job",
                          nullptr, &reply, "(uo)") < 0) {
    return "";
  }
  uint32_t id = 0;
  const std::string job = sd_bus_message_read(reply, "(uo)", &id, &text) < 0 ? "" : text;
  sd_bus_message_unref(reply);
  return id == 0 ? "" : job;
}

}  // namespace

absl::Status StoreHandover(const PackedHandover& packed) {
  absl::Status status = StoreOne(0, packed.document.get());
  for (size_t i = 0; i < packed.fds.size() && status.ok(); ++i) {
    status = StoreOne(i + 1, packed.fds[i]);
  }
  // Until systemd has read what we sent, it must not see us end (sd_notify_barrier(3)).
  if (status.ok()) sd_notify_barrier(0, 2'000'000);
  return status;
}

Inherited TakeInherited(const std::string& socket_path) {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(/*unset_environment=*/1, &names);
  std::map<uint32_t, UniqueFd> found;
  Inherited inherited;
  for (int i = 0; i < count; ++i) {
    absl::string_view name = names[i];
    uint32_t number = 0;
    const int fd = SD_LISTEN_FDS_START + i;
    const auto take = [&] {
      UniqueFd taken(fcntl(fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + count));
      close(fd);
      return taken;
    };
    if (absl::ConsumePrefix(&name, kPrefix) && absl::SimpleAtoi(name, &number)) {
      found[number] = take();
      sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", names[i]);
    } else if (sd_is_socket_unix(fd, SOCK_STREAM, /*listening=*/1, socket_path.c_str(), 0) > 0) {
      inherited.listener = take();
      fcntl(inherited.listener.get(), F_SETFL, O_NONBLOCK);
    }
    free(names[i]);
  }
  free(names);
  for (auto& [number, fd] : found) inherited.handover.push_back(std::move(fd));
  return inherited;
}

bool RestartFollows() {
  const Bus bus = OpenBus();
  if (bus == nullptr) return false;
  const std::string job = OwnJob(bus.get());
  if (job.empty()) return false;
  char* type = nullptr;
  if (sd_bus_get_property_string(bus.get(), kSystemd, job.c_str(), "org.freedesktop.systemd1.Job",
                                 "JobType", nullptr, &type) < 0) {
    return false;
  }
  const std::string text = type;
  free(type);
  return text == "restart" || text == "try-restart";
}

absl::Status SignalUnit(const std::string& unit, int signal) {
  const Bus bus = OpenBus();
  const int error = bus == nullptr
                        ? -ENOTCONN
                        : sd_bus_call_method(bus.get(), kSystemd, "/org/freedesktop/systemd1",
                                             "org.freedesktop.systemd1.Manager", "KillUnit",
                                             nullptr, nullptr, "ssi", unit.c_str(), "all", signal);
  if (error >= 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("signal to ", unit, ": ", strerror(-error)));
}

}  // namespace cipe::broker
