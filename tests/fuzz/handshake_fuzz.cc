// Handshake messages with a mac1 that fits, so that the input reaches the Noise machine. The first
// octet chooses pattern, suite and role; the rest is laid over a genuine frame, so that small
// changes of real messages are tried as well as noise.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "handshake/initiator.h"
#include "handshake/responder.h"

using namespace cipe;
using namespace cipe::handshake;

namespace {

class CountingRng final : public Rng {
 public:
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& o : out) o = ++next_;
  }

 private:
  uint8_t next_ = 0;
};

Secret<32> Key(uint8_t fill) { return Secret<32>::FromSpan(std::vector<uint8_t>(32, fill)); }

struct World {
  Identity alice = *Identity::Create(Key(1));
  Identity bob = *Identity::Create(Key(2));
  SharedKeyIdentity shared = *SharedKeyIdentity::Create(Key(3).UnsafeBytes());
};

protocol::Parameters Params(uint8_t node) {
  protocol::Parameters p;
  p.node_id.fill(node);
  p.mtu = 1400;
  return p;
}

// XOR of the input over the frame, then a fitting mac1. True when nothing was changed.
bool Overlay(std::vector<uint8_t>& frame, absl::Span<const uint8_t> in, const MacKeys& keys) {
  const std::vector<uint8_t> before = frame;
  const size_t end = frame.size() - 2 * protocol::kMacSize;
  for (size_t i = 0; i < std::min(in.size(), end); ++i) frame[i] ^= in[i];
  const Mac mac1 = ComputeMac1(keys, absl::MakeConstSpan(frame).first(end));
  std::copy(mac1.begin(), mac1.end(), frame.begin() + end);
  return frame == before;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World* const world = new World;
  if (size == 0) return 0;
  const bool ik = (data[0] & 1) != 0;
  const Suite suite = (data[0] & 2) != 0 ? Suite::kAesGcmSha256 : Suite::kChaChaPolyBlake2s;
  const bool change_response = (data[0] & 4) != 0;
  const absl::Span<const uint8_t> rest(data + 1, size - 1);
  CountingRng rng;
  ListenerKeys keys(suite, &world->bob);
  if (!keys.AddSharedKey(&world->shared).ok()) abort();
  (void)keys.Peek(rest).ok();

  InitiatorOptions o;
  o.pattern = ik ? protocol::Pattern::kIkPsk2 : protocol::Pattern::kNnPsk0;
  o.suite = suite;
  o.local = &world->alice;
  o.remote_public_key = world->bob.public_key();
  o.shared = &world->shared;
  o.parameters = Params(7);
  o.timestamp = protocol::Tai64n::FromWall(WallTime{1'700'000'000'000'000'000});
  o.sender_index = 0x40;
  Initiator alice = *Initiator::Create(o, rng);
  CookieHolder holder;
  (void)alice.ConsumeResponse(rest).ok();
  (void)alice.ConsumeCookieReply(rest, Instant{}, holder).ok();

  std::vector<uint8_t> frame(alice.frame().begin(), alice.frame().end());
  bool genuine = true;
  if (!change_response) {
    genuine = Overlay(frame, rest, ik ? world->bob.mac_keys() : world->shared.mac_keys());
  }
  auto peeked = keys.Peek(frame);
  if (!peeked.ok()) return 0;
  auto responder = Responder::Create(keys, *peeked);
  if (!responder.ok()) return 0;
  if (!responder->Consume(nullptr, Params(8).node_id).ok()) return 0;
  if (!genuine) abort();  // a forgery
  std::vector<uint8_t> response(protocol::kResponseSize);
  if (!responder->BuildResponse(Params(8), 0x80, rng, absl::MakeSpan(response)).ok()) abort();
  const std::vector<uint8_t> right = response;
  if (change_response) {
    genuine = Overlay(response, rest, ik ? world->alice.mac_keys() : world->shared.mac_keys());
  }
  if (alice.ConsumeResponse(response).ok() != genuine) abort();
  if (!genuine && !alice.ConsumeResponse(right).ok()) abort();  // state was lost
  return 0;
}
