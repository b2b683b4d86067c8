#include "broker/handover.h"

#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/abi/maps.h"
#include "ipc/layout.h"
#include "ipc/memfd.h"

namespace cipe::broker {
namespace {

using ipc::Reader;
using ipc::Writer;

constexpr std::array<uint8_t, 8> kMagic = {'C', 'I', 'P', 'E', 'h', 'a', 'n', 'd'};
constexpr size_t kMaxDocument = size_t{256} << 20;
constexpr size_t kMaxTunnels = 4096;

template <typename Ar>
void Header(Ar& ar, std::array<uint8_t, 8>& magic, uint32_t& version, uint32_t& abi) {
  ar.Octets(magic);
  ar.Number(version);
  ar.Number(abi);
}

template <typename Ar>
void Fields(Ar& ar, CarrierHandover& m) {
  ar.String(m.name);
  ar.Number(m.ifindex);
  ar.Fd(m.link);
}

template <typename Ar>
void Fields(Ar& ar, TunnelHandover& m) {
  ar.Number(m.id);
  ipc::layout::Fields(ar, m.config);
  // Engines are not told this one, brokers are.
  if (m.config.classic.has_value()) ipc::layout::Optional(ar, m.config.classic->socks_password);
  ar.List(m.peers, ipc::layout::kMaxPeers, [&](ipc::PeerSetup& p) { ipc::layout::Fields(ar, p); });
  if (m.peers.size() != m.config.peers.size()) ar.Fail();
  ar.Number(m.ifindex);
  ar.Number(m.listen_port);
  for (uint32_t* number : {&m.mtu, &m.link_mtu, &m.smallest_mtu}) ar.Number(*number);
  for (bool* flag : {&m.tso, &m.uso, &m.ip_up_ran}) ar.Bool(*flag);
  ipc::layout::Fields(ar, m.ptpaddr);
  ar.List(m.around, ipc::layout::kMaxPeers, [&](IpAddress& a) { ipc::layout::Fields(ar, a); });
  ar.Number(m.own_table.table);
  ar.Number(m.own_table.mark);
  ar.List(m.tun, ipc::layout::kMaxQueues, [&](UniqueFd& fd) { ar.Fd(fd); });
  for (UniqueFd* fd : {&m.udp4, &m.udp6, &m.log}) ar.Fd(*fd);
}

template <typename Ar>
void Fields(Ar& ar, Handover& m) {
  for (std::string* text : {&m.version, &m.config_dir, &m.state_dir}) ar.String(*text);
  ar.Number(m.starter_uid);
  ar.Bool(m.until_last_down);
  ar.Bool(m.socket_unit);
  ipc::layout::Fields(ar, m.seal_key);
  ar.Number(m.next_tunnel);
  ar.Number(m.next_peer);
  ar.List(m.peer_ids, ipc::layout::kMaxPrefixes, [&](NamedPeer& p) {
    ar.String(p.name);
    ar.Number(p.id);
  });
  ar.List(m.maps, ipc::layout::kMaxQueues, [&](UniqueFd& fd) { ar.Fd(fd); });
  for (UniqueFd* fd : {&m.listener, &m.runtime_lock, &m.state_lock}) ar.Fd(*fd);
  ar.List(m.carriers, kMaxTunnels, [&](CarrierHandover& c) { Fields(ar, c); });
  ar.List(m.tunnels, kMaxTunnels, [&](TunnelHandover& t) { Fields(ar, t); });
}

void Write(Writer& writer, Handover& handover) {
  auto magic = kMagic;
  uint32_t version = kHandoverVersion, abi = CIPE_ABI_VERSION;
  Header(writer, magic, version, abi);
  Fields(writer, handover);
}

absl::StatusOr<Handover> Read(absl::Span<const uint8_t> octets, std::vector<UniqueFd>* fds) {
  Reader reader(octets, fds);
  std::array<uint8_t, 8> magic;
  uint32_t version = 0, abi = 0;
  Header(reader, magic, version, abi);
  if (!reader.ok() || magic != kMagic) {
    return absl::InvalidArgumentError("what was handed over is not ciped's");
  }
  if (version != kHandoverVersion || abi != CIPE_ABI_VERSION) {
    return absl::FailedPreconditionError(absl::StrCat("what was handed over has format ", version,
                                                      ".", abi, ", this ciped knows ",
                                                      kHandoverVersion, ".", CIPE_ABI_VERSION));
  }
  Handover handover;
  Fields(reader, handover);
  if (!reader.Finished()) return absl::InvalidArgumentError("what was handed over is damaged");
  return handover;
}

}  // namespace

absl::StatusOr<PackedHandover> Pack(Handover& handover) {
  Writer counter(nullptr);
  Write(counter, handover);
  PackedHandover packed;
  CIPE_ASSIGN_OR_RETURN(packed.document, ipc::MakeSealedMemfd("cipe-handover", counter.size()));
  CIPE_ASSIGN_OR_RETURN(const ipc::Mapping mapping,
                        ipc::Mapping::Map(packed.document.get(), counter.size()));
  Writer writer(mapping.octets().data(), &packed.fds);
  Write(writer, handover);
  return packed;
}

absl::StatusOr<Handover> Unpack(std::vector<UniqueFd> fds) {
  if (fds.empty()) return absl::InvalidArgumentError("nothing was handed over");
  const UniqueFd document = std::move(fds.front());
  fds.erase(fds.begin());
  CIPE_ASSIGN_OR_RETURN(const size_t size, ipc::CheckSealedMemfd(document.get(), kMaxDocument));
  CIPE_ASSIGN_OR_RETURN(ipc::Mapping mapping, ipc::Mapping::Map(document.get(), size));
  absl::StatusOr<Handover> handover = Read(mapping.octets(), &fds);
  mapping.Wipe();
  return handover;
}

}  // namespace cipe::broker
