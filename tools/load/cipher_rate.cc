// cipher_rate: what libgcrypt alone does in Blowfish-CBC on one core, packet after packet as a
// classic tunnel has them: the measure that tools/demo --classic holds the tunnel against.
//   cipher_rate [--size OCTETS] [--seconds S]
// Prints one JSON object. Exit codes: 0 ran, 1 failed, 2 wrong usage.
#include <gcrypt.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace cipe::load {
namespace {

constexpr size_t kBlock = 8;
constexpr size_t kKey = 16;
constexpr size_t kTrailer = 5;   // trailer octet and CRC
constexpr size_t kPackets = 64;  // as many as a burst of the tunnel: in the cache, not in one line
constexpr int kRoundsPerLook = 16;

struct Rate {
  uint64_t packets = 0;
  double seconds = 0;
};

// `size` is the inner packet's; what is encrypted is that, padded, with its trailer.
Rate Measure(gcry_cipher_hd_t cipher, size_t size, double seconds) {
  const size_t sealed = (size + kTrailer + kBlock - 1) / kBlock * kBlock;
  std::vector<std::vector<uint8_t>> packets(kPackets, std::vector<uint8_t>(sealed, 0x5a));
  std::array<uint8_t, kBlock> iv{};
  Rate rate;
  const auto start = std::chrono::steady_clock::now();
  while (rate.seconds < seconds) {
    for (int round = 0; round < kRoundsPerLook; ++round) {
      for (auto& packet : packets) {
        iv[0] = static_cast<uint8_t>(rate.packets++);
        gcry_cipher_setiv(cipher, iv.data(), iv.size());
        if (gcry_cipher_encrypt(cipher, packet.data(), packet.size(), nullptr, 0) != 0) return {};
      }
    }
    rate.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return rate;
}

int Main(int argc, char** argv) {
  CLI::App app("Blowfish-CBC of libgcrypt, one core, one packet after the other");
  size_t size = 1442;
  double seconds = 1;
  app.add_option("--size", size, "of the inner packet, octets")->check(CLI::Range(20, 65000));
  app.add_option("--seconds", seconds)->check(CLI::Range(0.1, 60.0));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  gcry_check_version(nullptr);
  gcry_cipher_hd_t cipher;
  const std::array<uint8_t, kKey> key = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  if (gcry_cipher_open(&cipher, GCRY_CIPHER_BLOWFISH, GCRY_CIPHER_MODE_CBC, 0) != 0 ||
      gcry_cipher_setkey(cipher, key.data(), key.size()) != 0) {
    std::fprintf(stderr, "cipher_rate: libgcrypt has no Blowfish\n");
    return 1;
  }
  const Rate rate = Measure(cipher, size, seconds);
  gcry_cipher_close(cipher);
  if (rate.packets == 0) return 1;
  const double per_second = static_cast<double>(rate.packets) / rate.seconds;
  std::printf("{\"packets_per_second\": %.0f, \"inner_mbit\": %.1f}\n", per_second,
              per_second * static_cast<double>(size) * 8 / 1e6);
  return 0;
}

}  // namespace
}  // namespace cipe::load

int main(int argc, char** argv) { return cipe::load::Main(argc, argv); }
