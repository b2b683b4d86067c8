#include "ipc/codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ipc/layout.h"
#include "ipc/memfd.h"

namespace cipe::ipc {
namespace {

constexpr const char* kNames[] = {"Hello",         "CarrierAdd",      "CarrierRemove",
                                  "TunnelAdd",     "TunnelRemove",    "EndpointResolved",
                                  "NextHop",       "Reply",           "Ready",
                                  "UpRequest",     "DownRequest",     "TunnelRemoved",
                                  "FloorUpdate",   "NextHopWanted",   "EndpointFailed",
                                  "SmallestMtu",   "DatapathChanged", "Ping",
                                  "Pong",          "ClassicRelay",    "ClassicPeer",
                                  "ClassicOver",   "Leave",           "SourceGone",
                                  "PathUsed",      "PathMtuKnown",    "PathsChanged",
                                  "PathMtuWanted", "TunnelChange",    "ReloadAnswer",
                                  "ReloadRequest", "TunnelChanged",   "CarrierRenamed",
                                  "CarrierMapped", "CarrierReady"};
static_assert(std::size(kNames) == std::variant_size_v<Message>);

absl::Status Malformed(size_t type) {
  return absl::InvalidArgumentError(absl::StrCat("malformed ", kNames[type], " message"));
}

template <typename T>
inline constexpr bool kHasBody = std::is_same_v<T, TunnelAdd> || std::is_same_v<T, TunnelChange>;

// Writes configuration and peers into a memfd of exactly the right size.
template <typename T>
absl::StatusOr<UniqueFd> EncodeBody(T& message) {
  if (message.peers.size() != message.config.peers.size()) {
    return absl::InvalidArgumentError("peers and configured peers differ in number");
  }
  Writer counter(nullptr);
  layout::Body(counter, message);
  if (counter.size() > kMaxBody) {
    return absl::InvalidArgumentError(absl::StrCat("configuration of tunnel ", message.config.name,
                                                   " is too big: ", counter.size(),
                                                   " octets, at most ", kMaxBody));
  }
  CIPE_ASSIGN_OR_RETURN(UniqueFd fd, MakeSealedMemfd("cipe-tunnel", counter.size()));
  CIPE_ASSIGN_OR_RETURN(const Mapping mapping, Mapping::Map(fd.get(), counter.size()));
  Writer writer(mapping.octets().data());
  layout::Body(writer, message);
  return fd;
}

template <typename T>
absl::Status DecodeOctets(absl::Span<const uint8_t> octets, T* message) {
  Reader reader(octets);
  layout::Body(reader, *message);
  if (!reader.Finished()) return absl::InvalidArgumentError("malformed body of a message");
  return absl::OkStatus();
}

template <typename T>
absl::Status DecodeBody(int fd, T* message) {
  CIPE_ASSIGN_OR_RETURN(const size_t size, CheckSealedMemfd(fd, kMaxBody));
  CIPE_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(fd, size));
  const absl::Status status = DecodeOctets(mapping.octets(), message);
  mapping.Wipe();
  return status;
}

template <size_t kType = 0>
absl::StatusOr<Message> DecodeType(size_t type, Reader& reader) {
  if constexpr (kType == std::variant_size_v<Message>) {
    return absl::InvalidArgumentError(absl::StrCat("message of unknown type ", type));
  } else {
    if (type != kType) return DecodeType<kType + 1>(type, reader);
    std::variant_alternative_t<kType, Message> message;
    UniqueFd body;
    if constexpr (kHasBody<decltype(message)>) reader.Fd(body);
    layout::Fields(reader, message);
    if (!reader.Finished()) return Malformed(type);
    if constexpr (kHasBody<decltype(message)>) {
      if (!body.valid()) return Malformed(type);
      CIPE_RETURN_IF_ERROR(DecodeBody(body.get(), &message));
    }
    return Message(std::move(message));
  }
}

// The same walk twice: once with `out` null, to count.
void WriteMessage(Message& message, UniqueFd& body, Writer& writer) {
  uint8_t type = static_cast<uint8_t>(message.index());
  writer.Number(type);
  std::visit(
      [&](auto& m) {
        if constexpr (kHasBody<std::decay_t<decltype(m)>>) writer.Fd(body);
        layout::Fields(writer, m);
      },
      message);
}

}  // namespace

absl::StatusOr<Encoded> EncodeMessage(Message& message) {
  Encoded encoded;
  if (auto* add = std::get_if<TunnelAdd>(&message)) {
    CIPE_ASSIGN_OR_RETURN(encoded.body, EncodeBody(*add));
  } else if (auto* change = std::get_if<TunnelChange>(&message)) {
    CIPE_ASSIGN_OR_RETURN(encoded.body, EncodeBody(*change));
  }
  Writer counter(nullptr);
  WriteMessage(message, encoded.body, counter);
  encoded.octets.resize(counter.size());
  Writer writer(reinterpret_cast<uint8_t*>(encoded.octets.data()), &encoded.fds);
  WriteMessage(message, encoded.body, writer);
  if (encoded.octets.size() > kMaxDatagram || encoded.fds.size() > kMaxFds) {
    return absl::InvalidArgumentError(absl::StrCat(
        MessageName(message), " does not fit a datagram: ", encoded.octets.size(), " octets and ",
        encoded.fds.size(), " descriptors, at most ", kMaxDatagram, " and ", kMaxFds));
  }
  return encoded;
}

absl::StatusOr<Message> DecodeMessage(absl::Span<const uint8_t> octets, std::vector<UniqueFd> fds) {
  if (octets.empty()) return absl::InvalidArgumentError("empty message");
  Reader reader(octets.subspan(1), &fds);
  return DecodeType(octets[0], reader);
}

absl::Status DecodeTunnelBody(absl::Span<const uint8_t> octets, TunnelAdd* message) {
  return DecodeOctets(octets, message);
}

absl::Status DecodeChangeBody(absl::Span<const uint8_t> octets, TunnelChange* message) {
  return DecodeOctets(octets, message);
}

const char* MessageName(const Message& message) { return kNames[message.index()]; }

}  // namespace cipe::ipc
