// Path-compressed binary trie from address prefixes to 32-bit values: longest match in as many
// steps as there are branches on the way. Nodes stand in one array and refer to each other by
// index, so a trie is copied and freed as one block; n prefixes need at most 2n - 1 nodes.
//
// Const members may run in any number of threads while nobody writes.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace cipe {

// Address bits, first bit of the address = most significant.
struct TrieKeyV4 {
  static constexpr int kBits = 32;
  uint32_t bits = 0;

  static TrieKeyV4 Load(const uint8_t* octets) { return {LoadBe32(octets)}; }
  void Store(uint8_t* octets) const { StoreBe32(octets, bits); }
  int Bit(int i) const { return static_cast<int>(bits >> (31 - i) & 1); }
  TrieKeyV4 Masked(int length) const {
    return {length == 0 ? 0 : bits & ~uint32_t{0} << (32 - length)};
  }
  // Number of leading bits that both have in common.
  int Common(TrieKeyV4 other) const { return std::countl_zero(bits ^ other.bits); }
};

struct TrieKeyV6 {
  static constexpr int kBits = 128;
  uint64_t high = 0;
  uint64_t low = 0;

  static TrieKeyV6 Load(const uint8_t* octets) { return {LoadBe64(octets), LoadBe64(octets + 8)}; }
  void Store(uint8_t* octets) const {
    StoreBe64(octets, high);
    StoreBe64(octets + 8, low);
  }
  int Bit(int i) const {
    return static_cast<int>((i < 64 ? high >> (63 - i) : low >> (127 - i)) & 1);
  }
  TrieKeyV6 Masked(int length) const {
    return {MaskWord(high, length), MaskWord(low, length - 64)};
  }
  int Common(TrieKeyV6 other) const {
    const int n = std::countl_zero(high ^ other.high);
    return n < 64 ? n : 64 + std::countl_zero(low ^ other.low);
  }

 private:
  static uint64_t MaskWord(uint64_t word, int length) {
    if (length <= 0) return 0;
    return length >= 64 ? word : word & ~uint64_t{0} << (64 - length);
  }
};

template <typename Key>
class PrefixTrie {
 public:
  static constexpr uint32_t kNoValue = ~uint32_t{0};

  // The slot of exactly this prefix, made if there was none (then kNoValue). Bits of `key` after
  // `length` are ignored. The reference is valid until the next call of a non-const member.
  uint32_t& Slot(Key key, int length) {
    key = key.Masked(length);
    uint32_t* link = &root_;
    while (*link != kNil) {
      const uint32_t at = *link;
      const int common = std::min({key.Common(nodes_[at].key), length, int{nodes_[at].length}});
      if (common < nodes_[at].length) return Split(link, key, length, common);
      if (common == length) return nodes_[at].value;
      link = &nodes_[at].child[key.Bit(common)];
    }
    return nodes_[Link(link, Node{key, kNoValue, {kNil, kNil}, static_cast<uint8_t>(length)})]
        .value;
  }

  // Value of the longest prefix that holds `address`, or kNoValue.
  uint32_t Lookup(Key address) const {
    uint32_t best = kNoValue;
    for (uint32_t at = root_; at != kNil;) {
      const Node& node = nodes_[at];
      if (address.Common(node.key) < node.length) break;
      if (node.value != kNoValue) best = node.value;
      if (node.length == Key::kBits) break;
      at = node.child[address.Bit(node.length)];
    }
    return best;
  }

  // visit(key, length, value) for every prefix that has a value, in no promised order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Node& node : nodes_) {
      if (node.value != kNoValue) visit(node.key, int{node.length}, node.value);
    }
  }

  void ShrinkToFit() { nodes_.shrink_to_fit(); }
  size_t HeapOctets() const { return nodes_.capacity() * sizeof(Node); }

 private:
  static constexpr uint32_t kNil = ~uint32_t{0};

  struct Node {
    Key key;
    uint32_t value;
    uint32_t child[2];
    uint8_t length;
  };

  // Appends `node` and points *link at it; `link` may point into nodes_, which may move.
  uint32_t Link(uint32_t* link, const Node& node) {
    const uint32_t index = static_cast<uint32_t>(nodes_.size());
    *link = index;
    nodes_.push_back(node);
    return index;
  }

  // Puts a node of `common` bits above the one at *link, and the new prefix at it or below it.
  uint32_t& Split(uint32_t* link, Key key, int length, int common) {
    const uint32_t below = *link;
    Node fork{key.Masked(common), kNoValue, {kNil, kNil}, static_cast<uint8_t>(common)};
    fork.child[nodes_[below].key.Bit(common)] = below;
    const uint32_t at = Link(link, fork);
    if (common == length) return nodes_[at].value;
    const Node leaf{key, kNoValue, {kNil, kNil}, static_cast<uint8_t>(length)};
    return nodes_[Link(&nodes_[at].child[key.Bit(common)], leaf)].value;
  }

  std::vector<Node> nodes_;
  uint32_t root_ = kNil;
};

}  // namespace cipe
