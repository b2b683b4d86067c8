// main() of every GoogleTest program: GoogleTest's own exits with 0 when every case was skipped,
// which CTest would take for success.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/require.h"

namespace cipe::test {
namespace {

constexpr int kSkipped = 77;

std::vector<Requirement>& Requirements() {
  static auto* const requirements = new std::vector<Requirement>();
  return *requirements;
}

// Skips every case once a requirement is not met, and remembers the last reason of any skip.
class Skips final : public testing::EmptyTestEventListener {
 public:
  void OnEnvironmentsSetUpStart(const testing::UnitTest&) override {
    for (const Requirement requirement : Requirements()) {
      unmet_ = requirement();
      if (!unmet_.empty()) return;
    }
  }
  // A case that was skipped here is not even set up.
  void OnTestStart(const testing::TestInfo&) override {
    if (!unmet_.empty()) GTEST_SKIP() << unmet_;
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.skipped()) reason_ = result.message();
  }
  const std::string& reason() const { return reason_; }

 private:
  std::string unmet_;
  std::string reason_;
};

ino_t NetworkNamespace() {
  struct stat file {};
  return stat("/proc/self/ns/net", &file) == 0 ? file.st_ino : 0;
}

}  // namespace

bool Require(Requirement requirement) {
  Requirements().push_back(requirement);
  return true;
}

std::string OwnNetworkNamespace() {
  const ino_t before = NetworkNamespace();
  if (unshare(CLONE_NEWNET) != 0) {
    return std::string("a network namespace of its own is not permitted: ") + strerror(errno);
  }
  if (before == 0 || NetworkNamespace() == before) {
    std::printf("the network namespace did not change: refusing to go on\n");
    std::exit(1);
  }
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) {
    return std::string("cannot bring loopback up: ") + strerror(errno);
  }
  return "";
}

}  // namespace cipe::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto* const skips = new cipe::test::Skips();
  testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  tests.listeners().Append(skips);  // and belongs to them from here on
  const int code = RUN_ALL_TESTS();
  if (code != 0 || tests.skipped_test_count() == 0 || tests.successful_test_count() > 0) {
    return code;
  }
  std::printf("skipped, because %s\n", skips->reason().c_str());
  return cipe::test::kSkipped;
}
