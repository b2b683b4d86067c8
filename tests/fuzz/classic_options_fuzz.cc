// Options of protocol 3: the input is cut at its zero octets into a file, a second file and words
// of a command line. What the parser lets through keeps the struct's promises, and writing it down
// and reading it again gives the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "config/classic_parser.h"

namespace {

using namespace cipe;
using namespace cipe::config;

void CheckPromises(const ClassicOptions& o) {
  if (o.nokey == o.key.has_value()) abort();
  if (!o.ipaddr.is_v4() || !o.ptpaddr.is_v4() || o.ipaddr.is_unspecified()) abort();
  if (o.mtu < 68 || o.mtu > 65475 || o.cttl < 0 || o.cttl > 255 || o.metric < 0) abort();
  if (o.tokxc < 0 || o.tokey < 0 || o.tokxts < 0 || o.ping < 0 || o.toping < 0) abort();
  if (o.maxerr < -1 || o.ipup.empty() || o.ipup[0] != '/' || o.ipdown[0] != '/') abort();
  if (o.socks_user.empty() == o.socks_password.has_value()) abort();
  if (o.device.size() > 15 || o.carrier.size() > 15) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view all(reinterpret_cast<const char*>(data), size);
  const std::vector<absl::string_view> parts = absl::StrSplit(all, '\0');
  ClassicParser parser(ClassicCipher::kIdea, {});
  for (size_t i = 0; i < parts.size(); ++i) {
    const absl::Status status = i < 2 ? parser.AddFile("/etc/cipe/options", parts[i])
                                      : parser.AddWord(static_cast<int>(i) - 1, parts[i]);
    if (!status.ok()) {
      if (status.message().empty()) abort();
      return 0;
    }
  }
  absl::StatusOr<ClassicOptions> options = parser.Finish();
  if (!options.ok()) return 0;
  CheckPromises(*options);
  ClassicOptions copy = options->Clone();
  if (!(copy == *options)) abort();
  copy.device = "cipcb0";
  const SecretText text = WriteClassicOptions(copy);
  const auto again = ParseClassicTunnel("cipcb0", "/again", text.UnsafeView());
  if (!again.ok() || !(*again->classic == copy)) abort();
  return 0;
}
