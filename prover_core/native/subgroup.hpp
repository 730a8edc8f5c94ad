// The endomorphism psi of the twist, and the subgroup check of G2 that rests on it.
#pragma once
#include <iterator>

#include "curve.hpp"

namespace hp {

/// psi = twist^-1 o Frobenius o twist: (conj(x) xi^((q-1)/3), conj(y) xi^((q-1)/2)); 2 products in Fq2.
inline G2Affine psi(const G2Affine& p) {
  return {p.x.conjugate() * Fq2::raw(params::frobenius1[2]), p.y.conjugate() * Fq2::raw(params::frobenius1[3])};
}
/// psi^2: (x xi^((q^2-1)/3), -y); 2 products in Fq.
inline G2Affine psi2(const G2Affine& p) { return {p.x * Fq::raw(params::frobenius2[2]), -p.y}; }
/// psi^3; 2 products in Fq2.
inline G2Affine psi3(const G2Affine& p) {
  return {p.x.conjugate() * Fq2::raw(params::frobenius3[2]), p.y.conjugate() * Fq2::raw(params::frobenius3[3])};
}

/// (X : Y : Z) standing for (X/Z^2, Y/Z^3), with incomplete additions: a sum of equal or opposite points, or with
/// Z = 0, has Z = 0, and so has all that follows from it. Formulas dbl-2009-l and madd-2007-bl of
/// https://hyperelliptic.org/EFD/g1p/auto-shortw-jacobian-0.html
struct IncompleteJacobian {
  Fq2 x, y, z;

  /// 2M 5S
  void twice() {
    const Fq2 a = x.square(), b = y.square(), c = b.square();
    const Fq2 d = ((x + b).square() - a - c).twice(), e = a.twice() + a;
    z = (y * z).twice();
    x = e.square() - d.twice();
    y = e * (d - x) - c.twice().twice().twice();
  }
  /// 7M 4S
  void add(const G2Affine& q) {
    const Fq2 zz = z.square();
    const Fq2 h = q.x * zz - x, hh = h.square(), i = hh.twice().twice(), j = h * i;
    const Fq2 r = (q.y * z * zz - y).twice(), v = x * i;
    z = (z + h).square() - zz - hh;
    x = r.square() - j - v.twice();
    y = r * (v - x) - (y * j).twice();
  }
};

/// Whether p is infinity, or on the twist and of order r: (6x + 2) p + psi(p) - psi^2(p) + psi^3(p) = 0.
///
/// psi acts on the r-torsion as q, and 6x + 2 + q - q^2 + q^3 = 0 mod r, so points of order r pass. Conversely psi
/// satisfies X^2 - tX + q = 0 (t = 6x^2 + 1), which reduces the polynomial to a + bX with a = 6x + 2 + q - tq and
/// b = 1 - t + t^2 - q; a point it annihilates is annihilated by the norm a^2 + abt + b^2 q, whose greatest common
/// divisor with the order r (2q - r) of the twist is r. For points of order r no addition meets equal or opposite
/// points (the multiples of p differ mod r), so that Z = 0 at the end always means refusal.
/// 64 doublings, 23 additions: about 1700 products in Fq.
inline bool in_g2(const G2Affine& p) {
  if (p.is_infinity()) return true;
  if (!on_curve(p)) return false;
  const G2Affine minus = -p, q1 = psi(p), q2 = psi2(p), q3 = psi3(p);
  IncompleteJacobian t = {p.x, p.y, Fq2::one()};
  for (size_t k = 1; k < std::size(params::ate_naf); k++) {
    t.twice();
    if (params::ate_naf[k] != 0) t.add(params::ate_naf[k] > 0 ? p : minus);
  }
  t.add(q1);
  t.add(-q2);
  if (t.z.is_zero()) return false;
  const Fq2 zz = t.z.square();
  return t.x == q3.x * zz && t.y == -(q3.y * zz * t.z);
}

}  // namespace hp
