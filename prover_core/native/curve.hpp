// Points of y^2 = x^3 + b (a = 0) over any field F. Formulas: https://hyperelliptic.org/EFD/g1p/auto-shortw-xyzz.html
//
// Every operation is complete: infinity, equal and opposite points are handled (variable time).
#pragma once
#include <vector>

#include "fq2.hpp"

namespace hp {

/// (x, y), or infinity as (0, 0), which is on no curve with b != 0. Plain data, as in `.zkey` files.
template <class F>
struct Affine {
  F x, y;

  static Affine infinity() { return {F::zero(), F::zero()}; }
  static Affine load(const void* bytes) {
    Affine r;
    std::memcpy(&r, bytes, sizeof r);
    return r;
  }
  bool is_infinity() const { return x.is_zero() && y.is_zero(); }
  bool operator==(const Affine& b) const { return x == b.x && y == b.y; }
  Affine operator-() const { return {x, -y}; }
};

/// x = X / ZZ, y = Y / ZZZ with ZZ^3 = ZZZ^2; infinity has ZZ = 0.
template <class F>
struct Xyzz {
  F x, y, zz, zzz;

  static Xyzz infinity() { return {F::zero(), F::zero(), F::zero(), F::zero()}; }
  static Xyzz from(const Affine<F>& p) {
    return p.is_infinity() ? infinity() : Xyzz{p.x, p.y, F::one(), F::one()};
  }
  bool is_infinity() const { return zz.is_zero(); }
  Xyzz operator-() const { return {x, -y, zz, zzz}; }

  /// 2 P for affine P; 3M + 4S.
  static Xyzz twice(const Affine<F>& p) {
    if (p.is_infinity() || p.y.is_zero()) return infinity();
    const F u = p.y.twice(), v = u.square(), w = u * v, s = p.x * v;
    const F xx = p.x.square(), m = xx.twice() + xx;
    const F x3 = m.square() - s.twice();
    return {x3, m * (s - x3) - w * p.y, v, w};
  }

  /// 2 P; 6M + 4S.
  Xyzz twice() const {
    if (is_infinity() || y.is_zero()) return infinity();
    const F u = y.twice(), v = u.square(), w = u * v, s = x * v;
    const F xx = x.square(), m = xx.twice() + xx;
    const F x3 = m.square() - s.twice();
    return {x3, m * (s - x3) - w * y, v * zz, w * zzz};
  }

  /// P + Q for affine Q; 8M + 2S.
  void add(const Affine<F>& q) {
    if (q.is_infinity()) return;
    if (is_infinity()) {
      *this = from(q);
      return;
    }
    const F p = q.x * zz - x, r = q.y * zzz - y;
    if (p.is_zero()) {
      *this = r.is_zero() ? twice(q) : infinity();
      return;
    }
    const F pp = p.square(), ppp = p * pp, t = x * pp;
    const F x3 = r.square() - ppp - t.twice();
    y = r * (t - x3) - y * ppp;
    x = x3;
    zz *= pp;
    zzz *= ppp;
  }

  /// P + Q; 12M + 2S.
  void add(const Xyzz& q) {
    if (q.is_infinity()) return;
    if (is_infinity()) {
      *this = q;
      return;
    }
    const F u = x * q.zz, s = y * q.zzz;
    const F p = q.x * zz - u, r = q.y * zzz - s;
    if (p.is_zero()) {
      *this = r.is_zero() ? q.twice() : infinity();
      return;
    }
    const F pp = p.square(), ppp = p * pp, t = u * pp;
    const F x3 = r.square() - ppp - t.twice();
    y = r * (t - x3) - s * ppp;
    x = x3;
    zz = zz * q.zz * pp;
    zzz = zzz * q.zzz * ppp;
  }

  /// One inversion: ZZ / ZZZ = 1/Z for Z = ZZZ / ZZ.
  Affine<F> to_affine() const {
    if (is_infinity()) return Affine<F>::infinity();
    const F i = zzz.inverse_vartime();
    const F z_inverse = zz * i;
    return {x * z_inverse.square(), y * i};
  }

  /// k P for an integer of `bits` bits; double and add.
  Xyzz times_vartime(const uint64_t* k, unsigned bits) const {
    Xyzz r = infinity();
    for (unsigned i = bits; i-- > 0;) {
      r = r.twice();
      if (k[i / 64] >> (i % 64) & 1) r.add(*this);
    }
    return r;
  }
};

template <class F>
inline F curve_b();
template <>
inline Fq curve_b<Fq>() {
  return Fq::raw(params::g1_b);
}
template <>
inline Fq2 curve_b<Fq2>() {
  return Fq2::raw(params::g2_b);
}

/// y^2 = x^3 + b, or infinity.
template <class F>
bool on_curve(const Affine<F>& p) {
  return p.is_infinity() || p.y.square() == p.x.square() * p.x + curve_b<F>();
}

using G1Affine = Affine<Fq>;
using G2Affine = Affine<Fq2>;
using G1 = Xyzz<Fq>;
using G2 = Xyzz<Fq2>;
static_assert(sizeof(G1Affine) == 64 && sizeof(G2Affine) == 128);

}  // namespace hp
