// The structs of cipe/abi/maps.h as clang laid them out for BPF (BTF of the built objects) against
// the C++ compiler's view: size, and offset and size of every member.
#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "cipe/abi/drop_reasons.h"
#include "cipe/abi/maps.h"

namespace cipe {
namespace {

struct Member {
  size_t offset;
  size_t size;
  friend bool operator==(const Member&, const Member&) = default;
};
struct Layout {
  size_t size = 0;
  std::map<std::string, Member> members;
};
using Layouts = std::map<std::string, Layout>;

std::ostream& operator<<(std::ostream& out, const Member& member) {
  return out << member.offset << "+" << member.size;
}

#define FIELD(type, field)                                 \
  {                                                        \
#field, { offsetof(type, field), sizeof(type::field) } \
  }

const Layouts& CppView() {
  static const Layouts kView = {
      {"cipe_listener_key",
       {sizeof(cipe_listener_key),
        {FIELD(cipe_listener_key, address), FIELD(cipe_listener_key, port),
         FIELD(cipe_listener_key, family), FIELD(cipe_listener_key, reserved),
         FIELD(cipe_listener_key, vlan)}}},
      {"cipe_listener",
       {sizeof(cipe_listener),
        {FIELD(cipe_listener, tunnel), FIELD(cipe_listener, flags), FIELD(cipe_listener, protocol),
         FIELD(cipe_listener, reserved)}}},
      {"cipe_carrier",
       {sizeof(cipe_carrier),
        {FIELD(cipe_carrier, mac), FIELD(cipe_carrier, reserved), FIELD(cipe_carrier, queues)}}},
      {"cipe_peer",
       {sizeof(cipe_peer),
        {FIELD(cipe_peer, tunnel), FIELD(cipe_peer, mtu), FIELD(cipe_peer, endpoint_address),
         FIELD(cipe_peer, endpoint_port), FIELD(cipe_peer, endpoint_family),
         FIELD(cipe_peer, reserved), FIELD(cipe_peer, endpoint_scope), FIELD(cipe_peer, identity),
         FIELD(cipe_peer, last_handshake_unix_ns)}}},
      {"cipe_session",
       {sizeof(cipe_session),
        {FIELD(cipe_session, peer), FIELD(cipe_session, tunnel), FIELD(cipe_session, lanes),
         FIELD(cipe_session, flags), FIELD(cipe_session, generation),
         FIELD(cipe_session, lane_slot), FIELD(cipe_session, lane_slots)}}},
      {"cipe_session_key",
       {sizeof(cipe_session_key),
        {FIELD(cipe_session_key, version), FIELD(cipe_session_key, remote_index),
         FIELD(cipe_session_key, created_boot_ns), FIELD(cipe_session_key, suite),
         FIELD(cipe_session_key, send_lanes), FIELD(cipe_session_key, reserved),
         FIELD(cipe_session_key, peer_mtu), FIELD(cipe_session_key, tie_break),
         FIELD(cipe_session_key, nonce), FIELD(cipe_session_key, sealed),
         FIELD(cipe_session_key, lock)}}},
      {"cipe_lane_state",
       {sizeof(cipe_lane_state),
        {FIELD(cipe_lane_state, send_reserved), FIELD(cipe_lane_state, receive_greatest)}}},
      {"cipe_source_key",
       {sizeof(cipe_source_key), {FIELD(cipe_source_key, prefix), FIELD(cipe_source_key, family)}}},
      {"cipe_source_bucket",
       {sizeof(cipe_source_bucket),
        {FIELD(cipe_source_bucket, refilled_ns), FIELD(cipe_source_bucket, credit_ns)}}},
      {"cipe_peer_stats",
       {sizeof(cipe_peer_stats),
        {FIELD(cipe_peer_stats, steered_frames), FIELD(cipe_peer_stats, steered_bytes)}}},
  };
  return kView;
}

// Every cipe_* struct with full layout in the object's BTF.
Layouts BtfView(const std::string& path) {
  Layouts layouts;
  std::unique_ptr<btf, void (*)(btf*)> types(btf__parse_elf(path.c_str(), nullptr), btf__free);
  EXPECT_NE(types, nullptr) << path;
  if (types == nullptr) return layouts;
  for (uint32_t id = 1; id < btf__type_cnt(types.get()); ++id) {
    const btf_type* type = btf__type_by_id(types.get(), id);
    const std::string name = btf__name_by_offset(types.get(), type->name_off);
    if (!btf_is_struct(type) || name.rfind("cipe_", 0) != 0) continue;
    Layout& layout = layouts[name];
    layout.size = type->size;
    for (uint32_t i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      layout.members[btf__name_by_offset(types.get(), member.name_off)] = {
          btf_member_bit_offset(type, i) / 8,
          static_cast<size_t>(btf__resolve_size(types.get(), member.type))};
    }
  }
  return layouts;
}

void Compare(const Layouts& built, std::set<std::string>* seen) {
  for (const auto& [name, expected] : CppView()) {
    const auto found = built.find(name);
    if (found == built.end()) continue;
    SCOPED_TRACE(name);
    seen->insert(name);
    EXPECT_EQ(found->second.size, expected.size);
    EXPECT_EQ(found->second.members, expected.members);
  }
}

TEST(BtfLayout, EveryStructIsTheSameOnBothSides) {
  std::set<std::string> seen, all;
  Compare(BtfView(CIPE_BPF_DIR "/cipe_xdp.bpf.o"), &seen);
  Compare(BtfView(CIPE_BPF_DIR "/cipe_maps.bpf.o"), &seen);
  for (const auto& [name, layout] : CppView()) all.insert(name);
  EXPECT_EQ(seen, all) << "a struct of no built object was not compared";
}

TEST(BtfLayout, NoStructOfTheHeaderIsForgotten) {
  std::ifstream header(CIPE_SOURCE_DIR "/include/cipe/abi/maps.h");
  std::stringstream text;
  text << header.rdbuf();
  const std::string content = text.str();
  const std::regex definition("struct (cipe_[a-z_]+) \\{");
  std::set<std::string> defined, all;
  for (std::sregex_iterator it(content.begin(), content.end(), definition), end; it != end; ++it) {
    defined.insert((*it)[1]);
  }
  for (const auto& [name, layout] : CppView()) all.insert(name);
  EXPECT_EQ(defined, all);
}

TEST(BtfLayout, ProgramDoesNotKnowKeys) {
  EXPECT_EQ(BtfView(CIPE_BPF_DIR "/cipe_xdp.bpf.o").count("cipe_session_key"), 0u);
}

TEST(DropReasons, NumbersFitTheArrayAndAreUnique) {
  std::set<int> numbers;
  std::set<std::string> names;
#define CIPE_DROP(number, name, sentence)     \
  EXPECT_LT(number, CIPE_DROP_REASONS);       \
  EXPECT_TRUE(numbers.insert(number).second); \
  EXPECT_TRUE(names.insert(#name).second);    \
  EXPECT_EQ(cipe_drop_##name, number);
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
  EXPECT_GE(numbers.size(), 7u);
}

}  // namespace
}  // namespace cipe
