// Prime fields of eight 32-bit limbs in Montgomery form, x 2^256 mod p, always below p; bytes as on the host.
#pragma once
#include "platform.cuh"
#include "../../native/params/params.hpp"

namespace hp {

/// 32-bit words of the host's constants; the index is known once loops are unrolled.
template <class P>
struct Words {
#define HP_WORDS(name)                                                                                       \
  HP_INLINE static constexpr uint32_t name(int i) {                                                          \
    constexpr uint64_t a = P::name[0], b = P::name[1], c = P::name[2], d = P::name[3];                       \
    return uint32_t((i < 4 ? (i < 2 ? a : b) : (i < 6 ? c : d)) >> (i & 1 ? 32 : 0));                        \
  }
  HP_WORDS(modulus)
  HP_WORDS(r1)
  HP_WORDS(r2)
  HP_WORDS(half)
#undef HP_WORDS
};

/// acc += (x0, x2, x4, x6) y: four products at words 0, 2, 4, 6; what leaves word 7 stays in the carry flag.
template <bool first = true>
HP_INLINE void multiply_row(Chain& chain, uint32_t acc[8], const uint32_t* x, uint32_t y) {
  acc[0] = first ? chain.mad_lo_first(x[0], y, acc[0]) : chain.mad_lo(x[0], y, acc[0]);
  acc[1] = chain.mad_hi(x[0], y, acc[1]);
  HP_UNROLL
  for (int j = 2; j < 8; j += 2) {
    acc[j] = chain.mad_lo(x[j], y, acc[j]);
    acc[j + 1] = chain.mad_hi(x[j], y, acc[j + 1]);
  }
}

template <class P>
struct alignas(16) Fp {
  uint32_t v[8];

  HP_INLINE static Fp zero() { return {{0, 0, 0, 0, 0, 0, 0, 0}}; }
  HP_INLINE static Fp one() { return constant([](int i) { return Words<P>::r1(i); }); }

  HP_INLINE bool is_zero() const { return (v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]) == 0; }

  HP_INLINE Fp operator+(const Fp& b) const {
    Fp r;
    Chain chain;
    r.v[0] = chain.add_first(v[0], b.v[0]);
    HP_UNROLL
    for (int i = 1; i < 7; i++) r.v[i] = chain.add(v[i], b.v[i]);
    r.v[7] = chain.add_last(v[7], b.v[7]);
    r.reduce_once();
    return r;
  }
  HP_INLINE Fp operator-(const Fp& b) const {
    Fp r;
    Chain chain;
    r.v[0] = chain.sub_first(v[0], b.v[0]);
    HP_UNROLL
    for (int i = 1; i < 8; i++) r.v[i] = chain.sub(v[i], b.v[i]);
    const uint32_t mask = chain.sub_last(0, 0);
    r.v[0] = chain.add_first(r.v[0], Words<P>::modulus(0) & mask);
    HP_UNROLL
    for (int i = 1; i < 7; i++) r.v[i] = chain.add(r.v[i], Words<P>::modulus(i) & mask);
    r.v[7] = chain.add_last(r.v[7], Words<P>::modulus(7) & mask);
    return r;
  }
  HP_INLINE Fp operator-() const { return zero() - *this; }
  HP_INLINE Fp twice() const { return *this + *this; }
  HP_INLINE Fp negated_if(bool flag) const {
    const Fp negative = -*this;
    Fp r;
    HP_UNROLL
    for (int i = 0; i < 8; i++) r.v[i] = flag ? negative.v[i] : v[i];
    return r;
  }

  HP_INLINE Fp operator*(const Fp& b) const {
    const Fp left[1] = {*this}, right[1] = {b};
    return sum_of_products<1>(left, right);
  }
  HP_INLINE Fp square() const { return *this * *this; }
  /// a b + c d with one reduction: 192 wide products, not 256.
  HP_INLINE static Fp mul_add(const Fp& a, const Fp& b, const Fp& c, const Fp& d) {
    const Fp left[2] = {a, c}, right[2] = {b, d};
    return sum_of_products<2>(left, right);
  }
  /// a b - c d.
  HP_INLINE static Fp mul_sub(const Fp& a, const Fp& b, const Fp& c, const Fp& d) { return mul_add(a, b, -c, d); }

  /// sum_k a_k b_k / 2^256 mod p, k < n <= 4.
  ///
  /// Montgomery's product word by word, (64 n + 64) wide multiply-adds. The running value is even + 2^32 odd, where `even`
  /// collects products of even limbs and `odd` those of odd limbs, so that every row is one unbroken carry chain. Dividing
  /// by 2^32 swaps the two. With a, b < p < 0.76 * 2^254 the value stays below 4 p 2^32 + p 2^32 + 5 p < 2^288, nine words,
  /// and ends below 4 p^2 / 2^256 + p < 2 p.
  ///
  /// The factors must be copies, in registers: what is read from memory between two `asm volatile` is read again for each,
  /// and then ptxas joins no pair of mad_lo and mad_hi.
  template <int n>
  HP_INLINE static Fp sum_of_products(const Fp (&a)[n], const Fp (&b)[n]) {
    static_assert(n >= 1 && n <= 4 && P::modulus[3] < 0x30a0000000000000, "the bounds above hold for BN254 and Grumpkin");
    uint32_t x[8] = {0, 0, 0, 0, 0, 0, 0, 0}, y[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    HP_UNROLL
    for (int i = 0; i < 8; i += 2) {
      step<n>(x, y, a, b, i);
      step<n>(y, x, a, b, i + 1);
    }
    // After an even number of steps the words that remain are y's, one place up, over x.
    Fp r;
    Chain chain;
    r.v[0] = chain.add_first(x[0], y[1]);
    HP_UNROLL
    for (int i = 1; i < 7; i++) r.v[i] = chain.add(x[i], y[i + 1]);
    r.v[7] = chain.add_last(x[7], 0);
    r.reduce_once();
    return r;
  }

  /// From and to an integer below p; one product, or a reduction alone.
  HP_INLINE Fp from_canonical() const { return *this * constant([](int i) { return Words<P>::r2(i); }); }
  HP_INLINE Fp to_canonical() const { return *this * Fp{{1, 0, 0, 0, 0, 0, 0, 0}}; }
  /// Whether the limbs, as an integer, are below p.
  HP_INLINE bool is_canonical() const {
    Chain chain;
    chain.sub_first(v[0], Words<P>::modulus(0));
    HP_UNROLL
    for (int i = 1; i < 8; i++) chain.sub(v[i], Words<P>::modulus(i));
    return chain.sub_last(0, 0) != 0;
  }

 private:
  template <class W>
  HP_INLINE static Fp constant(W word) {
    Fp r;
    HP_UNROLL
    for (int i = 0; i < 8; i++) r.v[i] = word(i);
    return r;
  }

  /// x < 2 p -> x mod p.
  HP_INLINE void reduce_once() {
    uint32_t t[8];
    Chain chain;
    t[0] = chain.sub_first(v[0], Words<P>::modulus(0));
    HP_UNROLL
    for (int i = 1; i < 8; i++) t[i] = chain.sub(v[i], Words<P>::modulus(i));
    const bool below = chain.sub_last(0, 0) != 0;
    HP_UNROLL
    for (int i = 0; i < 8; i++) v[i] = below ? v[i] : t[i];
  }

  /// Adds a_k b_k[i] for all k and m p with m = -value / p mod 2^32. Before it (i > 0) `odd` is what the last step called
  /// even: its word 0 is zero, word 1 belongs to this step's word 0, the rest lie two places too high.
  template <int n>
  HP_INLINE static void step(uint32_t even[8], uint32_t odd[8], const Fp (&a)[n], const Fp (&b)[n], int i) {
    Chain chain;
    const uint32_t y = b[0].v[i];
    if (i == 0) {
      multiply_row(chain, odd, a[0].v + 1, y);
    } else {
      even[0] = chain.add_first(even[0], odd[1]);
      HP_UNROLL
      for (int j = 0; j < 8; j += 2) {
        odd[j] = chain.mad_lo(a[0].v[j + 1], y, j < 6 ? odd[j + 2] : 0);
        odd[j + 1] = chain.mad_hi(a[0].v[j + 1], y, j < 6 ? odd[j + 3] : 0);
      }
    }
    multiply_row(chain, even, a[0].v, y);
    odd[7] = chain.add_last(odd[7], 0);
    HP_UNROLL
    for (int k = 1; k < n; k++) {
      multiply_row(chain, odd, a[k].v + 1, b[k].v[i]);
      multiply_row(chain, even, a[k].v, b[k].v[i]);
      odd[7] = chain.add_last(odd[7], 0);
    }
    uint32_t p[8];
    HP_UNROLL
    for (int j = 0; j < 8; j++) p[j] = Words<P>::modulus(j);
    constexpr uint32_t n0 = uint32_t(P::n0);
    const uint32_t m = even[0] * n0;
    multiply_row(chain, odd, p + 1, m);
    multiply_row(chain, even, p, m);
    odd[7] = chain.add_last(odd[7], 0);
  }
};

using Fr = Fp<params::FrParams>;
using Fq = Fp<params::FqParams>;

/// Fq[u] / (u^2 + 1): c0 + c1 u.
struct alignas(16) Fq2 {
  Fq c0, c1;

  HP_INLINE static Fq2 zero() { return {Fq::zero(), Fq::zero()}; }
  HP_INLINE static Fq2 one() { return {Fq::one(), Fq::zero()}; }
  HP_INLINE bool is_zero() const { return c0.is_zero() && c1.is_zero(); }
  HP_INLINE Fq2 operator+(const Fq2& b) const { return {c0 + b.c0, c1 + b.c1}; }
  HP_INLINE Fq2 operator-(const Fq2& b) const { return {c0 - b.c0, c1 - b.c1}; }
  HP_INLINE Fq2 operator-() const { return {-c0, -c1}; }
  HP_INLINE Fq2 twice() const { return {c0.twice(), c1.twice()}; }
  HP_INLINE Fq2 negated_if(bool flag) const { return {c0.negated_if(flag), c1.negated_if(flag)}; }
  /// (a0 b0 - a1 b1) + (a0 b1 + a1 b0) u; 384 wide products.
  HP_INLINE Fq2 operator*(const Fq2& b) const { return product(*this, b); }
  /// (a0 + a1)(a0 - a1) + 2 a0 a1 u; 256 wide products.
  HP_INLINE Fq2 square() const { return squared(*this); }
  /// a b - c d with two reductions in all: 640 wide products, not 768.
  HP_INLINE static Fq2 mul_sub(const Fq2& a, const Fq2& b, const Fq2& c, const Fq2& d) {
    return product_difference(a, b, c, d);
  }

 private:
  // Arguments by value travel in registers. Inlined, these made NVRTC take half a minute.
  HP_CALLED static Fq2 product(Fq2 a, Fq2 b) {
    return {Fq::mul_sub(a.c0, b.c0, a.c1, b.c1), Fq::mul_add(a.c0, b.c1, a.c1, b.c0)};
  }
  HP_CALLED static Fq2 squared(Fq2 a) {
    const Fq cross = a.c0 * a.c1;
    return {(a.c0 + a.c1) * (a.c0 - a.c1), cross.twice()};
  }
  HP_CALLED static Fq2 product_difference(Fq2 a, Fq2 b, Fq2 c, Fq2 d) {
    const Fq minus_a1 = -a.c1, minus_c0 = -c.c0, minus_c1 = -c.c1;
    const Fq left0[4] = {a.c0, minus_a1, minus_c0, c.c1}, right0[4] = {b.c0, b.c1, d.c0, d.c1};
    const Fq left1[4] = {a.c0, a.c1, minus_c0, minus_c1}, right1[4] = {b.c1, b.c0, d.c1, d.c0};
    return {Fq::sum_of_products<4>(left0, right0), Fq::sum_of_products<4>(left1, right1)};
  }
};

}  // namespace hp
