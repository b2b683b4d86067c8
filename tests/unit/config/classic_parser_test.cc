// Options of protocol 3: grammar, defaults, special values, precedence, errors with their places.
#include "config/classic_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "config/config.h"

namespace cipe::config {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kKey[] = "101112131415161718191a1b1c1d1e1f";
constexpr char kLink[] =
    "me 10.0.0.1:6789\npeer 10.0.0.2:6543\nipaddr 10.0.1.1\nptpaddr 10.0.1.2\n";

std::string Full(absl::string_view more = "") {
  return absl::StrCat(kLink, "key ", kKey, "\n", more);
}

absl::StatusOr<ClassicOptions> Parse(absl::string_view file,
                                     const std::vector<std::string>& words = {}) {
  ClassicParser parser(ClassicCipher::kBlowfish, {});
  absl::Status status = parser.AddFile("/o", file);
  for (size_t i = 0; status.ok() && i < words.size(); ++i) {
    status = parser.AddWord(static_cast<int>(i) + 1, words[i]);
  }
  if (!status.ok()) return status;
  return parser.Finish();
}

std::string ErrorOf(absl::string_view file, const std::vector<std::string>& words = {}) {
  const auto options = Parse(file, words);
  EXPECT_FALSE(options.ok()) << file;
  return std::string(options.status().message());
}

TEST(ClassicParser, DefaultsAreTheHowtos) {
  const auto o = Parse(Full());
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->mtu, 1442);
  EXPECT_EQ(o->cttl, 0);
  EXPECT_EQ(o->metric, 0);
  EXPECT_EQ(o->tokxc, 10);
  EXPECT_EQ(o->tokey, 600);
  EXPECT_EQ(o->tokxts, 0);
  EXPECT_EQ(o->ping, 0);
  EXPECT_EQ(o->toping, 0);
  EXPECT_EQ(o->maxerr, 8);
  EXPECT_EQ(o->ipup, "/etc/cipe/ip-up");
  EXPECT_EQ(o->ipdown, "/etc/cipe/ip-down");
  EXPECT_EQ(o->arg, "");
  EXPECT_TRUE(o->udpsum);
  for (bool off : {o->nokey, o->debug, o->dynip, o->static_data, o->roam_any, o->kill}) {
    EXPECT_FALSE(off);
  }
  EXPECT_FALSE(o->socks.has_value());
  EXPECT_EQ(o->key->UnsafeBytes()[0], 0x10);
  EXPECT_EQ(o->key->UnsafeBytes()[15], 0x1f);
}

TEST(ClassicParser, HowtoCommandLine) {
  const auto o = Parse(absl::StrCat("key ", kKey, "\n"), {"me=10.0.0.1:6789", "peer=10.0.0.2:6543",
                                                          "ipaddr=10.0.1.1", "ptpaddr=10.0.1.2"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->me.ToString(), "10.0.0.1:6789");
  EXPECT_EQ(o->peer.ToString(), "10.0.0.2:6543");
  EXPECT_EQ(o->ipaddr.ToString(), "10.0.1.1");
  EXPECT_EQ(o->ptpaddr.ToString(), "10.0.1.2");
  EXPECT_FALSE(o->LearnsPeer());
  EXPECT_FALSE(o->LearnsPtpaddr());
}

TEST(ClassicParser, KeyAsMd5sumPrintsIt) {
  for (const char* tail : {"  -", " -", "\t-", "", "   "}) {
    const auto o = Parse(absl::StrCat(kLink, "key ", kKey, tail, "\n"));
    ASSERT_TRUE(o.ok()) << tail << o.status();
    EXPECT_EQ(o->key->UnsafeBytes()[1], 0x11);
  }
  EXPECT_TRUE(Parse(absl::StrCat(kLink, "key 101112131415161718191A1B1C1D1E1F")).ok());
}

TEST(ClassicParser, BadKeysAreNeverRepeated) {
  const std::string bad[] = {std::string(kKey, 31),      std::string(kKey) + "0",
                             std::string(31, '1') + "g", std::string(kKey) + "-",
                             std::string(kKey) + " - -", std::string(kKey) + " file",
                             std::string(32, '0')};
  for (const std::string& key : bad) {
    const std::string message = ErrorOf(absl::StrCat(kLink, "key ", key, "\n"));
    EXPECT_THAT(message, HasSubstr("/o:5:5: found "));
    EXPECT_THAT(message, Not(HasSubstr(key.substr(0, 8)))) << message;
  }
  // A wrapped line must not show up either.
  const std::string message = ErrorOf(absl::StrCat(kLink, "key\n", kKey, "\n"));
  EXPECT_THAT(message, HasSubstr("/o:5:"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kLink, kKey, "\n")), Not(HasSubstr("1011")));
}

TEST(ClassicParser, SecretsAreRefusedOnTheCommandLine) {
  for (const char* word : {"key=101112131415161718191a1b1c1d1e1f", "socks-password=hush101112"}) {
    const std::string message = ErrorOf(Full(), {"debug", word});
    EXPECT_THAT(message, HasSubstr("command line:2:1: "));
    EXPECT_THAT(message, HasSubstr("every user of this host can read it"));
    EXPECT_THAT(message, Not(HasSubstr("101112")));
  }
}

TEST(ClassicParser, KeyAndNokeyExcludeEachOther) {
  EXPECT_THAT(ErrorOf(Full("nokey\n")), HasSubstr("/o:6:1: found nokey beside key (/o:5:1)"));
  EXPECT_THAT(ErrorOf(Full(), {"nokey"}), HasSubstr("command line:1:1: found nokey beside key"));
  const auto o = Parse(kLink, {"nokey"});
  ASSERT_TRUE(o.ok());
  EXPECT_TRUE(o->nokey);
  EXPECT_FALSE(o->key.has_value());
  EXPECT_THAT(ErrorOf(kLink), HasSubstr("found no key, expected key in an options file"));
  EXPECT_TRUE(Parse(Full("nokey 0\n")).ok());
}

TEST(ClassicParser, LaterSourcesWin) {
  ClassicParser parser(ClassicCipher::kIdea, {});
  ASSERT_TRUE(parser.AddFile("/etc/cipe/options", Full("mtu 1000\nping 5\ntokey 60\n")).ok());
  ASSERT_TRUE(parser.AddFile("/o2", "mtu 1100\nping 6\nkey 000102030405060708090a0b0c0d0e0f").ok());
  ASSERT_TRUE(parser.AddWord(1, "mtu=1200").ok());
  const auto o = parser.Finish();
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->mtu, 1200);
  EXPECT_EQ(o->ping, 6);
  EXPECT_EQ(o->tokey, 60);
  EXPECT_EQ(o->key->UnsafeBytes()[15], 0x0f);
  EXPECT_EQ(o->cipher, ClassicCipher::kIdea);
}

TEST(ClassicParser, WithinAFileTheLastOneCounts) {
  // The HOWTO appends a new key to the sample file.
  const auto o = Parse(Full("key 000102030405060708090a0b0c0d0e0f  -\n"));
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(o->key->UnsafeBytes()[0], 0);
}

TEST(ClassicParser, LinesCommentsAndLineEnds) {
  const auto o = Parse(absl::StrCat("\xef\xbb\xbf# sample\n\n   # indented\r\n", Full(),
                                    "  mtu\t 1300 \r\narg a # b = c\nnokey 0\ndebug\n"));
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->mtu, 1300);
  EXPECT_EQ(o->arg, "a # b = c");
  EXPECT_TRUE(o->debug);
  EXPECT_THAT(ErrorOf(Full("mtu 1300 # low\n")), HasSubstr("a comment needs a line of its own"));
  EXPECT_THAT(ErrorOf(Full("mtu=1300\n")), HasSubstr("/o:6:1: "));
  EXPECT_THAT(ErrorOf(Full("mtu=1300\n")), HasSubstr("'name value' without '='"));
  EXPECT_THAT(ErrorOf(Full("mtu\n")), HasSubstr("/o:6:4: found mtu without a value"));
}

TEST(ClassicParser, LearnedPeersAndAddresses) {
  for (const char* peer : {"0.0.0.0:0", "0.0.0.0:6543", "10.0.0.2:0", "127.0.0.1:9", "0.0.0.0"}) {
    const auto o = Parse(Full(), {absl::StrCat("peer=", peer)});
    ASSERT_TRUE(o.ok()) << peer << o.status();
    EXPECT_TRUE(o->LearnsPeer()) << peer;
    EXPECT_TRUE(ClassicTunnel("t", "/t", o->Clone()).peers[0].endpoints.empty());
  }
  const auto o = Parse(Full("ptpaddr 0.0.0.0\n"));
  ASSERT_TRUE(o.ok());
  EXPECT_TRUE(o->LearnsPtpaddr());
  EXPECT_THAT(ErrorOf(Full("ipaddr 0.0.0.0\n")), HasSubstr("/o:6:1: found 0.0.0.0"));
  EXPECT_THAT(ErrorOf(Full("ptpaddr 10.0.1.1\n")), HasSubstr("same address as ipaddr"));
}

TEST(ClassicParser, MeMayBePartial) {
  const std::pair<const char*, const char*> cases[] = {{"0.0.0.0:6789", "0.0.0.0:6789"},
                                                       {":6789", "0.0.0.0:6789"},
                                                       {"10.0.0.1", "10.0.0.1:0"},
                                                       {"10.0.0.1:0", "10.0.0.1:0"}};
  for (const auto& [text, want] : cases) {
    const auto o = Parse(Full(), {absl::StrCat("me=", text)});
    ASSERT_TRUE(o.ok()) << text << o.status();
    EXPECT_EQ(o->me.ToString(), want);
  }
  const auto without =
      Parse(absl::StrCat("peer 1.2.3.4:5\nipaddr 1.1.1.1\nptpaddr 1.1.1.2\nnokey"));
  ASSERT_TRUE(without.ok());
  EXPECT_EQ(without->me.port, 0);
}

TEST(ClassicParser, NamesNeedALookup) {
  EXPECT_EQ(Parse(Full("peer vpn.example.org:6543\n"))->peer.host, "vpn.example.org");
  EXPECT_EQ(Parse(Full("socks proxy.example.org:1080\n"))->socks->host, "proxy.example.org");
  EXPECT_THAT(ErrorOf(Full("ipaddr tunnel.example.org\n")), HasSubstr("/o:6:8: "));
  EXPECT_THAT(ErrorOf(Full("peer 10.0.0.1:discard\n")), HasSubstr("a port number"));
  NameLookup names;
  names.host = [](const std::string& host) -> absl::StatusOr<IpAddress> {
    if (host == "inside") return IpAddress::Parse("10.7.7.7");
    if (host == "outside") return IpAddress::Parse("10.9.9.9");
    return absl::InvalidArgumentError("cannot resolve " + host);
  };
  names.service = [](const std::string& service,
                     const std::string& protocol) -> absl::StatusOr<uint16_t> {
    if (service == "cipe" && protocol == "udp") return uint16_t{963};
    return absl::InvalidArgumentError("no service");
  };
  ClassicParser parser(ClassicCipher::kBlowfish, names);
  ASSERT_TRUE(parser.AddFile("/o", Full("ipaddr inside\npeer vpn:cipe\nme outside:cipe\n")).ok());
  EXPECT_THAT(std::string(parser.AddFile("/o", "ptpaddr other").message()),
              HasSubstr("/o:1:9: cannot resolve other"));
  const auto o = parser.Finish();
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->ipaddr.ToString(), "10.7.7.7");
  EXPECT_EQ(o->peer.ToString(), "vpn:963");
  EXPECT_EQ(o->me.ToString(), "10.9.9.9:963");
}

// The tunnel's own packets would be routed into it, or the netdev have an address of nobody.
TEST(ClassicParser, InnerAddressesThatCannotBe) {
  EXPECT_THAT(ErrorOf(Full("peer 10.0.1.2:6543\n")), HasSubstr("the peer's carrier address"));
  EXPECT_THAT(ErrorOf(Full("me 10.0.1.1:6789\n")), HasSubstr("carrier address of `me`"));
  EXPECT_THAT(ErrorOf(Full("peer 10.0.1.1:6543\n")), HasSubstr("the peer's carrier address"));
  for (const char* address :
       {"255.255.255.255", "127.0.0.1", "224.0.1.1", "240.0.0.1", "0.0.0.5"}) {
    for (const char* option : {"ipaddr", "ptpaddr"}) {
      EXPECT_THAT(ErrorOf(Full(absl::StrCat(option, " ", address, "\n"))),
                  testing::AllOf(HasSubstr("/o:6:1: found "), HasSubstr(address)));
    }
  }
  EXPECT_TRUE(Parse(Full("ptpaddr 0.0.0.0\n")).ok());
  EXPECT_TRUE(Parse(Full("peer 0.0.0.0:0\n")).ok());
  EXPECT_TRUE(Parse(Full("peer 0.0.0.0:0\nptpaddr 0.0.0.0\n")).ok());
}

TEST(ClassicParser, SpecialValuesAndLimits) {
  const auto o = Parse(Full("maxerr -1\ntokxc 0\ntokey 0\nudpsum 0\ncttl 255\nmetric 7\n"));
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->maxerr, -1);
  EXPECT_EQ(o->tokxc, 0);
  EXPECT_EQ(o->tokey, 0);
  EXPECT_FALSE(o->udpsum);
  EXPECT_EQ(Parse(Full("maxerr 0\n"))->maxerr, 0);
  for (const char* bad : {"maxerr -2",
                          "mtu 67",
                          "mtu 65476",
                          "mtu -1",
                          "cttl 256",
                          "cttl -1",
                          "metric -1",
                          "metric 2147483648",
                          "tokxc 601",
                          "tokey 86401",
                          "tokxts -5",
                          "ping 1.5",
                          "toping 1e3",
                          "ping 99999999999999999999",
                          "maxerr --1",
                          "maxerr -",
                          "ipup scripts/up",
                          "device a/b",
                          "device 0123456789abcdef",
                          "cipher des",
                          "idea-order middle",
                          "debug maybe",
                          "me [::1]:5",
                          "peer ::1:5",
                          "peer 10.0.0.2",
                          "peer vpn.example.org",
                          "peer 10.0.0.1:65536",
                          "peer 10.0.0.300:5",
                          "peer :5:",
                          "socks 10.0.0.1",
                          "socks 10.0.0.1:0",
                          "ipaddr ::1",
                          "ipaddr 10.0.1.1/24",
                          "datapath fast",
                          "carrier a/b"}) {
    EXPECT_THAT(ErrorOf(Full(bad)), HasSubstr("/o:6:")) << bad;
    EXPECT_THAT(ErrorOf(Full(bad)), HasSubstr("expected")) << bad;
  }
}

TEST(ClassicParser, SwitchesOf1999) {
  const auto o =
      Parse(Full("static-data\nroam-any yes\nkill 1\ndynip\nidea-order be\ncipher idea\n"));
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->static_data && o->roam_any && o->kill && o->dynip);
  EXPECT_EQ(o->idea_order, IdeaOrder::kBig);
  EXPECT_EQ(o->cipher, ClassicCipher::kIdea);
}

TEST(ClassicParser, SocksNeedsAPeerAndWholeCredentials) {
  EXPECT_TRUE(Parse(Full("socks 10.0.0.9:1080\nsocks-user u\nsocks-password p w\n")).ok());
  EXPECT_THAT(ErrorOf(Full("socks 10.0.0.9:1080\npeer 0.0.0.0:0\n")), HasSubstr("/o:7:1: "));
  EXPECT_THAT(ErrorOf(Full("socks 10.0.0.9:1080\nsocks-user u\n")), HasSubstr("together"));
  EXPECT_THAT(ErrorOf(Full("socks 10.0.0.9:1080\nsocks-password u\n")), HasSubstr("together"));
  EXPECT_THAT(ErrorOf(Full("socks-user u\nsocks-password p\n")), HasSubstr("no socks server"));
  EXPECT_THAT(ErrorOf(Full(absl::StrCat("socks-password ", std::string(256, 'p')))),
              Not(HasSubstr("ppp")));
}

TEST(ClassicParser, RequiredOptions) {
  for (const char* name : {"peer", "ipaddr", "ptpaddr"}) {
    std::string text = Full();
    const size_t at = text.find(absl::StrCat("\n", name, " "));
    text.insert(at + 1, "#");
    EXPECT_THAT(ErrorOf(text), HasSubstr(absl::StrCat("found no ", name, ", expected"))) << name;
  }
}

TEST(ClassicParser, OptionsOfOtherVersionsAreExplained) {
  EXPECT_THAT(ErrorOf(Full("mask 255.255.255.0\n")), HasSubstr("protocol 4"));
  EXPECT_THAT(ErrorOf(Full("wheel 4\n")), HasSubstr("found 'wheel', expected an option of"));
  EXPECT_THAT(ErrorOf(Full(), {"=x"}), HasSubstr("command line:1:1: "));
  EXPECT_THAT(ErrorOf(Full(), {""}), HasSubstr("command line:1:1: "));
}

TEST(ClassicParser, HostileTextIsEscapedAndCut) {
  const std::string message = ErrorOf(Full(absl::StrCat("mtu \x1b[2J", std::string(5000, 'A'))));
  EXPECT_THAT(message, Not(HasSubstr("\x1b")));
  EXPECT_LT(message.size(), 300u);
  using namespace std::string_literals;
  EXPECT_THAT(ErrorOf(Full("ipaddr 10.0.1.1\0x\n"s)), HasSubstr("/o:6:8"));
  EXPECT_THAT(ErrorOf(Full("arg a\0b\n"s)), HasSubstr("no control characters"));
  EXPECT_THAT(ErrorOf(Full(), {"arg=a\nkill"}), HasSubstr("no control characters"));
  EXPECT_THAT(ErrorOf(Full(absl::StrCat("arg ", std::string(1025, 'x')))), HasSubstr("1024"));
}

TEST(ClassicParser, WritesWhatItReads) {
  const auto o =
      Parse(Full("socks proxy:1080\nsocks-user u\nsocks-password p w#\nmaxerr -1\n"
                 "arg a b = #c\ncttl 64\nmetric 3\nmtu 1400\ntokey 60\nkill\nudpsum 0\n"
                 "cipher idea\nidea-order be\ndatapath socket\ncarrier eth0\ndynip\n"
                 "roam-any\nstatic-data\ndebug\nping 3\ntoping 2\ntokxts 30\ntokxc 5\n"
                 "ipup /bin/up\nipdown /bin/down\ndevice cipci7\n"));
  ASSERT_TRUE(o.ok()) << o.status();
  const SecretText text = WriteClassicOptions(*o);
  const auto tunnel = ParseClassicTunnel("cipci7", "/run/x", text.UnsafeView());
  ASSERT_TRUE(tunnel.ok()) << tunnel.status();
  EXPECT_TRUE(*tunnel->classic == *o);
  EXPECT_TRUE(o->Clone() == *o);
  EXPECT_EQ(tunnel->classic->socks_password->size(), 4u);
}

TEST(ClassicParser, WritesWhatWasLeftOut) {
  const auto o = Parse("nokey\npeer 10.0.0.2:1\nipaddr 10.0.1.1\nptpaddr 0.0.0.0\ndevice d\n");
  ASSERT_TRUE(o.ok()) << o.status();
  const auto again = ParseClassicTunnel("d", "/run/x", WriteClassicOptions(*o).UnsafeView());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(*again->classic == *o);
}

TEST(ClassicParser, AsATunnel) {
  const auto tunnel = ParseTunnel("cipcb3", "/etc/cipe/cipcb3.conf", Full(), nullptr);
  ASSERT_TRUE(tunnel.ok()) << tunnel.status();
  EXPECT_EQ(tunnel->protocol, 3);
  EXPECT_EQ(tunnel->mtu, 1442);
  EXPECT_EQ(tunnel->listen_port, 6789);
  EXPECT_EQ(tunnel->classic->device, "cipcb3");
  ASSERT_EQ(tunnel->peers.size(), 1u);
  EXPECT_EQ(tunnel->peers[0].endpoints.front().ToString(), "10.0.0.2:6543");
  EXPECT_FALSE(tunnel->peers[0].shared_key.has_value());
  EXPECT_THAT(
      std::string(ParseTunnel("t", "/t.conf", Full("device cipcb0\n"), nullptr).status().message()),
      HasSubstr("found device cipcb0, expected t"));
}

TEST(CheckAcross, ClassicTunnelsWithTheSameRoute) {
  const auto tunnel = [](const char* name, const char* ptpaddr, int metric) {
    ClassicOptions o;
    o.nokey = true;
    o.peer = {"192.0.2.1", 6543};
    o.ipaddr = *IpAddress::Parse("10.0.1.1");
    o.ptpaddr = *IpAddress::Parse(ptpaddr);
    o.metric = metric;
    return ClassicTunnel(name, "/x", std::move(o));
  };
  const auto check = [](Tunnel a, Tunnel b) {
    std::vector<Tunnel> both;
    both.push_back(std::move(a));
    both.push_back(std::move(b));
    return CheckAcross(both);
  };
  const absl::Status status = check(tunnel("a", "10.0.1.2", 0), tunnel("b", "10.0.1.2", 0));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'a' and 'b' have the same ptpaddr"));
  EXPECT_TRUE(check(tunnel("a", "10.0.1.2", 0), tunnel("b", "10.0.1.2", 5)).ok());
  EXPECT_TRUE(check(tunnel("a", "10.0.1.2", 0), tunnel("b", "10.0.1.3", 0)).ok());
  EXPECT_TRUE(check(tunnel("a", "0.0.0.0", 0), tunnel("b", "0.0.0.0", 0)).ok());
}

TEST(LooksClassic, TellsTheTwoGrammarsApart) {
  for (const char* yes : {"nokey\n", "# c\n\nkey abc  -\n", "arg a=b\nmtu 5\n", "wheel\n"}) {
    EXPECT_TRUE(LooksClassic(yes)) << yes;
  }
  for (const char* no : {"", "# only\n", "[Interface]\n", "nokey\n[Peer]\n", "Address = 10.0.0.1\n",
                         "[x\n", "mtu=5\n"}) {
    EXPECT_FALSE(LooksClassic(no)) << no;
  }
}

}  // namespace
}  // namespace cipe::config
