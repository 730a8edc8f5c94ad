// Points of y^2 = x^3 + b over any field. Formulas: https://hyperelliptic.org/EFD/g1p/auto-shortw-xyzz.html
//
// Every operation is complete: infinity, equal and opposite points are handled.
#pragma once
#include "field.cuh"

namespace hp {

/// (x, y), or infinity as (0, 0); as in `.zkey` files.
template <class F>
struct alignas(16) Affine {
  F x, y;
  HP_INLINE bool is_infinity() const { return x.is_zero() && y.is_zero(); }
};

/// x = X / ZZ, y = Y / ZZZ with ZZ^3 = ZZZ^2; infinity has ZZ = 0, so that memory set to zero is infinity.
template <class F>
struct alignas(16) Xyzz {
  F x, y, zz, zzz;

  HP_INLINE static Xyzz infinity() { return {F::zero(), F::zero(), F::zero(), F::zero()}; }
  HP_INLINE static Xyzz from(const Affine<F>& p) {
    return p.is_infinity() ? infinity() : Xyzz{p.x, p.y, F::one(), F::one()};
  }
  HP_INLINE bool is_infinity() const { return zz.is_zero(); }

  /// this = 2 this; 6M + 4S.
  HP_CALLED void twice() {
    if (is_infinity() || y.is_zero()) {
      *this = infinity();
      return;
    }
    const F u = y.twice(), v = u.square(), w = u * v, s = x * v;
    const F xx = x.square(), m = xx.twice() + xx;
    const F x3 = m.square() - s.twice();
    y = F::mul_sub(m, s - x3, w, y);
    x = x3;
    zz = v * zz;
    zzz = w * zzz;
  }

  /// this += q; 8M + 2S, one reduction of them shared. The inner loop of every MSM.
  HP_INLINE void add(const Affine<F>& q) {
    if (q.is_infinity()) return;
    if (is_infinity()) {
      *this = from(q);
      return;
    }
    const F p = q.x * zz - x, r = q.y * zzz - y;
    if (p.is_zero()) {
      Xyzz sum = r.is_zero() ? *this : infinity();  // a copy, so that only it needs an address
      sum.twice();
      *this = sum;
      return;
    }
    const F pp = p.square(), ppp = p * pp, t = x * pp;
    zz = zz * pp;
    zzz = zzz * ppp;
    const F x3 = r.square() - ppp - t.twice();
    y = F::mul_sub(r, t - x3, y, ppp);
    x = x3;
  }

  /// this += q; 12M + 2S.
  HP_CALLED void add(const Xyzz& q) {
    if (q.is_infinity()) return;
    if (is_infinity()) {
      *this = q;
      return;
    }
    const F u = x * q.zz, s = y * q.zzz;
    const F p = q.x * zz - u, r = q.y * zzz - s;
    if (p.is_zero()) {
      if (r.is_zero())
        twice();
      else
        *this = infinity();
      return;
    }
    const F pp = p.square(), ppp = p * pp, t = u * pp;
    const F x3 = r.square() - ppp - t.twice();
    y = F::mul_sub(r, t - x3, s, ppp);
    x = x3;
    zz = zz * q.zz * pp;
    zzz = zzz * q.zzz * ppp;
  }
};

}  // namespace hp
