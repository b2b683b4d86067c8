#include "broker/machine.h"

#include <systemd/sd-id128.h>

namespace cipe::broker {

std::string ThisMachine() {
  // Ours alone, drawn at random (sd_id128_get_machine_app_specific(3)).
  const sd_id128_t application =
      SD_ID128_MAKE(fd, 64, ab, 98, ff, 1f, e4, d5, ea, 76, c9, a0, 69, 9a, 32, 98);
  sd_id128_t id;
  if (sd_id128_get_machine_app_specific(application, &id) < 0) return "";
  char text[SD_ID128_STRING_MAX];
  return sd_id128_to_string(id, text);
}

}  // namespace cipe::broker
