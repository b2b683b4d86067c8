// Outer frames: no input may be read beyond its end, and what parses lies within the input.
#include <cstdlib>

#include "protocol/frame.h"

using namespace cipe::protocol;

namespace {
void Within(absl::Span<const uint8_t> part, absl::Span<const uint8_t> whole) {
  if (part.data() < whole.data() || part.data() + part.size() > whole.data() + whole.size())
    abort();
  volatile uint8_t sum = 0;
  for (uint8_t o : part) sum = sum ^ o;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const uint8_t> in(data, size);
  (void)ClassifyFrame(in).ok();
  if (auto v = ParseInitiation(in); v.ok()) {
    for (auto part : {v->prologue, v->key_id, v->noise, v->ephemeral, v->mac1, v->mac2}) {
      Within(part, in);
    }
  }
  if (auto v = ParseResponse(in); v.ok()) {
    for (auto part : {v->noise, v->mac1, v->mac2, v->mac1_input}) Within(part, in);
  }
  if (auto v = ParseCookieReply(in); v.ok()) {
    for (auto part : {v->salt, v->sealed}) Within(part, in);
  }
  if (auto v = ParseData(in); v.ok()) {
    for (auto part : {v->header, v->sealed}) Within(part, in);
    uint8_t header[kDataHeaderSize];
    WriteDataHeader(v->receiver_index, v->counter, header);
    if (!std::equal(header, header + sizeof header, v->header.begin())) abort();
  }
  return 0;
}
