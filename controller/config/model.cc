#include "config/model.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cipe::config {

const char* DatapathName(Datapath datapath) {
  switch (datapath) {
    case Datapath::kAuto:
      return "auto";
    case Datapath::kXdp:
      return "xdp";
    case Datapath::kAfxdp:
      return "afxdp";
    case Datapath::kSocket:
      return "socket";
  }
  return "unknown";
}

std::string EndpointSpec::ToString() const {
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

}  // namespace cipe::config
