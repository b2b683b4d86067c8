// What an options file and a command line of the classic system (protocol 3, CIPE 1.x) say about
// one link: typed, checked, with the defaults of the HOWTO filled in. Pure data. Every option with
// its special values stands in docs/classic.md; the comments here say what a reader of the struct
// has to know.
//
// Protocol 3 is insecure and stays so. What the wire lets be safer is safer by default; the fields
// at the end bring single habits of 1999 back and say which genuine peer needs them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ip_address.h"
#include "config/datapath.h"
#include "config/endpoint_spec.h"
#include "crypto/secret.h"

namespace cipe::config {

enum class ClassicCipher { kBlowfish, kIdea };
// How IDEA's key and data octets become 16-bit words. Genuine peers on x86 use kLittle.
enum class IdeaOrder { kLittle, kBig };

// The MTU of a classic netdev: 1500 - 36 (IPv4, UDP, IV) - 12 (longest trailer) - 10 (SOCKS header,
// set aside whether used or not).
inline constexpr int kClassicMtu = 1442;

struct ClassicOptions {
  ClassicCipher cipher = ClassicCipher::kBlowfish;  // cipher; else the command's name decides
  IdeaOrder idea_order = IdeaOrder::kLittle;        // idea-order

  // Exactly one of the two: a static key, or no encryption at all (UDP payload = bare IP packet).
  std::optional<Secret<16>> key;
  bool nokey = false;

  // Carrier addresses, IPv4 only. `me` is a number, 0.0.0.0 = any local address, port 0 = any free
  // port; `peer` may be a name.
  EndpointSpec me{"0.0.0.0", 0};
  EndpointSpec peer;

  IpAddress ipaddr;   // IPv4, of the netdev
  IpAddress ptpaddr;  // IPv4, of the peer's netdev; 0.0.0.0 = learn it

  int mtu = kClassicMtu;  // of the netdev
  int cttl = 0;           // TTL of carrier packets; 0 = the inner packet's
  int metric = 0;         // of the route to ptpaddr

  // Seconds; 0 = never, no timeout.
  int tokxc = 10;   // an exchange that has not ended is tried again
  int tokey = 600;  // life of a dynamic key for sending; twice that for receiving
  int tokxts = 0;   // greatest difference of an exchange packet's time stamp; 0 = no test
  int ping = 0;     // between two CT_PINGs
  int toping = 0;   // wait for the CT_PONG; a miss counts as an error; 0 = misses do not count
  // Network errors between two key exchanges that are borne: one more ends the tunnel. 0 = none,
  // -1 = any number.
  int maxerr = 8;

  std::string ipup = "/etc/cipe/ip-up";  // absolute paths; a missing file is no error
  std::string ipdown = "/etc/cipe/ip-down";
  std::string arg;  // handed to the scripts as it is

  // SOCKS5 server (TCP). Set: every datagram goes to its relay with ten octets in front. The
  // relay's address is known at run time only (ipc::ClassicRelay).
  std::optional<EndpointSpec> socks;
  std::string socks_user;                     // socks-user; empty = no authentication offered
  std::optional<SecretBytes> socks_password;  // socks-password; never leaves the broker

  std::string device;  // netdev; empty = a free cipcb<n> or cipci<n>
  bool debug = false;  // the command stays in the foreground and shows the log
  bool dynip = false;  // own carrier address may change: bind to any address, port of `me` only

  // Valid UDP checksums. False: sends zero as 1999 did, at the price of segmentation offload; no
  // peer needs it, middleboxes of the time aside. Both forms are always accepted.
  bool udpsum = true;

  // ---- 1999, one habit each; all false by default ----

  // static-data: data may travel under the static key: sent while there is no dynamic key to send
  // with, and accepted after one was agreed. False: sending waits (64 packets at most), and static
  // data is refused once a dynamic key was ever agreed. For genuine peers on lossy paths, which
  // fall back to the static key whenever an exchange is under way.
  bool static_data = false;
  // roam-any: packets under the static key (and, with nokey, any packet) move the peer's endpoint.
  // False: only packets under the receiving dynamic key do. For a genuine peer that changes its
  // address and then never completes an exchange because we still answer to the old one.
  bool roam_any = false;
  // kill: CT_KILL ends the tunnel. False: it is logged and ignored. For set-ups that stop the far
  // end this way.
  bool kill = false;

  // ---- not of 1999: which road the carrier packets take, as Datapath and Carrier of a tunnel ----
  Datapath datapath = Datapath::kAuto;
  std::string carrier;  // interface; empty = auto

  // The peer's carrier address is learned from whoever authenticates first: address 0.0.0.0, port
  // 0, or the dummy peer of the manual, 127.0.0.1:9.
  bool LearnsPeer() const {
    return peer.host == "0.0.0.0" || peer.port == 0 || (peer.host == "127.0.0.1" && peer.port == 9);
  }
  // The peer's tunnel address is learned from its first good inner packet.
  bool LearnsPtpaddr() const { return !ptpaddr.is_set() || ptpaddr.is_unspecified(); }

  ClassicOptions Clone() const;  // secrets included
  // "blowfish" or "idea", as written in a file.
  const char* CipherName() const { return cipher == ClassicCipher::kIdea ? "idea" : "blowfish"; }
  friend bool operator==(const ClassicOptions&, const ClassicOptions&) = default;
};

}  // namespace cipe::config
