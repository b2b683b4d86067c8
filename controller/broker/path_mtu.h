// What the kernel knows of the way to an endpoint, for the engine, which asks per peer.
#pragma once

#include "ipc/messages.h"
#include "netlink/socket.h"

namespace cipe::broker {

// Never fails: `link` is 0 where there is no route.
ipc::PathMtuKnown LookUpPathMtu(netlink::Socket* socket, const ipc::PathMtuWanted& wanted,
                                uint32_t fwmark);

}  // namespace cipe::broker
