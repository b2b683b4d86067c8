#include "tools/cipectl/key_output.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "cipe/control/schema.h"
#include "config/keys.h"
#include "tools/cipectl/client.h"

namespace cipe::cipectl {
namespace {

bool OthersMayRead(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0;
}

// write(2), not stdio: its buffer would keep a copy of the key.
bool WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void WarnIfOthersMayRead() {
  if (!OthersMayRead(STDOUT_FILENO)) return;
  std::fprintf(stderr,
               "cipectl: warning: others can read the file this key goes to, and ciped will "
               "refuse it: chmod 600 it, or write with (umask 077; cipectl ... > FILE)\n");
}

int Failed() {
  return Complain(absl::InternalError(absl::StrCat("writing the key: ", strerror(errno))));
}

}  // namespace

int PrintSecret(const Secret<32>& key, const char* field, bool json) {
  WarnIfOthersMayRead();
  const config::SecretText text = config::FormatSecretKey(key);
  // Base64 needs no escape in JSON. One write for all of it would need one more copy of the key.
  if (WriteAll(json ? absl::StrCat("{\n  \"", field, "\": \"") : "") &&
      WriteAll(text.UnsafeView()) && WriteAll(json ? "\"\n}\n" : "\n")) {
    return control::kExitDone;
  }
  return Failed();
}

int PrintSecretText(absl::string_view text) {
  WarnIfOthersMayRead();
  return WriteAll(text) && WriteAll("\n") ? control::kExitDone : Failed();
}

}  // namespace cipe::cipectl
