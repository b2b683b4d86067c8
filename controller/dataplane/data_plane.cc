#include "dataplane/data_plane.h"

#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "base/status_macros.h"

namespace cipe::dataplane {
namespace {

// Reads of one tunnel netdev before other descriptors get their turn.
constexpr int kReadsPerTurn = 256;
constexpr size_t kMaxErrors = 256;
// Anybody can send ICMP messages: so often at most they make us ask the broker about a path's MTU.
// A path that really is narrow says so again.
constexpr auto kAskAgain = std::chrono::milliseconds(100);

// From sched_getaffinity(2), not from /sys, which is not there in the engine's sandbox.
int WorkerCount() {
  cpu_set_t set;
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::clamp(cores / 2, 1, 8);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataPlane>> DataPlane::Create(
    const Clock& clock, session::SessionTable& sessions, session::QuiescentDomain& domain,
    EventQueue& events, std::function<void(uint32_t, const Endpoint&)> next_hop_wanted) {
  auto plane = std::unique_ptr<DataPlane>(new DataPlane(clock, events));
  plane->next_hop_wanted_ = std::move(next_hop_wanted);
  for (int i = 0; i < WorkerCount(); ++i) {
    auto rx = std::make_unique<RxWorker>();
    rx->pipeline = std::make_unique<RxPipeline>(sessions, events);
    CIPE_ASSIGN_OR_RETURN(rx->worker, Worker::Start(absl::StrCat("cipe-rx", i), clock, domain));
    plane->rx_.push_back(std::move(rx));
    auto tx = std::make_unique<TxWorker>();
    tx->pipeline = std::make_unique<TxPipeline>(events);
    CIPE_ASSIGN_OR_RETURN(tx->worker, Worker::Start(absl::StrCat("cipe-tx", i), clock, domain));
    TxPipeline* pipeline = tx->pipeline.get();
    // A run never outlives the turn: it points at a session.
    tx->worker->Call(
        [&] { tx->worker->SetEndOfTurn([pipeline](Instant now) { pipeline->Flush(now); }); });
    plane->tx_.push_back(std::move(tx));
  }
  return plane;
}

DataPlane::~DataPlane() {
  std::vector<uint32_t> ids;
  for (const auto& [id, tunnel] : tunnels_) ids.push_back(id);
  for (const uint32_t id : ids) RemoveTunnel(id);
  ids.clear();
  for (const auto& [id, carrier] : carriers_) ids.push_back(id);
  for (const uint32_t id : ids) RemoveCarrier(id);
}

// Protocol 3 counts errors (maxerr); a burst is one, so the last of it will do. One that finds no
// room in the queue is not missed: there will be more.
void DataPlane::ReportClassicError(Tunnel& tunnel, const std::vector<ports::UdpError>& errors) {
  const auto last = std::find_if(errors.rbegin(), errors.rend(),
                                 [](const ports::UdpError& e) { return e.error != EMSGSIZE; });
  if (last == errors.rend()) return;
  Event event;
  event.type = EventType::kClassicError;
  event.tunnel = tunnel.ports.path->tunnel;
  event.peer = tunnel.ports.path->classic->peer->peer;
  event.path.remote = last->destination;
  event.session = static_cast<uint32_t>(last->error);
  events_.Push(event);
}

void DataPlane::TakeSocketErrors(Tunnel& tunnel, ports::UdpPort& port, Instant now) {
  std::vector<ports::UdpError> errors;
  port.TakeErrors(&errors);
  if (tunnel.ports.path->classic != nullptr) ReportClassicError(tunnel, errors);
  std::lock_guard lock(tunnel.error_mutex);
  for (ports::UdpError& e : errors) {
    if (e.error == EMSGSIZE) {
      HearTooBig(tunnel, e.destination,
                 now);  // the path's limit is found out: no trouble to report
      HintPathMtu(tunnel, e, now);
    } else if (tunnel.errors.size() < kMaxErrors) {
      tunnel.errors.push_back(std::move(e));
    }
  }
}

// For the engine, which asks the path itself (session/path_prober.h).
void DataPlane::HintPathMtu(Tunnel& tunnel, const ports::UdpError& error, Instant now) {
  if (tunnel.ports.path->classic != nullptr || error.mtu == 0 || now < tunnel.hint_at) return;
  Event event;
  event.type = EventType::kPathHint;
  event.tunnel = tunnel.ports.path->tunnel;
  event.path.remote = error.destination;
  event.session = error.mtu;
  if (events_.Push(event)) tunnel.hint_at = now + kAskAgain;
}

// The kernel has learned a path's MTU from ICMP and heeds it; frames through AF_XDP pass it by.
void DataPlane::HearTooBig(Tunnel& tunnel, const Endpoint& destination, Instant now) {
  if (!tunnel.ports.afxdp || now < tunnel.ask_again_at) return;
  tunnel.ask_again_at = now + kAskAgain;
  for (const auto& sender : tunnel.senders) {
    // RemoveTunnel ends this before it runs its own command there, so the pointer stays good.
    sender->worker->worker->Post(
        [s = sender.get(), destination] { s->sink->AskAgain(destination); });
  }
}

bool DataPlane::ReceiveSocket(Tunnel& tunnel, ports::UdpPort& port, uint32_t events, Instant now) {
  if ((events & EPOLLERR) != 0) TakeSocketErrors(tunnel, port, now);
  bool more = false;
  const absl::Span<const ports::Datagram> datagrams = port.ReceiveBatch(&more);
  std::vector<session::Path> paths;
  paths.reserve(datagrams.size());
  RxFrame frames[RxPipeline::kMaxBatch];
  RxWorker& rx = *tunnel.socket_worker;
  TunSink& sink = *rx.by_port[tunnel.ports.path->listen_port].second;
  size_t count = 0;
  const ports::DatagramOrigin* origin = nullptr;
  for (const ports::Datagram& d : datagrams) {
    if (d.origin != origin) {
      origin = d.origin;
      paths.push_back({d.origin->source, d.origin->local});
    }
    frames[count++] = {d.data, d.size, d.origin->ecn, &paths.back()};
    if (count == RxPipeline::kMaxBatch) {
      rx.pipeline->Process(*tunnel.ports.path, sink, absl::MakeConstSpan(frames, count), now);
      count = 0;
    }
  }
  if (count > 0) {
    rx.pipeline->Process(*tunnel.ports.path, sink, absl::MakeConstSpan(frames, count), now);
  }
  return more;
}

void DataPlane::WatchSocket(Tunnel& tunnel, ports::UdpPort* port) {
  if (port == nullptr) return;
  tunnel.socket_worker->worker->Watch(port->fd(), EPOLLIN,
                                      [this, &tunnel, port](uint32_t events, Instant now) {
                                        return ReceiveSocket(tunnel, *port, events, now);
                                      });
}

bool DataPlane::ReadTun(Tunnel& tunnel, Sender& sender, ports::TunPort& tun, Instant now) {
  uint8_t* packet = sender.buffer.get() + ports::TunPort::kHeadroom;
  TxPipeline& pipeline = *sender.worker->pipeline;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (pipeline.ShouldPause(*tunnel.ports.path, now)) {
      sender.worker->worker->SetEvents(tun.fd(), 0);
      sender.resting.push_back(tun.fd());
      return false;
    }
    packet::VnetHeader header;
    const int size = tun.Read(&header, packet, ports::TunPort::kMaxRead);
    if (size == ports::TunPort::kGone) {
      // Its descriptor is "ready" for ever; the broker hears from netlink and makes a new netdev.
      sender.worker->worker->Unwatch(tun.fd());
      return false;
    }
    if (size <= 0) return false;
    pipeline.Process(*tunnel.ports.path, *sender.sink, header, packet, static_cast<size_t>(size),
                     now);
  }
  return true;
}

void DataPlane::StartSender(Tunnel& tunnel, TxWorker& worker, std::vector<size_t> queues) {
  auto sender = std::make_unique<Sender>();
  sender->worker = &worker;
  sender->sink = std::make_unique<CarrierSink>(
      tunnel.ports.udp4.get(), tunnel.ports.udp6.get(), tunnel.ports.afxdp,
      PortOptions(tunnel, Family::kIpv4), PortOptions(tunnel, Family::kIpv6));
  sender->sink->SetInside(tunnel.ports.tun[queues.front()].get());
  sender->sink->SetNextHopWanted([this, id = tunnel.ports.path->tunnel](const Endpoint& endpoint) {
    next_hop_wanted_(id, endpoint);
  });
  sender->buffer =
      std::make_unique<uint8_t[]>(ports::TunPort::kHeadroom + ports::TunPort::kMaxRead);
  for (const size_t q : queues) {
    sender->tun.push_back(std::make_unique<ports::TunPort>(tunnel.ports.tun[q].get()));
  }
  Sender* s = sender.get();
  tunnel.senders.push_back(std::move(sender));
  worker.worker->Call([this, &tunnel, s] {
    for (const auto& tun : s->tun) {
      s->worker->worker->Watch(tun->fd(), EPOLLIN,
                               [this, &tunnel, s, port = tun.get()](uint32_t, Instant now) {
                                 return ReadTun(tunnel, *s, *port, now);
                               });
    }
  });
}

ports::UdpPort::Options DataPlane::PortOptions(Tunnel& tunnel, Family family) {
  ports::UdpPort::Options options;
  const ClassicPath* classic = tunnel.ports.path->classic;
  options.fragmenting = family == Family::kIpv4 ? &tunnel.fragmenting4 : &tunnel.fragmenting6;
  options.own_path_mtu = classic == nullptr;
  if (classic == nullptr) return options;
  if (!classic->udp_checksum && tunnel.ports.udp4.valid()) {
    // UDP_SEGMENT needs checksums (udp(7)).
    const int on = 1;
    setsockopt(tunnel.ports.udp4.get(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on);
    options.gso = false;
  }
  return options;
}

absl::Status DataPlane::AddTunnel(TunnelPorts ports) {
  auto owned = std::make_unique<Tunnel>();
  Tunnel& tunnel = *owned;
  tunnel.ports = std::move(ports);
  const uint32_t id = tunnel.ports.path->tunnel;
  const auto port_of = [&](const UniqueFd& fd, Family family) {
    return fd.valid() ? std::make_unique<ports::UdpPort>(fd.get(), PortOptions(tunnel, family))
                      : nullptr;
  };
  tunnel.receive4 = port_of(tunnel.ports.udp4, Family::kIpv4);
  tunnel.receive6 = port_of(tunnel.ports.udp6, Family::kIpv6);
  tunnel.control4 = port_of(tunnel.ports.udp4, Family::kIpv4);
  tunnel.control6 = port_of(tunnel.ports.udp6, Family::kIpv6);
  // An engine before this one may have left them otherwise.
  if (tunnel.receive4) tunnel.receive4->ResetFragmenting();
  if (tunnel.receive6) tunnel.receive6->ResetFragmenting();
  tunnel.socket_worker = rx_[id % rx_.size()].get();
  for (const auto& rx : rx_) {
    tunnel.writers.push_back(std::make_unique<TunWriter>(tunnel.ports.tun.front().get(),
                                                         tunnel.ports.tso, tunnel.ports.uso));
    TunSink* sink = tunnel.writers.back().get();
    rx->worker->Call([&] {
      rx->by_port[tunnel.ports.path->listen_port] = {tunnel.ports.path, sink};
    });
  }
  for (size_t w = 0; w < tx_.size(); ++w) {
    std::vector<size_t> queues;
    for (size_t q = 0; q < tunnel.ports.tun.size(); ++q) {
      if ((q + id) % tx_.size() == w) queues.push_back(q);
    }
    if (!queues.empty()) StartSender(tunnel, *tx_[w], std::move(queues));
  }
  // Last: whoever serves the sockets looks at the senders, too.
  tunnel.socket_worker->worker->Call([&] {
    WatchSocket(tunnel, tunnel.receive4.get());
    WatchSocket(tunnel, tunnel.receive6.get());
  });
  tunnels_[id] = std::move(owned);
  return absl::OkStatus();
}

void DataPlane::RemoveTunnel(uint32_t id) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  Tunnel& tunnel = *it->second;
  for (const auto& rx : rx_) {
    rx->worker->Call([&] {
      rx->by_port.erase(tunnel.ports.path->listen_port);
      if (rx.get() != tunnel.socket_worker) return;
      if (tunnel.receive4) rx->worker->Unwatch(tunnel.receive4->fd());
      if (tunnel.receive6) rx->worker->Unwatch(tunnel.receive6->fd());
    });
  }
  for (const auto& sender : tunnel.senders) {
    sender->worker->worker->Call([&] {
      for (const auto& tun : sender->tun) sender->worker->worker->Unwatch(tun->fd());
      sender->worker->pipeline->Flush(clock_.Now());
      sender->worker->pipeline->DropStaged(*tunnel.ports.path);
    });
  }
  tunnels_.erase(it);
}

void DataPlane::AddCarrier(uint32_t id, uint32_t mtu,
                           std::vector<std::unique_ptr<XskQueue>> queues) {
  Carrier& carrier = carriers_[id];
  carrier.mtu = mtu;
  carrier.queues = std::move(queues);
  for (size_t q = 0; q < carrier.queues.size(); ++q) {
    RxWorker* rx = rx_[q % rx_.size()].get();
    carrier.workers.push_back(rx);
    XskQueue* queue = carrier.queues[q].get();
    rx->worker->Call([rx, queue] {
      rx->worker->Watch(queue->fd(), EPOLLIN, [rx, queue](uint32_t, Instant now) {
        return queue->Receive([&](uint16_t port, absl::Span<const RxFrame> frames) {
          const auto found = rx->by_port.find(port);
          if (found == rx->by_port.end()) return;
          rx->pipeline->Process(*found->second.first, *found->second.second, frames, now);
        });
      });
    });
  }
}

void DataPlane::RemoveCarrier(uint32_t id) {
  const auto it = carriers_.find(id);
  if (it == carriers_.end()) return;
  for (size_t q = 0; q < it->second.queues.size(); ++q) {
    XskQueue* queue = it->second.queues[q].get();
    RxWorker* rx = it->second.workers[q];
    rx->worker->Call([&] { rx->worker->Unwatch(queue->fd()); });
    for (const auto& [tunnel_id, tunnel] : tunnels_) {
      for (const auto& sender : tunnel->senders) {
        sender->worker->worker->Call([&] { sender->sink->ForgetQueue(queue); });
      }
    }
  }
  carriers_.erase(it);
}

void DataPlane::SetNextHop(uint32_t carrier, const Endpoint& endpoint, uint32_t mtu,
                           const packet::OuterPath& outer) {
  const auto it = carriers_.find(carrier);
  if (it == carriers_.end() || it->second.queues.empty()) return;
  for (const auto& [id, tunnel] : tunnels_) {
    NextHop hop{it->second.queues.front().get(), std::min(mtu, it->second.mtu), outer};
    hop.outer.source.port = tunnel->ports.path->listen_port;
    const ClassicPath* classic = tunnel->ports.path->classic;
    hop.outer.udp4_checksum = classic != nullptr && classic->udp_checksum;
    for (const auto& sender : tunnel->senders) {
      sender->worker->worker->Call([&] { sender->sink->SetNextHop(endpoint, hop); });
    }
  }
}

void DataPlane::ForgetNextHop(const Endpoint& endpoint) {
  for (const auto& [id, tunnel] : tunnels_) {
    for (const auto& sender : tunnel->senders) {
      sender->worker->worker->Call([&] { sender->sink->ForgetNextHop(endpoint); });
    }
  }
}

void DataPlane::SendStaged(uint32_t id) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  for (const auto& sender : it->second->senders) {
    // RemoveTunnel runs its own command after this one, so the pointers stay good.
    sender->worker->worker->Post([this, s = sender.get(), path = it->second->ports.path] {
      s->worker->pipeline->FlushStaged(*path, *s->sink, clock_.Now());
      for (const int fd : s->resting) s->worker->worker->SetEvents(fd, EPOLLIN);
      s->resting.clear();
    });
  }
}

void DataPlane::DropStaged(uint32_t id, absl::Span<const session::PeerPath* const> peers) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  const absl::flat_hash_set<const session::PeerPath*> going(peers.begin(), peers.end());
  for (const auto& sender : it->second->senders) {
    sender->worker->worker->Call([&] { sender->worker->pipeline->DropStaged(going); });
  }
}

int DataPlane::Send(uint32_t id, const session::Path& path, absl::Span<const uint8_t> frame) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return ENODEV;
  Tunnel& tunnel = *it->second;
  ports::UdpPort* port =
      path.remote.address.is_v4() ? tunnel.control4.get() : tunnel.control6.get();
  if (port == nullptr) return EAFNOSUPPORT;
  const IpAddress* local = path.local.is_set() ? &path.local : nullptr;
  packet::OuterFields fields;
  fields.tos = tunnel.ports.path->tos_value;
  if (const ClassicPath* classic = tunnel.ports.path->classic) fields.ttl = classic->ttl;
  ports::SendResult r =
      port->Send(path.remote, local, fields, frame.data(), frame.size(), frame.size());
  // As CarrierSink: our own address may be gone.
  const bool unusable = r.status == ports::SendStatus::kUnreachable || r.error == EINVAL;
  if (unusable && local != nullptr) {
    r = port->Send(path.remote, nullptr, fields, frame.data(), frame.size(), frame.size());
  }
  if (r.status == ports::SendStatus::kSent) return 0;
  return r.error != 0 ? r.error : EIO;
}

void DataPlane::Settle(uint32_t id) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  // A batch is sealed and sent in one turn.
  for (const auto& sender : it->second->senders) sender->worker->worker->Call([] {});
}

void DataPlane::SetAfxdp(uint32_t id, bool afxdp) {
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  it->second->ports.afxdp = afxdp;
  for (const auto& sender : it->second->senders) {
    sender->worker->worker->Call([&] { sender->sink->SetAfxdp(afxdp); });
  }
}

void DataPlane::AfterTurn(std::function<void()> done) {
  struct Round {
    std::atomic<size_t> left;
    std::function<void()> done;
  };
  const auto round = std::make_shared<Round>();
  round->left = rx_.size() + tx_.size();
  round->done = std::move(done);
  const auto turned = [round] {
    if (round->left.fetch_sub(1) == 1) round->done();
  };
  for (const auto& rx : rx_) rx->worker->Post(turned);
  for (const auto& tx : tx_) tx->worker->Post(turned);
}

std::vector<ports::UdpError> DataPlane::TakeErrors(uint32_t id) {
  std::vector<ports::UdpError> errors;
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return errors;
  std::lock_guard lock(it->second->error_mutex);
  errors.swap(it->second->errors);
  return errors;
}

}  // namespace cipe::dataplane
