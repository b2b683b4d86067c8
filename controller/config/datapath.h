// Which road of the ladder a tunnel may take.
#pragma once

namespace cipe::config {

enum class Datapath { kAuto, kXdp, kAfxdp, kSocket };

// "auto", "xdp", "afxdp", "socket": as written in the file.
const char* DatapathName(Datapath datapath);

}  // namespace cipe::config
