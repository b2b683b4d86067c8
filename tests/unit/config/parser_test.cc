// The grammar and the checks, on text alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/parser.h"

namespace cipe::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Keys are made from one octet; {A}, {B}, ... in a text become base64 keys of 32 octets.
std::string Key(uint8_t octet) { return EncodeBase64(std::vector<uint8_t>(32, octet)); }

std::string Expand(absl::string_view text) {
  std::vector<std::pair<std::string, std::string>> replacements;
  for (char c = 'A'; c <= 'H'; ++c) {
    replacements.emplace_back(absl::StrCat("{", std::string(1, c), "}"),
                              Key(static_cast<uint8_t>(c)));
  }
  replacements.emplace_back("{HEX}", "00112233445566778899aabbccddeeff");
  return absl::StrReplaceAll(text, replacements);
}

std::map<std::string, std::string> files;

absl::StatusOr<SecretText> ReadFake(const std::string& path) {
  const auto it = files.find(path);
  if (it == files.end()) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  return SecretText::Copy(Expand(it->second));
}

absl::StatusOr<Tunnel> Parse(absl::string_view text, absl::string_view name = "site-a") {
  return ParseTunnel(name, "/etc/cipe/t.conf", Expand(text), ReadFake);
}

absl::Status Error(absl::string_view text) { return Parse(text).status(); }

void ExpectError(absl::string_view text, absl::string_view place, absl::string_view message) {
  const absl::Status s = Error(text);
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << text << s;
  EXPECT_THAT(std::string(s.message()), StartsWith(absl::StrCat("/etc/cipe/t.conf:", place, ": ")))
      << text;
  EXPECT_THAT(std::string(s.message()), HasSubstr(std::string(message))) << text;
  EXPECT_THAT(std::string(s.message()), HasSubstr("expected")) << text;
}

std::vector<std::string> Strings(const std::vector<IpPrefix>& prefixes) {
  std::vector<std::string> out;
  for (const IpPrefix& p : prefixes) out.push_back(p.ToString());
  return out;
}

TEST(Parser, EveryOption) {
  files = {{"/etc/cipe/psk", "{C}"}};
  const auto t = Parse(R"(# a comment
[Interface]
Address = 10.9.0.2/24, fd00::2/64   # two
Address=192.0.2.7
ListenPort = 6789
PrivateKey = {A}
Protocol = 5
Datapath = afxdp
Suite = chacha20poly1305
Carrier = eth0, eth1.42
Lanes = 4
MTU = 1400
Table = 51
FwMark = 0xca6c
Rekey = 15

[Peer]
Name = site-b
Endpoint = vpn.example.org:6789
PublicKey = {B}
PresharedKeyFile = psk
AllowedIPs = 10.9.0.1/32, 10.0.1.77/24
AllowedIPs = ::/0
PersistentKeepalive = 25
[Peer]
SharedKey = {HEX}
Endpoint = [2001:db8::1]:7
[peer]
publickey = {D}
persistentkeepalive = OFF
)");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->name, "site-a");
  EXPECT_EQ(t->path, "/etc/cipe/t.conf");
  EXPECT_THAT(Strings(t->addresses), ElementsAre("10.9.0.2/24", "fd00::2/64", "192.0.2.7/32"));
  EXPECT_EQ(t->listen_port, 6789);
  EXPECT_EQ(t->protocol, 5);
  EXPECT_EQ(t->datapath, Datapath::kAfxdp);
  EXPECT_EQ(t->suite, Suite::kChaChaPolyBlake2s);
  EXPECT_THAT(t->carriers, ElementsAre("eth0", "eth1.42"));
  EXPECT_EQ(t->lanes, 4);
  EXPECT_EQ(t->mtu, 1400);
  EXPECT_EQ(t->table, TableChoice::kNumber);
  EXPECT_EQ(t->table_number, 51u);
  EXPECT_EQ(t->fwmark, 0xca6cu);
  EXPECT_EQ(t->rekey_s, 15);
  EXPECT_EQ(t->private_key->UnsafeBytes()[0], 'A');
  ASSERT_EQ(t->peers.size(), 3u);
  const Peer& b = t->peers[0];
  EXPECT_EQ(b.name, "site-b");
  EXPECT_EQ(b.endpoints.front().ToString(), "vpn.example.org:6789");
  EXPECT_EQ(b.auth, Auth::kPublicKey);
  EXPECT_EQ(b.public_key[31], 'B');
  EXPECT_EQ(b.preshared_key->UnsafeBytes()[0], 'C');
  EXPECT_THAT(Strings(b.allowed_ips), ElementsAre("10.9.0.1/32", "10.0.1.0/24", "::/0"));
  EXPECT_EQ(b.persistent_keepalive_s, 25);
  const Peer& shared = t->peers[1];
  EXPECT_EQ(shared.auth, Auth::kSharedKey);
  EXPECT_EQ(shared.name, "shared-2");
  EXPECT_EQ(shared.shared_key->size(), 16u);
  EXPECT_EQ(shared.endpoints.front().ToString(), "[2001:db8::1]:7");
  EXPECT_EQ(t->peers[2].name, Key('D').substr(0, 8));
  EXPECT_EQ(t->peers[2].persistent_keepalive_s, 0);
}

TEST(Parser, DefaultsAndOddLayout) {
  const auto t =
      Parse("\xef\xbb\xbf\r\n  [Interface]#x\r\n\tprivatekey={A}#c\r\n[ PEER ]\r\nPublicKey={B}");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->listen_port, 0);
  EXPECT_EQ(t->datapath, Datapath::kAuto);
  EXPECT_EQ(t->suite, Suite::kAesGcmSha256);
  EXPECT_TRUE(t->carriers.empty());
  EXPECT_EQ(t->lanes, 1);
  EXPECT_EQ(t->mtu, 0);
  EXPECT_EQ(t->table, TableChoice::kAuto);
  EXPECT_EQ(t->fwmark, 0u);
  EXPECT_EQ(t->rekey_s, 120);
  EXPECT_TRUE(t->peers[0].endpoints.empty());
}

TEST(Parser, WordsForDefaults) {
  const auto t = Parse("[Interface]\nMTU=auto\nTable=off\nFwMark=off\nCarrier=auto\nDatapath=AUTO");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->table, TableChoice::kOff);
  EXPECT_TRUE(t->carriers.empty());
  EXPECT_FALSE(t->private_key);
}

TEST(Parser, StructureErrors) {
  ExpectError("", "1:1", "empty file");
  ExpectError("# nothing\n\n", "1:1", "empty file");
  ExpectError("[Peer]\nPublicKey={B}\n", "1:1", "no [Interface]");
  ExpectError("[Interface]\n\n[Interface]\n", "3:2", "second [Interface] (the first is in line 1)");
  ExpectError("[Interface]\n  [Wheel]\n", "2:4", "'Wheel'");
  ExpectError("[Interface]\n[Peer\n", "2:1", "'[' without a section");
  ExpectError("[Interface]\n[]\n", "2:1", "'[' without a section");
  ExpectError("[Interface]\n   ListenPort 7\n", "2:4", "'ListenPort' without '='");
  ExpectError("Address = 10.0.0.1\n[Interface]\n", "1:1", "'Address' before any section");
  ExpectError("Address = 10.0.0.1\n", "1:1", "before any section");
  ExpectError("[Interface]\n  Wheel = 4\n", "2:3",
              "unknown option 'Wheel' in [Interface], expected one of "
              "Address, ListenPort");
  ExpectError("[Interface]\n[Peer]\nPublicKey={B}\nListenPort=4", "4:1", "'ListenPort' in [Peer]");
  ExpectError("[Interface]\nLanes = 1\nLanes = 1\n", "3:1", "Lanes again (the first is in line 2)");
  ExpectError("[Interface]\nListenPort =   # none\n", "2:13", "no value");
}

TEST(Parser, ClassicFileIsRecognised) {
  // What the options mean is classic_parser_test's business: here the file must only reach them.
  ExpectError("# options\ndevice cip3b0\nptpaddr 6.5.4.300\n", "3:9", "'6.5.4.300'");
  EXPECT_THAT(std::string(Error("nokey\n").message()), HasSubstr("found no peer"));
  ExpectError("device x\n[Interface]\n", "1:1", "before any section");
  ExpectError("[Interface]\nProtocol = 3", "2:12", "expected 5");
}

TEST(Parser, ValueErrorsNameTheirPlace) {
  const struct {
    const char* option;
    const char* column;
    const char* message;
  } cases[] = {
      {"Address = 10.0.0.1/33", "11", "'10.0.0.1/33'"},
      {"Address = 10.0.0.1/8, nonsense", "23", "'nonsense'"},
      {"Address = 10.0.0.1/8,", "22", "''"},
      {"Address = 10.0.0.1/8, 10.0.0.1/24", "23", "10.0.0.1 again"},
      {"Address = 224.0.0.9/32", "11", "'224.0.0.9', expected a unicast address"},
      {"Address = 10.0.0.1/8, 239.255.255.255", "23", "unicast"},
      {"Address = 255.255.255.255", "11", "unicast"},
      {"Address = 0.0.0.0/0", "11", "unicast"},
      {"Address = 0.1.2.3/8", "11", "unicast"},
      {"Address = 127.0.0.1/8", "11", "unicast"},
      {"Address = ::/128", "11", "unicast"},
      {"Address = ::1/128", "11", "unicast"},
      {"Address = ff02::1/64", "11", "unicast"},
      {"Address = fd09::1/64, ::ffff:10.0.0.1/128", "23", "unicast"},
      {"ListenPort = 65536", "14", "'65536', expected a number from 0 to 65535"},
      {"ListenPort = -1", "14", "'-1'"},
      {"ListenPort = 0x10", "14", "'0x10'"},
      {"ListenPort = 1 2", "14", "'1 2'"},
      {"Protocol = 4", "12", "expected 5"},
      {"Datapath = fast", "12", "expected auto, xdp, afxdp or socket"},
      {"Suite = rot13", "9", "expected aes256gcm or chacha20poly1305"},
      {"Carrier = eth0, a/b", "17", "'a/b'"},
      {"Carrier = eth0,eth0", "16", "again"},
      {"Lanes = 0", "9", "1 to 64"},
      {"Lanes = 65", "9", "1 to 64"},
      {"MTU = 575", "7", "576 to 65535"},
      {"MTU = 65536", "7", "576 to 65535"},
      {"Table = 0", "9", "table number"},
      {"Table = main", "9", "table number"},
      {"FwMark = 0x100000000", "10", "0xffffffff"},
      {"FwMark = 4294967296", "10", "0xffffffff"},
      {"FwMark = 0x", "10", "0xffffffff"},
      {"Rekey = 14", "9", "15 to 120"},
      {"Rekey = 121", "9", "15 to 120"},
      {"PrivateKey = abc", "14", "found 3 characters"},
      {"PrivateKeyFile = gone", "18", ""},
  };
  for (const auto& c : cases) {
    if (absl::string_view(c.option) == "PrivateKeyFile = gone") {
      const absl::Status s = Error(absl::StrCat("[Interface]\n", c.option));
      EXPECT_TRUE(absl::IsNotFound(s));
      EXPECT_EQ(s.message(), "/etc/cipe/t.conf:2:18: /etc/cipe/gone: no such file");
      continue;
    }
    ExpectError(absl::StrCat("[Interface]\n", c.option), absl::StrCat("2:", c.column), c.message);
  }
}

TEST(Parser, PeerValueErrors) {
  for (const char* endpoint :
       {"host", "host:", "host:0", "host:65536", ":5", "10.0.0.300:5", "2001:db8::1:5", "[::1]",
        "[10.0.0.1]:5", "[fe80::1%]:5", "[2001:db8::1%eth0]:5", "a b:5", "-x:5", "h\\x01:5"}) {
    ExpectError(absl::StrCat("[Interface]\n[Peer]\nEndpoint = ", endpoint), "3:12", "HOST:PORT");
  }
  // Addresses that no single host has, or that none of our sockets can send to.
  for (const char* endpoint :
       {"0.0.0.0:5", "0.1.2.3:5", "224.0.0.1:5", "239.255.255.255:5", "240.0.0.1:5",
        "255.255.255.255:5", "[::]:5", "[ff02::1]:5", "[::ffff:192.0.2.2]:5"}) {
    ExpectError(absl::StrCat("[Interface]\n[Peer]\nEndpoint = ", endpoint), "3:12",
                "a host's address");
  }
  ExpectError("[Interface]\n[Peer]\nEndpoint = [::ffff:192.0.2.2]:5", "3:12", "write 192.0.2.2");
  ExpectError("[Interface]\n[Peer]\nEndpoint = [fe80::1]:5", "3:12", "such as [fe80::1%eth0]:5");
  ExpectError(
      "[Interface]\n[Peer]\nEndpoint = host:1\nEndpoint = 192.0.2.1:5\nEndpoint = 192.0.2.1:5",
      "5:12", "found Endpoint 192.0.2.1:5 again");
  for (const char* endpoint : {"host:1", "10.0.0.1:65535", "[fe80::1%eth0]:5", "a_b-c.example:9",
                               "223.255.255.255:1", "127.0.0.1:1", "[::1]:1", "[::ffff]:1"}) {
    const auto t =
        Parse(absl::StrCat("[Interface]\n[Peer]\nSharedKey={HEX}\nEndpoint = ", endpoint));
    ASSERT_TRUE(t.ok()) << t.status();
    EXPECT_EQ(t->peers[0].endpoints.front().ToString(), endpoint);
  }
  ExpectError("[Interface]\n[Peer]\nName = a b", "3:8", "'a b'");
  ExpectError("[Interface]\n[Peer]\nPersistentKeepalive = 65536", "3:23", "'off' or seconds");
  ExpectError("[Interface]\n[Peer]\nAllowedIPs = 10.0.0.0/8, ::/129", "3:26", "'::/129'");
  ExpectError("[Interface]\n[Peer]\nSharedKey = abc", "3:13", "found 3 characters");
}

TEST(Check, OneKeyPerPeer) {
  constexpr char kHead[] = "[Interface]\nPrivateKey={A}\n[Peer]\n";
  files = {{"/etc/cipe/k", "{HEX}"}, {"/abs/k", "{B}"}};
  ExpectError(absl::StrCat(kHead, "Name=x\n[Peer]\nPublicKey={B}"), "3:2", "peer without key");
  ExpectError(absl::StrCat(kHead, "Name=x"), "3:2", "peer without key");
  ExpectError(absl::StrCat(kHead, "PublicKey={B}\nSharedKey={HEX}"), "5:11",
              "beside PublicKey of line 4");
  ExpectError(absl::StrCat(kHead, "SharedKeyFile=k\nPublicKey={B}"), "5:11",
              "beside SharedKeyFile");
  ExpectError(absl::StrCat(kHead, "SharedKeyFile=k\nSharedKey={HEX}"), "5:11",
              "beside SharedKeyFile");
  ExpectError(absl::StrCat(kHead, "SharedKey={HEX}\nPresharedKey={C}"), "5:14", "beside SharedKey");
  ExpectError(absl::StrCat(kHead, "PresharedKeyFile=/abs/k\nSharedKey={HEX}"), "5:11",
              "beside PresharedKeyFile");
  ExpectError(absl::StrCat(kHead, "PresharedKeyFile=/abs/k\nPresharedKey={C}"), "5:14",
              "beside PresharedKeyFile");
  ExpectError("[Interface]\nPrivateKey={A}\nPrivateKeyFile=/abs/k", "3:16", "beside PrivateKey");
  const auto t = Parse("[Interface]\nPrivateKeyFile=/abs/k\n[Peer]\nSharedKeyFile=k");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->private_key->UnsafeBytes()[0], 'B');
  EXPECT_EQ(t->peers[0].shared_key->size(), 16u);
  files["/abs/k"] = "short";
  ExpectError("[Interface]\nPrivateKeyFile=/abs/k", "2:16",
              "key file '/abs/k': found 5 characters");
}

TEST(Check, KeysAndNamesBelongToOnePeer) {
  constexpr char kHead[] = "[Interface]\nPrivateKey={A}\n[Peer]\nName=x\n";
  ExpectError("[Interface]\n[Peer]\nPublicKey={B}", "3:11", "expected PrivateKey");
  ExpectError(absl::StrCat(kHead, "PublicKey={B}\n[Peer]\nName=y\nPublicKey={B}"), "8:11",
              "PublicKey of peer 'x' again in peer 'y'");
  ExpectError(absl::StrCat(kHead, "PublicKey={B}\n[Peer]\nName=x\nPublicKey={C}"), "7:6",
              "second peer named 'x'");
  // The same octets, once in hex and once in base64.
  ExpectError(
      absl::StrCat(kHead, "SharedKey={HEX}\n[Peer]\nName=y\nSharedKey=ABEiM0RVZneImaq7zN3u/w=="),
      "8:11", "SharedKey of peer 'x' again in peer 'y'");
  // The first half of a long key is another key.
  EXPECT_TRUE(Error(absl::StrCat(kHead, "SharedKey={HEX}\n[Peer]\nSharedKey={HEX}{HEX}")).ok());
  const std::string own = FormatPublicKey(*PublicKey(*ParseSecretKey(Key('A'))));
  ExpectError(absl::StrCat(kHead, "PublicKey=", own), "5:11", "public key of this host itself");
}

TEST(Check, AllowedIpsBelongToOnePeer) {
  constexpr char kHead[] = "[Interface]\nPrivateKey={A}\n[Peer]\nName=x\nPublicKey={B}\n";
  ExpectError(absl::StrCat(kHead,
                           "AllowedIPs=10.0.0.0/8,10.1.0.0/16\n[Peer]\nName=y\nPublicKey={C}\n"
                           "AllowedIPs=10.2.0.0/16, 10.1.9.9/16"),
              "10:25", "10.1.0.0/16 in the AllowedIPs of peer 'x' and of peer 'y'");
  EXPECT_TRUE(Error(absl::StrCat(kHead,
                                 "AllowedIPs=0.0.0.0/0\n[Peer]\nPublicKey={C}\n"
                                 "AllowedIPs=::/0,0.0.0.0/1"))
                  .ok());
  const auto t = Parse(absl::StrCat(kHead, "AllowedIPs=10.0.0.1/8,10.9.9.9/8,::/0,10.0.0.0/8"));
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_THAT(Strings(t->peers[0].allowed_ips), ElementsAre("10.0.0.0/8", "::/0"));
}

TEST(Check, AllowedIpsAreNotTheOwnAddress) {
  constexpr char kHead[] =
      "[Interface]\nAddress=10.9.0.1/24, fd09::1/64\n[Peer]\nName=x\nSharedKey={HEX}\n";
  ExpectError(absl::StrCat(kHead, "AllowedIPs=10.9.0.2, 10.9.0.1/32"), "6:22",
              "10.9.0.1/32 in the AllowedIPs of peer 'x', which is this tunnel's own Address");
  ExpectError(absl::StrCat(kHead, "AllowedIPs=fd09::1"), "6:12", "expected addresses of the peer");
  EXPECT_TRUE(Error(absl::StrCat(kHead, "AllowedIPs=10.9.0.0/24, fd09::/64, ::/0")).ok());
}

TEST(Check, MtuWithIpv6Inside) {
  EXPECT_TRUE(Error("[Interface]\nMTU=576\nAddress=10.0.0.1").ok());
  EXPECT_TRUE(Error("[Interface]\nMTU=1280\nAddress=fd00::1").ok());
  ExpectError("[Interface]\nMTU=1279\nAddress=fd00::1", "2:5", "at least 1280");
  ExpectError("[Interface]\nMTU=1279\n[Peer]\nSharedKey={HEX}\nAllowedIPs=::/0", "2:5",
              "at least 1280");
}

TEST(Check, TunnelNames) {
  for (const char* good : {"a", "site-a", "fifteen-letters", "x.y_z+=1"}) {
    EXPECT_TRUE(CheckTunnelName(good).ok()) << good;
  }
  for (const char* bad : {"", ".", "..", "sixteen-letters-", "a/b", "a b", "-a", "a%d", "all",
                          "default", "a:1", "\xc3\xa9"}) {
    EXPECT_EQ(CheckTunnelName(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(Parse("[Interface]\n", bad).ok()) << bad;
  }
}

// Keys slip into places where they do not belong; no message may show them.
TEST(Secrets, NeverInMessages) {
  const std::string b64 = "yAnz5TFxlXXJte14tji3zlMNqqhd2rYUIgJBgB3fBmk=";
  const std::string hex = "00112233445566778899aabbccddeeff";
  for (const std::string& key : {b64, hex, b64.substr(0, 22) + "=="}) {
    for (const std::string& text :
         {"[Interface]\n" + key, "[Interface]\n" + key + " = 4", "[Interface]\nPrivateKey " + key,
          "[" + key + "]", "[Interface]\n[" + key + "]", "[Interface]\nPrivateKey = " + key + key,
          "[Interface]\nPrivatKey = " + key, "[Interface]\n[Peer]\nSharedKey = x" + key,
          "[Interface]\n[Peer]\nPublicKey = x" + key, key + " = 1"}) {
      const absl::Status s = Error(text);
      EXPECT_FALSE(s.ok()) << text;
      EXPECT_THAT(std::string(s.message()), Not(HasSubstr(key.substr(0, 6)))) << text;
    }
  }
}

TEST(Secrets, InlineOnesAreNoticedAlsoInBrokenFiles) {
  for (const char* text :
       {"[Interface]\nPrivateKey = x", "privatekey=x", "[Peer\nSharedKey=", "PresharedKey x",
        "PrivateKeyy = x", "key 00ff", "x\n\n\n sharedkey = 1"}) {
    EXPECT_TRUE(HasInlineSecrets(text)) << text;
  }
  for (const char* text : {"", "[Interface]\nPrivateKeyFile = x\nAddress = 1", "# PrivateKey = x",
                           "PublicKey = x", "SharedKeyFile = SharedKey"}) {
    EXPECT_FALSE(HasInlineSecrets(text)) << text;
  }
}

std::vector<Tunnel> Two(const char* first, const char* second) {
  std::vector<Tunnel> tunnels;
  tunnels.push_back(*Parse(first, "one"));
  tunnels.push_back(*Parse(second, "two"));
  return tunnels;
}

TEST(Parser, TooManyPeers) {
  std::string text = "[Interface]\nPrivateKey={A}\n";
  for (uint32_t i = 0; i <= kMaxPeers; ++i) {
    std::vector<uint8_t> key = {9, static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8),
                                static_cast<uint8_t>(i >> 16)};
    key.resize(32);
    absl::StrAppend(&text, "[Peer]\nName=p", i, "\nPublicKey=", EncodeBase64(key), "\n");
  }
  ExpectError(text, "196611:2", "found 65537 peers, expected at most 65536");
  text.resize(text.rfind("[Peer]"));
  EXPECT_EQ(Parse(text)->peers.size(), kMaxPeers);
}

TEST(CheckAcross, TooManyPeersTogether) {
  std::vector<Tunnel> tunnels(2);
  tunnels[0].name = "one";
  tunnels[1].name = "two";
  tunnels[0].peers.resize(kMaxPeers - 1);
  tunnels[1].peers.resize(1);
  EXPECT_TRUE(CheckAcross(tunnels).ok());
  tunnels[1].peers.resize(2);
  const absl::Status status = CheckAcross(tunnels);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("65537 peers in all tunnels"));
}

TEST(CheckAcross, OneKeyNeverServesTwoSuites) {
  constexpr char kAes[] =
      "[Interface]\nPrivateKey={A}\n[Peer]\nName=p\nPublicKey={B}\nPresharedKey={C}";
  const auto chacha = [](absl::string_view rest) {
    return absl::StrCat("[Interface]\nSuite=chacha20poly1305\n", rest);
  };
  const struct {
    std::string second;
    const char* message;
  } cases[] = {
      {chacha("PrivateKey={A}"), "private key in tunnel 'one'"},
      {chacha("PrivateKey={D}\n[Peer]\nPublicKey={B}\nPresharedKey={C}"),
       "preshared key of peer 'p'"},
      {chacha("[Peer]\nSharedKey={C}"), "shared key of peer 'shared-1' in tunnel 'two'"},
  };
  for (const auto& c : cases) {
    const absl::Status s = CheckAcross(Two(kAes, c.second.c_str()));
    EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << c.second;
    EXPECT_THAT(std::string(s.message()), HasSubstr(c.message));
  }
  EXPECT_TRUE(CheckAcross(Two(kAes, kAes)).ok()) << "the same suite is no matter";
  EXPECT_TRUE(CheckAcross(Two(kAes, chacha("PrivateKey={D}").c_str())).ok());
  std::vector<Tunnel> twins;
  twins.push_back(*Parse(kAes, "one"));
  twins.push_back(*Parse(kAes, "one"));
  EXPECT_THAT(std::string(CheckAcross(twins).message()), HasSubstr("'one' is there twice"));
}

TEST(Parser, NetworkOptions) {
  const auto t = Parse(
      "[Interface]\nMetric = 50\nRejectWhenDown = YES\nMSSClamp = no\nDSCP = 46\n"
      "[Peer]\nSharedKey = {HEX}\nPing = 10\nPingTimeout = 3\n"
      "Endpoint = a.example:1\nEndpoint = [2001:db8::1]:2\n");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->metric, 50u);
  EXPECT_TRUE(t->reject_when_down);
  EXPECT_FALSE(t->mss_clamp);
  EXPECT_EQ(t->dscp, DscpChoice::kValue);
  EXPECT_EQ(t->dscp_value, 46);
  EXPECT_EQ(t->peers[0].ping_s, 10);
  EXPECT_EQ(t->peers[0].ping_timeout_s, 3);
  ASSERT_EQ(t->peers[0].endpoints.size(), 2u);
  EXPECT_EQ(t->peers[0].endpoints[1].ToString(), "[2001:db8::1]:2");
  EXPECT_EQ(Parse("[Interface]\nDSCP = copy\n")->dscp, DscpChoice::kCopy);
  ExpectError("[Interface]\nDSCP = 64", "2:8", "0 to 63");
  ExpectError("[Interface]\nRejectWhenDown = maybe", "2:18", "'yes' or 'no'");
  ExpectError("[Interface]\n[Peer]\nEndpoint = a:1\nEndpoint = a:1", "4:12", "each endpoint once");
}

TEST(Parser, HooksKeepTheirOrderAndWhatLooksLikeAComment) {
  const auto t = Parse(
      "[Interface]\nPreUp = echo a # not a comment\nPostUp = ip route add x; true\n"
      "preup = b = c\n# PreUp = never\nPreDown = d\nPostDown = e\n");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_THAT(t->hooks.pre_up, ElementsAre("echo a # not a comment", "b = c"));
  EXPECT_THAT(t->hooks.post_up, ElementsAre("ip route add x; true"));
  EXPECT_THAT(t->hooks.pre_down, ElementsAre("d"));
  EXPECT_THAT(t->hooks.post_down, ElementsAre("e"));
  ExpectError("[Interface]\nPostUp =", "2:9", "expected one for PostUp");
}

}  // namespace
}  // namespace cipe::config
