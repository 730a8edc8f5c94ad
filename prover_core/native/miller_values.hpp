// Miller functions of pairs whose first points are scaled on the way: what a batch of proofs asks of a processor.
#pragma once
#include <cstddef>
#include <cstdint>

#include "isa.hpp"
#include "tower.hpp"
#include "curve.hpp"

namespace hp {

/// A scalar (2 k[0] + 1) + (2 k[1] + 1) lambda: 128 bits of choice, never 0, and cheap to multiply a point by.
struct SplitScalar {
  uint64_t k[2];

  /// Modulo r.
  Fr value() const {
    const auto odd = [](uint64_t x) {
      const uint64_t limbs[4] = {x << 1 | 1, x >> 63, 0, 0};
      return Fr::from_canonical(limbs);
    };
    return odd(k[0]) + odd(k[1]) * Fr::raw(params::g1_lambda);
  }
};

/// e(-scalar a, b): a on the curve and not infinity, b on the twist and not infinity, of whatever order.
struct ScaledPair {
  G1Affine a;
  G2Affine b;
  SplitScalar scalar;
  /// Otherwise the pair contributes 1, and only b is looked at.
  bool counts;
};

/// Pairs in one group; groups are what miller_values multiplies together.
inline constexpr size_t miller_group = 32;
/// Pairs that one call takes at most: eight groups.
inline constexpr size_t miller_pairs = 8 * miller_group;

/// The Miller functions, before the final exponentiation and up to factors that it removes, of n <= miller_pairs pairs:
/// values[i] for each pair if `apart`, or values[g] the product over pairs [g s, (g + 1) s), s = group_size(n).
/// in_subgroup[i] says whether b has order r; where not, the value that it went into means nothing.
void miller_values(const ScaledPair* pairs, size_t n, bool apart, Fq12* values, bool* in_subgroup, Isa isa);

/// scalar p, for p on the curve and not infinity: 65 doublings and 49 additions on average, fewer for small words.
G1Affine scaled(const G1Affine& p, const SplitScalar& scalar);

/// Whether eight lanes serve this choice.
bool eight_wide(Isa isa);

/// The Miller functions of n <= 8 pairs, each apart, with all scalars taken for 1; only where eight_wide.
void few_miller_values(const ScaledPair* pairs, size_t n, Fq12* values, bool* in_subgroup);

/// The sum of k_i p_i over n points on the curve, infinity included.
G1Affine combine(const G1Affine* p, const SplitScalar* k, size_t n, unsigned threads, Isa isa);

/// Pairs in each group of a call with n pairs: n shared among eight, all but the last equally long.
inline size_t group_size(size_t n) { return (n + 7) / 8; }

}  // namespace hp
