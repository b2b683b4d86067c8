#include "classic/link.h"

#include "cipe/abi/drop_reasons.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {
namespace {

using namespace std::chrono_literals;

Key KeyNumber(uint64_t n) {
  Key key;
  CountingRng(n).Fill(key.UnsafeMutableBytes());
  return key;
}

class LinkTest : public testing::Test {
 protected:
  static std::unique_ptr<Link> Make(bool static_data = false) {
    Link::Setup setup;
    setup.static_key = StaticKey();
    setup.policy.static_data = static_data;
    return *Link::Create(setup);
  }
  // A data packet of `link` at now_; empty: it has to wait.
  std::vector<uint8_t> Seal(Link& link, size_t size = 60) {
    std::vector<uint8_t> packet(SealedSize(size));
    Assemble(PacketType::kData, std::vector<uint8_t>(size, 0x45), rng_, packet.data());
    const CbcPacket cbc{packet.data(), static_cast<uint32_t>(packet.size())};
    if (!link.SealData(absl::MakeConstSpan(&cbc, 1), now_, &report_)) packet.clear();
    return packet;
  }
  std::vector<uint8_t> SealBlock(Link& link, Under under) {
    std::vector<uint8_t> packet(SealedSize(60));
    Assemble(PacketType::kNewKey, std::vector<uint8_t>(60, 2), rng_, packet.data());
    link.SealBlock({packet.data(), static_cast<uint32_t>(packet.size())}, under, now_, &report_);
    return packet;
  }
  OpenJob Open(Link& link, std::vector<uint8_t> packet) {
    opened_ = std::move(packet);
    OpenJob job{opened_.data(), static_cast<uint32_t>(opened_.size())};
    link.Open(absl::MakeSpan(&job, 1), now_, &report_);
    return job;
  }

  CountingRng rng_{5};
  Instant now_ = FromNanos(1'000'000'000);
  LinkReport report_;
  std::vector<uint8_t> opened_;
};

TEST_F(LinkTest, DataWaitsForASendingKey) {
  auto link = Make();
  EXPECT_FALSE(link->MaySend());
  EXPECT_TRUE(Seal(*link).empty());
  ASSERT_TRUE(link->InstallSendKey(DynamicKey(), now_, 600s).ok());
  EXPECT_TRUE(link->MaySend());
  const auto packet = Seal(*link);
  ASSERT_FALSE(packet.empty());
  EXPECT_TRUE(HasKeyFlag(packet.data()));
  link->DropSendKey();
  EXPECT_FALSE(link->MaySend());
  EXPECT_TRUE(Seal(*link).empty());
}

TEST_F(LinkTest, StaticDataWhenAllowed) {
  auto link = Make(true);
  EXPECT_TRUE(link->MaySend());
  EXPECT_FALSE(HasKeyFlag(Seal(*link).data()));
  ASSERT_TRUE(link->InstallSendKey(DynamicKey(), now_, 600s).ok());
  EXPECT_TRUE(HasKeyFlag(Seal(*link).data()));
  link->DropSendKey();
  EXPECT_FALSE(HasKeyFlag(Seal(*link).data()));
}

TEST_F(LinkTest, BlocksGoUnderTheStaticKeyWhenSaidOrNeeded) {
  auto link = Make();
  EXPECT_FALSE(HasKeyFlag(SealBlock(*link, Under::kDynamic).data()));
  ASSERT_TRUE(link->InstallSendKey(DynamicKey(), now_, 600s).ok());
  EXPECT_FALSE(HasKeyFlag(SealBlock(*link, Under::kStatic).data()));
  EXPECT_TRUE(HasKeyFlag(SealBlock(*link, Under::kDynamic).data()));
}

TEST_F(LinkTest, StaticDataIsRefusedOnceADynamicKeyWasAgreed) {
  for (const bool allowed : {false, true}) {
    auto sender = Make(true), receiver = Make(allowed);
    const auto data = Seal(*sender);
    const auto block = SealBlock(*sender, Under::kStatic);
    EXPECT_EQ(Open(*receiver, data).drop, 0);
    ASSERT_TRUE(receiver->InstallReceiveKey(DynamicKey(), now_, 1200s).ok());
    EXPECT_EQ(Open(*receiver, data).drop, allowed ? 0 : cipe_drop_rx_classic_static_data);
    receiver->RetireReceiveKey(now_);
    EXPECT_EQ(Open(*receiver, data).drop, allowed ? 0 : cipe_drop_rx_classic_static_data);
    EXPECT_EQ(Open(*receiver, block).drop, 0) << "exchange blocks always may";
  }
}

TEST_F(LinkTest, AnUnknownDynamicKeyIsReportedOnceASecond) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(DynamicKey(), now_, 600s).ok());
  int reports = 0;
  for (int i = 0; i < 250; ++i, now_ += 10ms) {
    report_ = {};
    EXPECT_EQ(Open(*receiver, Seal(*sender)).drop, cipe_drop_rx_classic_no_key);
    reports += report_.no_key;
  }
  EXPECT_EQ(reports, 3);
}

TEST_F(LinkTest, ThePreviousKeyIsHeardForAWhile) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  const auto first = Seal(*sender);
  EXPECT_EQ(Open(*receiver, first).under, Under::kDynamic);
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(2), now_, 1200s).ok());
  EXPECT_EQ(Open(*receiver, first).under, Under::kPrevious);
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(2), now_, 600s).ok());
  EXPECT_EQ(Open(*receiver, Seal(*sender)).under, Under::kDynamic);
  now_ += Link::kPreviousLifetime;
  EXPECT_EQ(Open(*receiver, first).under, Under::kPrevious);
  now_ += 1s;
  EXPECT_EQ(Open(*receiver, first).drop, cipe_drop_rx_classic_crc);
}

// Two offers whose acknowledgements were lost, or an offer that comes late: what the peer really
// uses stays readable.
TEST_F(LinkTest, AKeyThatThePeerNeverUsesPushesNothingOut) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  EXPECT_EQ(Open(*receiver, Seal(*sender)).under, Under::kDynamic);
  for (uint64_t n = 2; n < 5; ++n) {
    ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(n), now_, 1200s).ok());
  }
  for (int i = 0; i < 100; ++i, now_ += 10s) {
    ASSERT_EQ(Open(*receiver, Seal(*sender)).under, Under::kPrevious) << i;
  }
}

// Keys of former sessions, each with data that was recorded under it.
TEST_F(LinkTest, KeysOfFormerSessionsLeaveTheOneInUse) {
  auto sender = Make(), receiver = Make(), former = Make();
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  EXPECT_EQ(Open(*receiver, Seal(*sender)).drop, 0);
  for (uint64_t n = 2; n < 5; ++n) {
    now_ += 1s;
    ASSERT_TRUE(former->InstallSendKey(KeyNumber(n), now_, 600s).ok());
    ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(n), now_, 1200s).ok());
    EXPECT_EQ(Open(*receiver, Seal(*former)).under, Under::kDynamic);
    EXPECT_EQ(Open(*receiver, Seal(*sender)).under, Under::kPrevious);
  }
}

TEST_F(LinkTest, AKeyThatOpensNothingIsReported) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(2), now_, 600s).ok());
  int reports = 0;
  for (int i = 0; i < 50; ++i, now_ += 100ms) {
    report_ = {};
    EXPECT_EQ(Open(*receiver, Seal(*sender)).drop, cipe_drop_rx_classic_crc);
    reports += report_.bad_packets;
  }
  EXPECT_EQ(reports, 3);  // 2 s, 3 s, 4 s
  EXPECT_TRUE(receiver->Due(now_).bad_packets);
  // Rubbish between good packets is no news.
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  for (int i = 0; i < 50; ++i, now_ += 100ms) {
    report_ = {};
    if (i % 10 == 0) {
      EXPECT_EQ(Open(*receiver, Seal(*sender)).drop, 0);
    }
    Open(*receiver, std::vector<uint8_t>(48, 0x80));
    EXPECT_FALSE(report_.bad_packets) << i;
  }
}

TEST_F(LinkTest, ARetiredKeyIsHeardForAWhileAndANewOneAskedFor) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  receiver->RetireReceiveKey(now_);
  int reports = 0;
  for (int i = 0; i < 30; ++i, now_ += 1s) {
    report_ = {};
    ASSERT_EQ(Open(*receiver, Seal(*sender)).under, Under::kPrevious);
    reports += report_.no_key;
  }
  EXPECT_EQ(reports, 30);
  now_ += 1s;
  EXPECT_EQ(Open(*receiver, Seal(*sender)).drop, cipe_drop_rx_classic_no_key);
}

TEST_F(LinkTest, ABatchMayMixEverything) {
  auto sender = Make(true), receiver = Make();
  const auto stat = SealBlock(*sender, Under::kStatic);
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(1), now_, 600s).ok());
  const auto old_key = Seal(*sender, 1400);
  ASSERT_TRUE(sender->InstallSendKey(KeyNumber(2), now_, 600s).ok());
  const auto new_key = Seal(*sender, 100);
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(1), now_, 1200s).ok());
  ASSERT_EQ(Open(*receiver, old_key).drop, 0);
  ASSERT_TRUE(receiver->InstallReceiveKey(KeyNumber(2), now_, 1200s).ok());
  auto damaged = new_key;
  damaged[50] ^= 1;
  std::vector<std::vector<uint8_t>> packets = {
      new_key, stat, old_key, damaged, {1, 2, 3}, old_key, new_key, std::vector<uint8_t>(40, 0x80)};
  std::vector<OpenJob> jobs;
  for (auto& p : packets) jobs.push_back({p.data(), static_cast<uint32_t>(p.size())});
  receiver->Open(absl::MakeSpan(jobs), now_, &report_);
  const Under want[] = {Under::kDynamic, Under::kStatic,   Under::kPrevious, Under::kNothing,
                        Under::kNothing, Under::kPrevious, Under::kDynamic,  Under::kNothing};
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(jobs[i].drop == 0 ? jobs[i].under : Under::kNothing, want[i]) << i;
  }
  EXPECT_EQ(jobs[3].drop, cipe_drop_rx_classic_crc);
  EXPECT_EQ(jobs[4].drop, cipe_drop_rx_classic_length);
  EXPECT_EQ(jobs[7].drop, cipe_drop_rx_classic_crc);
  EXPECT_EQ(jobs[2].packet.size, 1400u);
  EXPECT_EQ(jobs[2].packet.payload[1399], 0x45);
}

TEST_F(LinkTest, LimitsOfPackets) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(DynamicKey(), now_, 0s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(DynamicKey(), now_, 0s).ok());
  uint32_t sent_at = 0, received_at = 0;
  for (uint32_t i = 1; i <= 65540; ++i) {
    report_ = {};
    const auto packet = Seal(*sender, 20);
    if (report_.send_limit && sent_at == 0) sent_at = i;
    ASSERT_EQ(Open(*receiver, packet).drop, 0);
    if (report_.receive_limit && received_at == 0) received_at = i;
  }
  EXPECT_EQ(sent_at, 32768u);
  EXPECT_EQ(received_at, 65535u);
}

TEST_F(LinkTest, LimitsOfTimeAreReportedUntilTheyAreHeard) {
  auto sender = Make(), receiver = Make();
  ASSERT_TRUE(sender->InstallSendKey(DynamicKey(), now_, 10s).ok());
  ASSERT_TRUE(receiver->InstallReceiveKey(DynamicKey(), now_, 20s).ok());
  int send = 0, receive = 0;
  for (int i = 0; i <= 230; ++i, now_ += 100ms) {
    report_ = {};
    ASSERT_EQ(Open(*receiver, Seal(*sender)).drop, 0);
    send += report_.send_limit;
    receive += report_.receive_limit;
  }
  EXPECT_EQ(send, 13);    // 10.1 s, 11.1 s ... 22.1 s
  EXPECT_EQ(receive, 3);  // 20.1 s ... 22.1 s
}

}  // namespace
}  // namespace cipe::classic
