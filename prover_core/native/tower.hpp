// Fq6 = Fq2[v] / (v^3 - xi) and Fq12 = Fq6[w] / (w^2 - v), xi = 9 + u.
//
// M and S below count products and squares in Fq2, of 3 and 2 products in Fq. Products are reduced one by one: measured,
// an unreduced product and a reduction apart cost a fifth more than the fused one, which eats what laziness would save.
#pragma once
#include "fq2.hpp"

namespace hp {

/// c0 + c1 v + c2 v^2
struct Fq6 {
  Fq2 c0, c1, c2;

  static Fq6 zero() { return {Fq2::zero(), Fq2::zero(), Fq2::zero()}; }
  static Fq6 one() { return {Fq2::one(), Fq2::zero(), Fq2::zero()}; }
  bool operator==(const Fq6& b) const { return c0 == b.c0 && c1 == b.c1 && c2 == b.c2; }

  Fq6 operator+(const Fq6& b) const { return {c0 + b.c0, c1 + b.c1, c2 + b.c2}; }
  Fq6 operator-(const Fq6& b) const { return {c0 - b.c0, c1 - b.c1, c2 - b.c2}; }
  Fq6 operator-() const { return {-c0, -c1, -c2}; }

  /// Karatsuba on three terms (Devegili et al., https://eprint.iacr.org/2006/471, 3.1): 6M.
  Fq6 operator*(const Fq6& b) const {
    const Fq2 v0 = c0 * b.c0, v1 = c1 * b.c1, v2 = c2 * b.c2;
    return {((c1 + c2) * (b.c1 + b.c2) - v1 - v2).mul_by_xi() + v0,
            (c0 + c1) * (b.c0 + b.c1) - v0 - v1 + v2.mul_by_xi(), (c0 + c2) * (b.c0 + b.c2) - v0 - v2 + v1};
  }
  /// Product with b0 + b1 v: 5M.
  Fq6 mul_by_01(const Fq2& b0, const Fq2& b1) const {
    const Fq2 v0 = c0 * b0, v1 = c1 * b1;
    return {(c2 * b1).mul_by_xi() + v0, (c0 + c1) * (b0 + b1) - v0 - v1, c2 * b0 + v1};
  }
  Fq6 operator*(const Fq2& b) const { return {c0 * b, c1 * b, c2 * b}; }
  /// v (c0 + c1 v + c2 v^2) = xi c2 + c0 v + c1 v^2
  Fq6 mul_by_v() const { return {c2.mul_by_xi(), c0, c1}; }

  /// By the adjugate: 9M 3S and one inversion in Fq; 0 for 0.
  Fq6 inverse_vartime() const {
    const Fq2 t0 = c0.square() - (c1 * c2).mul_by_xi();
    const Fq2 t1 = c2.square().mul_by_xi() - c0 * c1;
    const Fq2 t2 = c1.square() - c0 * c2;
    const Fq2 d = (c0 * t0 + (c2 * t1 + c1 * t2).mul_by_xi()).inverse_vartime();
    return {t0 * d, t1 * d, t2 * d};
  }
};

/// c0 + c1 w; in powers of w: c0.c0, c1.c0, c0.c1, c1.c1, c0.c2, c1.c2.
struct Fq12 {
  Fq6 c0, c1;

  static Fq12 one() { return {Fq6::one(), Fq6::zero()}; }
  bool operator==(const Fq12& b) const { return c0 == b.c0 && c1 == b.c1; }
  bool is_one() const { return *this == one(); }

  /// Karatsuba: 18M.
  Fq12 operator*(const Fq12& b) const {
    const Fq6 v0 = c0 * b.c0, v1 = c1 * b.c1;
    return {v0 + v1.mul_by_v(), (c0 + c1) * (b.c0 + b.c1) - v0 - v1};
  }
  Fq12& operator*=(const Fq12& b) { return *this = *this * b; }

  /// Complex squaring: c0 = (a0 + a1)(a0 + v a1) - a0 a1 - v a0 a1, c1 = 2 a0 a1: 12M.
  Fq12 square() const {
    const Fq6 cross = c0 * c1;
    return {(c0 + c1) * (c0 + c1.mul_by_v()) - cross - cross.mul_by_v(), cross + cross};
  }

  /// Product with the line l0 + l1 w + l3 w^3: 13M.
  Fq12 mul_by_line(const Fq2& l0, const Fq2& l1, const Fq2& l3) const {
    const Fq6 v0 = c0 * l0, v1 = c1.mul_by_01(l1, l3);
    return {v0 + v1.mul_by_v(), (c0 + c1).mul_by_01(l0 + l1, l3) - v0 - v1};
  }

  /// Product with two lines at once: 6M for (l0 + l1 w + l3 w^3)(m0 + m1 w + m3 w^3), which has no w^5, and 17M.
  Fq12 mul_by_two_lines(const Fq2& l0, const Fq2& l1, const Fq2& l3, const Fq2& m0, const Fq2& m1,
                        const Fq2& m3) const {
    const Fq2 v0 = l0 * m0, v1 = l1 * m1, v3 = l3 * m3;
    const Fq6 even = {v0 + v3.mul_by_xi(), v1, (l1 + l3) * (m1 + m3) - v1 - v3};
    const Fq2 odd0 = (l0 + l1) * (m0 + m1) - v0 - v1, odd1 = (l0 + l3) * (m0 + m3) - v0 - v3;
    const Fq6 p0 = c0 * even, p1 = c1.mul_by_01(odd0, odd1);
    return {p0 + p1.mul_by_v(), (c0 + c1) * Fq6{even.c0 + odd0, even.c1 + odd1, even.c2} - p0 - p1};
  }

  /// x^(q^6) = c0 - c1 w; the inverse of an element of norm 1 over Fq6.
  Fq12 conjugate() const { return {c0, -c1}; }

  /// (c0 - c1 w) / (c0^2 - v c1^2): one inversion in Fq; 0 for 0.
  Fq12 inverse_vartime() const {
    const Fq6 d = (c0 * c0 - (c1 * c1).mul_by_v()).inverse_vartime();
    return {c0 * d, -(c1 * d)};
  }

  /// x^q, x^(q^2), x^(q^3): 5M, 10 products in Fq, 5M.
  Fq12 frobenius1() const { return frobenius_odd(params::frobenius1); }
  Fq12 frobenius2() const {
    const auto g = [](int k) { return Fq::raw(params::frobenius2[k]); };
    return {{c0.c0, c0.c1 * g(2), c0.c2 * g(4)}, {c1.c0 * g(1), c1.c1 * g(3), c1.c2 * g(5)}};
  }
  Fq12 frobenius3() const { return frobenius_odd(params::frobenius3); }

  /// x^2 for x in the cyclotomic subgroup (x^(q^4 - q^2 + 1) = 1): Granger and Scott,
  /// https://eprint.iacr.org/2009/565, 3.2: three squarings in Fq4, 9S.
  Fq12 cyclotomic_square() const {
    const auto [a0, a1] = square_fq4(c0.c0, c1.c1);
    const auto [b0, b1] = square_fq4(c1.c0, c0.c2);
    const auto [d0, d1] = square_fq4(c0.c1, c1.c2);
    const Fq2 e = d1.mul_by_xi();
    return {{three_minus_two(a0, c0.c0), three_minus_two(b0, c0.c1), three_minus_two(d0, c0.c2)},
            {three_plus_two(e, c1.c0), three_plus_two(a1, c1.c1), three_plus_two(b1, c1.c2)}};
  }

 private:
  struct Fq4 {
    Fq2 a, b;
  };
  /// (a + b s)^2 with s^2 = xi: a^2 + xi b^2, (a + b)^2 - a^2 - b^2.
  static Fq4 square_fq4(const Fq2& a, const Fq2& b) {
    const Fq2 aa = a.square(), bb = b.square();
    return {aa + bb.mul_by_xi(), (a + b).square() - aa - bb};
  }
  /// 3 t - 2 x and 3 t + 2 x
  static Fq2 three_minus_two(const Fq2& t, const Fq2& x) { return (t - x).twice() + t; }
  static Fq2 three_plus_two(const Fq2& t, const Fq2& x) { return (t + x).twice() + t; }

  Fq12 frobenius_odd(const uint64_t (&gamma)[6][2][4]) const {
    const auto g = [&](int k) { return Fq2::raw(gamma[k]); };
    return {{c0.c0.conjugate(), c0.c1.conjugate() * g(2), c0.c2.conjugate() * g(4)},
            {c1.c0.conjugate() * g(1), c1.c1.conjugate() * g(3), c1.c2.conjugate() * g(5)}};
  }
};
static_assert(sizeof(Fq12) == 12 * sizeof(Fq));

}  // namespace hp
