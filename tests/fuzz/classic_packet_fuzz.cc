// Protocol 3 as it comes from the network, decrypted or in clear: packets, exchange and control
// blocks, the SOCKS5 header. Nothing is read beyond the input, and what parses lies within it.
#include <cstdlib>
#include <vector>

#include "base/bytes.h"
#include "classic/block.h"
#include "classic/crc32.h"
#include "classic/packet.h"
#include "classic/socks_header.h"

using namespace cipe::classic;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)ReadSocksHeader({data, size});
  Block block;
  if (ReadBlock({data, size}, &block) == 0) {
    for (const char c : block.text) {
      if (c < ' ' || c > '~') abort();  // it goes to the log
    }
  }
  std::vector<uint8_t> packet(data, data + size);
  if (CheckLength(size) != 0) return 0;
  (void)HasKeyFlag(packet.data());
  // Nobody guesses a CRC; who has the key need not.
  cipe::StoreBe32(packet.data() + size - 4,
                  Crc32(absl::MakeConstSpan(packet.data() + kIvSize, size - kIvSize - 4)));
  Disassembled out;
  if (Disassemble(packet.data(), size, &out) != 0) return 0;
  if (out.payload < packet.data() || out.payload + out.size > packet.data() + size) abort();
  if (ReadBlock({out.payload, out.size}, &block) == 0 && block.text.size() > 4 * kMostDebugText) {
    abort();
  }
  return 0;
}
