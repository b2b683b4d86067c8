// Which endpoint is tried when one is silent, and when its name is asked for again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "protocol/constants.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

Endpoint Home() { return *Endpoint::Parse("192.0.2.2:6789"); }
Endpoint Away() { return *Endpoint::Parse("192.0.2.77:7000"); }
constexpr uint32_t kTunnel = 1, kPeer = 100;

// Where host a sent initiations since the record had `from` datagrams.
std::vector<Endpoint> Asked(const Pair& net, size_t from) {
  std::vector<Endpoint> asked;
  for (size_t i = from; i < net.network.record.size(); ++i) {
    const Datagram& d = net.network.record[i];
    if (d.octets[0] == protocol::kTypeInitiation && d.from.address.octets[3] == 1) {
      asked.push_back(d.to);
    }
  }
  return asked;
}

// A session; then b roams and a learns its new endpoint.
void ConnectAndRoam(Pair& net) {
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  net.b->MoveTo(Away());
  net.BToA(1);
  net.Run(100ms);
  ASSERT_EQ(net.a->peer().path.path.Get().remote, Away());
}

TEST(Paths, ConfiguredEndpointIsTriedWhenTheLearnedOneIsSilent) {
  Pair net({.b_knows_a = false});
  ConnectAndRoam(net);
  // b comes home and remembers nothing.
  net.b->MoveTo(Home());
  net.b->RestartDaemon();
  const size_t before = net.network.record.size();
  net.AToB(7);
  net.Run(15s + 5s + 2s);
  EXPECT_THAT(Asked(net, before), testing::ElementsAre(Away(), Home()));
  EXPECT_EQ(net.a->peer().path.path.Get().remote, Home());
  net.AToB(8);
  net.Run(100ms);
  ASSERT_FALSE(net.b->delivered.empty());
  EXPECT_EQ(TagOf(net.b->delivered.back()), 8u);
}

TEST(Paths, TurnsGoOnWhileNobodyAnswers) {
  Pair net({.b_knows_a = false});
  ConnectAndRoam(net);
  net.network.filter = [](const Datagram& d) { return d.from.address.octets[3] == 1; };
  const size_t before = net.network.record.size();
  net.AToB(7);
  net.Run(15s + 4 * 5400ms);
  const auto asked = Asked(net, before);
  ASSERT_GE(asked.size(), 4u);
  for (size_t i = 0; i < asked.size(); ++i) EXPECT_EQ(asked[i], i % 2 == 0 ? Away() : Home());
  EXPECT_EQ(net.a->peer().path.path.Get().remote, Away()) << "data must not follow a guess";
  EXPECT_THAT(net.a->engine().WhyNoSession(net.a->peer()), testing::IsEmpty());
}

TEST(Paths, LearnedEndpointIsStillTriedAfterTheSessionDied) {
  Pair net({.b_knows_a = false});
  ConnectAndRoam(net);
  net.Run(200s);
  ASSERT_FALSE(net.a->connected());
  net.AToB(7);  // b is still away
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_EQ(net.a->peer().path.path.Get().remote, Away());
}

TEST(Paths, AnotherEndpointIsAskedForAfterTwoSilentTries) {
  Pair net({.b_knows_a = false});
  net.b->MoveTo(Away());
  net.Run(6s);
  EXPECT_EQ(net.a->failed.size(), 0u);
  net.Run(6s);
  EXPECT_EQ(net.a->failed.size(), 1u);
  net.a->engine().EndpointResolved(kTunnel, kPeer, Away());
  net.Run(6s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_EQ(net.a->failed.size(), 1u) << "it answered";
}

TEST(Paths, PeerThatWasGivenUpIsTriedAgainWhenItsNameMoved) {
  Pair net({.b_knows_a = false});
  net.b->MoveTo(Away());
  net.Run(100s);
  EXPECT_THAT(net.a->failed, testing::SizeIs(testing::AllOf(testing::Ge(6u), testing::Le(9u))))
      << "after two tries each";
  const size_t before = net.network.record.size();
  net.a->engine().EndpointResolved(kTunnel, kPeer, Home());
  net.Run(60s);
  EXPECT_EQ(net.network.record.size(), before) << "the same address is no reason to try";
  net.a->engine().EndpointResolved(kTunnel, kPeer, Away());
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
}

TEST(Paths, FirstCookieReplyHurriesOneRetryAndNoMore) {
  Pair net({.b_knows_a = false, .load_limit = 0});
  net.Run(15ms);
  EXPECT_EQ(Asked(net, 0).size(), 1u);
  // Its cookie is for another source now: the next initiation gets a cookie reply, too.
  net.a->MoveTo(*Endpoint::Parse("192.0.2.1:7000"));
  net.Run(4s);
  EXPECT_EQ(net.b->Drops(cipe_drop_hs_bad_mac2), 2u);
  EXPECT_EQ(Asked(net, 0).size(), 2u) << "cookie replies make it send";
  net.Run(2s);
  EXPECT_TRUE(net.a->connected());
  Pair quick({.b_knows_a = false, .load_limit = 0});
  quick.Run(400ms);
  EXPECT_TRUE(quick.a->connected()) << "a busy responder costs no more than the jitter";
}

TEST(Paths, WhatTheNetworkSaysIsShownForThePeerItIsAbout) {
  Pair net({.b_knows_a = false});
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(1s);
  engine::Engine& engine = net.a->engine();
  EXPECT_THAT(engine.TunnelIds(), testing::ElementsAre(kTunnel));
  std::vector<engine::Engine::NetworkError> errors = {{Away(), EHOSTUNREACH}};
  engine.NetworkErrors(kTunnel, errors);
  EXPECT_THAT(engine.WhyNoSession(net.a->peer()), testing::HasSubstr("no answer from"));
  errors.push_back({Home(), EHOSTUNREACH});
  errors.push_back({Home(), ECONNREFUSED});
  engine.NetworkErrors(kTunnel + 1, errors);
  EXPECT_THAT(engine.WhyNoSession(net.a->peer()), testing::HasSubstr("no answer from"));
  engine.NetworkErrors(kTunnel, errors);
  EXPECT_THAT(engine.WhyNoSession(net.a->peer()),
              testing::HasSubstr("192.0.2.2:6789: nobody listens on that port"));
}

TEST(Paths, WhatThisHostCannotSendIsCountedAndToldAsItsOwnTrouble) {
  Pair net({.b_knows_a = false});
  net.Run(2s);
  ASSERT_TRUE(net.a->connected());
  const auto diagnosis = [&] { return net.a->engine().Diagnose(net.a->peer()); };
  EXPECT_THAT(diagnosis().why, testing::IsEmpty());
  EXPECT_THAT(diagnosis().advice, testing::IsEmpty());
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_send_error), 0u);
  net.a->RestartDaemon();
  net.a->send_error = ENETUNREACH;
  net.Run(12s);
  EXPECT_GE(net.a->Drops(cipe_drop_tx_send_error), 2u);
  EXPECT_THAT(
      diagnosis().why,
      testing::HasSubstr("this host cannot send to 192.0.2.2:6789: Network is unreachable"));
  EXPECT_THAT(diagnosis().why, testing::Not(testing::HasSubstr("no answer")));
  EXPECT_THAT(diagnosis().advice, testing::HasSubstr("route"));
  ipc::DatapathChanged changed{
      kTunnel, 1420, {3, false, false, false, "", "", "carrier eth0 is down", {}}};
  net.a->engine().DatapathChanged(changed);
  EXPECT_THAT(diagnosis().why, testing::HasSubstr("; carrier eth0 is down"));
  EXPECT_THAT(diagnosis().advice, testing::HasSubstr("bring the carrier up"));
  changed = {kTunnel, 1400, {2, false, false, false, "", "", "", {7}}};
  net.a->engine().DatapathChanged(changed);
  EXPECT_EQ(net.a->tunnel().mtu, 1400u);
  net.a->send_error = 0;
  net.Run(12s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_THAT(diagnosis().why, testing::IsEmpty());
}

TEST(Paths, ANameWithoutAddressSaysWhyAndTheLastAddressStays) {
  Pair net({.a_knows_b = false, .b_knows_a = false});
  engine::Engine& engine = net.a->engine();
  engine::Peer& peer = net.a->peer();
  peer.config.endpoints = {{"b.example", 6789}};
  EXPECT_THAT(engine.WhyNoSession(peer), testing::HasSubstr("b.example:6789, has no address yet"));
  engine.EndpointResolved(kTunnel, peer.id(), {}, "cannot resolve b.example: no such name");
  EXPECT_EQ(engine.WhyNoSession(peer), "cannot resolve b.example: no such name");
  EXPECT_THAT(engine.Diagnose(peer).advice, testing::HasSubstr("b.example"));
  EXPECT_FALSE(peer.attempt.has_value());
  engine.EndpointResolved(kTunnel, peer.id(), Home());
  EXPECT_TRUE(peer.attempt.has_value());
  engine.EndpointResolved(kTunnel, peer.id(), {}, "cannot resolve b.example: no such name");
  EXPECT_EQ(peer.configured, Home());
  net.Run(2s);
  EXPECT_TRUE(net.a->connected());
}

// Two hosts from one image. What is told of it goes when the ids differ.
TEST(Paths, ACopyOfThisHostIsCalledThat) {
  for (const bool shared : {false, true}) {
    PairOptions options;
    options.shared_key = shared;
    Pair net(options);
    const auto own = net.b->disk.node_id;
    net.b->disk.node_id = net.a->disk.node_id;
    net.b->RestartDaemon();
    net.Run(12s);
    EXPECT_FALSE(net.a->connected());
    for (Host* host : {net.a.get(), net.b.get()}) {
      const engine::Engine::Diagnosis diagnosis = host->engine().Diagnose(host->peer());
      EXPECT_THAT(diagnosis.why, testing::HasSubstr("copy of this machine"));
      EXPECT_EQ(diagnosis.why.find("leads back") != std::string::npos, shared);
      EXPECT_THAT(diagnosis.advice, testing::HasSubstr("remove the file node-id"));
    }
    net.b->disk.node_id = own;
    net.b->RestartDaemon();
    net.Run(12s);
    ASSERT_TRUE(net.a->connected());
    EXPECT_THAT(net.a->engine().Diagnose(net.a->peer()).why, testing::IsEmpty());
  }
}

TEST(Paths, AdviceGoesWithTheReason) {
  Pair suites;
  const auto advice = [](Host& host) { return host.engine().Diagnose(host.peer()).advice; };
  suites.network.filter = [](const Datagram&) { return false; };
  suites.Run(1s);
  EXPECT_THAT(advice(*suites.a), testing::HasSubstr("is UDP to 192.0.2.2:6789 open"));
  suites.a->tunnel().path.drops.Add(cipe_drop_hs_other_suite);
  EXPECT_EQ(advice(*suites.a), "set the same Suite at both ends");
  Pair keys;
  keys.network.filter = [](const Datagram&) { return false; };
  keys.Run(1s);
  keys.a->tunnel().path.drops.Add(cipe_drop_hs_bad_mac1);
  EXPECT_THAT(advice(*keys.a), testing::HasSubstr("PublicKey at the other end"));
  keys.a->tunnel().path.drops.Add(cipe_drop_hs_unknown_peer);
  EXPECT_THAT(advice(*keys.a), testing::HasSubstr("PublicKey here"));
  keys.a->peer().path.drops.Add(cipe_drop_hs_wrong_psk);
  EXPECT_EQ(advice(*keys.a), "set the same PresharedKey at both ends");
}

}  // namespace
}  // namespace cipe::sim
