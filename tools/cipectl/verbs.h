// What cipectl can do: one function and one file per verb. Each returns the exit code (schema.h).
#pragma once

#include <string>
#include <vector>

namespace cipe::cipectl {

struct Options {
  bool json = false;
  std::string config_dir;
  std::string runtime_dir;
  std::string state_dir;
  // Written by whoever called us, so that a ciped with others is not what they mean.
  bool config_dir_given = false;
  bool state_dir_given = false;

  // up, down: NAME. monitor, reload: [NAME]. show: [OBJECT] [NAME]. forget-clock: NAME PEER.
  std::string first;
  std::string second;
  bool no_wait = false;            // up
  bool dry_run = false;            // reload
  bool script = false;             // show
  std::string field;               // show
  bool keys = false;               // convert
  std::vector<std::string> words;  // convert: [NAME] [OPTION=VALUE]...
};

int Up(const Options& options);
int Down(const Options& options);
int Reload(const Options& options);
int Show(const Options& options);
int ForgetClock(const Options& options);
int Monitor(const Options& options);
int GenKey(const Options& options);
int PubKey(const Options& options);
int GenPsk(const Options& options);
int Convert(const Options& options);
int Version(const Options& options);

}  // namespace cipe::cipectl
