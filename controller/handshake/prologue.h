// Prologue of both messages: a label and the first 8 octets of the initiation, which name pattern,
// suite and the initiator's index.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "handshake/labels.h"

namespace cipe::handshake {

inline std::vector<uint8_t> MakePrologue(absl::Span<const uint8_t> initiation_header) {
  const absl::Span<const uint8_t> label = LabelOctets(kLabelPrologue);
  std::vector<uint8_t> prologue(label.begin(), label.end());
  prologue.insert(prologue.end(), initiation_header.begin(), initiation_header.end());
  return prologue;
}

}  // namespace cipe::handshake
