#include "control/snapshot.h"

#include "absl/strings/str_cat.h"

namespace cipe::control {

const char* TunnelStateName(TunnelState state) {
  switch (state) {
    case TunnelState::kUp:
      return "up";
    case TunnelState::kDegraded:
      return "degraded";
    case TunnelState::kDown:
      return "down";
  }
  return "down";
}

int RungNumber(Rung rung) {
  switch (rung) {
    case Rung::kAfxdpZeroCopy:
      return 1;
    case Rung::kAfxdpCopy:
    case Rung::kAfxdpRx:
      return 2;
    case Rung::kSocket:
      return 3;
    case Rung::kUnknown:
      break;
  }
  return 0;
}

const char* RungName(Rung rung) {
  switch (rung) {
    case Rung::kAfxdpZeroCopy:
      return "afxdp-zerocopy";
    case Rung::kAfxdpCopy:
      return "afxdp-copy";
    case Rung::kAfxdpRx:
      return "afxdp-rx";
    case Rung::kSocket:
      return "socket";
    case Rung::kUnknown:
      break;
  }
  return "unknown";
}

const char* RungSentence(Rung rung) {
  switch (rung) {
    case Rung::kAfxdpZeroCopy:
      return "AF_XDP zero copy both ways";
    case Rung::kAfxdpCopy:
      return "AF_XDP copy mode both ways";
    case Rung::kAfxdpRx:
      return "AF_XDP copy mode in, UDP GSO out";
    case Rung::kSocket:
      return "UDP socket with GRO and GSO";
    case Rung::kUnknown:
      break;
  }
  return "not known yet";
}

const char* PeerStatusName(PeerStatus status) {
  switch (status) {
    case PeerStatus::kConnected:
      return "connected";
    case PeerStatus::kHandshaking:
      return "handshaking";
    case PeerStatus::kNoAnswer:
      return "no_answer";
    case PeerStatus::kIdle:
      return "idle";
    case PeerStatus::kDead:
      return "dead";
    case PeerStatus::kNoEndpoint:
      return "no_endpoint";
  }
  return "idle";
}

std::string DropReasonName(unsigned number) {
  switch (number) {
#define CIPE_DROP(number, name, sentence) \
  case number:                            \
    return #name;
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
  }
  return absl::StrCat("unknown_", number);
}

std::string DropReasonSentence(unsigned number) {
  switch (number) {
#define CIPE_DROP(number, name, sentence) \
  case number:                            \
    return sentence;
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
  }
  return "";
}

}  // namespace cipe::control
