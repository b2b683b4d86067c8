#include "broker/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class ResolverTest : public testing::Test {
 protected:
  void Run(const std::function<bool()>& until) {
    const Instant end = clock_.Now() + seconds(20);
    while (!until() && clock_.Now() < end) ASSERT_TRUE(loop_->RunOnce(seconds(1)).ok());
    EXPECT_TRUE(until());
  }
  Resolver::Done Keep() {
    return [this](Resolved answer) { answers_.push_back(std::move(answer)); };
  }
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<Resolved> answers_;
};

// No server knows these, and none is asked: the labels are empty.
constexpr char kNoName[] = "no..such..name";

TEST_F(ResolverTest, NumbersAreAnsweredLaterAndForLong) {
  Resolver resolver(*loop_);
  resolver.Resolve({"192.0.2.9", 99}, Keep());
  resolver.Resolve({"2001:db8::9", 98}, Keep());
  EXPECT_TRUE(answers_.empty());
  Run([&] { return answers_.size() == 2; });
  ASSERT_TRUE(answers_[0].ok() && answers_[1].ok());
  EXPECT_EQ(answers_[0]->endpoints.front().ToString(), "192.0.2.9:99");
  EXPECT_EQ(answers_[1]->endpoints.front().ToString(), "[2001:db8::9]:98");
  EXPECT_GE(answers_[0]->ttl, std::chrono::hours(1));
}

TEST_F(ResolverTest, TheHostsFileIsRead) {
  Resolver resolver(*loop_, [](const config::EndpointSpec&) -> Found {
    return absl::InternalError("the C library was asked");
  });
  resolver.Resolve({"localhost", 6789}, Keep());
  EXPECT_TRUE(answers_.empty()) << "answered from within the call";
  Run([&] { return answers_.size() == 1; });
  ASSERT_TRUE(answers_[0].ok()) << answers_[0].status();
  ASSERT_FALSE(answers_[0]->endpoints.empty());
  for (const Endpoint& endpoint : answers_[0]->endpoints) EXPECT_EQ(endpoint.port, 6789);
}

TEST_F(ResolverTest, WhatDnsDoesNotKnowTheLibraryMay) {
  std::vector<std::string> asked;
  Resolver resolver(*loop_, [&](const config::EndpointSpec& spec) -> Found {
    asked.push_back(spec.ToString());
    return std::vector<Endpoint>(40, *Endpoint::Parse("192.0.2.1:7"));
  });
  resolver.Resolve({kNoName, 7}, Keep());
  Run([&] { return answers_.size() == 1; });
  EXPECT_THAT(asked, testing::ElementsAre(std::string(kNoName) + ":7"));
  ASSERT_TRUE(answers_[0].ok()) << answers_[0].status();
  EXPECT_EQ(answers_[0]->endpoints.size(), DnsQuery::kMostAddresses);
  EXPECT_EQ(answers_[0]->ttl, Resolver::kLibraryTtl);
}

TEST_F(ResolverTest, WhatNobodyKnowsIsUnavailableAndNamed) {
  Resolver resolver(*loop_);
  resolver.Resolve({kNoName, 7}, Keep());
  Run([&] { return answers_.size() == 1; });
  EXPECT_TRUE(absl::IsUnavailable(answers_[0].status()));
  EXPECT_THAT(std::string(answers_[0].status().message()), HasSubstr(kNoName));
}

TEST_F(ResolverTest, ManyQuestionsAtOnceAreAllAnswered) {
  Resolver resolver(*loop_, [](const config::EndpointSpec& spec) -> Found {
    return std::vector<Endpoint>{*Endpoint::Parse("192.0.2.1:" + std::to_string(spec.port))};
  });
  constexpr uint16_t kMany = 4 * Resolver::kAtOnce;
  for (uint16_t port = 1; port <= kMany; ++port) resolver.Resolve({kNoName, port}, Keep());
  Run([&] { return answers_.size() == kMany; });
  std::set<uint16_t> ports;
  for (const Resolved& answer : answers_) ports.insert(answer->endpoints.front().port);
  EXPECT_EQ(ports.size(), kMany);
}

TEST_F(ResolverTest, NoAnswerAfterItsEnd) {
  auto resolver = std::make_unique<Resolver>(*loop_);
  resolver->Resolve({"192.0.2.9", 1}, Keep());
  resolver->Resolve({"localhost", 1}, Keep());
  resolver->Resolve({"a.name.nobody.has.invalid", 1}, Keep());  // maybe on its way to a server
  resolver.reset();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(30)).ok());
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace cipe::broker
