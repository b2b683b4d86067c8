// Tunnel files: the first octet chooses what key files hold, the rest is the file.
#include <cstdint>
#include <cstdlib>

#include "config/config.h"
#include "config/parser.h"

namespace {

constexpr absl::string_view kKeyFiles[] = {
    "", "00112233445566778899aabbccddeeff",
    "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view key_file = kKeyFiles[data[0] % 4];
  const absl::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto read_key = [&](const std::string&) -> absl::StatusOr<cipe::config::SecretText> {
    return cipe::config::SecretText::Copy(key_file);
  };
  const auto tunnel = cipe::config::ParseTunnel("fuzz", "/etc/cipe/fuzz.conf", text, read_key);
  if (!tunnel.ok()) {
    if (tunnel.status().message().empty()) abort();
    return 0;
  }
  // What the parser lets through keeps the model's promises.
  const cipe::config::Tunnel& t = *tunnel;
  if (t.lanes < 1 || t.lanes > 64 || t.rekey_s < 15 || t.rekey_s > 120) abort();
  if (!t.classic && t.mtu != 0 && (t.mtu < 576 || t.mtu > 65535)) abort();
  for (const cipe::config::Peer& p : t.peers) {
    const bool shared = p.auth == cipe::config::Auth::kSharedKey;
    if (p.name.empty()) abort();
    if (!t.classic && shared != p.shared_key.has_value()) abort();
    if (!shared && !t.private_key) abort();
    for (const cipe::IpPrefix& a : p.allowed_ips) {
      if (a != a.Masked()) abort();
    }
  }
  if (!cipe::config::CheckAcross(absl::MakeConstSpan(&t, 1)).ok()) abort();
  return 0;
}
