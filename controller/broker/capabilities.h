// What root may do in this process (capabilities(7)).
#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cipe::broker {

// Effective and permitted become `kept`, of which what we do not have is left out; inheritable and
// ambient become empty. Of the calling thread: call it before there is another. The bounding set
// stays, so that a script that is run has all of root's again, unless whoever started us forbids
// it.
absl::Status KeepCapabilities(absl::Span<const int> kept);

// For good, here and in all that is executed from here. Needs CAP_SETPCAP.
absl::Status DropBoundingSet();

// Those of the broker, each for what is said beside it.
absl::Span<const int> BrokerCapabilities();

}  // namespace cipe::broker
