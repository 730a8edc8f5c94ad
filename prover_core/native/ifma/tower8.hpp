// Fq12 = Fq2[w] / (w^6 - xi), eight lanes wide, in powers of w; sums of products share one reduction.
//
// Bounds, in multiples of q: coefficients kept below 2.34. A product of Fq2 over unreduced sums costs 4 products and no
// reduction, which for sparse factors is cheaper than Karatsuba's fewer products with a reduction and additions each.
#pragma once
#include "ifma/coordinate8.hpp"
#include "tower.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

using Fq8 = Fp8<params::FqParams>;
using FqE8 = Prime8<params::FqParams>;
using Fq2x8 = Quadratic8<params::FqParams>;

/// A scalar element in all lanes, Montgomery 2^260.
inline Fq8 everywhere(Fq x) {
  for (int i = 0; i < 4; i++) x = x.twice();
  return Fq8::same(split52(x.v));
}
inline Fq2x8 everywhere(const Fq2& x) { return {everywhere(x.c0), everywhere(x.c1)}; }

/// An element of Fq2 as the right factor in a sum of products: n1 = -c1.
struct Factor8 {
  Fq8 c0, c1, n1;
};

/// m q must not be below c1.
template <u64 m>
[[gnu::always_inline]] inline Factor8 factor(const Fq2x8& a) {
  return {a.c0, a.c1, Fq8::sub<m>(Fq8::zero(), a.c1)};
}

/// xi a = (9 a0 - a1) + (9 a1 + a0) u for components below 3 q; below 30 q.
[[gnu::always_inline]] inline Fq2x8 times_xi(const Fq2x8& a) {
  constexpr Limbs three = Modulus52<params::FqParams>::times(3);
  Fq2x8 r;
  for (int i = 0; i < 5; i++) {
    const Word nine0 = _mm512_add_epi64(_mm512_slli_epi64(a.c0.l[i], 3), a.c0.l[i]);
    const Word nine1 = _mm512_add_epi64(_mm512_slli_epi64(a.c1.l[i], 3), a.c1.l[i]);
    r.c0.l[i] = _mm512_add_epi64(_mm512_sub_epi64(nine0, a.c1.l[i]), word(three[i]));
    r.c1.l[i] = _mm512_add_epi64(nine1, a.c0.l[i]);
  }
  r.c0.carry();
  r.c1.carry();
  return r;
}

/// a0 b0 + a1 b1; 151 wide multiply-adds.
[[gnu::always_inline]] inline Fq8 dot(const Fq8& a0, const Fq8& b0, const Fq8& a1, const Fq8& b1) {
  Word t[10];
  for (Word& x : t) x = word(0);
  Fq8::accumulate(t, a0, b0);
  Fq8::accumulate(t, a1, b1);
  return Fq8::reduce(t);
}

/// a conj(b) for b below 3 q.
[[gnu::always_inline]] inline Fq2x8 mul_conjugate(const Fq2x8& a, const Fq2x8& b) {
  return {dot(a.c0, b.c0, a.c1, b.c1), dot(a.c1, b.c0, a.c0, Fq8::sub<3>(Fq8::zero(), b.c1))};
}

struct Term8 {
  const Fq2x8* left;
  const Factor8* right;
};

/// out = plus + the sum of at most 4 terms, below 2.34 q; the whole, before the last step, must stay below 10.5 q.
/// 200 wide multiply-adds a term and 102.
[[gnu::noinline]] inline void sum_of_products(Fq2x8& out, const Fq2x8& plus, const Term8* terms, int n) {
  Word t[10], s[10];
  for (int i = 0; i < 5; i++) {
    t[i] = s[i] = word(0);
    t[5 + i] = plus.c0.l[i];  // t stands for t / 2^260
    s[5 + i] = plus.c1.l[i];
  }
  for (int k = 0; k < n; k++) {
    const Fq2x8& a = *terms[k].left;
    const Factor8& b = *terms[k].right;
    Fq8::accumulate(t, a.c0, b.c0);
    Fq8::accumulate(s, a.c0, b.c1);
    Fq8::accumulate(t, a.c1, b.n1);
    Fq8::accumulate(s, a.c1, b.c0);
  }
  out.c0 = Fq8::reduce_raw(t);
  out.c1 = Fq8::reduce_raw(s);
  out.c0.reduce_small();
  out.c1.reduce_small();
}

/// 1 + a w + b w^3, with what its product with an element of Fq12 needs.
struct Line8 {
  Factor8 a, b, xi_a, xi_b;

  /// Components below 3 q.
  [[gnu::always_inline]] Line8(const Fq2x8& l1, const Fq2x8& l3)
      : a(factor<3>(l1)), b(factor<3>(l3)), xi_a(factor<30>(times_xi(l1))), xi_b(factor<30>(times_xi(l3))) {}
};

struct Fq12x8 {
  Fq2x8 c[6];

  static Fq12x8 one() {
    Fq12x8 r;
    for (Fq2x8& x : r.c) x = Fq2x8::zero();
    r.c[0] = Fq2x8::one();
    return r;
  }

  /// out = this (1 + a w + b w^3): 3012 wide multiply-adds, as many as ten products of Fq2.
  void times_line(const Line8& line, Fq12x8& out) const {
    for (int k = 0; k < 6; k++) {
      const Term8 terms[2] = {{&c[(k + 5) % 6], k < 1 ? &line.xi_a : &line.a},
                              {&c[(k + 3) % 6], k < 3 ? &line.xi_b : &line.b}};
      sum_of_products(out.c[k], c[k], terms, 2);
    }
  }

  /// out = this^2: 21 products of Fq2, 4812 wide multiply-adds. The largest sum is 8.9 q (k = 0).
  void square(Fq12x8& out) const {
    Factor8 plain[3], twice[6], xi[3];  // xi: xi c3, 2 xi c4, 2 xi c5
    for (int k = 0; k < 3; k++) plain[k] = factor<3>(c[k]);
    for (int k = 1; k < 6; k++) twice[k] = factor<5>(Fq2x8::twice(c[k]));
    Factor8 xi4 = factor<24>(times_xi(c[4])), xi5 = factor<24>(times_xi(c[5]));
    xi[0] = factor<24>(times_xi(c[3]));
    xi[1] = factor<48>(Fq2x8::twice({xi4.c0, xi4.c1}));
    xi[2] = factor<48>(Fq2x8::twice({xi5.c0, xi5.c1}));
    const Term8 terms[6][4] = {
        {{&c[0], &plain[0]}, {&c[1], &xi[2]}, {&c[2], &xi[1]}, {&c[3], &xi[0]}},
        {{&c[0], &twice[1]}, {&c[2], &xi[2]}, {&c[3], &xi[1]}, {nullptr, nullptr}},
        {{&c[0], &twice[2]}, {&c[1], &plain[1]}, {&c[3], &xi[2]}, {&c[4], &xi4}},
        {{&c[0], &twice[3]}, {&c[1], &twice[2]}, {&c[4], &xi[2]}, {nullptr, nullptr}},
        {{&c[0], &twice[4]}, {&c[1], &twice[3]}, {&c[2], &plain[2]}, {&c[5], &xi5}},
        {{&c[0], &twice[5]}, {&c[1], &twice[4]}, {&c[2], &twice[3]}, {nullptr, nullptr}},
    };
    const Fq2x8 zero = Fq2x8::zero();
    for (int k = 0; k < 6; k++) sum_of_products(out.c[k], zero, terms[k], k % 2 ? 3 : 4);
  }

  /// One lane, up to a factor in Fq (Montgomery 2^260 read as 2^256), which the final exponentiation removes.
  Fq12 lane_up_to_scale(int i) const {
    return {{c[0].lane(i), c[2].lane(i), c[4].lane(i)}, {c[1].lane(i), c[3].lane(i), c[5].lane(i)}};
  }
};

/// An element that is replaced again and again: no product is copied back.
class Running8 {
 public:
  void start() {
    now_ = 0;
    value_[0] = Fq12x8::one();
  }
  const Fq12x8& value() const { return value_[now_]; }
  void square() {
    value_[now_].square(value_[1 - now_]);
    now_ = 1 - now_;
  }
  void times_line(const Line8& line) {
    value_[now_].times_line(line, value_[1 - now_]);
    now_ = 1 - now_;
  }

 private:
  Fq12x8 value_[2];
  int now_ = 0;
};

/// Replaces the n values by their inverses, lane by lane: 3 products each and one scalar inversion for all lanes of all.
/// `scratch` has room for n. False, and the values unchanged, if some lane of some value is 0 modulo q.
class SharedInversion {
 public:
  /// Values below 10 q.
  explicit SharedInversion(Fq8* values, Fq8* prefix, size_t n) : values_(values), prefix_(prefix), n_(n) {
    chain_[0] = chain_[1] = FqE8::one().c;
    for (size_t i = 0; i < n; i++) {
      Fq8& acc = chain_[i & 1];
      prefix_[i] = acc;
      acc = Fq8::mul(acc, values_[i]);
    }
  }
  /// False if there is no inverse of some lane; nothing more may be asked then.
  bool invert() {
    // products over 2, 4, 8 lanes, so that every lane of the last holds the product of all sixteen
    const Fq8 both = Fq8::mul(chain_[0], chain_[1]);
    const Fq8 half = Fq8::rotate<4>(both), two = Fq8::mul(both, half);
    const Fq8 quarter = Fq8::rotate<2>(two), four = Fq8::mul(two, quarter);
    const Fq8 other = Fq8::rotate<1>(four), all = Fq8::mul(four, other);
    Fq total;
    all.lane(0, total.v);
    if (total.is_zero()) return false;
    // the lane held a 2^260 and was read as (a 2^4) 2^256; its inverse is (a^-1 2^-4) 2^256, and a^-1 2^260 is 2^8 of that
    Fq inverse = total.inverse_vartime();
    for (int i = 0; i < 8; i++) inverse = inverse.twice();
    Fq8 t = Fq8::same(split52(inverse.v));
    t = Fq8::mul(Fq8::mul(t, half), Fq8::mul(quarter, other));
    const Fq8 first = Fq8::mul(t, chain_[1]);
    chain_[1] = Fq8::mul(t, chain_[0]);
    chain_[0] = first;
    return true;
  }
  /// The inverse of value i, below 2.1 q; to be asked for once each, in descending order.
  [[gnu::always_inline]] Fq8 take(size_t i) {
    Fq8& acc = chain_[i & 1];
    const Fq8 inverse = Fq8::mul(prefix_[i], acc);
    acc = Fq8::mul(acc, values_[i]);
    return inverse;
  }

 private:
  Fq8 *values_, *prefix_;
  size_t n_;
  Fq8 chain_[2];
};

}  // namespace hp::ifma
HP_WIDE_END
