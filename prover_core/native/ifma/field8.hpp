// Eight elements of a prime field side by side: radix 2^52, five limbs, Montgomery with R = 2^260, AVX-512 IFMA.
//
// A lane holds any representative below 2^260 (84 p) with limbs below 2^52 ("lazy"); nothing is compared with p on the way.
// Bounds, in multiples of p: product(a, b) < 0.0119 a b + 2.01; `reduce_small` brings anything below 10.5 under 2.34.
// Call only where cpu::has_ifma (see wide.hpp).
#pragma once
#include <array>
#include <cstdint>
#include <immintrin.h>

#include "field.hpp"
#include "ifma/wide.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

using u64 = std::uint64_t;
using u128 = unsigned __int128;
using Word = __m512i;
using Limbs = std::array<u64, 5>;

inline constexpr u64 mask52 = (u64(1) << 52) - 1;

inline Word word(u64 x) { return _mm512_set1_epi64(static_cast<long long>(x)); }

/// Four 64-bit limbs as five of 52 bits.
constexpr Limbs split52(const u64 x[4]) {
  return {x[0] & mask52, ((x[0] >> 52) | (x[1] << 12)) & mask52, ((x[1] >> 40) | (x[2] << 24)) & mask52,
          ((x[2] >> 28) | (x[3] << 36)) & mask52, x[3] >> 16};
}

/// What the kernels need of a modulus p, derived at compile time.
template <class P>
struct Modulus52 {
  static constexpr Limbs p = split52(P::modulus);
  /// k = -p^-1 mod 2^52 (Newton).
  static constexpr u64 k = [] {
    u64 x = 1;
    for (int i = 0; i < 6; i++) x *= 2 - p[0] * x;
    return (0 - x) & mask52;
  }();
  /// m p
  static constexpr Limbs times(u64 m) {
    Limbs n{};
    u128 carry = 0;
    for (int i = 0; i < 5; i++) {
      carry += u128(m) * p[i];
      n[i] = i < 4 ? u64(carry) & mask52 : u64(carry);
      carry >>= 52;
    }
    return n;
  }
  /// (k p + 1) / 2^52: k p = -1 mod 2^52, so that adding m k p clears a low limb m without a product to find the digit.
  static constexpr Limbs cleared = [] {
    Limbs n{};
    u128 carry = 1 + u128(k) * p[0];
    carry >>= 52;
    for (int i = 1; i < 5; i++) {
      carry += u128(k) * p[i];
      n[i - 1] = u64(carry) & mask52;
      carry >>= 52;
    }
    n[4] = u64(carry);
    return n;
  }();
  /// [i]: floor(i 2^254 / p) p for i < 8, limb by limb: what `reduced` takes from a value whose bits above 2^254 are i.
  static constexpr std::array<std::array<u64, 8>, 5> steps = [] {
    std::array<std::array<u64, 8>, 5> table{};
    for (u64 i = 0; i < 8; i++) {
      u64 q = 0;
      // largest q with q p <= i 2^254, p's and 2^254's top limbs compared exactly
      for (u64 c = 1; c < 11; c++) {
        const Limbs t = times(c);
        const u64 top = i << 46;  // 2^254 = 2^46 2^208
        if (t[4] < top || (t[4] == top && (t[0] | t[1] | t[2] | t[3]) == 0)) q = c;
      }
      const Limbs t = times(q);
      for (int j = 0; j < 5; j++) table[j][i] = t[j];
    }
    return table;
  }();
};

/// Eight lanes of one field.
template <class P>
struct alignas(64) Fp8 {
  using C = Modulus52<P>;
  using Scalar = Fp<P>;
  Word l[5];

  static Fp8 zero() { return {{word(0), word(0), word(0), word(0), word(0)}}; }
  static Fp8 same(const Limbs& x) { return {{word(x[0]), word(x[1]), word(x[2]), word(x[3]), word(x[4])}}; }

  /// a b / 2^260. 101 wide multiply-adds: 50 for the product, 40 for four limbs cleared with the friendly multiple of p,
  /// 11 for the last with p itself (with k p there the result would not shrink). Montgomery 1985.
  [[gnu::always_inline]] static Fp8 mul(const Fp8& a, const Fp8& b) {
    Fp8 r = mul_raw(a, b);
    r.carry();
    return r;
  }
  /// As mul, limbs not carried: for sums and differences only.
  [[gnu::always_inline]] static Fp8 mul_raw(const Fp8& a, const Fp8& b) {
    Word t[10];
    for (Word& x : t) x = word(0);
    accumulate(t, a, b);
    return reduce_raw(t);
  }

  /// t += a b
  [[gnu::always_inline]] static void accumulate(Word t[10], const Fp8& a, const Fp8& b) {
    for (int i = 0; i < 5; i++)
      for (int j = 0; j < 5; j++) t[i + j] = _mm512_madd52lo_epu64(t[i + j], a.l[i], b.l[j]);
    for (int i = 0; i < 5; i++)
      for (int j = 0; j < 5; j++) t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a.l[i], b.l[j]);
  }

  /// a^2 / 2^260; 81 wide multiply-adds.
  [[gnu::always_inline]] static Fp8 sqr(const Fp8& a) {
    Fp8 r = sqr_raw(a);
    r.carry();
    return r;
  }
  [[gnu::always_inline]] static Fp8 sqr_raw(const Fp8& a) {
    Word t[10];
    for (Word& x : t) x = word(0);
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        t[i + j] = _mm512_madd52lo_epu64(t[i + j], a.l[i], a.l[j]);
        t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a.l[i], a.l[j]);
      }
    for (int i = 1; i < 9; i++) t[i] = _mm512_add_epi64(t[i], t[i]);
    for (int i = 0; i < 5; i++) {
      t[2 * i] = _mm512_madd52lo_epu64(t[2 * i], a.l[i], a.l[i]);
      t[2 * i + 1] = _mm512_madd52hi_epu64(t[2 * i + 1], a.l[i], a.l[i]);
    }
    return reduce_raw(t);
  }

  /// t / 2^260 modulo p, for columns t[i] 2^(52 i) below 2^63 each.
  [[gnu::always_inline]] static Fp8 reduce(Word t[10]) {
    Fp8 r = reduce_raw(t);
    r.carry();
    return r;
  }

  /// As reduce, limbs not carried.
  [[gnu::always_inline]] static Fp8 reduce_raw(Word t[10]) {
    for (int i = 0; i < 4; i++) {
      const Word m = t[i];  // its low 52 bits are the digit, which is all that a wide multiply-add reads
      t[i + 1] = _mm512_add_epi64(t[i + 1], _mm512_srli_epi64(m, 52));
      for (int j = 0; j < 5; j++) t[i + 1 + j] = _mm512_madd52lo_epu64(t[i + 1 + j], m, word(C::cleared[j]));
      for (int j = 0; j < 5; j++) t[i + 2 + j] = _mm512_madd52hi_epu64(t[i + 2 + j], m, word(C::cleared[j]));
    }
    const Word m = _mm512_madd52lo_epu64(word(0), t[4], word(C::k));
    for (int j = 0; j < 5; j++) t[4 + j] = _mm512_madd52lo_epu64(t[4 + j], m, word(C::p[j]));
    for (int j = 0; j < 5; j++) t[5 + j] = _mm512_madd52hi_epu64(t[5 + j], m, word(C::p[j]));
    t[5] = _mm512_add_epi64(t[5], _mm512_srli_epi64(t[4], 52));
    return {{t[5], t[6], t[7], t[8], t[9]}};
  }

  /// Brings limbs of up to 63 signed bits into [0, 2^52); the value must lie in [0, 2^260).
  [[gnu::always_inline]] void carry() {
    for (int i = 0; i < 4; i++) {
      l[i + 1] = _mm512_add_epi64(l[i + 1], _mm512_srai_epi64(l[i], 52));
      l[i] = _mm512_and_si512(l[i], word(mask52));
    }
  }

  /// As carry, but limbs keep what was carried out of them. Such a value is a factor and nothing else: a wide multiply-add
  /// reads the low 52 bits of its factors.
  [[gnu::always_inline]] void carry_factor() {
    for (int i = 0; i < 4; i++) l[i + 1] = _mm512_add_epi64(l[i + 1], _mm512_srai_epi64(l[i], 52));
  }

  /// Subtracts the multiple of p that the bits above 2^254 stand for, then carries: [0, 8 2^254) → [0, 2.33 p).
  /// The top limb may still lack carries worth less than 2^-40 p.
  [[gnu::always_inline]] void reduce_small() {
    const Word i = _mm512_srli_epi64(_mm512_add_epi64(l[4], _mm512_srai_epi64(l[3], 52)), 46);
    for (int j = 0; j < 5; j++)
      l[j] = _mm512_sub_epi64(l[j], _mm512_permutexvar_epi64(i, _mm512_loadu_si512(C::steps[j].data())));
    carry();
  }

  /// a + b, carried.
  [[gnu::always_inline]] static Fp8 add(const Fp8& a, const Fp8& b) {
    Fp8 r;
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_add_epi64(a.l[i], b.l[i]);
    r.carry();
    return r;
  }

  /// a - b + m p, not carried: m p must not be below b.
  template <u64 m>
  [[gnu::always_inline]] static Fp8 sub_raw(const Fp8& a, const Fp8& b) {
    constexpr Limbs mp = C::times(m);
    Fp8 r;
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_add_epi64(_mm512_sub_epi64(a.l[i], b.l[i]), word(mp[i]));
    return r;
  }
  template <u64 m>
  [[gnu::always_inline]] static Fp8 sub(const Fp8& a, const Fp8& b) {
    Fp8 r = sub_raw<m>(a, b);
    r.carry();
    return r;
  }

  /// mask ? b : a, lane by lane.
  [[gnu::always_inline]] static Fp8 select(__mmask8 mask, const Fp8& a, const Fp8& b) {
    Fp8 r;
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_mask_blend_epi64(mask, a.l[i], b.l[i]);
    return r;
  }

  /// Lanes whose limbs are all zero (not: whose value is 0 modulo p).
  [[gnu::always_inline]] __mmask8 blank() const {
    const Word any = _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(l[0], l[1]), _mm512_or_si512(l[2], l[3])), l[4]);
    return _mm512_testn_epi64_mask(any, any);
  }

  /// The representatives below p, carried, of values below 10.5 p.
  [[gnu::always_inline]] Fp8 canonical() const {
    Fp8 v = *this;
    v.reduce_small();
    for (int round = 0; round < 2; round++) {
      Fp8 t;
      for (int i = 0; i < 5; i++) t.l[i] = _mm512_sub_epi64(v.l[i], word(C::p[i]));
      t.carry();
      v = select(_mm512_movepi64_mask(t.l[4]), t, v);
    }
    return v;
  }

  /// Lanes whose value, below 10.5 p, is 0 modulo p.
  __mmask8 vanishes() const {
    Fp8 v = *this;
    v.reduce_small();
    __mmask8 r = 0;
    for (u64 m = 0; m < 3; m++) {
      const Limbs mp = C::times(m);
      __mmask8 same = 0xff;
      for (int i = 0; i < 5; i++) same &= _mm512_cmpeq_epi64_mask(v.l[i], word(mp[i]));
      r |= same;
    }
    return r;
  }

  /// From four columns of 64-bit limbs, lane by lane.
  [[gnu::always_inline]] static Fp8 from_columns(Word a, Word b, Word c, Word d) {
    const Word m = word(mask52);
    return {{_mm512_and_si512(a, m), _mm512_and_si512(_mm512_shrdi_epi64(a, b, 52), m),
             _mm512_and_si512(_mm512_shrdi_epi64(b, c, 40), m), _mm512_and_si512(_mm512_shrdi_epi64(c, d, 28), m),
             _mm512_srli_epi64(d, 16)}};
  }

  /// The reverse of from_columns, for carried values below 2^256.
  [[gnu::always_inline]] void to_columns(Word c[4]) const {
    c[0] = _mm512_or_si512(l[0], _mm512_slli_epi64(l[1], 52));
    c[1] = _mm512_or_si512(_mm512_srli_epi64(l[1], 12), _mm512_slli_epi64(l[2], 40));
    c[2] = _mm512_or_si512(_mm512_srli_epi64(l[2], 24), _mm512_slli_epi64(l[3], 28));
    c[3] = _mm512_or_si512(_mm512_srli_epi64(l[3], 36), _mm512_slli_epi64(l[4], 16));
  }

  /// mask ? 2 p - a : a, lane by lane; a below 2 p.
  [[gnu::always_inline]] static Fp8 negate_where(__mmask8 mask, const Fp8& a) {
    constexpr Limbs p2 = C::times(2);
    Fp8 r;
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_mask_sub_epi64(a.l[i], mask, word(p2[i]), a.l[i]);
    r.carry();
    return r;
  }

  /// Lane i of the result is lane i + places of a, around.
  template <int places>
  static Fp8 rotate(const Fp8& a) {
    Fp8 r;
    for (int i = 0; i < 5; i++) r.l[i] = _mm512_alignr_epi64(a.l[i], a.l[i], places);
    return r;
  }

  /// The value of one lane modulo p, below p: the integer in the lane (Montgomery 2^260 and whatever scale it carries).
  void lane(int i, u64 out[4]) const {
    alignas(64) u64 x[5][8];
    for (int j = 0; j < 5; j++) _mm512_store_si512(x[j], l[j]);
    u64 v[5] = {x[0][i] | x[1][i] << 52, x[1][i] >> 12 | x[2][i] << 40, x[2][i] >> 24 | x[3][i] << 28, x[3][i] >> 36 | x[4][i] << 16, x[4][i] >> 48};
    // below 84 p: subtract p, shifted, while it fits
    for (int s = 6; s >= 0; s--) {
      u64 q[5], t[5], borrow = 0;
      for (int j = 0; j < 5; j++) {
        const u64 low = j < 4 ? P::modulus[j] << s : 0;
        const u64 high = s && j > 0 ? P::modulus[j - 1] >> (64 - s) : 0;
        q[j] = low | high;
        const u128 d = u128(v[j]) - q[j] - borrow;
        t[j] = u64(d);
        borrow = u64(d >> 64) & 1;
      }
      if (!borrow)
        for (int j = 0; j < 5; j++) v[j] = t[j];
    }
    for (int j = 0; j < 4; j++) out[j] = v[j];
  }

  /// Sets one lane to an integer below 2^256.
  void set_lane(int i, const u64 x[4]) {
    const Limbs s = split52(x);
    for (int j = 0; j < 5; j++) l[j] = _mm512_mask_set1_epi64(l[j], __mmask8(1 << i), static_cast<long long>(s[j]));
  }
};

/// 2^(260 e) mod p at compile time is not needed often enough to be clever: repeated doubling.
template <class P>
constexpr std::array<u64, 4> power_of_two(unsigned e) {
  std::array<u64, 4> x{1, 0, 0, 0};
  for (unsigned i = 0; i < e; i++) {
    u64 carry = 0;
    for (int j = 0; j < 4; j++) {
      const u64 top = x[j] >> 63;
      x[j] = x[j] << 1 | carry;
      carry = top;
    }
    u64 t[4]{}, borrow = 0;
    for (int j = 0; j < 4; j++) {
      const u128 d = u128(x[j]) - P::modulus[j] - borrow;
      t[j] = u64(d);
      borrow = u64(d >> 64) & 1;
    }
    if (!borrow)
      for (int j = 0; j < 4; j++) x[j] = t[j];
  }
  return x;
}

}  // namespace hp::ifma
HP_WIDE_END
