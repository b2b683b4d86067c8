// A tunnel while it is being read: values, and the places they came from for messages of checks
// that look at more than one line.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "config/lexer.h"
#include "config/model.h"

namespace cipe::config {

struct PeerPlaces {
  Place section;
  Place name;
  Place key;                       // PublicKey, SharedKey or SharedKeyFile; line 0: none given
  std::vector<Place> allowed_ips;  // as many as Peer::allowed_ips
};

struct Draft {
  Tunnel tunnel;
  Place interface_section;
  Place private_key;
  Place mtu;
  std::vector<PeerPlaces> peers;  // as many as Tunnel::peers
};

// Fills in default peer names and checks what spans several options. InvalidArgument as
// ParseTunnel.
absl::Status FinishDraft(Draft* draft);

}  // namespace cipe::config
