// Runs an administrator's scripts on events of a tunnel, without the loop ever waiting for one.
//
// Scripts of one group (a tunnel) run one after the other in the order they were asked for, each in
// a process group and with an environment of its own: PATH and what the job says, nothing else;
// standard input is empty. What a script writes goes to the log line by line, control characters
// escaped. One that runs longer than its limit gets SIGTERM, and a second later SIGKILL, with
// everything it started in its process group. Programs it leaves in the background may go on, and
// what they write is still read, of kMostLeft scripts at once: a pipe closed under them would end
// them with their next line.
//
// Under systemd each script is a transient unit instead of a child, so that ciped's own unit can
// stay strict: a script is the administrator's, and may need all that ciped must not have (other
// capabilities, file systems, devices). That is done by systemd-run(1), which is a child as the
// script would be: it hands our pipe to the unit and ends as the unit ends, so that nothing else
// here differs. (StartTransientUnit by sd-bus would save one process and cost a second,
// asynchronous way for output, end and limit.)
//
// Belongs to the loop's thread.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace cipe::broker {

struct HookJob {
  std::string group;                                             // the tunnel's name
  std::string label;                                             // for the log: "ip-up"
  std::string path;                                              // absolute
  std::vector<std::string> arguments;                            // $1 ...
  std::vector<std::pair<std::string, std::string>> environment;  // names and values
  Duration limit = std::chrono::seconds(30);
  // Ok: it ran and ended with status 0. NotFound: there is no such file. Others say what happened.
  // May be null. Not called for jobs that are dropped with the runner.
  std::function<void(const absl::Status&)> done;
};

class HookRunner {
 public:
  // `loop` must outlive the runner. `units`: scripts run as transient units. `owner`: whom scripts
  // must belong to besides root (tests).
  explicit HookRunner(EventLoop& loop, bool units = false, uid_t owner = 0);
  // Kills what still runs, and logs what is cut off or never begins.
  ~HookRunner();
  HookRunner(const HookRunner&) = delete;
  HookRunner& operator=(const HookRunner&) = delete;

  // A file that is not there is no error worth a log line. One that does not belong to root, or may
  // be written by others, is refused: it would run as root.
  void Run(HookJob job);
  size_t pending() const;  // running and waiting
  // Turns the loop until nothing is pending, at most for `patience`, or until Hurry. What is left
  // is for the destructor to end.
  void Drain(Duration patience);
  void Hurry() { hurry_ = true; }

  static constexpr size_t kMostLeft = 64;

 private:
  struct Running;
  void StartNext(const std::string& group);
  absl::Status Start(const std::string& group, HookJob job);
  // The command line of a job: its own, or that of its unit, whose name it draws.
  std::vector<std::string> CommandOf(const HookJob& job, std::string* unit);
  void OnOutput(Running& running);
  void OnExit(const std::string& group);
  void OnLimit(const std::string& group);
  void Keep(std::unique_ptr<Running> ended);
  void Finish(const std::string& group, const HookJob& job, const absl::Status& status);

  EventLoop& loop_;
  const bool units_;
  const uid_t owner_;
  uint64_t started_ = 0;
  std::map<std::string, std::deque<HookJob>> waiting_;
  std::map<std::string, std::unique_ptr<Running>> running_;
  std::list<std::unique_ptr<Running>> left_;  // ended, but the pipe is still open
  bool hurry_ = false;
};

}  // namespace cipe::broker
