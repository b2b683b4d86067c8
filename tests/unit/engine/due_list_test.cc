// The heap against a map, with many random changes.
#include "engine/due_list.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace cipe::engine {
namespace {

TEST(DueList, GivesWhoIsDueInOrder) {
  DueList list;
  Peer a, b, c;
  list.Set(a, FromNanos(30));
  list.Set(b, FromNanos(10));
  list.Set(c, FromNanos(20));
  EXPECT_EQ(list.next(), FromNanos(10));
  EXPECT_EQ(list.Take(FromNanos(9)), nullptr);
  EXPECT_EQ(list.Take(FromNanos(25)), &b);
  list.SetBy(a, FromNanos(40));  // later than it is: no change
  list.SetBy(a, FromNanos(5));
  EXPECT_EQ(list.Take(FromNanos(25)), &a);
  list.Set(c, FromNanos(99));
  EXPECT_EQ(list.Take(FromNanos(25)), nullptr);
  list.Remove(c);
  list.Remove(c);
  EXPECT_TRUE(list.empty());
}

TEST(DueList, IsAMapByTime) {
  std::mt19937 random(5);
  std::vector<Peer> peers(300);
  std::map<Peer*, int64_t> model;
  DueList list;
  for (int i = 0; i < 200'000; ++i) {
    Peer& peer = peers[random() % peers.size()];
    const int64_t at = static_cast<int64_t>(random() % 1000);
    switch (random() % 4) {
      case 0:
        list.Remove(peer);
        model.erase(&peer);
        break;
      case 1:
        list.Set(peer, FromNanos(at));
        model[&peer] = at;
        break;
      case 2:
        list.SetBy(peer, FromNanos(at));
        model[&peer] = model.contains(&peer) ? std::min(model[&peer], at) : at;
        break;
      default:
        const auto least =
            std::min_element(model.begin(), model.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; });
        if (model.empty()) break;
        ASSERT_EQ(list.next(), FromNanos(least->second));
        Peer* taken = list.Take(FromNanos(least->second));
        ASSERT_NE(taken, nullptr);
        ASSERT_EQ(model[taken], least->second);
        ASSERT_EQ(taken->due_slot, Peer::kNotDue);
        model.erase(taken);
    }
    ASSERT_EQ(list.size(), model.size());
  }
}

}  // namespace
}  // namespace cipe::engine
