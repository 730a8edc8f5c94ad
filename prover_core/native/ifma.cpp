// Values are kept below 8q between operations: with q / 2^260 < 0.0119 a product of such factors is below
// 64 * 0.0119 q + q < 1.77 q without any final subtraction. Points stay in the Montgomery form of 2^256 in memory: a product
// here divides by 2^260, and the constant 2^518 of the inverses, together with one factor 4, takes up the difference:
//   inverse of dx: 2^518 / dx' (dx' = 2^256 dx)      slope' = dy' * inverse / 2^260 = 2^258 slope
//   slope'^2 / 2^260 = 2^256 slope^2                  4 slope' * d' / 2^260 = 2^256 slope d
#include "ifma.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include "params/params.hpp"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512ifma")

namespace hp::ifma {
namespace {

#define HP_INLINE [[gnu::always_inline]] static inline

constexpr uint64_t mask52 = (uint64_t(1) << 52) - 1;
using P = params::FqParams;

struct Limbs {
  uint64_t v[5];
};

/// k q in radix 2^52, k q < 2^256.
constexpr Limbs multiple_of_q(uint64_t k) {
  uint64_t w[4] = {};
  unsigned __int128 c = 0;
  for (int i = 0; i < 4; i++) {
    c += static_cast<unsigned __int128>(P::modulus[i]) * k;
    w[i] = uint64_t(c);
    c >>= 64;
  }
  return {{w[0] & mask52, (w[0] >> 52 | w[1] << 12) & mask52, (w[1] >> 40 | w[2] << 24) & mask52,
           (w[2] >> 28 | w[3] << 36) & mask52, w[3] >> 16}};
}
constexpr Limbs q1 = multiple_of_q(1), q2 = multiple_of_q(2);

/// Eight values; limbs in [0, 2^52) unless said to be loose (signed, any size well below 2^63).
struct V {
  __m512i v[5];
};

HP_INLINE __m512i all(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }

HP_INLINE V normal(V x) {
  const __m512i mask = all(mask52);
  for (int i = 0; i < 4; i++) {
    x.v[i + 1] = _mm512_add_epi64(x.v[i + 1], _mm512_srai_epi64(x.v[i], 52));
    x.v[i] = _mm512_and_si512(x.v[i], mask);
  }
  return x;
}

/// Loose a - b.
HP_INLINE V sub(const V& a, const V& b) {
  V r;
  for (int i = 0; i < 5; i++) r.v[i] = _mm512_sub_epi64(a.v[i], b.v[i]);
  return r;
}

/// Loose a + k.
HP_INLINE V add(const V& a, const Limbs& k) {
  V r;
  for (int i = 0; i < 5; i++) r.v[i] = _mm512_add_epi64(a.v[i], all(k.v[i]));
  return r;
}

/// Loose a + b, or a - b in the lanes of `minus`.
HP_INLINE V add_signed(const V& a, const V& b, __mmask8 minus) {
  V r;
  for (int i = 0; i < 5; i++) {
    const __m512i sum = _mm512_add_epi64(a.v[i], b.v[i]);
    r.v[i] = _mm512_mask_sub_epi64(sum, minus, a.v[i], b.v[i]);
  }
  return r;
}

/// x - k where that is not negative, else x.
HP_INLINE V reduce(const V& x, const Limbs& k) {
  V t;
  for (int i = 0; i < 5; i++) t.v[i] = _mm512_sub_epi64(x.v[i], all(k.v[i]));
  t = normal(t);
  const __mmask8 negative = _mm512_cmplt_epi64_mask(t.v[4], _mm512_setzero_si512());
  for (int i = 0; i < 5; i++) t.v[i] = _mm512_mask_mov_epi64(t.v[i], negative, x.v[i]);
  return t;
}

/// a b 2^-260 mod q, below 1.77 q for factors below 8 q. 100 multiply-adds.
HP_INLINE V mul(const V& a, const V& b) {
  const __m512i zero = _mm512_setzero_si512(), n0 = all(P::n0 & mask52);
  __m512i t[5] = {zero, zero, zero, zero, zero};
  for (int i = 0; i < 5; i++) {
    const __m512i x = a.v[i];
    for (int j = 0; j < 5; j++) t[j] = _mm512_madd52lo_epu64(t[j], x, b.v[j]);
    const __m512i m = _mm512_madd52lo_epu64(zero, t[0], n0);
    for (int j = 0; j < 5; j++) t[j] = _mm512_madd52lo_epu64(t[j], m, all(q1.v[j]));
    const __m512i carry = _mm512_srli_epi64(t[0], 52);
    t[0] = _mm512_add_epi64(t[1], carry);
    for (int j = 1; j < 4; j++) t[j] = t[j + 1];
    t[4] = zero;
    for (int j = 0; j < 5; j++) t[j] = _mm512_madd52hi_epu64(t[j], x, b.v[j]);
    for (int j = 0; j < 5; j++) t[j] = _mm512_madd52hi_epu64(t[j], m, all(q1.v[j]));
  }
  return normal({{t[0], t[1], t[2], t[3], t[4]}});
}

HP_INLINE __m512i two_rows(const void* low, const void* high) {
  const __m256i l = _mm256_loadu_si256(static_cast<const __m256i*>(low));
  const __m256i h = _mm256_loadu_si256(static_cast<const __m256i*>(high));
  return _mm512_inserti64x4(_mm512_castsi256_si512(l), h, 1);
}

HP_INLINE __m512i even_quads(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), b);
}
HP_INLINE __m512i odd_quads(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), b);
}

/// Eight 32-byte integers into limbs: a transposition, then 64-bit words into 52-bit limbs.
HP_INLINE V load(const char* const p[lanes], size_t offset) {
  const __m512i z0 = two_rows(p[0] + offset, p[4] + offset), z1 = two_rows(p[1] + offset, p[5] + offset);
  const __m512i z2 = two_rows(p[2] + offset, p[6] + offset), z3 = two_rows(p[3] + offset, p[7] + offset);
  const __m512i low01 = _mm512_unpacklo_epi64(z0, z1), low23 = _mm512_unpacklo_epi64(z2, z3);
  const __m512i high01 = _mm512_unpackhi_epi64(z0, z1), high23 = _mm512_unpackhi_epi64(z2, z3);
  const __m512i w0 = even_quads(low01, low23), w1 = even_quads(high01, high23);
  const __m512i w2 = odd_quads(low01, low23), w3 = odd_quads(high01, high23);
  const __m512i mask = all(mask52);
  V r;
  r.v[0] = _mm512_and_si512(w0, mask);
  r.v[1] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w0, 52), _mm512_slli_epi64(w1, 12)), mask);
  r.v[2] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w1, 40), _mm512_slli_epi64(w2, 24)), mask);
  r.v[3] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w2, 28), _mm512_slli_epi64(w3, 36)), mask);
  r.v[4] = _mm512_srli_epi64(w3, 16);
  return r;
}

HP_INLINE void two_rows_out(char* low, char* high, __m512i z) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(low), _mm512_castsi512_si256(z));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(high), _mm512_extracti64x4_epi64(z, 1));
}

/// The reverse of `load`.
HP_INLINE void store(char* const p[lanes], size_t offset, const V& x) {
  const __m512i w0 = _mm512_or_si512(x.v[0], _mm512_slli_epi64(x.v[1], 52));
  const __m512i w1 = _mm512_or_si512(_mm512_srli_epi64(x.v[1], 12), _mm512_slli_epi64(x.v[2], 40));
  const __m512i w2 = _mm512_or_si512(_mm512_srli_epi64(x.v[2], 24), _mm512_slli_epi64(x.v[3], 28));
  const __m512i w3 = _mm512_or_si512(_mm512_srli_epi64(x.v[3], 36), _mm512_slli_epi64(x.v[4], 16));
  const __m512i even01 = _mm512_unpacklo_epi64(w0, w1), even23 = _mm512_unpacklo_epi64(w2, w3);
  const __m512i odd01 = _mm512_unpackhi_epi64(w0, w1), odd23 = _mm512_unpackhi_epi64(w2, w3);
  two_rows_out(p[0] + offset, p[4] + offset, even_quads(even01, even23));
  two_rows_out(p[1] + offset, p[5] + offset, even_quads(odd01, odd23));
  two_rows_out(p[2] + offset, p[6] + offset, odd_quads(even01, even23));
  two_rows_out(p[3] + offset, p[7] + offset, odd_quads(odd01, odd23));
}

HP_INLINE V load(const Octet& o) {
  V r;
  for (int i = 0; i < 5; i++) r.v[i] = _mm512_load_si512(o.limb[i]);
  return r;
}
HP_INLINE void store(Octet& o, const V& x) {
  for (int i = 0; i < 5; i++) _mm512_store_si512(o.limb[i], x.v[i]);
}

/// Where the eight pairs' operands lie.
struct Operands {
  const char* a[lanes];
  const char* b[lanes];
  char* out[lanes];
  __mmask8 negate_a, negate_b;
};

HP_INLINE Operands operands(const Pair* pairs) {
  Operands o;
  unsigned a = 0, b = 0;
  for (size_t l = 0; l < lanes; l++) {
    o.a[l] = static_cast<const char*>(pairs[l].a);
    o.b[l] = static_cast<const char*>(pairs[l].b);
    o.out[l] = static_cast<char*>(pairs[l].out);
    a |= unsigned(pairs[l].negate_a) << l;
    b |= unsigned(pairs[l].negate_b) << l;
  }
  o.negate_a = __mmask8(a);
  o.negate_b = __mmask8(b);
  return o;
}

}  // namespace

void forward(const Pair* pairs, size_t n, Octet* below, Octet* product, uint64_t chain[lanes][4]) {
  V acc;  // begins as 1: the factors 2^-260 are the same in every product and its inverse
  acc.v[0] = all(1);
  for (int i = 1; i < 5; i++) acc.v[i] = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i++) {
    const Operands o = operands(pairs + lanes * i);
    const V d = normal(add(sub(load(o.b, 0), load(o.a, 0)), q1));  // below 2q
    store(below[i], d);
    store(product[i], acc);
    acc = mul(acc, d);
  }
  char* rows[lanes];
  for (size_t l = 0; l < lanes; l++) rows[l] = reinterpret_cast<char*>(chain[l]);
  store(rows, 0, reduce(acc, q1));
}

void backward(const Pair* pairs, size_t n, const Octet* below, const Octet* product, const uint64_t inverse[lanes][4]) {
  const char* rows[lanes];
  for (size_t l = 0; l < lanes; l++) rows[l] = reinterpret_cast<const char*>(inverse[l]);
  V acc = load(rows, 0);
  for (size_t i = n; i-- > 0;) {
    const Operands o = operands(pairs + lanes * i);
    const V inverse_dx = mul(acc, load(product[i]));
    acc = mul(acc, load(below[i]));
    const V ay = load(o.a, 32), by = load(o.b, 32), ax = load(o.a, 0), bx = load(o.b, 0);
    V zero;
    for (int k = 0; k < 5; k++) zero.v[k] = _mm512_setzero_si512();
    const V minus_ay = add_signed(zero, ay, __mmask8(~o.negate_a));  // loose, within +-q
    const V dy = normal(add(add_signed(minus_ay, by, o.negate_b), q2));  // below 4q
    const V slope = mul(dy, inverse_dx);
    const V square = mul(slope, slope);
    const V x = reduce(reduce(normal(add(sub(sub(square, ax), bx), q2)), q2), q1);  // from below 3.8q
    V slope4;
    for (int k = 0; k < 5; k++) slope4.v[k] = _mm512_slli_epi64(slope.v[k], 2);
    const V cross = mul(normal(slope4), normal(add(sub(ax, x), q1)));
    const V y = reduce(reduce(normal(add(add_signed(cross, minus_ay, 0), q1)), q2), q1);
    store(o.out, 0, x);
    store(o.out, 32, y);
  }
}

}  // namespace hp::ifma

#pragma GCC pop_options

#else

namespace hp::ifma {
void forward(const Pair*, size_t, Octet*, Octet*, uint64_t[lanes][4]) {}
void backward(const Pair*, size_t, const Octet*, const Octet*, const uint64_t[lanes][4]) {}
}  // namespace hp::ifma

#endif
