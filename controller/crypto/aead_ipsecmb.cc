// Packet AEAD with intel-ipsec-mb's direct calls. Its assembler handles one packet in tens of
// nanoseconds because key schedule and hash-key powers are computed once per key.
#include <intel-ipsec-mb.h>

#include <cstring>
#include <new>

#include "base/bytes.h"
#include "crypto/aead_backend.h"

namespace cipe::internal {
namespace {

// Only the manager's table of functions is used, and only read after it was set up; so one manager
// serves all threads. It lives as long as the process.
const IMB_MGR* SetUpManager() {
  IMB_MGR* mgr = alloc_mb_mgr(0);
  if (mgr == nullptr) return nullptr;
  // Without these the library would emulate AES in software, slower than OpenSSL does it.
  constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2;
  if ((mgr->features & kNeeded) == kNeeded) {
    init_mb_mgr_auto(mgr, nullptr);
    const bool tested = (mgr->features & IMB_FEATURE_SELF_TEST) == 0 ||
                        (mgr->features & IMB_FEATURE_SELF_TEST_PASS);
    if (imb_get_errno(mgr) == 0 && tested && mgr->gcm256_enc != nullptr) return mgr;
  }
  free_mb_mgr(mgr);
  return nullptr;
}

const IMB_MGR* Manager() {
  static const IMB_MGR* const mgr = SetUpManager();
  return mgr;
}

// The per-packet contexts hold one-time keys and key stream, so they live here, where they are
// wiped, and not on the stack. The assembler loads the schedule with aligned vector instructions.
struct alignas(64) AesGcm {
  gcm_key_data schedule;
  gcm_context_data context;

  explicit AesGcm(const uint8_t* key) { IMB_AES256_GCM_PRE(Manager(), key, &schedule); }

  void Seal(const IMB_MGR* mgr, const SealJob& job) {
    uint8_t nonce[kAeadNonceSize] = {};
    StoreBe64(nonce + 4, job.counter);
    IMB_AES256_GCM_ENC(mgr, &schedule, &context, job.out, job.in, job.size, nonce, job.aad,
                       kDataAadSize, job.out + job.size, kAeadTagSize);
  }

  void Open(const IMB_MGR* mgr, const OpenJob& job, uint8_t* tag) {
    uint8_t nonce[kAeadNonceSize] = {};
    StoreBe64(nonce + 4, job.counter);
    IMB_AES256_GCM_DEC(mgr, &schedule, &context, job.data, job.data, job.size, nonce, job.aad,
                       kDataAadSize, tag, kAeadTagSize);
  }
};

struct alignas(64) ChaChaPoly {
  uint8_t key[kAeadKeySize];
  chacha20_poly1305_context_data context;

  explicit ChaChaPoly(const uint8_t* octets) { std::memcpy(key, octets, sizeof key); }

  void Seal(const IMB_MGR* mgr, const SealJob& job) {
    Begin(mgr, job.counter, job.aad);
    if (job.size != 0) {
      IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, key, &context, job.out, job.in, job.size);
    }
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &context, job.out + job.size, kAeadTagSize);
  }

  void Open(const IMB_MGR* mgr, const OpenJob& job, uint8_t* tag) {
    Begin(mgr, job.counter, job.aad);
    if (job.size != 0) {
      IMB_CHACHA20_POLY1305_DEC_UPDATE(mgr, key, &context, job.data, job.data, job.size);
    }
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(mgr, &context, tag, kAeadTagSize);
  }

 private:
  void Begin(const IMB_MGR* mgr, uint64_t counter, const uint8_t* aad) {
    uint8_t nonce[kAeadNonceSize] = {};
    StoreLe64(nonce + 4, counter);
    IMB_CHACHA20_POLY1305_INIT(mgr, key, &context, nonce, aad, kDataAadSize);
  }
};

template <typename Cipher>
void* Create(const Secret<kAeadKeySize>& key) {
  return new (std::nothrow) Cipher(key.UnsafeBytes().data());
}

template <typename Cipher>
void Destroy(void* state) {
  WipeMemory(state, sizeof(Cipher));
  delete static_cast<Cipher*>(state);
}

template <typename Cipher>
void Seal(void* state, absl::Span<const SealJob> jobs) {
  Cipher& cipher = *static_cast<Cipher*>(state);
  const IMB_MGR* mgr = Manager();
  for (const SealJob& job : jobs) cipher.Seal(mgr, job);
}

template <typename Cipher>
void Open(void* state, absl::Span<OpenJob> jobs) {
  Cipher& cipher = *static_cast<Cipher*>(state);
  const IMB_MGR* mgr = Manager();
  uint8_t tag[kAeadTagSize];
  for (OpenJob& job : jobs) {
    cipher.Open(mgr, job, tag);
    // The library compares no tags and has already decrypted: what is not authentic goes.
    job.ok = ConstantTimeEqual(tag, absl::MakeConstSpan(job.data + job.size, kAeadTagSize));
    if (!job.ok) WipeMemory(job.data, job.size);
  }
  // The right tag for a forged frame would let its sender through.
  WipeMemory(tag, sizeof tag);
}

template <typename Cipher>
constexpr AeadOps kOps = {Create<Cipher>, Destroy<Cipher>, Seal<Cipher>, Open<Cipher>};

}  // namespace

bool IpsecMbAvailable() { return Manager() != nullptr; }

const AeadOps& IpsecMbOps(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? kOps<AesGcm> : kOps<ChaChaPoly>;
}

}  // namespace cipe::internal
