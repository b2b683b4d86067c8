// In-tunnel control messages and decrypted handshake payloads: what parses can be built again.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "protocol/control_tlv.h"
#include "protocol/parameters.h"

using namespace cipe::protocol;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const uint8_t> in(data, size);
  if (auto m = ParseControl(in); m.ok() && !std::holds_alternative<UnknownTlv>(*m)) {
    const size_t least = ControlSize(*m);
    std::vector<uint8_t> out(least);
    if (least > size || BuildControl(*m, absl::MakeSpan(out)) != least ||
        !std::equal(out.begin(), out.end(), in.begin())) {
      abort();
    }
  }
  if (auto p = DecodeInitiationPayload(in); p.ok()) {
    std::vector<uint8_t> out(kInitiationPayloadSize);
    EncodeInitiationPayload(*p, absl::MakeSpan(out));
    if (!std::equal(out.begin(), out.end(), in.begin())) abort();
    (void)p->timestamp.Plus(cipe::Duration(1)).IsValid();
  }
  if (auto p = DecodeResponsePayload(in); p.ok()) {
    std::vector<uint8_t> out(kResponsePayloadSize);
    EncodeResponsePayload(*p, absl::MakeSpan(out));
    if (!std::equal(out.begin(), out.end(), in.begin())) abort();
  }
  return 0;
}
