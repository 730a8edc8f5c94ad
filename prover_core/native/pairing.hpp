// The optimal ate pairing of BN254 and products of pairings.
//
// e(P, Q) = (f_{6x+2,Q}(P) l_{(6x+2)Q, psi(Q)}(P) l_{(6x+2)Q + psi(Q), -psi^2(Q)}(P)) ^ (k (q^12 - 1) / r)
// with k = 2x (6x^2 + 3x + 1), prime to r: a pairing as good as k = 1, and cheaper (see final_exponentiation).
// Sources: Vercauteren, https://eprint.iacr.org/2008/096; Aranha et al., https://eprint.iacr.org/2010/526.
#pragma once
#include <algorithm>
#include <cstddef>

#include "subgroup.hpp"
#include "tower.hpp"

namespace hp::pairing {

/// A point (X : Y : Z) of the twist standing for (X/Z, Y/Z).
struct Projective {
  Fq2 x, y, z;
};

/// A line l0 + l1 w + l3 w^3, up to a factor in Fq2 (which the final exponentiation removes); at P = (xp, yp) the
/// value has l0 yp and l1 xp in place of l0 and l1.
struct Line {
  Fq2 l0, l1, l3;
};

/// t = 2t and the tangent at t. With b the twist's coefficient, B = Y^2, E = 3bZ^2, F = 3E, H = 2YZ:
/// X' = 2XY(B - F), Y' = (B + F)^2 - 12E^2, Z' = 4BH; tangent -H + 3X^2 w + (E - B) w^3. 4M 5S.
inline Line double_step(Projective& t) {
  static const Fq2 b3 = Fq2::raw(params::g2_b).twice() + Fq2::raw(params::g2_b);
  const Fq2 bb = t.y.square(), cc = t.z.square(), xx = t.x.square();
  const Fq2 e = b3 * cc, f = e.twice() + e;
  const Fq2 h = (t.y + t.z).square() - bb - cc;
  const Fq2 ee2 = e.square().twice();
  const Fq2 xy2 = (t.x * t.y).twice();
  t.x = xy2 * (bb - f);
  t.y = (bb + f).square() - (ee2.twice() + ee2).twice();
  t.z = (bb * h).twice().twice();
  return {-h, xx.twice() + xx, e - bb};
}

/// t = t + q and the line through t and q, for t other than +-q. With T = Y - yZ, L = X - xZ, D = L^2:
/// H = L D + Z T^2 - 2 X D, X' = L H, Y' = T (X D - H) - L D Y, Z' = Z L D; line L - T w + (T x - L y) w^3. 11M 2S.
inline Line add_step(Projective& t, const G2Affine& q) {
  const Fq2 theta = t.y - q.y * t.z, lambda = t.x - q.x * t.z;
  const Fq2 d = lambda.square(), e = lambda * d, g = t.x * d;
  const Fq2 h = e + t.z * theta.square() - g.twice();
  t.x = lambda * h;
  t.y = theta * (g - h) - e * t.y;
  t.z = t.z * e;
  return {lambda, -theta, theta * q.x - lambda * q.y};
}

/// Multiplies f by lines, two at a time: a product of two lines costs 6M, and f by it 17M, against 26M one by one.
class LineProduct {
 public:
  explicit LineProduct(Fq12& f) : f_(f) {}
  LineProduct(const LineProduct&) = delete;
  LineProduct& operator=(const LineProduct&) = delete;
  ~LineProduct() {
    if (waiting_) f_ = f_.mul_by_line(line_.l0, line_.l1, line_.l3);
  }
  /// The line at p.
  void add(const Line& line, const G1Affine& p) {
    const Line next = {line.l0 * p.y, line.l1 * p.x, line.l3};
    if (waiting_)
      f_ = f_.mul_by_two_lines(line_.l0, line_.l1, line_.l3, next.l0, next.l1, next.l3);
    else
      line_ = next;
    waiting_ = !waiting_;
  }

 private:
  Fq12& f_;
  Line line_;
  bool waiting_ = false;
};

/// Pairs that share the squarings of one Miller loop; their states stay in the first-level cache.
inline constexpr size_t miller_block = 32;

/// The product of the Miller functions of at most miller_block pairs of valid points; infinity contributes 1.
/// 64 x 12M for the squarings, and 64 x (16M 5S) + 23 x (23M 2S) and 350 products in Fq a pair.
inline Fq12 miller_block_product(const G1Affine* p, const G2Affine* q, size_t n) {
  struct Pair {
    G1Affine p;
    G2Affine q;
    Projective t;
  };
  Pair pairs[miller_block];
  size_t live = 0;
  for (size_t i = 0; i < n; i++)
    if (!p[i].is_infinity() && !q[i].is_infinity()) pairs[live++] = {p[i], q[i], {q[i].x, q[i].y, Fq2::one()}};
  Fq12 f = Fq12::one();
  for (size_t k = 1; k < std::size(params::ate_naf); k++) {
    if (k > 1) f = f.square();  // f is still 1 at k = 1
    const int digit = params::ate_naf[k];
    LineProduct lines(f);
    for (size_t i = 0; i < live; i++) {
      auto& [p_i, q_i, t] = pairs[i];
      lines.add(double_step(t), p_i);
      if (digit != 0) lines.add(add_step(t, digit > 0 ? q_i : -q_i), p_i);
    }
  }
  LineProduct lines(f);
  for (size_t i = 0; i < live; i++) {
    auto& [p_i, q_i, t] = pairs[i];
    lines.add(add_step(t, psi(q_i)), p_i);
    lines.add(add_step(t, -psi2(q_i)), p_i);
  }
  return f;
}

/// The product of the Miller functions of n pairs of valid points.
inline Fq12 miller_product(const G1Affine* p, const G2Affine* q, size_t n) {
  Fq12 f = Fq12::one();
  for (size_t i = 0; i < n; i += miller_block) f *= miller_block_product(p + i, q + i, std::min(miller_block, n - i));
  return f;
}

/// f^x for f in the cyclotomic subgroup, where conjugates are inverses: 63 cyclotomic squarings and 16 products.
inline Fq12 power_x(const Fq12& f) {
  Fq12 odd[4] = {f, f, f, f};  // f, f^3, f^5, f^7
  const Fq12 square = f.cyclotomic_square();
  for (int k = 1; k < 4; k++) odd[k] = odd[k - 1] * square;
  Fq12 r = f;
  for (size_t k = 1; k < std::size(params::bn_x_digits); k++) {
    r = r.cyclotomic_square();
    const int digit = params::bn_x_digits[k];
    if (digit > 0) r *= odd[digit / 2];
    if (digit < 0) r *= odd[-digit / 2].conjugate();
  }
  return r;
}

/// f^(k (q^12 - 1) / r), k = 2x (6x^2 + 3x + 1); 0 for 0.
///
/// The easy part is f^((q^6 - 1)(q^2 + 1)). The hard part is Fuentes-Castaneda, Knapp and Rodriguez-Henriquez (SAC 2011):
/// k (q^4 - q^2 + 1) / r = (a + 6x^2 + 1) + q (a - 2x) + q^2 a + q^3 (a - 2x - 1), a = 12x^3 + 6x^2 + 6x,
/// so that three powers of x suffice.
inline Fq12 final_exponentiation(const Fq12& value) {
  Fq12 f = value.conjugate() * value.inverse_vartime();
  f = f.frobenius2() * f;
  const Fq12 f2x = power_x(f).cyclotomic_square();          // 2x
  const Fq12 f6x = f2x.cyclotomic_square() * f2x;           // 6x
  const Fq12 f6x2 = power_x(f6x);                           // 6x^2
  const Fq12 f12x3 = power_x(f6x2.cyclotomic_square());     // 12x^3
  const Fq12 a = f12x3 * f6x2 * f6x;
  const Fq12 b = a * f2x.conjugate();
  const Fq12 constant = a * f6x2 * f;
  return constant * b.frobenius1() * a.frobenius2() * (b * f.conjugate()).frobenius3();
}

}  // namespace hp::pairing
