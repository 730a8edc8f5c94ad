// The number-theoretic transform eight lanes wide, for sizes that are powers of two from 2^7.
//
// X[k] = c sum_j x[j] s^j w^(jk), by Bailey's four steps with n = n1 n2, j = n2 j1 + j2, k = k1 + n1 k2: transforms of size n1 down
// the columns j2 (eight neighbouring columns are the eight lanes, twiddles are broadcast), a product with c s^j2 w^(j2 k1), an
// eight by eight transposition on the way to memory, and transforms of size n2 along the rows k1 (eight neighbouring rows are
// the lanes). Every load and store is of eight neighbouring elements, and a column or row group stays in the second-level cache.
// The transform is linear, so data stays in whatever scale it has; only the twiddles are Montgomery 2^260.
#pragma once
#include <memory>
#include <vector>

#include "ifma/coordinate8.hpp"
#include "ifma/wide.hpp"
#include "pool.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

using Fr8 = Fp8<params::FrParams>;

/// An Fr element as a Montgomery 2^260 constant, from Montgomery 2^256: times 2^4.
inline Limbs constant260(const Fr& x) { return split52((x * Fr::from_u64(16)).v); }
inline Fr8 broadcast260(const Fr& x) { return Fr8::same(constant260(x)); }

/// Twiddles of a transform of size n over the coset s: entry h + k is s^(n / 2h) w^(k n / 2h), the factor of butterfly k
/// where blocks of h are joined; n entries.
inline std::vector<Limbs> twiddles(size_t n, const Fr& w, const Fr& s) {
  std::vector<Limbs> t(n);
  Fr root = w, shift = s;
  for (size_t h = n / 2; h > 0; h /= 2) {
    Fr x = shift;
    for (size_t k = 0; k < h; k++) {
      t[h + k] = constant260(x);
      x *= root;
    }
    root = root.square();
    shift = shift.square();
  }
  return t;
}

[[gnu::always_inline]] inline Fr8 broadcast(const Limbs& x) { return Fr8::same(x); }

/// b w, for b of any carried size below 2^260; the product is below 3 p.
[[gnu::always_inline]] inline void butterfly(Fr8& a, Fr8& b, const Fr8& w) {
  b.carry();
  const Fr8 t = Fr8::mul(b, w);
  constexpr Limbs p3 = Fr8::C::times(3);
  for (int i = 0; i < 5; i++) {
    const Word x = a.l[i];
    a.l[i] = _mm512_add_epi64(x, t.l[i]);
    b.l[i] = _mm512_sub_epi64(_mm512_add_epi64(x, word(p3[i])), t.l[i]);
  }
}

/// In place, decimation in time: v in bit-reversed order in, natural order out; v[i] below 8 p in, below (8 + 3 log n) p out,
/// which must stay below 84 p: n up to 2^25. Not carried on the way out. n/2 log n products.
[[gnu::noinline]] inline void transform(Fr8* v, size_t n, const Limbs* twiddle) {
  size_t h = 1;
  unsigned levels = 0;
  for (size_t m = n; m > 1; m /= 2) levels++;
  if (levels & 1) {
    const Fr8 w = broadcast(twiddle[1]);
    for (size_t i = 0; i < n; i += 2) butterfly(v[i], v[i + 1], w);
    h = 2;
  }
  for (; h < n; h *= 4)
    for (size_t k = 0; k < h; k++) {
      const Fr8 w1 = broadcast(twiddle[h + k]), w2 = broadcast(twiddle[2 * h + k]), w3 = broadcast(twiddle[3 * h + k]);
      for (size_t i = k; i < n; i += 4 * h) {
        Fr8 a = v[i], b = v[i + h], c = v[i + 2 * h], d = v[i + 3 * h];
        butterfly(a, b, w1);
        butterfly(c, d, w1);
        butterfly(a, c, w2);
        butterfly(b, d, w3);
        v[i] = a, v[i + h] = b, v[i + 2 * h] = c, v[i + 3 * h] = d;
      }
    }
}

/// Eight neighbouring elements of four 64-bit limbs each, as lanes.
[[gnu::always_inline]] inline Fr8 load8(const u64* p) {
  // rows of two elements → columns by two-level unpacking
  Word r[4];
  for (int i = 0; i < 4; i++) r[i] = _mm512_loadu_si512(p + 8 * i);  // r[i] = e[2i], e[2i+1]
  const Word even = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13), odd = _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15);
  const Word a0 = _mm512_permutex2var_epi64(r[0], even, r[1]), a1 = _mm512_permutex2var_epi64(r[0], odd, r[1]);
  const Word b0 = _mm512_permutex2var_epi64(r[2], even, r[3]), b1 = _mm512_permutex2var_epi64(r[2], odd, r[3]);
  return Fr8::from_columns(_mm512_shuffle_i64x2(a0, b0, 0x44), _mm512_shuffle_i64x2(a0, b0, 0xee),
                           _mm512_shuffle_i64x2(a1, b1, 0x44), _mm512_shuffle_i64x2(a1, b1, 0xee));
}

/// Canonical (below p) and packed to four 64-bit limbs; v carried, below 10.5 p.
[[gnu::always_inline]] inline void store8(u64* p, const Fr8& v) {
  Word c[4];
  v.canonical().to_columns(c);
  const Word x0 = _mm512_unpacklo_epi64(c[0], c[1]), x1 = _mm512_unpackhi_epi64(c[0], c[1]);  // e0 e2 e4 e6 | e1 e3 e5 e7, limbs 0 1
  const Word y0 = _mm512_unpacklo_epi64(c[2], c[3]), y1 = _mm512_unpackhi_epi64(c[2], c[3]);  // limbs 2 3
  // per 128-bit lane k: x0 = e(2k) limbs 01, y0 = e(2k) limbs 23, x1, y1 = e(2k + 1)
  const Word a = _mm512_shuffle_i64x2(x0, y0, 0x44), b = _mm512_shuffle_i64x2(x1, y1, 0x44);  // x(0) x(1) y(0) y(1)
  const Word e = _mm512_shuffle_i64x2(x0, y0, 0xee), d = _mm512_shuffle_i64x2(x1, y1, 0xee);  // x(2) x(3) y(2) y(3)
  _mm512_storeu_si512(p, _mm512_shuffle_i64x2(a, b, 0x88));       // x0 y0 of a, of b
  _mm512_storeu_si512(p + 8, _mm512_shuffle_i64x2(a, b, 0xdd));
  _mm512_storeu_si512(p + 16, _mm512_shuffle_i64x2(e, d, 0x88));
  _mm512_storeu_si512(p + 24, _mm512_shuffle_i64x2(e, d, 0xdd));
}

/// One size, one direction, one coset.
class FourStep {
 public:
  /// w of order n = 2^log_n; every value is multiplied by c s^j first. Tables: n1 + n2 constants.
  FourStep(unsigned log_n, const Fr& w, const Fr& s, const Fr& c)
      : n1_(size_t(1) << (log_n - log_n / 2)), n2_(size_t(1) << (log_n / 2)), w_(w), s_(s), c_(c) {
    const uint64_t e1 = n1_, e2 = n2_;
    column_ = twiddles(n1_, w.pow_vartime(e2), s.pow_vartime(e2));
    row_ = twiddles(n2_, w.pow_vartime(e1), Fr::one());
  }

  /// x and out: n elements of four limbs, below p, in any scale; may be the same.
  /// `middle` has room for n / 8.
  void run(const u64* x, u64* out, Fr8* middle, unsigned threads) const {
    parallel_ranges(n2_ / 8, 1, threads, [&](size_t begin, size_t end) {
      const auto v = std::make_unique_for_overwrite<Fr8[]>(n1_);
      for (size_t g = begin; g < end; g++) columns(x, middle, g, v.get());
    });
    parallel_ranges(n1_ / 8, 1, threads, [&](size_t begin, size_t end) {
      const auto v = std::make_unique_for_overwrite<Fr8[]>(n2_);
      for (size_t g = begin; g < end; g++) rows(middle, out, g, v.get());
    });
  }

 private:
  size_t n1_, n2_;
  Fr w_, s_, c_;
  std::vector<Limbs> column_, row_;

  static size_t reversed(size_t i, size_t n) {
    size_t r = 0;
    for (size_t m = 1; m < n; m *= 2, i /= 2) r = 2 * r | (i & 1);
    return r;
  }

  /// Columns 8 g .. 8 g + 7 into middle[k1 / 8][j2][k1 % 8].
  void columns(const u64* x, Fr8* middle, size_t g, Fr8* v) const {
    const size_t j2 = 8 * g;
    for (size_t j1 = 0; j1 < n1_; j1++) {
      const u64* p = x + 4 * (n2_ * j1 + j2);
      if (j1 + 8 < n1_)
        for (int i = 0; i < 4; i++) _mm_prefetch(reinterpret_cast<const char*>(p + 4 * 8 * n2_ + 8 * i), _MM_HINT_T0);
      v[reversed(j1, n1_)] = load8(p);
    }
    transform(v, n1_, column_.data());
    // lane i: c s^(j2 + i) (w^(j2 + i))^k1, in four interleaved chains so that products overlap
    Fr8 factor[4], step = Fr8::zero();
    Fr start = c_ * s_.pow_vartime(j2), root = w_.pow_vartime(j2);
    Fr8 first = Fr8::zero(), by = Fr8::zero();
    for (int i = 0; i < 8; i++) {
      first.set_lane(i, (start * Fr::from_u64(16)).v);
      by.set_lane(i, (root * Fr::from_u64(16)).v);
      start *= s_;
      root *= w_;
    }
    factor[0] = first;
    for (int i = 1; i < 4; i++) factor[i] = Fr8::mul(factor[i - 1], by);
    step = Fr8::mul(by, by);
    step = Fr8::mul(step, step);
    for (size_t k1 = 0; k1 < n1_; k1 += 8) {
      Fr8 block[8];
      for (size_t i = 0; i < 8; i++) {
        Fr8 t = v[k1 + i];
        t.carry();
        block[i] = Fr8::mul(t, factor[i & 3]);
        factor[i & 3] = Fr8::mul(factor[i & 3], step);
      }
      Fr8* to = middle + (k1 / 8) * n2_ + j2;
      for (int limb = 0; limb < 5; limb++) {
        Word r[8];
        for (int i = 0; i < 8; i++) r[i] = block[i].l[limb];
        transpose(r);
        for (int i = 0; i < 8; i++) to[i].l[limb] = r[i];
      }
    }
  }

  /// Rows 8 g .. 8 g + 7 of the middle into out[k1 + n1 k2].
  void rows(const Fr8* middle, u64* out, size_t g, Fr8* v) const {
    const Fr8* from = middle + g * n2_;
    for (size_t j2 = 0; j2 < n2_; j2++) v[reversed(j2, n2_)] = from[j2];
    transform(v, n2_, row_.data());
    for (size_t k2 = 0; k2 < n2_; k2++) {
      Fr8 t = v[k2];
      t.carry();
      shrink(t);
      store8(out + 4 * (n1_ * k2 + 8 * g), t);
    }
  }

  /// [0, 2^260) → [0, 6.3 p): subtracts the multiple of p that the bits above 2^256 = 5.29 p stand for.
  [[gnu::always_inline]] static void shrink(Fr8& v) {
    static constexpr auto table = [] {
      std::array<std::array<u64, 16>, 5> t{};
      for (u64 i = 0; i < 16; i++) {
        u64 q = 0;  // the largest q with q p < i 2^256, by the top limbs
        for (u64 c = 1; c < 84; c++)
          if (Fr8::C::times(c)[4] < (i << 48)) q = c;
        const Limbs x = Fr8::C::times(q);
        for (int j = 0; j < 5; j++) t[j][i] = x[j];
      }
      return t;
    }();
    const Word i = _mm512_srli_epi64(v.l[4], 48);
    for (int j = 0; j < 5; j++)
      v.l[j] = _mm512_sub_epi64(
          v.l[j], _mm512_permutex2var_epi64(_mm512_loadu_si512(table[j].data()), i, _mm512_loadu_si512(table[j].data() + 8)));
    v.carry();
  }
};

}  // namespace hp::ifma
HP_WIDE_END
