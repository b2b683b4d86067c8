#include "classic/cipher.h"

#include <gcrypt.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"

namespace cipe::classic {
namespace {

// Most packets that one Encrypt works on side by side.
constexpr size_t kLanes = 64;
// Fewer are faster one after the other.
constexpr size_t kLeastLanes = 3;
constexpr size_t kVectorWidth = 4;  // blocks that libgcrypt works on at once
// Packets are joined up to this, so that what is decrypted stays in the first-level cache.
constexpr size_t kJoin = 1 << 14;

// Octets as the wire has them to octets as libgcrypt wants them, and back.
struct SwapHalves {  // the octets of each 32-bit word
  static uint64_t Swap(uint64_t v) { return std::rotl(SwapBytes(v), 32); }
};
struct SwapPairs {  // the octets of each 16-bit word
  static uint64_t Swap(uint64_t v) {
    constexpr uint64_t kLow = 0x00ff00ff00ff00ff;
    return ((v & kLow) << 8) | ((v >> 8) & kLow);
  }
};
struct SwapNothing {
  static uint64_t Swap(uint64_t v) { return v; }
};

template <typename Order>
void SwapCopy(const uint8_t* from, uint8_t* to, size_t size) {
  for (size_t i = 0; i < size; i += kBlockSize) StoreLe64(to + i, Order::Swap(LoadLe64(from + i)));
}

void InitLibrary() {
  static std::once_flag once;
  std::call_once(once, [] {
    gcry_check_version(nullptr);
    // Keys live in Secret; the expanded ones in handles that libgcrypt wipes when they close. Its
    // locked pool would only warn about the memory limit of an unprivileged process.
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
  });
}

class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Handle() { gcry_cipher_close(handle_); }

  gcry_error_t Open(int algorithm, int mode, absl::Span<const uint8_t> key) {
    const gcry_error_t error = gcry_cipher_open(&handle_, algorithm, mode, 0);
    return error != 0 ? error : gcry_cipher_setkey(handle_, key.data(), key.size());
  }
  gcry_cipher_hd_t get() const { return handle_; }

 private:
  gcry_cipher_hd_t handle_ = nullptr;
};

}  // namespace

struct Cipher::State {
  Algorithm algorithm = Algorithm::kBlowfish;
  Handle cbc;
  // Blowfish for sending: CFB decryption runs the forward cipher over many blocks at once, which
  // CBC encryption of one packet cannot; see Lockstep.
  Handle lanes;
  std::array<uint8_t, 1 << 16> scratch;

  template <typename Order>
  void EncryptOne(uint8_t* iv, uint32_t size);
  template <typename Order>
  void Lockstep(absl::Span<const CbcPacket> packets);
  template <typename Order>
  void Encrypt(absl::Span<const CbcPacket> packets);
  template <typename Order>
  void Decrypt(absl::Span<const CbcPacket> packets);
  template <typename Order>
  void DecryptJoined(absl::Span<const CbcPacket> packets, size_t joined);
};

Cipher::Cipher(std::unique_ptr<State> state) : state_(std::move(state)) {}
Cipher::Cipher(Cipher&&) noexcept = default;
Cipher& Cipher::operator=(Cipher&&) noexcept = default;
Cipher::~Cipher() {
  if (state_ != nullptr) WipeMemory(state_->scratch.data(), state_->scratch.size());
}

absl::StatusOr<Cipher> Cipher::Create(Algorithm algorithm, absl::Span<const uint8_t> key, Use use) {
  InitLibrary();
  auto state = std::make_unique<State>();
  state->algorithm = algorithm;
  const bool blowfish = algorithm == Algorithm::kBlowfish;
  const int number = blowfish ? GCRY_CIPHER_BLOWFISH : GCRY_CIPHER_IDEA;
  SecretBytes ordered = SecretBytes::FromSpan(key);
  if (algorithm == Algorithm::kIdea) {
    uint8_t* octets = ordered.UnsafeMutableBytes().data();
    SwapCopy<SwapPairs>(octets, octets, ordered.size());
  }
  gcry_error_t error = state->cbc.Open(number, GCRY_CIPHER_MODE_CBC, ordered.UnsafeBytes());
  if (error == 0 && blowfish && use == Use::kEncrypt) {
    error = state->lanes.Open(number, GCRY_CIPHER_MODE_CFB, ordered.UnsafeBytes());
  }
  if (error != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "libgcrypt refuses ", blowfish ? "Blowfish" : "IDEA", ": ", gcry_strerror(error),
        "; protocol 3 needs it, which FIPS mode (/etc/gcrypt/fips_enabled) does not have"));
  }
  return Cipher(std::move(state));
}

// The blocks after the one at `iv`; `size` counts that one too.
template <typename Order>
void Cipher::State::EncryptOne(uint8_t* iv, uint32_t size) {
  SwapCopy<Order>(iv, scratch.data(), size);
  gcry_cipher_setiv(cbc.get(), scratch.data(), kBlockSize);
  gcry_cipher_encrypt(cbc.get(), scratch.data() + kBlockSize, size - kBlockSize, nullptr, 0);
  SwapCopy<Order>(scratch.data() + kBlockSize, iv + kBlockSize, size - kBlockSize);
}

// CBC chains the blocks of one packet, but packets do not depend on each other: block i of all of
// them is encrypted in one call. CFB decryption with vector x[0] over x[1], x[2] ... gives
// E(x[0]) ^ x[1], E(x[1]) ^ x[2] ..., from which E is read off.
template <typename Order>
void Cipher::State::Lockstep(absl::Span<const CbcPacket> packets) {
  std::array<uint64_t, kLanes + 1> input{}, output{};
  std::array<uint64_t, kLanes> previous;
  std::array<const CbcPacket*, kLanes> active;
  size_t count = 0;
  for (const CbcPacket& packet : packets) {
    previous[count] = Order::Swap(LoadLe64(packet.data));
    active[count++] = &packet;
  }
  uint32_t at = kBlockSize;
  for (;; at += kBlockSize) {
    for (size_t i = 0; i < count;) {  // packets that are done leave
      if (active[i]->size > at) {
        ++i;
        continue;
      }
      --count;
      active[i] = active[count];
      previous[i] = previous[count];
    }
    if (count < kLeastLanes) break;
    const size_t width = std::max(count, kVectorWidth);
    for (size_t i = 0; i < count; ++i) {
      input[i] = Order::Swap(LoadLe64(active[i]->data + at)) ^ previous[i];
    }
    for (size_t i = count; i <= width; ++i) input[i] = 0;
    gcry_cipher_setiv(lanes.get(), input.data(), kBlockSize);
    gcry_cipher_decrypt(lanes.get(), output.data(), width * kBlockSize, input.data() + 1,
                        width * kBlockSize);
    for (size_t i = 0; i < count; ++i) {
      previous[i] = output[i] ^ input[i + 1];
      StoreLe64(active[i]->data + at, Order::Swap(previous[i]));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    EncryptOne<Order>(active[i]->data + at - kBlockSize, active[i]->size - at + kBlockSize);
  }
}

template <typename Order>
void Cipher::State::Encrypt(absl::Span<const CbcPacket> packets) {
  if (lanes.get() != nullptr && packets.size() >= kLeastLanes) {
    for (size_t i = 0; i < packets.size(); i += kLanes) Lockstep<Order>(packets.subspan(i, kLanes));
    return;
  }
  for (const CbcPacket& packet : packets) EncryptOne<Order>(packet.data, packet.size);
}

template <typename Order>
void Cipher::State::DecryptJoined(absl::Span<const CbcPacket> packets, size_t joined) {
  // Each packet's vector stands before its blocks, so that CBC over all of them opens each; what
  // comes out in the vectors' places is never looked at.
  constexpr std::array<uint8_t, kBlockSize> kNoVector{};
  gcry_cipher_setiv(cbc.get(), kNoVector.data(), kBlockSize);
  gcry_cipher_decrypt(cbc.get(), scratch.data(), joined, nullptr, 0);
  const uint8_t* from = scratch.data();
  for (const CbcPacket& packet : packets) {
    SwapCopy<Order>(from + kBlockSize, packet.data + kBlockSize, packet.size - kBlockSize);
    from += packet.size;
  }
}

template <typename Order>
void Cipher::State::Decrypt(absl::Span<const CbcPacket> packets) {
  size_t first = 0, joined = 0;
  for (size_t i = 0; i < packets.size(); ++i) {
    if (joined > 0 && joined + packets[i].size > kJoin) {
      DecryptJoined<Order>(packets.subspan(first, i - first), joined);
      first = i;
      joined = 0;
    }
    SwapCopy<Order>(packets[i].data, scratch.data() + joined, packets[i].size);
    joined += packets[i].size;
  }
  if (joined > 0) DecryptJoined<Order>(packets.subspan(first), joined);
}

void Cipher::Encrypt(absl::Span<const CbcPacket> packets) {
  switch (state_->algorithm) {
    case Algorithm::kBlowfish:
      return state_->Encrypt<SwapHalves>(packets);
    case Algorithm::kIdea:
      return state_->Encrypt<SwapPairs>(packets);
    case Algorithm::kIdeaBigEndian:
      return state_->Encrypt<SwapNothing>(packets);
  }
}

void Cipher::Decrypt(absl::Span<const CbcPacket> packets) {
  switch (state_->algorithm) {
    case Algorithm::kBlowfish:
      return state_->Decrypt<SwapHalves>(packets);
    case Algorithm::kIdea:
      return state_->Decrypt<SwapPairs>(packets);
    case Algorithm::kIdeaBigEndian:
      return state_->Decrypt<SwapNothing>(packets);
  }
}

}  // namespace cipe::classic
