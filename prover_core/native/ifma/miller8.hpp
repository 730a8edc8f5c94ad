// Miller loops of the optimal ate pairing, eight pairs side by side and many rows at a time.
//
// Affine steps on the twist share one inversion of norms in Fq among all lanes of all rows of a step (23.5 products in Fq a
// doubling, 21.5 an addition; projective ones 26 and 41). Lines are divided by y_P, so that they are 1 + a w + b w^3, and are
// multiplied into one accumulator a lane, whose squarings all rows share. See pairing.hpp for the formula.
#pragma once
#include <vector>

#include "ifma/tower8.hpp"
#include "subgroup.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Eight pairs (P, Q).
struct MillerRow {
  Fq2x8 x, y;         // the running multiple of Q
  Fq2x8 qx, qy;       // Q
  Fq2x8 px, py;       // what is added in this step
  Fq8 x_over_y, minus_one_over_y;  // of the negative of P; both 0 where a lane is to contribute 1
  __mmask8 refused;   // lanes where Q turned out not to have order r
};

class Miller8 {
 public:
  /// f[0]: per lane the product over rows of the Miller functions at P; or, if `apart`, f[r] those of row r alone.
  /// Q: on the twist, below 2.34 q. Sets `refused` where Q has not order r; such a lane's value means nothing.
  void run(MillerRow* rows, size_t n, Running8* f, bool apart) {
    if (norms_.size() < n) norms_.resize(n), prefix_.resize(n);
    const size_t accumulators = apart ? n : 1;
    for (size_t i = 0; i < accumulators; i++) f[i].start();
    for (size_t r = 0; r < n; r++) rows[r].x = rows[r].qx, rows[r].y = rows[r].qy, rows[r].refused = 0;
    for (size_t k = 1; k < std::size(params::ate_naf); k++) {
      for (size_t i = 0; i < accumulators && k > 1; i++) f[i].square();  // at k = 1 they are 1
      twice(rows, n, f, apart);
      const int digit = params::ate_naf[k];
      if (digit == 0) continue;
      for (size_t r = 0; r < n; r++) {
        rows[r].px = rows[r].qx;
        rows[r].py = digit > 0 ? rows[r].qy : negative(rows[r].qy);
      }
      add(rows, n, f, apart);
    }
    for (size_t r = 0; r < n; r++) psi(rows[r], params::frobenius1, rows[r].px, rows[r].py);
    add(rows, n, f, apart);
    const Fq8 xi2 = everywhere(Fq::raw(params::frobenius2[2]));
    for (size_t r = 0; r < n; r++) {  // -psi^2(Q) = (x xi^((q^2-1)/3), y)
      rows[r].px = {Fq8::mul(rows[r].qx.c0, xi2), Fq8::mul(rows[r].qx.c1, xi2)};
      rows[r].py = rows[r].qy;
    }
    add(rows, n, f, apart);
    // (6x + 2) Q + psi(Q) - psi^2(Q) = -psi^3(Q) exactly for Q of order r: see in_g2
    for (size_t r = 0; r < n; r++) {
      Fq2x8 x, y;
      psi(rows[r], params::frobenius3, x, y);
      const __mmask8 same = Fq2x8::sub<3>(x, rows[r].x).vanishes() & Fq2x8{Fq8::add(y.c0, rows[r].y.c0), Fq8::add(y.c1, rows[r].y.c1)}.vanishes();
      rows[r].refused |= __mmask8(~same);
    }
  }

 private:
  std::vector<Fq8> norms_, prefix_;

  static Fq2x8 negative(const Fq2x8& a) { return Fq2x8::sub<3>(Fq2x8::zero(), a); }

  /// (conj(x) g[2], conj(y) g[3]) for the constants of an odd power of the Frobenius.
  static void psi(const MillerRow& row, const uint64_t (&g)[6][2][4], Fq2x8& x, Fq2x8& y) {
    x = mul_conjugate(everywhere(Fq2::raw(g[2])), row.qx);
    y = mul_conjugate(everywhere(Fq2::raw(g[3])), row.qy);
  }

  /// c0^2 + c1^2
  [[gnu::always_inline]] static Fq8 norm(const Fq2x8& a) { return dot(a.c0, a.c0, a.c1, a.c1); }

  /// The chain of inversions over norms_; where a norm is 0, the lane is refused and the norm becomes 1.
  SharedInversion invert(MillerRow* rows, size_t n) {
    SharedInversion inverses(norms_.data(), prefix_.data(), n);
    if (inverses.invert()) return inverses;
    for (size_t r = 0; r < n; r++) {
      const __mmask8 zero = norms_[r].vanishes();
      rows[r].refused |= zero;
      norms_[r] = Fq8::select(zero, norms_[r], FqE8::one().c);
    }
    SharedInversion again(norms_.data(), prefix_.data(), n);
    again.invert();
    return again;
  }

  [[gnu::noinline]] void twice(MillerRow* rows, size_t n, Running8* f, bool apart) {
    for (size_t r = 0; r < n; r++) {
      const Fq8 half = norm(rows[r].y);
      norms_[r] = Fq8::add(half, half);
    }
    SharedInversion inverses = invert(rows, n);
    for (size_t r = n; r-- > 0;) {
      MillerRow& row = rows[r];
      // 3x^2 / 2y = 3x^2 conj(y) / 2 N(y)
      const Fq8 inverse = inverses.take(r);
      const Fq2x8 d = {Fq8::mul(row.y.c0, inverse), Fq8::mul(row.y.c1, inverse)};
      line_step(row, mul_conjugate(Fq2x8::triple(Fq2x8::sqr(row.x)), d), row.x, f[apart ? r : 0]);
    }
  }

  [[gnu::noinline]] void add(MillerRow* rows, size_t n, Running8* f, bool apart) {
    for (size_t r = 0; r < n; r++) norms_[r] = norm(Fq2x8::sub<3>(rows[r].px, rows[r].x));
    SharedInversion inverses = invert(rows, n);
    for (size_t r = n; r-- > 0;) {
      MillerRow& row = rows[r];
      const Fq8 inverse = inverses.take(r);
      const Fq2x8 dx = Fq2x8::sub<3>(row.px, row.x);
      const Fq2x8 d = {Fq8::mul(dx.c0, inverse), Fq8::mul(dx.c1, inverse)};
      line_step(row, mul_conjugate(Fq2x8::sub<3>(row.py, row.y), d), row.px, f[apart ? r : 0]);
    }
  }

  /// With slope m through (x, y) and (x2, .): x' = m^2 - x - x2, g = m x - y, y' = g - m x'; and f times the line
  /// 1 - m (x_P / y_P) w + (g / y_P) w^3.
  [[gnu::always_inline]] void line_step(MillerRow& row, const Fq2x8& m, const Fq2x8& x2, Running8& f) {
    const Fq2x8 g = Fq2x8::minus(Fq2x8::mul(m, row.x), row.y);
    const Fq2x8 x3 = Fq2x8::minus_two(Fq2x8::sqr(m), row.x, x2);
    row.y = Fq2x8::minus(g, Fq2x8::mul(m, x3));
    row.x = x3;
    const Line8 line({Fq8::mul(m.c0, row.x_over_y), Fq8::mul(m.c1, row.x_over_y)},
                     {Fq8::mul(g.c0, row.minus_one_over_y), Fq8::mul(g.c1, row.minus_one_over_y)});
    f.times_line(line);
  }
};

}  // namespace hp::ifma
HP_WIDE_END
