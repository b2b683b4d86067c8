# Keys and configuration of both WireGuards; sourced after common.sh.

make_keys() {
  for end in a b; do
    [ ! -f "$BENCH_DIR/$end.key" ] || continue
    (umask 077; wg genkey >"$BENCH_DIR/$end.key")
    wg pubkey <"$BENCH_DIR/$end.key" >"$BENCH_DIR/$end.public"
  done
}

configure() {
  [ "$BENCH_END" = a ] && peer=b || peer=a
  wg set "$BENCH_DEVICE" private-key "$BENCH_DIR/$BENCH_END.key" listen-port "$BENCH_PORT" \
    peer "$(cat "$BENCH_DIR/$peer.public")" endpoint "$BENCH_CARRIER_REMOTE:$BENCH_PORT" \
    allowed-ips "$BENCH_REMOTE/32"
  set_up_device
}
