// Every single-bit change and every other length of every frame: rejected, counted, no state
// changed, no answer.
#include <gtest/gtest.h>

#include "tests/sim/refusal.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(Kinds, EachSuite,
                         testing::Combine(testing::Values(Suite::kAesGcmSha256,
                                                          Suite::kChaChaPolyBlake2s),
                                          testing::Bool()));

// The first frame of a type that a sent, taken before b saw it.
Datagram Capture(Pair& net, uint8_t type, int sender_last_octet) {
  for (const Datagram& d : net.network.record) {
    if (d.octets[0] == type && d.from.address.octets[3] == sender_last_octet) return d;
  }
  ADD_FAILURE() << "no frame of type " << int{type};
  return {};
}

TEST_P(EachSuite, EverySingleBitOfAnInitiation) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(1ms);
  const Datagram good = Capture(net, protocol::kTypeInitiation, 1);
  net.network.filter = nullptr;
  const size_t mac2 = good.octets.size() - protocol::kMacSize;
  for (size_t bit = 0; bit < mac2 * 8; ++bit) {
    std::vector<uint8_t> bad = good.octets;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(net, bad, kA, "bit " + std::to_string(bit));
    net.clock.Advance(20ms);
  }
  net.network.Inject(good);
  net.network.Deliver();
  net.b->Turn();
  EXPECT_NE(net.b->peer().next, nullptr) << "the true one must still be taken";
}

TEST_P(EachSuite, EverySingleBitAndEveryLengthOfAResponse) {
  Pair net(Options());
  std::vector<uint8_t> response;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] == protocol::kTypeResponse) response = d.octets;
    return d.octets[0] != protocol::kTypeResponse;
  };
  net.Run(100ms);
  ASSERT_EQ(response.size(), protocol::kResponseSize);
  ExpectEveryChangeRefused(net, *net.a, kA, response, (response.size() - protocol::kMacSize) * 8,
                           kB);
  EXPECT_FALSE(net.a->connected());
  net.network.Inject({kB, kA, response, 0});
  net.network.Deliver();
  net.a->Turn();
  EXPECT_TRUE(net.a->connected()) << "the true one must still be taken";
}

TEST_P(EachSuite, EverySingleBitAndEveryLengthOfACookieReply) {
  PairOptions o = Options();
  o.load_limit = 0;
  Pair net(o);
  std::vector<uint8_t> reply;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] == protocol::kTypeCookieReply) reply = d.octets;
    return d.octets[0] != protocol::kTypeCookieReply;
  };
  net.Run(100ms);
  ASSERT_EQ(reply.size(), protocol::kCookieReplySize);
  ExpectEveryChangeRefused(net, *net.a, kA, reply, reply.size() * 8, kB);
  net.network.Inject({kB, kA, reply, 0});
  net.Run(1s);
  EXPECT_TRUE(net.a->connected()) << "the true one must still be taken";
}

// mac2 counts only under load; then an initiation with a wrong one gets a cookie and nothing else.
TEST_P(EachSuite, EverySingleBitOfMac2UnderLoad) {
  PairOptions o = Options();
  o.load_limit = 0;
  Pair net(o);
  std::vector<Datagram> initiations;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] != protocol::kTypeInitiation) return true;
    initiations.push_back(d);
    return initiations.size() == 1;  // the one that gets the cookie
  };
  net.Run(1s);
  ASSERT_EQ(initiations.size(), 2u);
  const Datagram& good = initiations[1];
  for (size_t bit = 0; bit < protocol::kMacSize * 8; ++bit) {
    Datagram bad = good;
    bad.octets[bad.octets.size() - 1 - bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    const State before = StateOf(*net.b);
    const uint64_t drops = net.b->Drops(cipe_drop_hs_bad_mac2);
    net.network.Inject(bad);
    net.network.Deliver();
    net.b->engine().HandleEvents();
    EXPECT_EQ(StateOf(*net.b), before) << bit;
    EXPECT_EQ(net.b->Drops(cipe_drop_hs_bad_mac2), drops + 1) << bit;
    EXPECT_EQ(net.network.record.back().octets[0], protocol::kTypeCookieReply);
    EXPECT_LE(net.network.record.back().octets.size(), bad.octets.size());
  }
  net.network.Inject(good);
  net.network.Deliver();
  net.b->engine().HandleEvents();
  EXPECT_NE(net.b->peer().next, nullptr) << "the true one must still be taken";
}

TEST_P(EachSuite, EverySingleBitAndEveryLengthOfADataFrame) {
  Pair net(Options());
  net.Run(1s);
  net.network.filter = [](const Datagram&) { return false; };
  net.AToB(1);
  const Datagram good = net.network.record.back();
  net.network.filter = nullptr;
  for (size_t bit = 0; bit < good.octets.size() * 8; ++bit) {
    std::vector<uint8_t> bad = good.octets;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(net, bad, kA, "bit " + std::to_string(bit));
  }
  for (size_t size = 0; size < good.octets.size(); ++size) {
    ExpectRefused(net, {good.octets.begin(), good.octets.begin() + static_cast<long>(size)}, kA,
                  "length " + std::to_string(size));
  }
  net.network.Inject(good);
  net.Run(10ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST_P(EachSuite, EveryLengthOfAnInitiation) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(1ms);
  const Datagram good = Capture(net, protocol::kTypeInitiation, 1);
  net.network.filter = nullptr;
  for (size_t size = 0; size < good.octets.size() + 40; ++size) {
    if (size == good.octets.size()) continue;
    std::vector<uint8_t> bad = good.octets;
    bad.resize(size);
    ExpectRefused(net, bad, kA, "length " + std::to_string(size));
  }
}

}  // namespace
}  // namespace cipe::sim
