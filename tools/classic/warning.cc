#include "tools/classic/warning.h"

#include <cstdio>

namespace cipe::classic_start {

void WarnInsecure(const char* program, const config::ClassicOptions& options) {
  if (options.nokey) {
    std::fprintf(stderr,
                 "%s: WARNING: NOKEY: THIS TUNNEL IS NOT ENCRYPTED AND NOT AUTHENTICATED AT ALL.\n"
                 "%s: WARNING: ANYBODY ON THE WAY READS IT, ANYBODY ANYWHERE CAN SEND INTO IT.\n",
                 program, program);
  }
  std::fprintf(
      stderr,
      "%s: WARNING: protocol 3 of 1999 is INSECURE: packets can be forged and replayed, and\n"
      "%s: WARNING: whoever gets the key reads all traffic ever recorded. For new tunnels\n"
      "%s: WARNING: use protocol 5: 'cipectl convert FILE' writes its configuration.\n",
      program, program, program);
}

}  // namespace cipe::classic_start
