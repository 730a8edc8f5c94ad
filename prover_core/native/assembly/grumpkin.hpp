// Grumpkin, y^2 = x^3 - 17 over Fr, of prime order q: the curve templates with the fields of BN254 swapped.
#pragma once
#include <optional>

#include "../curve.hpp"

namespace hp::grumpkin {

using Point = Affine<Fr>;
using Sum = Xyzz<Fr>;

/// -17
inline Fr curve_b() { return -Fr::from_u64(17); }

/// y^2 = x^3 - 17; infinity, (0, 0), is not a point here.
inline bool on_curve(const Point& p) { return p.y.square() == p.x.square() * p.x + curve_b(); }

/// A square root, or nothing. Tonelli and Shanks with r - 1 = 2^28 t: one power, then at most 28^2 / 2 squarings.
inline std::optional<Fr> square_root(const Fr& a) {
  if (a.is_zero()) return a;
  // (t - 1) / 2, t = (r - 1) / 2^28 odd
  uint64_t e[4];
  for (int i = 0; i < 4; i++) {
    const uint64_t high = i < 3 ? params::FrParams::modulus[i + 1] : 0;
    e[i] = params::FrParams::modulus[i] >> (params::two_adicity + 1) | high << (64 - params::two_adicity - 1);
  }
  const Fr power = a.pow_vartime(e, 4);
  Fr root = power * a, t = root * power;  // root^2 = a t
  unsigned m = params::two_adicity;
  Fr c = Fr::raw(params::fr_roots[m]);
  while (!t.is_one()) {
    unsigned k = 0;
    for (Fr s = t; !s.is_one(); k++) {
      if (k == m) return std::nullopt;
      s = s.square();
    }
    if (k == m) return std::nullopt;
    Fr b = c;
    for (unsigned i = 0; i + k + 1 < m; i++) b = b.square();
    m = k;
    c = b.square();
    t *= c;
    root *= b;
  }
  return root;
}

/// The point with this x and the smaller canonical y, or nothing.
inline std::optional<Point> lift(const Fr& x) {
  const auto y = square_root(x.square() * x + curve_b());
  if (!y) return std::nullopt;
  uint64_t canonical[4];
  y->to_canonical(canonical);
  bool larger = false;
  for (int i = 3; i >= 0; i--)
    if (canonical[i] != params::FrParams::half[i]) {
      larger = canonical[i] > params::FrParams::half[i];
      break;
    }
  return Point{x, y->negated_if(larger)};
}

}  // namespace hp::grumpkin
