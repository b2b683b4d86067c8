#include "control/request.h"

#include "cipe/control/schema.h"
#include "gtest/gtest.h"

namespace cipe::control {
namespace {

Error ErrorOf(const std::string& text) {
  Request request;
  request.name = "untouched";
  Error error;
  EXPECT_FALSE(ParseRequest(text, &request, &error)) << text;
  EXPECT_EQ(request.name, "untouched");
  EXPECT_FALSE(error.message.empty());
  return error;
}

TEST(RequestTest, UpWaitsByDefault) {
  Request request;
  Error error;
  ASSERT_TRUE(ParseRequest(R"({"version":1,"verb":"up","name":"site-a"})", &request, &error));
  EXPECT_EQ(request.verb, Verb::kUp);
  EXPECT_EQ(request.name, "site-a");
  EXPECT_TRUE(request.wait);
  ASSERT_TRUE(
      ParseRequest(R"({"version":1,"verb":"up","name":"b","wait":false})", &request, &error));
  EXPECT_FALSE(request.wait);
}

TEST(RequestTest, ReloadTakesANameOrNoneAndADryRun) {
  Request request;
  Error error;
  ASSERT_TRUE(ParseRequest(R"({"version":1,"verb":"reload"})", &request, &error));
  EXPECT_EQ(request.verb, Verb::kReload);
  EXPECT_EQ(request.name, "");
  EXPECT_FALSE(request.dry_run);
  EXPECT_TRUE(ChangesThings(request.verb));
  request.name = "site-a";
  request.dry_run = true;
  Request back;
  ASSERT_TRUE(ParseRequest(SerializeRequest(request), &back, &error));
  EXPECT_EQ(back.name, "site-a");
  EXPECT_TRUE(back.dry_run);
  EXPECT_EQ(ErrorOf(R"({"version":1,"verb":"reload","dry_run":1})").code, kErrorBadRequest);
  EXPECT_EQ(ErrorOf(R"({"version":1,"verb":"up","name":"a","dry_run":true})").code,
            kErrorBadRequest);
}

TEST(RequestTest, DirectoriesOfTheDaemonAreAbsolute) {
  Request request;
  Error error;
  ASSERT_TRUE(ParseRequest(
      R"({"version":1,"verb":"down","name":"a","config_dir":"/etc/cipe","state_dir":null})",
      &request, &error));
  EXPECT_EQ(request.config_dir, "/etc/cipe");
  EXPECT_EQ(request.state_dir, "");
  request.state_dir = "/var/lib/cipe";
  Request back;
  ASSERT_TRUE(ParseRequest(SerializeRequest(request), &back, &error));
  EXPECT_EQ(back.config_dir, "/etc/cipe");
  EXPECT_EQ(back.state_dir, "/var/lib/cipe");
  for (const std::string& value :
       {std::string("etc"), std::string(), "/" + std::string(kMaxDirectory, 'x')}) {
    EXPECT_EQ(ErrorOf(R"({"version":1,"verb":"show","state_dir":")" + value + "\"}").code,
              kErrorBadRequest);
  }
  EXPECT_EQ(ErrorOf(R"({"version":1,"verb":"show","config_dir":7})").code, kErrorBadRequest);
}

TEST(RequestTest, CanonicalDirectory) {
  EXPECT_EQ(CanonicalDirectory("/nowhere/at/../all/"), "/nowhere/all");
  EXPECT_EQ(CanonicalDirectory("/"), "/");
  EXPECT_EQ(CanonicalDirectory("/proc/self/cwd"), CanonicalDirectory("."));
}

TEST(RequestTest, ShowTakesObjectAndNameOrNull) {
  Request request;
  Error error;
  ASSERT_TRUE(
      ParseRequest(R"({"version":1,"verb":"show","object":"drops","name":"a"})", &request, &error));
  EXPECT_EQ(request.object, Object::kDrops);
  ASSERT_TRUE(
      ParseRequest(R"({"version":1,"verb":"show","object":null,"name":null})", &request, &error));
  EXPECT_EQ(request.object, Object::kAll);
  EXPECT_EQ(request.name, "");
}

TEST(RequestTest, WhatIsSerializedParsesToTheSame) {
  for (const Verb verb : {Verb::kUp, Verb::kDown, Verb::kShow}) {
    for (const Object object : {Object::kAll, Object::kPeers, Object::kSessions}) {
      Request in{verb, "site-a", verb != Verb::kUp, verb == Verb::kShow ? object : Object::kAll};
      Request out;
      Error error;
      ASSERT_TRUE(ParseRequest(SerializeRequest(in), &out, &error)) << error.message;
      EXPECT_EQ(out.verb, in.verb);
      EXPECT_EQ(out.name, in.name);
      EXPECT_EQ(out.wait, in.wait);
      EXPECT_EQ(out.object, in.object);
    }
  }
}

TEST(RequestTest, ForgetClockNamesTunnelAndPeer) {
  Request in{Verb::kForgetClock, "site-a", true, Object::kAll, "nokia+/9="};
  Request out;
  Error error;
  ASSERT_TRUE(ParseRequest(SerializeRequest(in), &out, &error)) << error.message;
  EXPECT_EQ(out.verb, Verb::kForgetClock);
  EXPECT_EQ(out.name, "site-a");
  EXPECT_EQ(out.peer, "nokia+/9=");
  EXPECT_TRUE(ChangesThings(Verb::kForgetClock));
  const std::string longest(kMaxPeerName, 'x');
  in.peer = longest;
  EXPECT_TRUE(ParseRequest(SerializeRequest(in), &out, &error)) << error.message;
  for (const char* text : {R"({"version":1,"verb":"forget-clock","name":"a"})",
                           R"({"version":1,"verb":"forget-clock","peer":"b"})",
                           R"({"version":1,"verb":"forget-clock","name":"a","peer":""})",
                           R"({"version":1,"verb":"forget-clock","name":"a","peer":null})",
                           R"({"version":1,"verb":"forget-clock","name":"a","peer":["b"]})",
                           R"({"version":1,"verb":"forget-clock","name":"a","peer":"b\u0007"})",
                           R"({"version":1,"verb":"forget-clock","name":"a","peer":"b c"})",
                           R"({"version":1,"verb":"down","name":"a","peer":"b"})"}) {
    EXPECT_EQ(ErrorOf(text).code, kErrorBadRequest) << text;
  }
  in.peer = longest + "x";
  EXPECT_EQ(ErrorOf(SerializeRequest(in)).code, kErrorBadRequest);
}

TEST(RequestTest, MalformedOnesAreRefused) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[]",
                           "1",
                           "null",
                           "\"up\"",
                           "{}",
                           R"({"version":1})",
                           R"({"version":"1","verb":"show"})",
                           R"({"version":1.0,"verb":"show"})",
                           R"({"version":1,"verb":1})",
                           R"({"version":1,"verb":"up"})",
                           R"({"version":1,"verb":"up","name":""})",
                           R"({"version":1,"verb":"up","name":7})",
                           R"({"version":1,"verb":"up","name":null})",
                           R"({"version":1,"verb":"up","name":"a","wait":1})",
                           R"({"version":1,"verb":"up","name":"a","object":"peers"})",
                           R"({"version":1,"verb":"down","name":"a","wait":true})",
                           R"({"version":1,"verb":"show","object":"keys"})",
                           R"({"version":1,"verb":"show","object":[]})",
                           R"({"version":1,"verb":"show","secret":true})",
                           R"({"version":1,"verb":"show"} trailing)"}) {
    EXPECT_EQ(ErrorOf(text).code, kErrorBadRequest) << text;
  }
  EXPECT_EQ(ErrorOf("\xff\xfe{}").code, kErrorBadRequest);
  EXPECT_EQ(ErrorOf(R"({"version":2,"verb":"show"})").code, kErrorUnsupportedVersion);
  EXPECT_EQ(ErrorOf(R"({"version":1,"verb":"unload"})").code, kErrorUnknownVerb);
  EXPECT_EQ(ErrorOf(std::string(kMaxRequestSize, ' ')).code, kErrorTooLarge);
  EXPECT_EQ(ErrorOf(std::string(kMaxRequestSize - 1, '[')).code, kErrorBadRequest);
}

TEST(RequestTest, MessagesDoNotRepeatControlCharacters) {
  const Error error = ErrorOf("{\"version\":1,\"verb\":\"a\\u001b[2Jb\"}");
  EXPECT_EQ(error.message.find('\x1b'), std::string::npos);
}

TEST(RequestTest, TunnelNames) {
  for (const char* good : {"a", "site-a", "A_b.c=d+1", "123456789012345"})
    EXPECT_TRUE(IsTunnelName(good)) << good;
  for (const char* bad : {"", ".", "..", "1234567890123456", "a/b", "../x", "a b", "cipe%d", "a:b",
                          "\xc3\xa4", "a\n"})
    EXPECT_FALSE(IsTunnelName(bad)) << bad;
}

}  // namespace
}  // namespace cipe::control
