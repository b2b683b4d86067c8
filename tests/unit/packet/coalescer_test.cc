#include "packet/coalescer.h"

#include <gtest/gtest.h>

#include "packet/segmenter.h"
#include "packet_builder.h"

namespace cipe::packet {
namespace {

struct Written {
  VnetHeader header;
  Bytes packet;
  uint32_t packets;
};

std::vector<Written> Join(std::vector<Bytes>* in, Coalescer* joiner) {
  for (Bytes& p : *in) {
    IpView v;
    EXPECT_TRUE(ParseIp(p.data(), p.size(), &v));
    EXPECT_TRUE(joiner->Add(p.data(), v));
  }
  std::vector<Written> out;
  uint32_t packets = 0;
  for (const PacketWrite& w : joiner->Finish()) {
    Written one{w.header, {}, w.packets};
    EXPECT_EQ(w.iov[0].iov_base, static_cast<const void*>(&w.header));
    EXPECT_EQ(w.iov[0].iov_len, 10u);
    for (uint32_t i = 1; i < w.iov_count; ++i) {
      const auto* p = static_cast<const uint8_t*>(w.iov[i].iov_base);
      one.packet.insert(one.packet.end(), p, p + w.iov[i].iov_len);
    }
    EXPECT_EQ(one.packet.size(), w.size);
    EXPECT_LE(w.size, kMaxPacket);
    EXPECT_EQ(KernelRefuses(one.header, one.packet), "");
    packets += w.packets;
    out.push_back(std::move(one));
  }
  EXPECT_EQ(packets, in->size());
  return out;
}

std::vector<Written> Join(std::vector<Bytes> in) {
  Coalescer joiner({.tso = true, .uso = true, .max_packets = 256});
  return Join(&in, &joiner);
}

// How many packets each write took.
std::vector<uint32_t> Counts(const std::vector<Written>& writes) {
  std::vector<uint32_t> out;
  for (const Written& w : writes) out.push_back(w.packets);
  return out;
}
using C = std::vector<uint32_t>;

// A second packet that continues `first`, changed by `change`.
template <typename F>
C Pair(Spec first, F change) {
  Spec second = first;
  second.seq += static_cast<uint32_t>(first.payload);
  second.id = static_cast<uint16_t>(first.id + 1);
  change(&second);
  return Counts(Join({Build(first), Build(second)}));
}

TEST(Coalescer, JoinsOnlyWhatSegmentationWillMakeAgain) {
  for (const bool v6 : {false, true}) {
    Spec s;
    s.v6 = v6;
    s.options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    const C joined = {2};
    const C apart = {1, 1};
    EXPECT_EQ(Pair(s, [](Spec*) {}), joined);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->payload = 50; }), joined);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->payload = 101; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->payload = 0; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->flags |= kTcpPsh; }), joined);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->flags |= kTcpFin; }), joined);
    for (const uint8_t flag : {kTcpSyn, kTcpRst, kTcpUrg, kTcpCwr, kTcpEce}) {
      EXPECT_EQ(Pair(s, [=](Spec* t) { t->flags |= flag; }), apart) << int{flag};
    }
    EXPECT_EQ(Pair(s, [](Spec* t) { t->flags = 0; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->seq; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->ack; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->window; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->tos; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->ttl; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->options[7] = 9; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { t->options.clear(); }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->source_port; }), apart);
    EXPECT_EQ(Pair(s, [](Spec* t) { ++t->host; }), apart);
    Spec cwr = s;
    cwr.flags |= kTcpCwr;
    EXPECT_EQ(Pair(cwr, [](Spec* t) { t->flags = kTcpAck; }), joined);
    Spec psh = s;
    psh.flags |= kTcpPsh;
    EXPECT_EQ(Pair(psh, [](Spec* t) { t->flags = kTcpAck; }), apart);
  }
}

TEST(Coalescer, Ipv4IdentificationAndFragmentBits) {
  Spec s;
  s.id = 0xffff;
  EXPECT_EQ(Pair(s, [](Spec*) {}), C({2}));                     // wraps
  EXPECT_EQ(Pair(s, [](Spec* t) { t->id = 0xffff; }), C({2}));  // DF: may stand still
  EXPECT_EQ(Pair(s, [](Spec* t) { t->id = 5; }), C({1, 1}));
  EXPECT_EQ(Pair(s, [](Spec* t) { t->df = false; }), C({1, 1}));
  s.df = false;
  EXPECT_EQ(Pair(s, [](Spec*) {}), C({2}));
  EXPECT_EQ(Pair(s, [](Spec* t) { t->id = 0xffff; }), C({1, 1}));
  s.ip_options = {1, 1, 1, 0};
  EXPECT_EQ(Pair(s, [](Spec*) {}), C({1, 1}));
}

TEST(Coalescer, WrongChecksumStaysAloneAndUntouched) {
  for (int bad = 0; bad < 3; ++bad) {
    for (const size_t at : {size_t{8}, size_t{45}}) {  // IPv4 TTL, payload
      std::vector<Bytes> in;
      Spec s;
      for (int i = 0; i < 3; ++i, s.seq += 100, ++s.id) in.push_back(Build(s));
      in[bad][at] ^= 4;
      const Bytes broken = in[bad];
      const std::vector<Written> out = Join(in);
      bool found = false;
      for (const Written& w : out) {
        found = found || (w.packets == 1 && w.packet == broken && w.header.flags == 0);
      }
      EXPECT_TRUE(found) << bad << " " << at;
    }
  }
}

TEST(Coalescer, NothingOvertakesWithinAFlow) {
  Spec s;
  std::vector<Bytes> in;
  for (int i = 0; i < 5; ++i, s.seq += 100, ++s.id) {
    in.push_back(Build(s));
    if (i != 2) continue;
    Bytes fragment = in.back();  // may belong to the flow: later packets must not join earlier ones
    fragment[6] = 0x20;
    Put16(&fragment, 10, 0);
    Put16(&fragment, 10, ~NaiveSum(fragment, 0, 20) & 0xffff);
    in.push_back(fragment);
  }
  EXPECT_EQ(Counts(Join(in)), C({3, 1, 2}));
  Spec rst = s;
  rst.flags |= kTcpRst;
  rst.payload = 0;
  in.insert(in.begin() + 1, Build(rst));
  EXPECT_EQ(Counts(Join(in)), C({1, 1, 2, 1, 2}));
}

TEST(Coalescer, LimitsOfSizeCountAndBatch) {
  Spec s;
  s.payload = 1400;
  std::vector<Bytes> in;
  for (int i = 0; i < 60; ++i, s.seq += 1400, ++s.id) in.push_back(Build(s));
  EXPECT_EQ(Counts(Join(in)), C({46, 14}));  // 40 + 46 * 1400 = 64440
  Spec u;
  u.tcp = false;
  u.payload = 20;
  in.clear();
  for (int i = 0; i < 100; ++i, ++u.id) in.push_back(Build(u));
  EXPECT_EQ(Counts(Join(in)), C({64, 36}));
  std::vector<Bytes> three(in.begin(), in.begin() + 3);
  Coalescer plain({.tso = true, .uso = false, .max_packets = 3});
  EXPECT_EQ(Counts(Join(&three, &plain)), C({1, 1, 1}));
  IpView v;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(ParseIp(in[i].data(), in[i].size(), &v));
    ASSERT_TRUE(plain.Add(in[i].data(), v));
  }
  EXPECT_TRUE(plain.full());
  EXPECT_FALSE(plain.Add(in[0].data(), v));
  EXPECT_EQ(plain.Finish().size(), 3u);
  EXPECT_TRUE(plain.Finish().empty());
  EXPECT_TRUE(plain.Add(in[0].data(), v));
}

// Random streams of many flows, out of a Segmenter, joined, and segmented again: every flow must
// come out as it went in.
TEST(Coalescer, StreamsSurviveJoiningAndSegmenting) {
  std::mt19937 random(6);
  uint32_t joined = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<std::vector<Bytes>> flows(1 + random() % 24);
    for (size_t f = 0; f < flows.size(); ++f) {
      Spec s;
      s.v6 = random() % 2;
      s.tcp = random() % 2;
      s.host = static_cast<uint8_t>(f + 1);
      s.seq = static_cast<uint32_t>(random());
      s.id = static_cast<uint16_t>(random());
      s.df = random() % 2;
      s.payload = 1 + random() % 6000;
      s.flags = static_cast<uint8_t>(kTcpAck | (random() & (kTcpPsh | kTcpCwr)));
      Bytes p = Build(s);
      const VnetHeader h = MakeSuper(&p, static_cast<uint16_t>(500 + random() % 1000));
      Segmenter cutter;
      ASSERT_TRUE(cutter.Start(h, p.data(), p.size()));
      for (Segment g; cutter.Next(&g);) {
        flows[f].emplace_back(g.data, g.data + g.size);
        if (random() % 20 == 0) flows[f].back().back() ^= 1;  // damaged on the way
      }
      if (random() % 4 == 0) std::shuffle(flows[f].begin(), flows[f].end(), random);
    }
    std::vector<Bytes> in;
    std::vector<size_t> at(flows.size());
    for (size_t left = 1; left != 0;) {
      left = 0;
      for (size_t f = 0; f < flows.size(); ++f) {
        if (at[f] < flows[f].size() && random() % 2) in.push_back(flows[f][at[f]++]);
        left += flows[f].size() - at[f];
      }
    }
    Coalescer joiner({.tso = true, .uso = true, .max_packets = 1024});
    std::vector<std::vector<Bytes>> out(flows.size());
    for (Written& w : Join(&in, &joiner)) {
      joined += w.packets > 1;
      const std::vector<Bytes> naive = NaiveSegments(w.header, w.packet);
      Segmenter cutter;
      ASSERT_TRUE(cutter.Start(w.header, w.packet.data(), w.packet.size()));
      size_t k = 0;
      for (Segment g; cutter.Next(&g); ++k) {
        Bytes p(g.data, g.data + g.size);
        ASSERT_EQ(p, naive.at(k));
        const size_t host = (p[0] >> 4) == 4 ? p[15] : p[23];
        out.at(host - 1).push_back(std::move(p));
      }
      ASSERT_EQ(k, w.packets);
    }
    ASSERT_EQ(out, flows) << round;
  }
  EXPECT_GT(joined, 500u);
}

}  // namespace
}  // namespace cipe::packet
