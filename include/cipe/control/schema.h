// The language between cipectl (or anybody's script) and ciped, over the stream socket
// RUNTIME_DIR/ciped.sock. A message is one JSON document (RFC 8259, UTF-8) and one NUL octet.
// Every request gets exactly one reply, in order; `up` may take seconds to be answered.
//
// Request:
//   {"version": 1, "verb": "up",   "name": "site-a", "wait": true}
//   {"version": 1, "verb": "down", "name": "site-a"}
//   {"version": 1, "verb": "forget-clock", "name": "site-a", "peer": "site-b"}
//   {"version": 1, "verb": "reload", "name": "site-a", "dry_run": false}
//   {"version": 1, "verb": "show", "object": "peers", "name": "site-a"}
//   {"version": 1, "verb": "monitor", "name": "site-a"}
// `wait` (default true) delays the reply of `up` until the first handshake ended or was given up.
// `reload` without `name` means every tunnel that is up; with `dry_run` it changes nothing.
// `object` and `name` narrow `show`; absent or null means all. Every verb takes `config_dir` and
// `state_dir`, absolute paths: a daemon that uses others refuses (failed_precondition). A field the
// daemon does not know is refused, so that no request is ever carried out without one of its
// conditions.
//
// Reply:
//   {"version": 1, "ok": true,  "exit": 0, "error": null, "result": {...}}
//   {"version": 1, "ok": false, "exit": 1, "error": {"code": "...", "message": "...", "exit": 1},
//    "result": null}
// `exit` is the exit code cipectl ends with. result of `up`:
//   {"tunnel": "site-a", "state": "up" | "degraded", "reason": null | "text"}
// result of `down`: {"tunnel": "site-a", "ciped_ends": true | false}, true when it was the last one
// and ciped was told to end with that; of `forget-clock`, which takes a peer's name or public
// key: {"tunnel": "site-a", "peer": "site-b"}. result of
// `reload`: {"dry_run": false, "tunnels": [{"tunnel": "site-a", "changes": ["Rekey: 120 -> 60"]}]},
// a sentence for people per change, none where nothing has changed. result of `show`:
//
//   {"version": 1, "time": 1700000000,              unix seconds of the daemon
//    "daemon":   {"version", "ciped_pid", "engine_pid", "abi", "aead"},
//    "tunnels":  [{"name", "id", "state", "reason", "protocol", "suite", "insecure",
//                  "listen_port", "addresses",
//                  "mtu", "rung", "rung_name", "rung_reason", "rung_cause",
//                  "carriers": [{"name", "queues", "mode", "reason"}],
//                  "public_key", "peers", "rx_bytes", "tx_bytes", "rx_packets", "tx_packets",
//                  "drops": {"rx_replayed": 3, ...}}],
//    "peers":    [{"tunnel", "name", "public_key", "endpoint", "allowed_ips", "latest_handshake",
//                  "rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rung", "rung_name",
//                  "rung_reason", "path_mtu", "persistent_keepalive", "status", "why", "drops":
//                  {...}, "advice", "path_mtu_source", "rtt_ms"}],
//    "sessions": [{"tunnel", "peer", "slot", "role", "local_index", "remote_index", "age_s",
//                  "expires_s", "lanes", "tx_counter", "rx_greatest"}],
//    "drops":    [{"scope", "reason", "count", "sentence"}]}
//
// rtt_ms: round-trip time of the last Ping that was answered, milliseconds with a fraction; null
// before the first and without Ping.
// why: the likeliest reason for having no session; advice: what to do about just that.
// ciped_pid: the process to send signals to. engine_pid: its child, which it replaces when that
// ends. mtu of a tunnel: of its netdev now. path_mtu: the greatest inner packet that goes to the
// peer in one piece, as far as the way there and both ends allow; null before the first handshake.
// path_mtu_source: how that is known: "interface" (the carrier's MTU or the tunnel's own), "route"
// (an MTU set on the route), "icmp" (the network said so and probes agreed), "probe" (probes
// alone), "peer" (the other end takes no more); null without a session.
//
// state: "up", "degraded" (works, or
// tries to, but not as configured; `reason` says why), "down". status: "connected", "handshaking",
// "no_answer", "idle", "no_endpoint", "dead" (Ping goes unanswered). slot: "previous", "current",
// "next". role: "initiator", "responder". rung: 1, 2, 3 or null; rung_name: "afxdp-zerocopy" (1),
// "afxdp-copy" (2, AF_XDP both ways), "afxdp-rx" (2, receives by AF_XDP, sends by the kernel),
// "socket" (3). rung_reason: why it is no better one, for people; rung_cause: the same as a stable
// name: "configured", "no_carrier", "carrier_missing", "carrier_unfit", "xdp_refused",
// "sockets_not_made", "rings_pending" (passes by itself), "rings_late", "rings_not_mapped",
// "sockets_not_bound", "no_zero_copy"; both null on rung 1. public_key: base64, or "shared" for a
// peer with a shared key; null for a tunnel without key pair.
//
// insecure: a sentence for people where the protocol is broken by design, that is protocol 3; its
// suite is "blowfish", "idea", "idea-be" or "none". A "session" of protocol 3 is a key in use: role
// "sender" or "receiver", indices 0, tx_counter and rx_greatest the packets under it so far,
// expires_s 0 for a key without end.
//
// After the reply to `monitor`, whose result is {}, the connection carries events, one document
// each, of one tunnel or of all, until the client closes it:
//   {"version": 1, "time": 1700000000.123, "event": "roamed", "tunnel": "site-a", "peer": "site-b",
//    "endpoint": "192.0.2.7:6789", "before": "192.0.2.1:6789"}
// event, with what it has beside the peer (null for events of a tunnel): "up" (rung, rung_name),
// "down", "handshake" (endpoint; a session where none was), "rekeyed" (endpoint), "no_answer"
// (why), "closed", "dead" (why; pings go unanswered), "alive", "roamed" (endpoint, before),
// "rung_changed" (rung, rung_name, before, cause, reason), "path_mtu_changed" (path_mtu, before,
// source), "drop_burst" (reason, count, sentence: 1000 or more within a second, told every 10 s at
// most). Who does not read is disconnected at 1 MB of unread events.
//
// Promises: names are snake_case, never renamed or given another meaning, only added. What is not
// known is null, never left out. Objects of "show" that were not asked for are empty arrays. No
// private, shared or preshared key appears, in any form.
#pragma once

#include <cstddef>

namespace cipe::control {

inline constexpr int kSchemaVersion = 1;
inline constexpr char kSocketName[] = "ciped.sock";
inline constexpr char kDefaultConfigDir[] = "/etc/cipe";
inline constexpr char kDefaultRuntimeDir[] = "/run/cipe";
inline constexpr char kDefaultStateDir[] = "/var/lib/cipe";
inline constexpr char kRuntimeDirEnvironment[] = "CIPE_RUNTIME_DIR";

inline constexpr size_t kMaxRequestSize = 64 * 1024;       // octets, NUL included
inline constexpr size_t kMaxReplySize = 64 * 1024 * 1024;  // octets, NUL included
inline constexpr size_t kMaxTunnelName = 15;               // IFNAMSIZ - 1
inline constexpr size_t kMaxDirectory = 4095;              // octets, PATH_MAX - 1
inline constexpr size_t kMaxPeerName = 64;                 // octets; public keys have 44

// Exit codes of cipectl, and "exit" of a reply.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotRunning = 3;
inline constexpr int kExitDegraded = 4;

inline constexpr char kVerbUp[] = "up";
inline constexpr char kVerbDown[] = "down";
inline constexpr char kVerbShow[] = "show";
inline constexpr char kVerbForgetClock[] = "forget-clock";
inline constexpr char kVerbMonitor[] = "monitor";
inline constexpr char kVerbReload[] = "reload";

inline constexpr char kObjectTunnels[] = "tunnels";
inline constexpr char kObjectPeers[] = "peers";
inline constexpr char kObjectSessions[] = "sessions";
inline constexpr char kObjectDrops[] = "drops";

// error.code; a handler may add its own.
inline constexpr char kErrorBadRequest[] = "bad_request";
inline constexpr char kErrorUnsupportedVersion[] = "unsupported_version";
inline constexpr char kErrorUnknownVerb[] = "unknown_verb";
inline constexpr char kErrorTooLarge[] = "too_large";
inline constexpr char kErrorPermissionDenied[] = "permission_denied";
inline constexpr char kErrorTooManyClients[] = "too_many_clients";
inline constexpr char kErrorNotFound[] = "not_found";
inline constexpr char kErrorInternal[] = "internal";

}  // namespace cipe::control
