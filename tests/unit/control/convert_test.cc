// From protocol 3 to protocol 5: both files parse, and fit each other.
#include "tools/cipectl/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/rng.h"
#include "config/classic_parser.h"
#include "config/config.h"
#include "crypto/x25519.h"

namespace cipe::cipectl {
namespace {

using testing::HasSubstr;

config::ClassicOptions Classic(absl::string_view more = "") {
  config::ClassicParser parser(config::ClassicCipher::kBlowfish, {});
  EXPECT_TRUE(parser
                  .AddFile("/o", absl::StrCat("me 10.0.0.1:6789\npeer 10.0.0.2:6543\n"
                                              "ipaddr 10.0.1.1\nptpaddr 10.0.1.2\n"
                                              "key 101112131415161718191a1b1c1d1e1f\n",
                                              more))
                  .ok());
  auto options = parser.Finish();
  EXPECT_TRUE(options.ok()) << options.status();
  return *std::move(options);
}

struct Ends {
  config::Tunnel here, there;
};

Ends Parse(const Converted& converted) {
  auto here = config::ParseTunnel("cipe", "/here", converted.here.UnsafeView(), nullptr);
  auto there = config::ParseTunnel("cipe", "/there", converted.there.UnsafeView(), nullptr);
  EXPECT_TRUE(here.ok()) << here.status();
  EXPECT_TRUE(there.ok()) << there.status();
  return {*std::move(here), *std::move(there)};
}

TEST(Convert, KeepsTheKeyAsSharedKey) {
  SystemRng rng;
  const auto converted = Convert(Classic("ping 25\nmtu 1400\n"), "cipe", false, rng);
  ASSERT_TRUE(converted.ok()) << converted.status();
  const Ends ends = Parse(*converted);
  EXPECT_EQ(ends.here.addresses[0].ToString(), "10.0.1.1/32");
  EXPECT_EQ(ends.there.addresses[0].ToString(), "10.0.1.2/32");
  EXPECT_EQ(ends.here.listen_port, 6789);
  EXPECT_EQ(ends.there.listen_port, 6543);
  EXPECT_EQ(ends.here.peers[0].endpoints.front().ToString(), "10.0.0.2:6543");
  EXPECT_EQ(ends.there.peers[0].endpoints.front().ToString(), "10.0.0.1:6789");
  EXPECT_EQ(ends.here.peers[0].allowed_ips[0].ToString(), "10.0.1.2/32");
  EXPECT_EQ(ends.there.peers[0].allowed_ips[0].ToString(), "10.0.1.1/32");
  EXPECT_TRUE(*ends.here.peers[0].shared_key == *ends.there.peers[0].shared_key);
  EXPECT_EQ(ends.here.peers[0].shared_key->UnsafeBytes()[15], 0x1f);
  EXPECT_EQ(ends.here.mtu, 1400);
  EXPECT_EQ(ends.here.peers[0].persistent_keepalive_s, 25);
  EXPECT_EQ(ends.here.protocol, 5);
}

TEST(Convert, MakesKeyPairs) {
  SystemRng rng;
  const auto converted = Convert(Classic(), "cipe", true, rng);
  ASSERT_TRUE(converted.ok());
  const Ends ends = Parse(*converted);
  EXPECT_EQ(ends.here.peers[0].public_key, *PublicKey(*ends.there.private_key));
  EXPECT_EQ(ends.there.peers[0].public_key, *PublicKey(*ends.here.private_key));
  EXPECT_EQ(converted->here.UnsafeView().find("SharedKey"), absl::string_view::npos);
}

TEST(Convert, WhatIsNotKnownIsLeftOut) {
  SystemRng rng;
  const auto converted = Convert(Classic("peer 0.0.0.0:0\nme 0.0.0.0:0\n"), "cipe", false, rng);
  ASSERT_TRUE(converted.ok());
  const Ends ends = Parse(*converted);
  EXPECT_TRUE(ends.here.peers[0].endpoints.empty());
  EXPECT_TRUE(ends.there.peers[0].endpoints.empty());
  EXPECT_THAT(std::string(converted->there.UnsafeView()), HasSubstr("FILL IN"));
  EXPECT_THAT(std::string(converted->here.UnsafeView()), testing::Not(HasSubstr("FILL IN")));
  EXPECT_EQ(ends.here.listen_port, 6789);  // somebody has to be found
  EXPECT_THAT(
      std::string(Convert(Classic("ptpaddr 0.0.0.0\n"), "cipe", false, rng).status().message()),
      HasSubstr("AllowedIPs"));
}

TEST(Convert, NokeyGetsANewKey) {
  SystemRng rng;
  config::ClassicOptions options = Classic();
  options.key.reset();
  options.nokey = true;
  const auto converted = Convert(options, "cipe", false, rng);
  ASSERT_TRUE(converted.ok());
  const Ends ends = Parse(*converted);
  EXPECT_EQ(ends.here.peers[0].shared_key->size(), 32u);
  EXPECT_TRUE(*ends.here.peers[0].shared_key == *ends.there.peers[0].shared_key);
}

}  // namespace
}  // namespace cipe::cipectl
