// What the MSM needs of a coordinate field, eight lanes wide: Fq for G1, Fq2 for G2, and how bases in memory become lanes.
//
// Bases lie in memory as everywhere else: affine, Montgomery 2^256. Read as Montgomery 2^260 they are x/16, y/16. The curve
// y^2 = x^3 + b is isomorphic to y^2 = x^3 + b u^6 by (u^2 x, u^3 y), and addition does not use b (a = 0): with u = 1/4 the x
// are right as they lie and the y want one more division by 4, which is an addition of a multiple of p and a shift. So no key
// is ever converted; only what one flush of the MSM needs is `prepare`d, once for all windows.
#pragma once
#include "fq2.hpp"
#include "ifma/field8.hpp"
#include "ifma/wide.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Rows of eight 64-bit words, transposed in place; 24 shuffles.
[[gnu::always_inline]] inline void transpose(Word r[8]) {
  Word t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
  }
  Word s[8];
  for (int h = 0; h < 8; h += 4)
    for (int i = 0; i < 2; i++) {
      s[h + i] = _mm512_shuffle_i64x2(t[h + i], t[h + i + 2], 0x88);
      s[h + i + 2] = _mm512_shuffle_i64x2(t[h + i], t[h + i + 2], 0xdd);
    }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i64x2(s[i], s[i + 4], 0x88);
    r[i + 4] = _mm512_shuffle_i64x2(s[i], s[i + 4], 0xdd);
  }
}

/// y / 4, negated where `negative`: y below p in, below 2 p out.
template <class P>
[[gnu::always_inline]] inline Fp8<P> quarter(const Fp8<P>& y, __mmask8 negative) {
  // v + m p = 0 mod 4 for m = -v / p mod 4 = v p mod 4 (odd p: p p = 1 mod 4, and p = 3 mod 4 makes -p = 1, else negate)
  using C = Modulus52<P>;
  static constexpr auto table = [] {
    std::array<std::array<u64, 8>, 5> t{};
    for (u64 i = 0; i < 8; i++) {
      // i < 4: +y with low bits i; i >= 4: -y with y's low bits i - 4, and 4 p more to stay positive
      u64 m = 0;
      for (u64 c = 0; c < 4; c++)
        if (((i < 4 ? i : 4 - (i - 4)) + c * (C::p[0] & 3)) % 4 == 0) m = c;
      if (i >= 4) m += 4;
      const Limbs x = C::times(m);
      for (int j = 0; j < 5; j++) t[j][i] = x[j];
    }
    return t;
  }();
  Word index = _mm512_and_si512(y.l[0], word(3));
  index = _mm512_mask_or_epi64(index, negative, index, word(4));
  Fp8<P> r;
  for (int j = 0; j < 5; j++) {
    const Word v = _mm512_mask_sub_epi64(y.l[j], negative, word(0), y.l[j]);
    r.l[j] = _mm512_add_epi64(v, _mm512_permutexvar_epi64(index, _mm512_loadu_si512(table[j].data())));
  }
  for (int j = 0; j < 4; j++)
    r.l[j] = _mm512_add_epi64(_mm512_srai_epi64(r.l[j], 2), _mm512_slli_epi64(_mm512_and_si512(r.l[j + 1], word(3)), 50));
  r.l[4] = _mm512_srai_epi64(r.l[4], 2);
  r.carry();
  return r;
}

/// Coordinates in a prime field.
template <class P>
struct Prime8 {
  using Scalar = Fp<P>;
  using V = Fp8<P>;
  static constexpr int words = 5;
  static constexpr size_t base_bytes = 64;
  V c;

  static Prime8 zero() { return {V::zero()}; }
  static Prime8 one() {
    static constexpr auto r = power_of_two<P>(260);
    return {V::same(split52(r.data()))};
  }
  [[gnu::always_inline]] static Prime8 mul(const Prime8& a, const Prime8& b) { return {V::mul(a.c, b.c)}; }
  [[gnu::always_inline]] static Prime8 sqr(const Prime8& a) { return {V::sqr(a.c)}; }
  /// Limbs not carried: for `minus` and `minus_two`.
  [[gnu::always_inline]] static Prime8 mul_raw(const Prime8& a, const Prime8& b) { return {V::mul_raw(a.c, b.c)}; }
  [[gnu::always_inline]] static Prime8 sqr_raw(const Prime8& a) { return {V::sqr_raw(a.c)}; }
  template <u64 m>
  [[gnu::always_inline]] static Prime8 sub(const Prime8& a, const Prime8& b) {
    return {V::template sub<m>(a.c, b.c)};
  }
  /// As mul and sub, for results that are only factors of further products (see Fp8::carry_factor).
  [[gnu::always_inline]] static Prime8 mul_factor(const Prime8& a, const Prime8& b) {
    V r = V::mul_raw(a.c, b.c);
    r.carry_factor();
    return {r};
  }
  template <u64 m>
  [[gnu::always_inline]] static Prime8 sub_factor(const Prime8& a, const Prime8& b) {
    V r = V::template sub_raw<m>(a.c, b.c);
    r.carry_factor();
    return {r};
  }
  /// s + 5 p - a - b, reduced below 2.33 p; s below 3 p, a and b below 2.33 p.
  [[gnu::always_inline]] static Prime8 minus_two(const Prime8& s, const Prime8& a, const Prime8& b) {
    V r = V::template sub_raw<5>(s.c, a.c);
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_sub_epi64(r.l[i], b.c.l[i]);
    r.reduce_small();
    return {r};
  }
  /// s + 2 p - 2 a + d, reduced below 2.33 p; s below 3 p, a below 2.33 p, d = a - b + 3 p for a b below 2.33 p.
  [[gnu::always_inline]] static Prime8 minus_twice(const Prime8& s, const Prime8& a, const Prime8& d) {
    constexpr Limbs p2 = Modulus52<P>::times(2);
    V r;
    for (int i = 0; i < 5; i++)
      r.l[i] = _mm512_sub_epi64(_mm512_add_epi64(_mm512_add_epi64(s.c.l[i], d.c.l[i]), word(p2[i])),
                                _mm512_add_epi64(a.c.l[i], a.c.l[i]));
    r.reduce_small();
    return {r};
  }
  /// s + 3 p - a, reduced below 2.33 p.
  [[gnu::always_inline]] static Prime8 minus(const Prime8& s, const Prime8& a) {
    V r = V::template sub_raw<3>(s.c, a.c);
    r.reduce_small();
    return {r};
  }
  static Prime8 same(const Scalar& s) { return {V::same(split52(s.v))}; }
  template <int places>
  static Prime8 rotate(const Prime8& a) {
    return {V::template rotate<places>(a.c)};
  }
  static Prime8 twice(const Prime8& a) { return {V::add(a.c, a.c)}; }
  static Prime8 triple(const Prime8& a) { return {V::add(V::add(a.c, a.c), a.c)}; }
  static Scalar times(const Scalar& a, const Fp<P>& b) { return a * b; }
  [[gnu::always_inline]] static Prime8 select(__mmask8 m, const Prime8& a, const Prime8& b) { return {V::select(m, a.c, b.c)}; }
  [[gnu::always_inline]] __mmask8 blank() const { return c.blank(); }
  __mmask8 vanishes() const { return c.vanishes(); }
  Scalar lane(int i) const {
    u64 x[4];
    c.lane(i, x);
    return Scalar::raw(x);
  }
  void set_lane(int i, const Scalar& s) { c.set_lane(i, s.v); }

  /// Eight bases → prepared form, base_bytes each: x as it lies and y / 4, negated where `negative`, below 1.75 p.
  static void prepare(std::uint8_t* out, const std::uint8_t* const p[8], __mmask8 negative) {
    Word r[8];
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_si512(p[i]);
    transpose(r);
    quarter<P>(V::from_columns(r[4], r[5], r[6], r[7]), negative).to_columns(r + 4);
    transpose(r);
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(out + 64 * i, r[i]);
  }
  /// Eight prepared points as lanes, y negated where `negative`.
  [[gnu::always_inline]] static void load(Prime8& x, Prime8& y, const std::uint8_t* const p[8], __mmask8 negative) {
    Word r[8];
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_si512(p[i]);
    transpose(r);
    x.c = V::from_columns(r[0], r[1], r[2], r[3]);
    y.c = V::negate_where(negative, V::from_columns(r[4], r[5], r[6], r[7]));
  }
  /// Eight points as affine bases in memory: x as it lies and 4 y, below p; lanes of `blank` as infinity. x, y below 2.34 p.
  static void store(std::uint8_t* const p[8], const Prime8& x, const Prime8& y, __mmask8 blank) {
    Word r[8];
    x.c.canonical().to_columns(r);
    fourfold(y).c.canonical().to_columns(r + 4);
    for (Word& limb : r) limb = _mm512_maskz_mov_epi64(__mmask8(~blank), limb);
    transpose(r);
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(p[i], r[i]);
  }
  /// Lanes, carried and below 2^256, as `load` reads them.
  [[gnu::always_inline]] static void pack(std::uint8_t* const p[8], const Prime8& x, const Prime8& y) {
    Word r[8];
    x.c.to_columns(r);
    y.c.to_columns(r + 4);
    transpose(r);
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(p[i], r[i]);
  }
  /// Not carried.
  static Prime8 fourfold(const Prime8& a) {
    Prime8 r;
    for (int i = 0; i < 5; i++) r.c.l[i] = _mm512_slli_epi64(a.c.l[i], 2);
    return r;
  }
  Word* limbs() { return c.l; }
  const Word* limbs() const { return c.l; }
};

/// Coordinates in Fq2 = Fq[u] / (u^2 + 1).
template <class P>
struct Quadratic8 {
  using Scalar = Fq2;
  using V = Fp8<P>;
  static constexpr int words = 10;
  static constexpr size_t base_bytes = 128;
  V c0, c1;

  static Quadratic8 zero() { return {V::zero(), V::zero()}; }
  static Quadratic8 one() { return {Prime8<P>::one().c, V::zero()}; }
  /// (a0 b0 - a1 b1) + (a0 b1 + a1 b0) u, each component one reduction: 302 wide multiply-adds against 3 * 101 for Karatsuba
  /// with reductions, and fewer live registers. Components below 6 p in, below 3 p out.
  [[gnu::always_inline]] static Quadratic8 mul(const Quadratic8& a, const Quadratic8& b) {
    Quadratic8 r = mul_raw(a, b);
    r.c0.carry();
    r.c1.carry();
    return r;
  }
  [[gnu::always_inline]] static Quadratic8 mul_raw(const Quadratic8& a, const Quadratic8& b) {
    Word t[10];
    for (Word& x : t) x = word(0);
    V::accumulate(t, a.c0, b.c0);
    V::accumulate(t, a.c1, V::template sub<6>(V::zero(), b.c1));
    Quadratic8 r;
    r.c0 = V::reduce_raw(t);
    for (Word& x : t) x = word(0);
    V::accumulate(t, a.c0, b.c1);
    V::accumulate(t, a.c1, b.c0);
    r.c1 = V::reduce_raw(t);
    return r;
  }
  /// (a0 + a1)(a0 - a1) + 2 a0 a1 u
  [[gnu::always_inline]] static Quadratic8 sqr(const Quadratic8& a) {
    return {V::mul(V::add(a.c0, a.c1), V::template sub<6>(a.c0, a.c1)), V::mul(V::add(a.c0, a.c0), a.c1)};
  }
  [[gnu::always_inline]] static Quadratic8 sqr_raw(const Quadratic8& a) {
    return {V::mul_raw(V::add(a.c0, a.c1), V::template sub<6>(a.c0, a.c1)), V::mul_raw(V::add(a.c0, a.c0), a.c1)};
  }
  template <u64 m>
  [[gnu::always_inline]] static Quadratic8 sub(const Quadratic8& a, const Quadratic8& b) {
    return {V::template sub<m>(a.c0, b.c0), V::template sub<m>(a.c1, b.c1)};
  }
  /// Products here take sums and differences of their factors' components, which must be carried.
  [[gnu::always_inline]] static Quadratic8 mul_factor(const Quadratic8& a, const Quadratic8& b) { return mul(a, b); }
  template <u64 m>
  [[gnu::always_inline]] static Quadratic8 sub_factor(const Quadratic8& a, const Quadratic8& b) {
    return sub<m>(a, b);
  }
  [[gnu::always_inline]] static Quadratic8 minus_two(const Quadratic8& s, const Quadratic8& a, const Quadratic8& b) {
    return {Prime8<P>::minus_two({s.c0}, {a.c0}, {b.c0}).c, Prime8<P>::minus_two({s.c1}, {a.c1}, {b.c1}).c};
  }
  [[gnu::always_inline]] static Quadratic8 minus_twice(const Quadratic8& s, const Quadratic8& a, const Quadratic8& d) {
    return {Prime8<P>::minus_twice({s.c0}, {a.c0}, {d.c0}).c, Prime8<P>::minus_twice({s.c1}, {a.c1}, {d.c1}).c};
  }
  [[gnu::always_inline]] static Quadratic8 minus(const Quadratic8& s, const Quadratic8& a) {
    return {Prime8<P>::minus({s.c0}, {a.c0}).c, Prime8<P>::minus({s.c1}, {a.c1}).c};
  }
  static Quadratic8 same(const Scalar& s) { return {V::same(split52(s.c0.v)), V::same(split52(s.c1.v))}; }
  template <int places>
  static Quadratic8 rotate(const Quadratic8& a) {
    return {V::template rotate<places>(a.c0), V::template rotate<places>(a.c1)};
  }
  static Quadratic8 twice(const Quadratic8& a) { return {V::add(a.c0, a.c0), V::add(a.c1, a.c1)}; }
  static Quadratic8 triple(const Quadratic8& a) { return {Prime8<P>::triple({a.c0}).c, Prime8<P>::triple({a.c1}).c}; }
  static Scalar times(const Scalar& a, const Fp<P>& b) { return a * b; }
  [[gnu::always_inline]] static Quadratic8 select(__mmask8 m, const Quadratic8& a, const Quadratic8& b) {
    return {V::select(m, a.c0, b.c0), V::select(m, a.c1, b.c1)};
  }
  [[gnu::always_inline]] __mmask8 blank() const { return c0.blank() & c1.blank(); }
  __mmask8 vanishes() const { return c0.vanishes() & c1.vanishes(); }
  Scalar lane(int i) const {
    u64 x[4], y[4];
    c0.lane(i, x);
    c1.lane(i, y);
    return {Fp<P>::raw(x), Fp<P>::raw(y)};
  }
  void set_lane(int i, const Scalar& s) {
    c0.set_lane(i, s.c0.v);
    c1.set_lane(i, s.c1.v);
  }

  static void prepare(std::uint8_t* out, const std::uint8_t* const p[8], __mmask8 negative) {
    Word r[8];
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(out + 128 * i, _mm512_loadu_si512(p[i]));
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_si512(p[i] + 64);
    transpose(r);
    quarter<P>(V::from_columns(r[0], r[1], r[2], r[3]), negative).to_columns(r);
    quarter<P>(V::from_columns(r[4], r[5], r[6], r[7]), negative).to_columns(r + 4);
    transpose(r);
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(out + 128 * i + 64, r[i]);
  }
  [[gnu::always_inline]] static void load(Quadratic8& x, Quadratic8& y, const std::uint8_t* const p[8], __mmask8 negative) {
    Word r[8];
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_si512(p[i]);
    transpose(r);
    x.c0 = V::from_columns(r[0], r[1], r[2], r[3]);
    x.c1 = V::from_columns(r[4], r[5], r[6], r[7]);
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_si512(p[i] + 64);
    transpose(r);
    y.c0 = V::negate_where(negative, V::from_columns(r[0], r[1], r[2], r[3]));
    y.c1 = V::negate_where(negative, V::from_columns(r[4], r[5], r[6], r[7]));
  }
  static void store(std::uint8_t* const p[8], const Quadratic8& x, const Quadratic8& y, __mmask8 blank) {
    std::uint8_t* second[8];
    for (int i = 0; i < 8; i++) second[i] = p[i] + 64;
    const auto four = [](const V& a) { return Prime8<P>::fourfold({a}).c.canonical(); };
    store_pair(p, x.c0.canonical(), x.c1.canonical(), blank);
    store_pair(second, four(y.c0), four(y.c1), blank);
  }
  [[gnu::always_inline]] static void pack(std::uint8_t* const p[8], const Quadratic8& x, const Quadratic8& y) {
    std::uint8_t* second[8];
    for (int i = 0; i < 8; i++) second[i] = p[i] + 64;
    Prime8<P>::pack(p, {x.c0}, {x.c1});
    Prime8<P>::pack(second, {y.c0}, {y.c1});
  }
  Word* limbs() { return c0.l; }  // c0 and c1 are adjacent
  const Word* limbs() const { return c0.l; }

 private:
  static void store_pair(std::uint8_t* const p[8], const V& a, const V& b, __mmask8 blank) {
    Word r[8];
    a.to_columns(r);
    b.to_columns(r + 4);
    for (Word& limb : r) limb = _mm512_maskz_mov_epi64(__mmask8(~blank), limb);
    transpose(r);
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(p[i], r[i]);
  }
};

/// The coordinates of points over a field of one at a time.
template <class F>
struct CoordinateOf;
template <>
struct CoordinateOf<Fq> {
  using type = Prime8<params::FqParams>;
};
template <>
struct CoordinateOf<Fq2> {
  using type = Quadratic8<params::FqParams>;
};

}  // namespace hp::ifma
HP_WIDE_END
