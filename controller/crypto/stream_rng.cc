#include "crypto/stream_rng.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cipe {
namespace {

// Fresh randomness from the kernel after this many refills: 4 MB.
constexpr uint32_t kReseed = 1024;

void Check(int result) {
  if (result == 1) return;
  std::fprintf(stderr, "OpenSSL refuses ChaCha20\n");
  std::abort();
}

}  // namespace

struct StreamRng::Context {
  EVP_CIPHER_CTX* evp = EVP_CIPHER_CTX_new();
  ~Context() { EVP_CIPHER_CTX_free(evp); }
};

StreamRng::StreamRng() : context_(std::make_unique<Context>()), used_(buffer_.size()) {}

StreamRng::~StreamRng() { WipeMemory(buffer_.data(), buffer_.size()); }

void StreamRng::Refill() {
  if (refills_++ % kReseed == 0) SystemRng().Fill(key_.UnsafeMutableBytes());
  // Each key makes one buffer only, so that counter and nonce may start at zero every time.
  constexpr std::array<uint8_t, 16> kCounterAndNonce{};
  buffer_.fill(0);
  int written = 0;
  Check(EVP_EncryptInit_ex(context_->evp, EVP_chacha20(), nullptr, key_.UnsafeBytes().data(),
                           kCounterAndNonce.data()));
  Check(EVP_EncryptUpdate(context_->evp, buffer_.data(), &written, buffer_.data(),
                          static_cast<int>(buffer_.size())));
  std::memcpy(key_.UnsafeMutableBytes().data(), buffer_.data(), key_.kSize);
  WipeMemory(buffer_.data(), key_.kSize);
  used_ = key_.kSize;
}

void StreamRng::Fill(absl::Span<uint8_t> out) {
  while (!out.empty()) {
    if (used_ == buffer_.size()) Refill();
    const size_t n = std::min(out.size(), buffer_.size() - used_);
    std::memcpy(out.data(), buffer_.data() + used_, n);
    // What was handed out is no longer here.
    std::memset(buffer_.data() + used_, 0, n);
    used_ += n;
    out.remove_prefix(n);
  }
}

}  // namespace cipe
