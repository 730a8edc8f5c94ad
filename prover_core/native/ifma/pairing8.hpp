// Many Miller loops at once, eight lanes wide; plain declarations, includable anywhere. Only where cpu::has_ifma.
#pragma once
#include "miller_values.hpp"

namespace hp::ifma {

/// As hp::miller_values; scalars are taken for 1 unless `scaled`.
void miller_values(const ScaledPair* pairs, size_t n, bool apart, bool scaled, Fq12* values, bool* in_subgroup);

/// The sum of k_i p_i over n <= miller_pairs points on the curve, infinity included.
G1 combine(const G1Affine* p, const SplitScalar* k, size_t n);

}  // namespace hp::ifma
