/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/* Numbers of drop_reasons.def as enumerators: cipe_drop_<name>. Usable from C, C++ and BPF. */
#ifndef CIPE_ABI_DROP_REASONS_H
#define CIPE_ABI_DROP_REASONS_H

#define CIPE_DROP_REASONS 192 /* size of arrays indexed by reason */

enum cipe_drop_reason {
#define CIPE_DROP(number, name, sentence) cipe_drop_##name = number,
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
};

#endif
