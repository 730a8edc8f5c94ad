// Modular inversion by Bernstein and Yang's division steps, 62 at a time (https://eprint.iacr.org/2019/266, variable time).
#pragma once
#include <cstdint>

#include "limbs.hpp"

namespace hp::inverse_detail {

/// Five signed limbs of 62 bits.
struct Signed62 {
  int64_t v[5];
};

/// The transition matrix of 62 steps, scaled by 2^62.
struct Steps {
  int64_t u, v, q, r;
};

inline constexpr uint64_t mask62 = ~uint64_t(0) >> 2;
using i128 = __int128;

inline Signed62 pack(const uint64_t a[4]) {
  return {{int64_t(a[0] & mask62), int64_t((a[0] >> 62 | a[1] << 2) & mask62), int64_t((a[1] >> 60 | a[2] << 4) & mask62),
           int64_t((a[2] >> 58 | a[3] << 6) & mask62), int64_t(a[3] >> 56)}};
}

inline void unpack(uint64_t r[4], const Signed62& a) {
  r[0] = uint64_t(a.v[0]) | uint64_t(a.v[1]) << 62;
  r[1] = uint64_t(a.v[1]) >> 2 | uint64_t(a.v[2]) << 60;
  r[2] = uint64_t(a.v[2]) >> 4 | uint64_t(a.v[3]) << 58;
  r[3] = uint64_t(a.v[3]) >> 6 | uint64_t(a.v[4]) << 56;
}

/// 62 division steps on the low words; eta = -delta.
inline int64_t divide_steps(int64_t eta, uint64_t f, uint64_t g, Steps& t) {
  uint64_t u = 1, v = 0, q = 0, r = 1;
  for (int left = 62;;) {
    const int zeros = __builtin_ctzll(g | (~uint64_t(0) << left));
    g >>= zeros;
    u <<= zeros;
    v <<= zeros;
    eta -= zeros;
    left -= zeros;
    if (left == 0) break;
    uint64_t w;
    if (eta < 0) {
      uint64_t s;
      eta = -eta;
      s = f, f = g, g = 0 - s;
      s = u, u = q, q = 0 - s;
      s = v, v = r, r = 0 - s;
      const int64_t limit = eta + 1 > left ? left : eta + 1;
      // -g / f mod 2^min(limit, 6): f (f^2 - 2) = -1/f mod 2^6 for odd f
      w = (f * g * (f * f - 2)) & ((~uint64_t(0) >> (64 - limit)) & 63);
    } else {
      const int64_t limit = eta + 1 > left ? left : eta + 1;
      w = f + (((f + 1) & 4) << 1);  // 1/f mod 16
      w = (0 - w * g) & ((~uint64_t(0) >> (64 - limit)) & 15);
    }
    g += f * w;
    q += u * w;
    r += v * w;
  }
  t = {int64_t(u), int64_t(v), int64_t(q), int64_t(r)};
  return eta;
}

/// (f, g) = t (f, g) / 2^62, exact.
inline void update_fg(Signed62& f, Signed62& g, const Steps& t) {
  i128 cf = i128(t.u) * f.v[0] + i128(t.v) * g.v[0];
  i128 cg = i128(t.q) * f.v[0] + i128(t.r) * g.v[0];
  cf >>= 62, cg >>= 62;
  for (int i = 1; i < 5; i++) {
    cf += i128(t.u) * f.v[i] + i128(t.v) * g.v[i];
    cg += i128(t.q) * f.v[i] + i128(t.r) * g.v[i];
    f.v[i - 1] = int64_t(uint64_t(cf) & mask62);
    g.v[i - 1] = int64_t(uint64_t(cg) & mask62);
    cf >>= 62, cg >>= 62;
  }
  f.v[4] = int64_t(cf);
  g.v[4] = int64_t(cg);
}

/// (d, e) = t (d, e) / 2^62 mod p, both kept in (-2p, p).
template <class P>
inline void update_de(Signed62& d, Signed62& e, const Steps& t, const Signed62& p) {
  const int64_t sd = d.v[4] >> 63, se = e.v[4] >> 63;
  int64_t md = (t.u & sd) + (t.v & se), me = (t.q & sd) + (t.r & se);
  i128 cd = i128(t.u) * d.v[0] + i128(t.v) * e.v[0];
  i128 ce = i128(t.q) * d.v[0] + i128(t.r) * e.v[0];
  md -= int64_t((P::inverse62 * uint64_t(cd) + uint64_t(md)) & mask62);
  me -= int64_t((P::inverse62 * uint64_t(ce) + uint64_t(me)) & mask62);
  cd += i128(p.v[0]) * md;
  ce += i128(p.v[0]) * me;
  cd >>= 62, ce >>= 62;
  for (int i = 1; i < 5; i++) {
    cd += i128(t.u) * d.v[i] + i128(t.v) * e.v[i] + i128(p.v[i]) * md;
    ce += i128(t.q) * d.v[i] + i128(t.r) * e.v[i] + i128(p.v[i]) * me;
    d.v[i - 1] = int64_t(uint64_t(cd) & mask62);
    e.v[i - 1] = int64_t(uint64_t(ce) & mask62);
    cd >>= 62, ce >>= 62;
  }
  d.v[4] = int64_t(cd);
  e.v[4] = int64_t(ce);
}

/// Carries so that limbs 0..3 are in [0, 2^62).
inline void carry(Signed62& a) {
  for (int i = 0; i < 4; i++) {
    a.v[i + 1] += a.v[i] >> 62;
    a.v[i] = int64_t(uint64_t(a.v[i]) & mask62);
  }
}

/// r = scale / a mod p, plain integers below p; 0 for a = 0. About 10 rounds of 62 steps.
template <class P>
inline void invert(uint64_t r[4], const uint64_t a[4], const uint64_t scale[4]) {
  const Signed62 p = pack(P::modulus);
  Signed62 d = {{0, 0, 0, 0, 0}}, e = pack(scale), f = p, g = pack(a);
  int64_t eta = -1;
  while (g.v[0] | g.v[1] | g.v[2] | g.v[3] | g.v[4]) {
    Steps t;
    // carry() keeps the low limbs non-negative, so 64 low bits are v[0] and two bits of v[1]
    eta = divide_steps(eta, uint64_t(f.v[0]) | uint64_t(f.v[1]) << 62, uint64_t(g.v[0]) | uint64_t(g.v[1]) << 62, t);
    update_de<P>(d, e, t, p);
    update_fg(f, g, t);
  }
  // f = +-gcd, and d = f scale / a: bring (-2p, p) into [0, p)
  const bool negative = f.v[4] < 0;
  if (d.v[4] < 0)
    for (int i = 0; i < 5; i++) d.v[i] += p.v[i];
  if (negative)
    for (int i = 0; i < 5; i++) d.v[i] = -d.v[i];
  carry(d);
  if (d.v[4] < 0) {
    for (int i = 0; i < 5; i++) d.v[i] += p.v[i];
    carry(d);
  }
  unpack(r, d);
}

}  // namespace hp::inverse_detail
