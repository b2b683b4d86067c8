#include "control/snapshot_json.h"

#include "control/reply.h"
#include "control/show.h"
#include "gtest/gtest.h"
#include "tests/unit/control/sample_snapshot.h"

namespace cipe::control {
namespace {

constexpr char kGolden[] =
    R"({"version":1,"time":1700000100,)"
    R"("daemon":{"version":"0.1.0","ciped_pid":42,"engine_pid":43,"abi":1,"aead":"ipsec-mb"},)"
    R"("tunnels":[{"name":"site-a","id":1,"state":"degraded","reason":"peer does not answer",)"
    R"("protocol":5,"suite":"aes256gcm","insecure":null,"listen_port":6789,"addresses":["10.9.0.2/32"],)"
    R"("mtu":1420,"rung":2,"rung_name":"afxdp-rx","rung_reason":"veth has no zero copy",)"
    R"("rung_cause":"no_zero_copy",)"
    R"("carriers":[{"name":"eth0","queues":2,"mode":"afxdp-copy","reason":null}],)"
    R"("public_key":"PUB","peers":2,"rx_bytes":2048,"tx_bytes":1,"rx_packets":3,"tx_packets":4,)"
    R"("drops":{"rx_replayed":3}}],)"
    R"("peers":[{"tunnel":"site-a","name":"hub","public_key":"HUB","endpoint":"192.0.2.1:6789",)"
    R"("allowed_ips":["10.9.0.1/32","10.0.1.0/24"],"latest_handshake":1700000037,)"
    R"("rx_bytes":18446744073709551615,"tx_bytes":1,"rx_packets":3,"tx_packets":4,"rung":2,)"
    R"("rung_name":"afxdp-rx","rung_reason":"veth has no zero copy","path_mtu":1500,)"
    R"("persistent_keepalive":25,"status":"connected","why":null,"drops":{},"advice":null,)"
    R"("rtt_ms":12.25,"path_mtu_source":"probe"},)"
    R"({"tunnel":"site-a","name":"old","public_key":"shared","endpoint":null,"allowed_ips":[],)"
    R"("latest_handshake":null,"rx_bytes":0,"tx_bytes":0,"rx_packets":0,"tx_packets":0,)"
    R"("rung":null,"rung_name":null,"rung_reason":null,"path_mtu":null,)"
    R"("persistent_keepalive":null,)"
    R"("status":"no_answer","why":"no answer to 3 initiations","drops":{"hs_wrong_psk":1},)"
    R"("advice":"look at the other end","rtt_ms":null,"path_mtu_source":null}],)"
    R"("sessions":[{"tunnel":"site-a","peer":"hub","slot":"current","role":"initiator",)"
    R"("local_index":64,"remote_index":4294967232,"age_s":63,"expires_s":117,"lanes":1,)"
    R"("tx_counter":9,"rx_greatest":null}],)"
    R"("drops":[{"scope":"tunnel site-a","reason":"rx_replayed","count":3,)"
    R"("sentence":"counter was received before"}]})";

TEST(SnapshotJsonTest, Golden) { EXPECT_EQ(Dump(ToJson(SampleSnapshot())), kGolden); }

TEST(SnapshotJsonTest, ReadsWhatItWrote) {
  const auto back = SnapshotFromJson(Json::parse(kGolden));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(Dump(ToJson(*back)), kGolden);
}

TEST(SnapshotJsonTest, SelectionEmptiesTheRest) {
  Json json = ToJson(SampleSnapshot(), {Object::kPeers, "site-a"});
  EXPECT_EQ(json["peers"].size(), 2u);
  EXPECT_TRUE(json["tunnels"].empty() && json["sessions"].empty() && json["drops"].empty());
  json = ToJson(SampleSnapshot(), {Object::kAll, "other"});
  EXPECT_TRUE(json["tunnels"].empty() && json["peers"].empty() && json["drops"].empty());
  EXPECT_TRUE(json["tunnels"].is_array());
}

TEST(SnapshotJsonTest, DocumentsOfAnyShapeAreSafeToRead) {
  EXPECT_FALSE(SnapshotFromJson(Json::array()).ok());
  const auto odd = SnapshotFromJson(Json::parse(
      R"({"time":"x","daemon":[],"tunnels":{"a":1},"peers":[1,null,{"rx_bytes":-1,"drops":[],
          "allowed_ips":[1,"10.0.0.0/8"],"status":"new","path_mtu":99999999999}],"sessions":null})"));
  ASSERT_TRUE(odd.ok());
  EXPECT_TRUE(odd->tunnels.empty());
  ASSERT_EQ(odd->peers.size(), 1u);
  EXPECT_EQ(odd->peers[0].traffic.rx_bytes, 0u);
  EXPECT_EQ(odd->peers[0].allowed_ips, std::vector<std::string>{"10.0.0.0/8"});
}

TEST(SnapshotJsonTest, NamesThatAreNotUtf8DoNotThrow) {
  Snapshot snapshot;
  snapshot.daemon.version = "\xff";
  EXPECT_NE(Dump(ToJson(snapshot)).find("\xef\xbf\xbd"), std::string::npos);
}

TEST(SnapshotJsonTest, EveryDropReasonHasNameAndSentence) {
  EXPECT_EQ(DropReasonName(39), "rx_replayed");
  EXPECT_EQ(DropReasonSentence(39), "counter was received before");
  EXPECT_EQ(DropReasonName(191), "unknown_191");
}

TEST(ReplyTest, RoundTrip) {
  const auto up = ParseReply(SerializeReply(UpReply("site-a", "no answer")));
  ASSERT_TRUE(up.ok());
  EXPECT_TRUE(up->ok);
  EXPECT_EQ(up->exit, kExitDegraded);
  EXPECT_EQ(up->result["reason"], "no answer");
  const auto bad =
      ParseReply(SerializeReply(ErrorReply(ErrorFromStatus(absl::NotFoundError("no such")))));
  ASSERT_TRUE(bad.ok());
  EXPECT_FALSE(bad->ok);
  EXPECT_EQ(bad->exit, kExitFailed);
  EXPECT_EQ(bad->error.code, "not_found");
  EXPECT_EQ(bad->error.message, "no such");
  EXPECT_FALSE(ParseReply("{}").ok());
  EXPECT_FALSE(ParseReply("nonsense").ok());
}

TEST(ShowTest, UnknownTunnelIsNotFound) {
  Request request;
  request.name = "nowhere";
  EXPECT_EQ(ShowReply(SampleSnapshot(), request).error.code, kErrorNotFound);
  request.name = "site-a";
  EXPECT_TRUE(ShowReply(SampleSnapshot(), request).ok);
}

}  // namespace
}  // namespace cipe::control
