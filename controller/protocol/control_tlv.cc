#include "protocol/control_tlv.h"

#include <algorithm>

#include "base/bytes.h"
#include "protocol/parameters.h"

namespace cipe::protocol {
namespace {

constexpr size_t kEchoRequestValue = 8;
constexpr size_t kEchoReplyValue = 10;
constexpr size_t kParametersValue = 2;

struct Header {
  uint8_t type;
  size_t value_size;
};

Header HeaderOf(const ControlMessage& message) {
  struct Visitor {
    Header operator()(const EchoRequest&) const { return {1, kEchoRequestValue}; }
    Header operator()(const EchoReply&) const { return {2, kEchoReplyValue}; }
    Header operator()(const ChangedParameters&) const { return {3, kParametersValue}; }
    Header operator()(const Close&) const { return {4, 0}; }
    Header operator()(const UnknownTlv& u) const { return {u.type, 0}; }
  };
  return std::visit(Visitor{}, message);
}

}  // namespace

DropOr<ControlMessage> ParseControl(absl::Span<const uint8_t> plaintext) {
  return ParseControl(plaintext, plaintext.size());
}

DropOr<ControlMessage> ParseControl(absl::Span<const uint8_t> plaintext, size_t plaintext_size) {
  if (plaintext.size() < kTlvHeaderSize || plaintext[0] != 0) return cipe_drop_rx_bad_inner;
  const size_t size = LoadLe16(&plaintext[2]);
  if (size > plaintext_size - kTlvHeaderSize) return cipe_drop_rx_bad_inner;
  const absl::Span<const uint8_t> value = plaintext.subspan(kTlvHeaderSize, size);
  switch (static_cast<TlvType>(plaintext[1])) {
    case TlvType::kEchoRequest:
      if (size != kEchoRequestValue) return cipe_drop_rx_bad_inner;
      return ControlMessage(EchoRequest{LoadLe64(value.data()), plaintext_size});
    case TlvType::kEchoReply:
      if (size != kEchoReplyValue) return cipe_drop_rx_bad_inner;
      return ControlMessage(EchoReply{LoadLe64(value.data()), LoadLe16(value.data() + 8)});
    case TlvType::kParameters:
      if (size != kParametersValue || LoadLe16(value.data()) < kMinMtu) {
        return cipe_drop_rx_bad_inner;
      }
      return ControlMessage(ChangedParameters{LoadLe16(value.data())});
    case TlvType::kClose:
      if (size != 0) return cipe_drop_rx_bad_inner;
      return ControlMessage(Close{});
  }
  return ControlMessage(UnknownTlv{plaintext[1]});
}

size_t ControlSize(const ControlMessage& message) {
  return kTlvHeaderSize + HeaderOf(message).value_size;
}

size_t BuildControl(const ControlMessage& message, absl::Span<uint8_t> out) {
  const Header header = HeaderOf(message);
  if (std::holds_alternative<UnknownTlv>(message) || out.size() > 65535 ||
      out.size() < kTlvHeaderSize + header.value_size) {
    return 0;
  }
  std::fill(out.begin(), out.end(), uint8_t{0});
  out[1] = header.type;
  StoreLe16(&out[2], static_cast<uint16_t>(header.value_size));
  uint8_t* value = out.data() + kTlvHeaderSize;
  if (const auto* request = std::get_if<EchoRequest>(&message)) {
    StoreLe64(value, request->id);
  } else if (const auto* reply = std::get_if<EchoReply>(&message)) {
    StoreLe64(value, reply->id);
    StoreLe16(value + 8, reply->seen_size);
  } else if (const auto* parameters = std::get_if<ChangedParameters>(&message)) {
    StoreLe16(value, parameters->mtu);
  }
  return out.size();
}

}  // namespace cipe::protocol
