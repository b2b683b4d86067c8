// Messages between broker and engine from a hostile other side: raw octets, or a genuine message of
// any type with the input laid over it. Decoding ends in a message or an error, never keeps or
// loses a descriptor, and what it lets through can be sent on.
#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "ipc/codec.h"
#include "tests/unit/ipc/samples.h"

using namespace cipe;
using namespace cipe::ipc;

namespace {

struct Genuine {
  std::vector<uint8_t> octets;
  size_t fds = 0;
};

// One of every type. TunnelAdd lends its body as the first descriptor; a hostile sender has no
// sealed memfd here, so that message ends at the body, which BodyOf covers on its own.
std::vector<Genuine> Messages() {
  std::vector<Genuine> all;
  for (Message& message : SampleMessages()) {
    const auto encoded = EncodeMessage(message);
    if (!encoded.ok()) abort();
    all.push_back({{encoded->octets.begin(), encoded->octets.end()}, encoded->fds.size()});
  }
  return all;
}

std::vector<uint8_t> BodyOf() {
  Message message = SampleTunnelAdd();
  const auto encoded = EncodeMessage(message);
  if (!encoded.ok()) abort();
  struct stat file {};
  if (fstat(encoded->body.get(), &file) != 0) abort();
  std::vector<uint8_t> body(static_cast<size_t>(file.st_size));
  if (pread(encoded->body.get(), body.data(), body.size(), 0) != file.st_size) abort();
  return body;
}

// `in` XORed over `genuine`, cut or lengthened by up to 127 octets as the first octet of `in` says.
std::vector<uint8_t> Overlay(const std::vector<uint8_t>& genuine, absl::Span<const uint8_t> in) {
  std::vector<uint8_t> octets = genuine;
  if (in.empty()) return octets;
  const auto change = static_cast<int8_t>(in[0]);
  const int64_t size = static_cast<int64_t>(octets.size()) + change;
  octets.resize(static_cast<size_t>(std::max<int64_t>(size, 0)));
  in.remove_prefix(1);
  for (size_t i = 0; i < std::min(in.size(), octets.size()); ++i) octets[i] ^= in[i];
  return octets;
}

void Decode(absl::Span<const uint8_t> octets, size_t fds) {
  std::vector<UniqueFd> lent;
  for (size_t i = 0; i < std::min<size_t>(fds, kMaxFds); ++i) lent.push_back(AnyFd());
  auto message = DecodeMessage(octets, std::move(lent));
  if (!message.ok()) {
    if (message.status().message().empty()) abort();
    return;
  }
  if (!EncodeMessage(*message).ok()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const genuine = new std::vector<Genuine>(Messages());
  static const auto* const body = new std::vector<uint8_t>(BodyOf());
  static uint32_t runs = 0;
  if (size < 2) return 0;
  // Counting is slow: not every time.
  const bool count = ++runs % 64 == 0;
  const int before = count ? OpenFds() : 0;
  const uint8_t kind = data[0];
  const uint8_t fds = data[1];
  const absl::Span<const uint8_t> rest(data + 2, size - 2);
  if (kind < genuine->size()) {
    const Genuine& message = (*genuine)[kind];
    Decode(Overlay(message.octets, rest), message.fds + fds % 3 - 1);
  } else if (kind == genuine->size()) {
    TunnelAdd message;
    (void)DecodeTunnelBody(Overlay(*body, rest), &message).ok();
  } else if (kind == genuine->size() + 1) {
    TunnelAdd message;
    (void)DecodeTunnelBody(rest, &message).ok();
  } else if (kind == genuine->size() + 2) {
    TunnelChange message;
    (void)DecodeChangeBody(rest, &message).ok();
  } else {
    Decode(rest, fds % 8);
  }
  if (count && OpenFds() != before) abort();  // one leaked
  return 0;
}
