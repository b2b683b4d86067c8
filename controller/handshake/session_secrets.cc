#include "handshake/session_secrets.h"

#include <string>

#include "crypto/hash.h"
#include "handshake/labels.h"

namespace cipe::handshake {

Secret<32> LaneKey(Suite suite, const Secret<32>& direction_key, int lane) {
  std::string info(kLabelLane);
  info.push_back(static_cast<char>(lane));
  return HkdfExpand(suite, direction_key, LabelOctets(info));
}

}  // namespace cipe::handshake
