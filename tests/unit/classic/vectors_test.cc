// Worked vectors of protocol 3: whole packets, made and taken apart, octet for
// octet.
#include <numeric>

#include "cipe/abi/drop_reasons.h"
#include "classic/block.h"
#include "classic/crc32.h"
#include "classic/link.h"
#include "classic/packet.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {
namespace {

constexpr char kPing[] = "4500002100010000400166d90a0000010a0000020800bc03123400016162636465";
constexpr char kRequest[] =
    "010a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3eaf1f8ff060d141b222930373e45"
    "4c"
    "3b9aca006f767d84";
constexpr char kIndication[] =
    "02c0ffee00112233445566778899aabbcc0047f65d969da4abb2b9c0c7ced5dce3eaf1f8ff060d141b222930373e45"
    "4c"
    "3b9aca006f767d84";

struct Vector {
  const char* name;
  Algorithm algorithm;
  bool dynamic;
  PacketType type;
  const char* payload;
  const char* packet;
};

constexpr Vector kVectors[] = {
    {"A Blowfish static", Algorithm::kBlowfish, false, PacketType::kData, kPing,
     "0102030405060708dbe8d0daf98bf8190af5b53bec82b86eaee2a0a41611ee876e1d293a268f2f5ac492a5100ccc4"
     "9"
     "3c"},
    {"A Blowfish dynamic", Algorithm::kBlowfish, true, PacketType::kData, kPing,
     "8102030405060708f631f8e2ee93fe477ef402c3a7983ec15b5c19f007e3c50448b5d8ae429465d1aea78bd2de994"
     "9"
     "15"},
    {"A IDEA static", Algorithm::kIdea, false, PacketType::kData, kPing,
     "01020304050607084ba3c7d313ed7ba305bd8b8dfd3e8b42508db2852ac70354b76ed6206b01d8f17ff2d0fcd1d59"
     "9"
     "26"},
    {"A IDEA dynamic", Algorithm::kIdea, true, PacketType::kData, kPing,
     "8102030405060708521fba2827f524414003e53ede20c549817895c7a573b9d0d91e3cddbe9089def180aa899ec62"
     "f"
     "fa"},
    {"B NK_REQ", Algorithm::kBlowfish, false, PacketType::kNewKey, kRequest,
     "01020304050607087b60a337c272129ecbe9e396144e43665fad7b8c8333c8809c04d5744a48d61b5a0c2d04ac34d"
     "e"
     "5be91e10396b84a83031e1dab97130379f2bc9aa58e14abe9f"},
    {"C NK_IND Blowfish", Algorithm::kBlowfish, false, PacketType::kNewKey, kIndication,
     "0102030405060708029c2862f51c385d6a6caefc1cbf6f7c5a2f59084c5d15a6340773a24038fa04ec11de2de69f6"
     "9"
     "4422a3968060f963b3d2c40b0a3071e07c5e3d553af40ed190"},
    {"C NK_IND IDEA", Algorithm::kIdea, false, PacketType::kNewKey, kIndication,
     "010203040506070817907f885115f40293c89171573d5165a4631f0879a6a6ffe66622369032a06b8c492bac09df0"
     "0"
     "7b566abd009bf32a005b63dbeca24c437a780f4a4dbff4cf25"},
};

std::unique_ptr<Link> MakeLink(Algorithm algorithm) {
  Link::Setup setup;
  setup.algorithm = algorithm;
  setup.static_key = StaticKey();
  setup.policy.static_data = true;
  auto link = Link::Create(setup);
  EXPECT_TRUE(link.ok()) << link.status();
  return *std::move(link);
}

TEST(VectorsTest, PacketsAreMadeOctetForOctet) {
  for (const Vector& v : kVectors) {
    SCOPED_TRACE(v.name);
    const std::vector<uint8_t> payload = FromHex(v.payload);
    std::vector<uint8_t> random = FromHex("0102030405060708a1a2a3a4a5a6a7");
    random.resize(kIvSize + PaddingOf(payload.size()));
    ScriptedRng rng(random);
    std::vector<uint8_t> packet(SealedSize(payload.size()));
    ASSERT_EQ(Assemble(v.type, payload, rng, packet.data()), packet.size());
    EXPECT_EQ(rng.left(), 0u);
    auto link = MakeLink(v.algorithm);
    LinkReport report;
    if (v.dynamic) {
      ASSERT_TRUE(link->InstallSendKey(DynamicKey(), {}, {}).ok());
    }
    const CbcPacket cbc{packet.data(), static_cast<uint32_t>(packet.size())};
    if (v.type == PacketType::kData) {
      ASSERT_TRUE(link->SealData(absl::MakeConstSpan(&cbc, 1), {}, &report));
    } else {
      link->SealBlock(cbc, Under::kDynamic, {}, &report);
    }
    EXPECT_EQ(ToHex(packet), v.packet);
  }
}

TEST(VectorsTest, PacketsAreTakenApart) {
  for (const Vector& v : kVectors) {
    SCOPED_TRACE(v.name);
    std::vector<uint8_t> packet = FromHex(v.packet);
    auto link = MakeLink(v.algorithm);
    if (v.dynamic) {
      ASSERT_TRUE(link->InstallReceiveKey(DynamicKey(), {}, {}).ok());
    }
    OpenJob job{packet.data(), static_cast<uint32_t>(packet.size())};
    LinkReport report;
    link->Open(absl::MakeSpan(&job, 1), {}, &report);
    ASSERT_EQ(job.drop, 0);
    EXPECT_EQ(job.under, v.dynamic ? Under::kDynamic : Under::kStatic);
    EXPECT_EQ(job.packet.type, v.type);
    EXPECT_EQ(ToHex(absl::MakeConstSpan(job.packet.payload, job.packet.size)), v.payload);
  }
}

// Filler octet i is (7 * i + 3) mod 256, no extra filler, time 1000000000.
std::vector<uint8_t> WriteVectorBlock(const Block& block) {
  std::vector<uint8_t> script(1 + kLeastBlock);
  for (size_t i = 0; i < kLeastBlock; ++i) script[1 + i] = static_cast<uint8_t>(7 * i + 3);
  ScriptedRng rng(script);
  std::vector<uint8_t> out(kMostBlock);
  out.resize(WriteBlock(block, WallTime{1'000'000'000'000'000'000}, rng, out.data()));
  return out;
}

TEST(VectorsTest, BlocksAreMadeOctetForOctet) {
  Block request;
  request.kind = Kind::kRequest;
  EXPECT_EQ(ToHex(WriteVectorBlock(request)), kRequest);
  Block indication;
  indication.kind = Kind::kIndication;
  indication.key = DynamicKey();
  indication.key_crc = KeyCrc(indication.key);
  EXPECT_EQ(indication.key_crc, 0x0047f65du);
  EXPECT_EQ(ToHex(WriteVectorBlock(indication)), kIndication);
}

TEST(VectorsTest, BlocksAreRead) {
  Block block;
  ASSERT_EQ(ReadBlock(FromHex(kIndication), &block), 0);
  EXPECT_EQ(block.kind, Kind::kIndication);
  EXPECT_TRUE(block.key == DynamicKey());
  EXPECT_EQ(block.timestamp, 1'000'000'000u);
  ASSERT_EQ(ReadBlock(FromHex(kRequest), &block), 0);
  EXPECT_EQ(block.kind, Kind::kRequest);
}

}  // namespace
}  // namespace cipe::classic
