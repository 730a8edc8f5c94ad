// Fq2 = Fq[u] / (u^2 + 1).
#pragma once
#include "field.hpp"

namespace hp {

/// c0 + c1 u; 64 bytes, no padding.
struct Fq2 {
  Fq c0, c1;

  static Fq2 zero() { return {Fq::zero(), Fq::zero()}; }
  static Fq2 one() { return {Fq::one(), Fq::zero()}; }
  static Fq2 raw(const uint64_t limbs[2][4]) { return {Fq::raw(limbs[0]), Fq::raw(limbs[1])}; }
  static Fq2 load(const void* bytes) {
    Fq2 r;
    std::memcpy(&r, bytes, sizeof r);
    return r;
  }

  bool is_zero() const { return c0.is_zero() && c1.is_zero(); }
  bool is_one() const { return c0.is_one() && c1.is_zero(); }
  bool operator==(const Fq2& b) const { return c0 == b.c0 && c1 == b.c1; }
  bool operator!=(const Fq2& b) const { return !(*this == b); }

  Fq2 operator+(const Fq2& b) const { return {c0 + b.c0, c1 + b.c1}; }
  Fq2 operator-(const Fq2& b) const { return {c0 - b.c0, c1 - b.c1}; }
  Fq2 operator-() const { return {-c0, -c1}; }
  Fq2 negated_if(bool flag) const { return {c0.negated_if(flag), c1.negated_if(flag)}; }
  /// Karatsuba: (a0 b0 - a1 b1) + ((a0 + a1)(b0 + b1) - a0 b0 - a1 b1) u; 3 products.
  Fq2 operator*(const Fq2& b) const {
    const Fq low = c0 * b.c0, high = c1 * b.c1;
    const Fq mixed = sum(c0, c1) * sum(b.c0, b.c1);
    return {low - high, mixed - low - high};
  }
  /// Product with an element of Fq.
  Fq2 operator*(const Fq& b) const { return {c0 * b, c1 * b}; }
  Fq2& operator+=(const Fq2& b) { return *this = *this + b; }
  Fq2& operator-=(const Fq2& b) { return *this = *this - b; }
  Fq2& operator*=(const Fq2& b) { return *this = *this * b; }
  /// (a0 + a1)(a0 - a1) + 2 a0 a1 u; 2 products.
  Fq2 square() const {
    const Fq cross = c0 * c1;
    return {sum(c0, c1) * (c0 - c1), cross + cross};
  }
  Fq2 twice() const { return {c0.twice(), c1.twice()}; }
  /// c0 - c1 u, the Frobenius.
  Fq2 conjugate() const { return {c0, -c1}; }
  /// Product with the non-residue 9 + u: (9 a0 - a1) + (9 a1 + a0) u; additions only.
  Fq2 mul_by_xi() const {
    const Fq2 nine = twice().twice().twice() + *this;
    return {nine.c0 - c1, nine.c1 + c0};
  }
  /// (a0 - a1 u) / (a0^2 + a1^2), and 0 for 0; one inversion in Fq.
  Fq2 inverse_vartime() const {
    const Fq t = (c0.square() + c1.square()).inverse_vartime();
    return {c0 * t, -(c1 * t)};
  }
  Fq2 pow_vartime(const uint64_t* e, size_t n) const {
    Fq2 r = one();
    for (size_t i = 64 * n; i-- > 0;) {
      r = r.square();
      if (e[i / 64] >> (i % 64) & 1) r *= *this;
    }
    return r;
  }

 private:
  /// a + b without reduction, below 2q: only ever a factor of a product (see limbs.hpp).
  static Fq sum(const Fq& a, const Fq& b) {
    Fq r;
    limbs::u128 c = 0;
    for (int i = 0; i < 4; i++) {
      c += limbs::u128(a.v[i]) + b.v[i];
      r.v[i] = uint64_t(c);
      c >>= 64;
    }
    return r;
  }
};
static_assert(sizeof(Fq2) == 64);

}  // namespace hp
