// Keeps an engine running: starts it, carries messages, notices its death and starts the next one,
// at once after a first crash and with growing pauses after repeated ones.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "broker/heartbeat.h"
#include "broker/process.h"
#include "ipc/channel.h"

namespace cipe::broker {

// How long to wait before the next engine: none after a first crash within a minute, then 100 ms
// doubling up to 10 s.
Duration RestartPause(int crashes_within_a_minute);

class Supervisor {
 public:
  struct Hooks {
    // A new engine listens; `takeover` when one before it died. Send it everything from here.
    std::function<void(bool takeover)> on_start;
    std::function<void(ipc::Message)> on_message;
    // The engine is dead, its descriptors are closed.
    std::function<void()> on_death;
    // It answered a ping. May be null.
    std::function<void()> on_pong;
  };

  // `loop` must outlive the supervisor. `spawn` runs on the loop's thread. An engine that leaves
  // pings unanswered is ended and replaced like one that died.
  Supervisor(EventLoop& loop, EngineSpawner spawn, Hooks hooks,
             const HeartbeatOptions& heartbeat = {});
  ~Supervisor();  // kills the engine, waits for its end and hands on what it said before
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Before Start(): the first engine takes over what another daemon left.
  void ExpectTakeover() { had_one_ = true; }
  // The first engine; errors say why none could be started.
  absl::Status Start();
  // Unavailable while no engine runs. One that takes no messages is ended (and replaced).
  absl::Status Send(ipc::Message message);
  // SIGKILL; a new engine follows as after a crash.
  void Kill(absl::string_view why);
  // The engine is asked to leave its sessions to another daemon and to end, and ended if it does
  // not within two seconds; no other follows. `gone` runs on the loop then, at once without an
  // engine.
  void Dismiss(std::function<void()> gone);
  // After Dismiss: nobody took over, so the next engine here does.
  void Resume() { Restart(); }
  bool running() const { return channel_ != nullptr; }
  pid_t pid() const { return process_.pid; }

 private:
  absl::Status Launch();
  void OnReadable();
  void OnExit();
  std::string Reap();  // how it ended
  void Restart();

  EventLoop& loop_;
  EngineSpawner spawn_;
  Hooks hooks_;
  EngineProcess process_;
  std::unique_ptr<ipc::Channel> channel_;
  bool had_one_ = false;        // there was an engine, here or in the daemon before this one
  std::function<void()> gone_;  // while one is dismissed
  TimerId dismissal_ = TimerId::kNone;
  TimerId restart_timer_ = TimerId::kNone;
  Heartbeat heartbeat_;
  std::vector<Instant> crashes_;
};

}  // namespace cipe::broker
