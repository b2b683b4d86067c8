#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/control/sample_snapshot.h"
#include "tools/cipectl/render_human.h"
#include "tools/cipectl/render_script.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/units.h"

namespace cipe::cipectl {
namespace {

using control::Object;
using control::SampleSnapshot;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UnitsTest, Sizes) {
  EXPECT_EQ(HumanSize(0), "0 B");
  EXPECT_EQ(HumanSize(1023), "1023 B");
  EXPECT_EQ(HumanSize(1024), "1.00 KiB");
  EXPECT_EQ(HumanSize(10 * 1024), "10.0 KiB");
  EXPECT_EQ(HumanSize(100 * 1024), "100 KiB");
  EXPECT_EQ(HumanSize(1023 * 1024), "1.00 MiB");
  EXPECT_EQ(HumanSize(uint64_t{3} << 30), "3.00 GiB");
  EXPECT_EQ(HumanSize(UINT64_MAX), "16.0 EiB");
}

TEST(UnitsTest, Ages) {
  EXPECT_EQ(HumanAge(-5), "now");
  EXPECT_EQ(HumanAge(0), "now");
  EXPECT_EQ(HumanAge(1), "1 second");
  EXPECT_EQ(HumanAge(59), "59 seconds");
  EXPECT_EQ(HumanAge(60), "1 minute");
  EXPECT_EQ(HumanAge(63), "1 minute 3 seconds");
  EXPECT_EQ(HumanAge(3600), "1 hour");
  EXPECT_EQ(HumanAge(3659), "1 hour");
  EXPECT_EQ(HumanAge(2 * 86400 + 3600), "2 days 1 hour");
}

TEST(HumanTest, TellsRungAgeDropsAndWhatToTry) {
  const std::string text = RenderHuman(SampleSnapshot(), Object::kAll);
  EXPECT_THAT(text, HasSubstr("tunnel site-a: degraded (peer does not answer)"));
  EXPECT_THAT(text, HasSubstr("rung 2 of 3, AF_XDP copy mode in, UDP GSO out (veth has no zero"));
  EXPECT_THAT(text, HasSubstr("latest handshake: 1 minute 3 seconds ago"));
  EXPECT_THAT(text, HasSubstr("latest handshake: never"));
  EXPECT_THAT(text, HasSubstr("dropped: 3 rx_replayed"));
  EXPECT_THAT(text, HasSubstr("peer old: no answer"));
  EXPECT_THAT(text, HasSubstr("why: no answer to 3 initiations"));
  EXPECT_THAT(text, HasSubstr("try: look at the other end"));
}

// An older daemon gives none: the drops do then.
TEST(HumanTest, WithoutAdviceTheDropsSayWhatToTry) {
  auto snapshot = SampleSnapshot();
  snapshot.peers[1].advice.reset();
  EXPECT_THAT(RenderHuman(snapshot, Object::kAll), HasSubstr("try: compare PresharedKey"));
}

TEST(HumanTest, SaysNothingOfZeroDrops) {
  auto snapshot = SampleSnapshot();
  snapshot.tunnels[0].drops = {{"rx_replayed", 0}};
  snapshot.peers.pop_back();
  EXPECT_THAT(RenderHuman(snapshot, Object::kAll), Not(HasSubstr("dropped")));
}

TEST(HumanTest, EmptyDaemonSaysHowToGoOn) {
  EXPECT_THAT(RenderHuman({}, Object::kAll), HasSubstr("cipectl up NAME"));
  EXPECT_EQ(RenderHuman({}, Object::kSessions), "no sessions\n");
  EXPECT_EQ(RenderHuman({}, Object::kDrops), "nothing dropped\n");
}

TEST(HumanTest, PeersSayWhyTheirRungIsNotHigher) {
  EXPECT_THAT(RenderHuman(SampleSnapshot(), Object::kPeers),
              HasSubstr("rung 2 of 3, AF_XDP copy mode in, UDP GSO out (veth has no zero copy)"));
}

TEST(HumanTest, NamesCannotSteerTheTerminal) {
  auto snapshot = SampleSnapshot();
  snapshot.peers[0].name = "a\x1b[2J\rb";
  EXPECT_THAT(RenderHuman(snapshot, Object::kPeers), HasSubstr("peer a?[2J?b"));
}

TEST(ScriptTest, OneLinePerPeerWithTabs) {
  EXPECT_EQ(RenderScript(control::ToJson(SampleSnapshot()), Object::kPeers),
            "site-a\thub\tHUB\t192.0.2.1:6789\t10.9.0.1/32,10.0.1.0/24\t1700000037\t"
            "18446744073709551615\t1\t3\t4\t2\t1500\t25\tconnected\t-\t"
            "veth has no zero copy\tprobe\n"
            "site-a\told\tshared\t-\t-\t-\t0\t0\t0\t0\t-\t-\t-\tno_answer\ths_wrong_psk=1\t-\t-\n");
}

TEST(ScriptTest, FieldIsOneValuePerLine) {
  const auto json = control::ToJson(SampleSnapshot());
  EXPECT_EQ(*RenderField(json, Object::kPeers, "endpoint"), "192.0.2.1:6789\n-\n");
  EXPECT_EQ(*RenderField(json, Object::kTunnels, "carriers"), "eth0\n");
  EXPECT_EQ(*RenderField(json, Object::kPeers, "why"), "-\nno answer to 3 initiations\n");
  EXPECT_EQ(RenderField(json, Object::kPeers, "private_key").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ScriptTest, ValuesCannotForgeColumnsOrLines) {
  auto snapshot = SampleSnapshot();
  snapshot.peers[0].name = "a\tb\nc";
  EXPECT_EQ(*RenderField(control::ToJson(snapshot), Object::kPeers, "name"), "a b c\nold\n");
}

TEST(TunnelNameTest, NameOrFileInTheConfigDirectory) {
  EXPECT_EQ(*TunnelNameOf("site-a", "/etc/cipe"), "site-a");
  EXPECT_EQ(*TunnelNameOf("/etc/cipe/site-a.conf", "/etc/cipe"), "site-a");
  EXPECT_EQ(*TunnelNameOf("/etc/../etc/cipe/site-a.conf", "/etc/cipe"), "site-a");
  EXPECT_FALSE(TunnelNameOf("/tmp/site-a.conf", "/etc/cipe").ok());
  EXPECT_FALSE(TunnelNameOf("/etc/cipe/site-a.txt", "/etc/cipe").ok());
  EXPECT_FALSE(TunnelNameOf("a%d", "/etc/cipe").ok());
}

}  // namespace
}  // namespace cipe::cipectl
