# What the adapters of this folder share; sourced, not run. docs/performance.md has the contract.

PATH=$PATH:/usr/sbin:/sbin

# fact KEY VALUE: one line of `describe`.
fact() { echo "$1: $2"; }

# not_here REASON: this contestant cannot run on this machine.
not_here() {
  echo "$1" >&2
  exit 77
}

needs_program() {
  command -v "$1" >/dev/null || not_here "$1 is not installed (tools/install-dependencies --bench)"
}

# in_background COMMAND...: a daemon of this end, which writes to the log that `up` was given.
in_background() {
  "$@" &
  echo $! >"$BENCH_DIR/$BENCH_END.pid"
}

# A process that has ended and that nobody has asked for its exit code is not alive.
is_alive() { grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

# Ends the daemon of this end and waits until it is gone, five seconds at most.
stop_daemon() {
  [ -f "$BENCH_DIR/$BENCH_END.pid" ] || return 0
  read -r pid <"$BENCH_DIR/$BENCH_END.pid"
  kill "$pid" 2>/dev/null || return 0
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
    is_alive "$pid" || return 0
    sleep 0.2
  done
  echo "process $pid does not end" >&2
  return 1
}

# wait_for WHAT COMMAND...: five seconds at most.
wait_for() {
  what=$1
  shift
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  echo "waited in vain for $what" >&2
  return 1
}

# The tunnel's netdev as every layer 3 rival gets it.
set_up_device() {
  ip address add "$BENCH_LOCAL" peer "$BENCH_REMOTE" dev "$BENCH_DEVICE"
  ip link set "$BENCH_DEVICE" mtu "$BENCH_MTU" txqueuelen 1000 up
}
