// Tables of roots of unity in Fr for the number-theoretic transform, bounded in size for every length.
#pragma once
#include <vector>

#include "field.hpp"

namespace hp {

/// The factors of one kind of transform. With w_k = 5^((r-1) / 2^k), level k has 2^(k-1) factors:
///   plain    w_k^j
///   inverse  w_k^-j
///   odd      w_(k+1)^(2j+1), which evaluates at the odd 2n-th roots what `plain` evaluates at the n-th
///
/// Levels up to 2^16 are tables, 2 MiB together, so that they stay in cache; factors above are made 256 at a time with one
/// product each, where a table would cost as much memory traffic as the data itself.
class Roots {
 public:
  enum class Kind { plain, inverse, odd };
  static constexpr size_t run = 256;
  static constexpr unsigned table_levels = 16;

  /// The tables of this kind, built when first asked for and kept.
  static const Roots& of(Kind kind);

  /// Factors j .. j + n of level k, n <= run and j a multiple of n: in a table, or computed into `space`.
  const Fr* factors(unsigned k, size_t j, size_t n, Fr space[run]) const {
    if (k <= table_levels) return table_[k].data() + j;
    const Fr high = power(k - 8, j / run);
    const Fr* low = low_[k].data() + j % run;
    for (size_t i = 0; i < n; i++) space[i] = high * low[i];
    return space;
  }

 private:
  explicit Roots(Kind kind);

  /// w_k^j (or w_k^-j), never the odd kind.
  Fr power(unsigned k, size_t j) const {
    const Roots& even = kind_ == Kind::odd ? of(Kind::plain) : *this;
    if (k <= table_levels) return even.table_[k][j];
    return even.power(k - 8, j / run) * even.low_[k][j % run];
  }

  Kind kind_;
  std::vector<Fr> table_[table_levels + 1];          // [k]: 2^(k-1) factors
  std::vector<Fr> low_[params::two_adicity + 1];     // [k > table_levels]: the first 256 factors
};

/// w_k = 5^((r-1) / 2^k), k <= 28.
inline Fr root_of_unity(unsigned k) { return Fr::raw(params::fr_roots[k]); }

}  // namespace hp
