// Many Miller loops at once, eight lanes wide; plain declarations, includable anywhere. Only where cpu::has_ifma.
#pragma once
#include "miller_values.hpp"

namespace hp::ifma {

/// As hp::miller_values.
void miller_values(const ScaledPair* pairs, size_t n, bool apart, Fq12* values, bool* in_subgroup);

}  // namespace hp::ifma
