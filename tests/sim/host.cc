#include "tests/sim/host.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::sim {

using namespace std::chrono_literals;

Host::Host(HostOptions options, ManualClock& clock, Network& network)
    : options_(std::move(options)), clock_(clock), network_(network), rng_(options_.seed) {
  rng_.Fill(absl::MakeSpan(disk.node_id));
  Start(false);
}

Host::~Host() {
  network_.Detach(options_.at);
  for (const Endpoint& at : also_at_) network_.Detach(at);
}

config::Tunnel Host::CopyConfig() const {
  config::Tunnel to = options_.config.Clone();
  if (options_.classic) {
    to.protocol = 3;
    to.classic = options_.classic();
  }
  return to;
}

void Host::Start(bool takeover) {
  engine::EngineOptions engine_options;
  engine_options.node_id = disk.node_id;
  engine_options.backend = BestBackend();
  engine_options.load_limit = options_.load_limit;
  engine_ = std::make_unique<engine::Engine>(engine_options, clock_, rng_, *this, store);
  rx_ = std::make_unique<dataplane::RxPipeline>(engine_->sessions(), engine_->events());
  tx_ = std::make_unique<dataplane::TxPipeline>(engine_->events());
  if (table_ == nullptr) table_ = std::make_unique<broker::FloorTable>(disk.floors);
  if (identities_.empty()) {
    identities_ = *broker::IdentitiesOf(CopyConfig());
    for (const broker::Identities& who : identities_) table_->Use(who);
  }
  ipc::TunnelAdd add;
  add.tunnel = kTunnel;
  add.takeover = takeover;
  add.config = CopyConfig();
  add.mtu = options_.mtu;
  add.listen_port = options_.at.port;
  for (size_t i = 0; i < options_.config.peers.size(); ++i) {
    add.peers.push_back(
        {static_cast<uint32_t>(100 + i), options_.peer_endpoints[i], table_->Of(identities_[i])});
  }
  const absl::Status status = engine_->AddTunnel(add);
  if (!status.ok()) {
    std::fprintf(stderr, "simulated host: %s\n", status.ToString().c_str());
    std::abort();
  }
  network_.Attach(options_.at, [this](const Datagram& d) { Receive(d); });
  engine_->StartTunnel(kTunnel);
}

void Host::CrashEngine() {
  // A killed engine runs no destructor: the store keeps what it held.
  static auto* killed = new std::vector<std::unique_ptr<engine::Engine>>();
  killed->push_back(std::move(engine_));
  asked_.clear();
  Start(true);
}

void Host::Release() {
  engine_.reset();
  asked_.clear();
  for (const broker::Identities& who : identities_) table_->Release(who);
  identities_.clear();
  if (disk_works) disk.floors = table_->ForDisk();
}

void Host::RestartDaemon() {
  Release();
  table_.reset();
  Start(false);
}

void Host::LosePower() {
  engine_.reset();
  asked_.clear();
  identities_.clear();
  table_.reset();
  Start(false);
}

void Host::Reconfigure(config::Tunnel config, std::vector<Endpoint> peer_endpoints) {
  Release();
  options_.config = std::move(config);
  options_.peer_endpoints = std::move(peer_endpoints);
  Start(false);
}

absl::Status Host::Change(config::Tunnel config, std::vector<Endpoint> peer_endpoints) {
  ipc::TunnelChange change;
  change.tunnel = kTunnel;
  change.mtu = options_.mtu;
  change.listen_port = options_.at.port;
  change.config = config.Clone();
  std::vector<broker::Identities> leaving;
  const std::vector<broker::Identities> who = *broker::IdentitiesOf(config);
  for (size_t i = 0; i < who.size(); ++i) {
    size_t k = 0;
    while (k < identities_.size() && identities_[k].peer != who[i].peer) ++k;
    if (k == identities_.size() || identities_[k] != who[i]) table_->Use(who[i]);
    if (k == identities_.size()) identities_.push_back(who[i]);
    if (identities_[k] != who[i]) leaving.push_back(std::exchange(identities_[k], who[i]));
    change.all.push_back(static_cast<uint32_t>(100 + k));
    change.peers.push_back({change.all.back(), peer_endpoints[i], table_->Of(who[i])});
  }
  const absl::Status status = engine_->ChangeTunnel(change);
  for (const broker::Identities& gone : leaving) table_->Release(gone);
  if (!status.ok()) return status;
  options_.config = std::move(config);
  options_.peer_endpoints = std::move(peer_endpoints);
  return status;
}

protocol::Tai64n Host::SentOnDisk(size_t i) const {
  const auto it = disk.floors.sent.find(identities_[i].own);
  return it == disk.floors.sent.end() ? protocol::Tai64n() : protocol::Tai64n::FromSpan(it->second);
}

void Host::MoveTo(const Endpoint& at) {
  network_.Detach(options_.at);
  options_.at = at;
  network_.Attach(at, [this](const Datagram& d) { Receive(d); });
}

void Host::AlsoAt(const Endpoint& at) {
  also_at_.push_back(at);
  network_.Attach(at, [this](const Datagram& d) { Receive(d); });
}

Endpoint Host::From(const session::Path& path) const {
  for (const Endpoint& at : also_at_) {
    if (path.local == at.address) return at;
  }
  return options_.at;
}

void Host::Receive(const Datagram& d) {
  std::vector<uint8_t> buffer = d.octets;
  const session::Path path{d.from, d.to.address};
  const dataplane::RxFrame frame{buffer.data(), static_cast<uint32_t>(buffer.size()),
                                 static_cast<uint8_t>(d.ecn & 3), &path};
  rx_->Process(tunnel().path, *this, absl::MakeConstSpan(&frame, 1), clock_.Now());
}

void Host::Inject(std::vector<uint8_t> inner) {
  std::vector<uint8_t> buffer(64 + 65536);
  std::memcpy(buffer.data() + 64, inner.data(), inner.size());
  tx_->Process(tunnel().path, *this, packet::VnetHeader{}, buffer.data() + 64, inner.size(),
               clock_.Now());
  tx_->Flush(clock_.Now());
}

Instant Host::Turn() {
  engine_->HandleEvents();
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < asked_.size(); ++i) {
      if (asked_[i].due > clock_.Now()) continue;
      const Asked asked = asked_[i];
      asked_.erase(asked_.begin() + static_cast<ptrdiff_t>(i));
      const std::string& own = identities_[asked.peer - 100].own;
      absl::Status status;
      if (disk_works) {
        disk.floors = table_->ForDisk();
        table_->Reserved(own, asked.use, asked.floor.sent_reserved);
      } else {
        status = absl::InternalError("no space left on device");
      }
      engine_->FloorSaved(kTunnel, asked.peer, asked.floor, status);
      more = true;
      break;
    }
  }
  Instant next = engine_->Tick();
  for (const Asked& asked : asked_) next = std::min(next, asked.due);
  return next;
}

uint64_t Host::Drops(int reason) {
  uint64_t n = tunnel().path.drops.Get(reason);
  for (const auto& p : tunnel().peers) n += p->path.drops.Get(reason);
  return n;
}

uint64_t Host::AllDrops() {
  uint64_t n = 0;
  for (const uint16_t reason : session::internal::kReasons) n += Drops(reason);
  return n;
}

int Host::Send(uint32_t, const session::Path& path, absl::Span<const uint8_t> frame) {
  if (send_error != 0) return send_error;
  network_.Send({From(path), path.remote, {frame.begin(), frame.end()}, 0, {}});
  return 0;
}

void Host::SendStaged(uint32_t) { tx_->FlushStaged(tunnel().path, *this, clock_.Now()); }

void Host::SaveFloor(uint32_t, uint32_t peer, const ipc::Floor& floor, bool durable) {
  const broker::Identities& who = identities_[peer - 100];
  const bool changed = table_->Update(who, floor, durable);
  if (durable) {
    ++writes;
    asked_.push_back({clock_.Now() + disk_latency, peer, floor, table_->UseOf(who.own)});
  } else if (changed && disk_works) {
    disk.floors = table_->ForDisk();
  }
}

dataplane::SendResult Host::SendRun(const session::Path& path, const packet::OuterFields& fields,
                                    const uint8_t* data, size_t total, size_t each) {
  for (size_t at = 0; at < total; at += each) {
    const size_t size = std::min(each, total - at);
    network_.Send({From(path), path.remote, {data + at, data + at + size}, fields.tos, fields});
  }
  return dataplane::SendResult::kSent;
}

Host::Refused Host::Write(absl::Span<const packet::PacketWrite> writes) {
  for (const packet::PacketWrite& w : writes) {
    std::vector<uint8_t> inner;
    for (uint32_t i = 1; i < w.iov_count; ++i) {
      const auto* p = static_cast<const uint8_t*>(w.iov[i].iov_base);
      inner.insert(inner.end(), p, p + w.iov[i].iov_len);
    }
    delivered.push_back(std::move(inner));
  }
  return {};
}

void Run(ManualClock& clock, Network& network, std::vector<Host*> hosts, Duration span) {
  const Instant end = clock.Now() + span;
  while (true) {
    Instant next;
    do {
      next = end;
      for (Host* h : hosts) next = std::min(next, h->Turn());
    } while (network.Deliver() > 0);
    next = std::min(next, network.Next(end));
    if (clock.Now() >= end) return;
    const Duration step = std::min(next, end) - clock.Now();
    clock.Advance(std::max<Duration>(step, 1us));
  }
}

std::vector<uint8_t> MakeInner(absl::string_view source, absl::string_view destination,
                               uint32_t tag, size_t payload, uint8_t tos) {
  const IpAddress from = *IpAddress::Parse(source), to = *IpAddress::Parse(destination);
  const size_t udp = 8 + payload;
  const size_t header = from.is_v4() ? 20 : 40;
  std::vector<uint8_t> p(header + udp, 0);
  if (from.is_v4()) {
    p[0] = 0x45;
    p[1] = tos;
    StoreBe16(&p[2], static_cast<uint16_t>(p.size()));
    StoreBe16(&p[4], static_cast<uint16_t>(tag));
    p[8] = 64;
    p[9] = 17;
    std::copy_n(from.octets.begin(), 4, &p[12]);
    std::copy_n(to.octets.begin(), 4, &p[16]);
    uint32_t sum = 0;
    for (size_t i = 0; i < 20; i += 2) sum += LoadBe16(&p[i]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    StoreBe16(&p[10], static_cast<uint16_t>(~sum));
  } else {
    p[0] = static_cast<uint8_t>(0x60 | (tos >> 4));
    p[1] = static_cast<uint8_t>(tos << 4);
    StoreBe16(&p[4], static_cast<uint16_t>(udp));
    p[6] = 17;
    p[7] = 64;
    std::copy_n(from.octets.begin(), 16, &p[8]);
    std::copy_n(to.octets.begin(), 16, &p[24]);
  }
  StoreBe16(&p[header], 1000);
  StoreBe16(&p[header + 2], 2000);
  StoreBe16(&p[header + 4], static_cast<uint16_t>(udp));
  StoreBe32(&p[header + 8], tag);
  return p;
}

uint32_t TagOf(const std::vector<uint8_t>& inner) {
  const size_t header = (inner[0] >> 4) == 4 ? 20 : 40;
  return LoadBe32(&inner[header + 8]);
}

}  // namespace cipe::sim
