// Products of 512 bits that are summed before they are reduced (Aranha et al., https://eprint.iacr.org/2010/526, 2.1).
//
// Values are integers modulo 2^512, so that sums and differences of products are exact as long as the final one fits:
// `reduce` takes [0, q 2^256), which is [0, 5.29 q^2); `lift` brings (-q 2^256, q 2^256) there.
#pragma once
#include "fq2.hpp"

namespace hp {

/// A sum of products in Fq, not yet reduced: eight little-endian words, two's complement.
struct Wide {
  uint64_t w[8];

  Wide operator+(const Wide& b) const {
    Wide r;
    unsigned char c = 0;
    for (int i = 0; i < 8; i++) {
      const limbs::u128 s = limbs::u128(w[i]) + b.w[i] + c;
      r.w[i] = uint64_t(s);
      c = static_cast<unsigned char>(s >> 64);
    }
    return r;
  }
  Wide operator-(const Wide& b) const {
    Wide r;
    uint64_t borrow = 0;
    for (int i = 0; i < 8; i++) {
      const limbs::u128 d = limbs::u128(w[i]) - b.w[i] - borrow;
      r.w[i] = uint64_t(d);
      borrow = uint64_t(d >> 64) & 1;
    }
    return r;
  }
};

namespace wide {

using Params = params::FqParams;

/// a b for any four words each.
inline Wide product_portable(const Fq& a, const Fq& b) {
  Wide r = {};
  for (int i = 0; i < 4; i++) {
    uint64_t carry = 0;
    for (int j = 0; j < 4; j++) {
      const limbs::u128 t = limbs::u128(a.v[i]) * b.v[j] + r.w[i + j] + carry;
      r.w[i + j] = uint64_t(t);
      carry = uint64_t(t >> 64);
    }
    r.w[i + 4] = carry;
  }
  return r;
}

/// t 2^-256 mod q for t in [0, q 2^256): Montgomery's reduction, 20 word products.
inline Fq reduce_portable(const Wide& t) {
  uint64_t u[4] = {t.w[0], t.w[1], t.w[2], t.w[3]};
  for (int i = 0; i < 4; i++) {
    const uint64_t m = u[0] * Params::n0;
    limbs::u128 c = limbs::u128(m) * Params::modulus[0] + u[0];
    for (int j = 1; j < 4; j++) {
      c = limbs::u128(m) * Params::modulus[j] + u[j] + uint64_t(c >> 64);
      u[j - 1] = uint64_t(c);
    }
    u[3] = uint64_t(c >> 64);
  }
  limbs::u128 c = 0;
  Fq r;
  for (int i = 0; i < 4; i++) {
    c += limbs::u128(u[i]) + t.w[4 + i];
    r.v[i] = uint64_t(c);
    c >>= 64;
  }
  limbs::reduce_once<Params>(r.v);
  return r;
}

#if defined(__x86_64__)

// t = t[1..3] + a * b[i] + the new top word, stored from the bottom: r[i] = t[0]; registers rotate by name.
#define HP_WIDE_ROW(I, T0, T1, T2, T3)           \
  "movq " I "(%[b]), %%rdx\n\t"                  \
  "xorl %k[lo], %k[lo]\n\t"                      \
  "mulxq (%[a]), %[lo], %[hi]\n\t"               \
  "adcxq %[lo], %[" T0 "]\n\t"                   \
  "adoxq %[hi], %[" T1 "]\n\t"                   \
  "movq %[" T0 "], " I "(%[r])\n\t"              \
  "mulxq 8(%[a]), %[lo], %[hi]\n\t"              \
  "adcxq %[lo], %[" T1 "]\n\t"                   \
  "adoxq %[hi], %[" T2 "]\n\t"                   \
  "mulxq 16(%[a]), %[lo], %[hi]\n\t"             \
  "adcxq %[lo], %[" T2 "]\n\t"                   \
  "adoxq %[hi], %[" T3 "]\n\t"                   \
  "mulxq 24(%[a]), %[lo], %[" T0 "]\n\t"         \
  "movl $0, %k[hi]\n\t"                          \
  "adcxq %[lo], %[" T3 "]\n\t"                   \
  "adoxq %[hi], %[" T0 "]\n\t"                   \
  "adcxq %[hi], %[" T0 "]\n\t"

inline Wide product_adx(const Fq& a, const Fq& b) {
  Wide r;
  uint64_t t0, t1, t2, t3, lo, hi;
  asm("movq (%[b]), %%rdx\n\t"
      "mulxq (%[a]), %[t0], %[t1]\n\t"
      "movq %[t0], (%[r])\n\t"
      "mulxq 8(%[a]), %[lo], %[t2]\n\t"
      "addq %[lo], %[t1]\n\t"
      "mulxq 16(%[a]), %[lo], %[t3]\n\t"
      "adcq %[lo], %[t2]\n\t"
      "mulxq 24(%[a]), %[lo], %[t0]\n\t"
      "adcq %[lo], %[t3]\n\t"
      "adcq $0, %[t0]\n\t"
      HP_WIDE_ROW("8", "t1", "t2", "t3", "t0")
      HP_WIDE_ROW("16", "t2", "t3", "t0", "t1")
      HP_WIDE_ROW("24", "t3", "t0", "t1", "t2")
      "movq %[t0], 32(%[r])\n\t"
      "movq %[t1], 40(%[r])\n\t"
      "movq %[t2], 48(%[r])\n\t"
      "movq %[t3], 56(%[r])"
      : [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [lo] "=&r"(lo), [hi] "=&r"(hi), "=m"(r)
      : [a] "r"(&a), [b] "r"(&b), [r] "r"(&r), "m"(a), "m"(b)
      : "rdx", "cc");
  return r;
}
#undef HP_WIDE_ROW

// t = (t + m q) / 2^64 with m = -t[0] / q mod 2^64; the new top word takes t[0]'s register.
#define HP_WIDE_REDUCE(T0, T1, T2, T3)           \
  "movq %[n0], %%rdx\n\t"                        \
  "imulq %[" T0 "], %%rdx\n\t"                   \
  "xorl %k[lo], %k[lo]\n\t"                      \
  "mulxq %[q], %[lo], %[hi]\n\t"                 \
  "adcxq %[" T0 "], %[lo]\n\t"                   \
  "adoxq %[hi], %[" T1 "]\n\t"                   \
  "mulxq 8+%[q], %[lo], %[hi]\n\t"               \
  "adcxq %[lo], %[" T1 "]\n\t"                   \
  "adoxq %[hi], %[" T2 "]\n\t"                   \
  "mulxq 16+%[q], %[lo], %[hi]\n\t"              \
  "adcxq %[lo], %[" T2 "]\n\t"                   \
  "adoxq %[hi], %[" T3 "]\n\t"                   \
  "mulxq 24+%[q], %[lo], %[" T0 "]\n\t"          \
  "movl $0, %k[hi]\n\t"                          \
  "adcxq %[lo], %[" T3 "]\n\t"                   \
  "adoxq %[hi], %[" T0 "]\n\t"                   \
  "adcxq %[hi], %[" T0 "]\n\t"

inline Fq reduce_adx(const Wide& t) {
  uint64_t t0 = t.w[0], t1 = t.w[1], t2 = t.w[2], t3 = t.w[3], lo, hi, s;
  asm(HP_WIDE_REDUCE("t0", "t1", "t2", "t3")
      HP_WIDE_REDUCE("t1", "t2", "t3", "t0")
      HP_WIDE_REDUCE("t2", "t3", "t0", "t1")
      HP_WIDE_REDUCE("t3", "t0", "t1", "t2")
      "addq 32(%[t]), %[t0]\n\t"
      "adcq 40(%[t]), %[t1]\n\t"
      "adcq 48(%[t]), %[t2]\n\t"
      "adcq 56(%[t]), %[t3]\n\t"
      "movq %[t0], %[lo]\n\t"
      "movq %[t1], %[hi]\n\t"
      "movq %[t2], %[s]\n\t"
      "movq %[t3], %%rdx\n\t"
      "subq %[q], %[lo]\n\t"
      "sbbq 8+%[q], %[hi]\n\t"
      "sbbq 16+%[q], %[s]\n\t"
      "sbbq 24+%[q], %%rdx\n\t"
      "cmovncq %[lo], %[t0]\n\t"
      "cmovncq %[hi], %[t1]\n\t"
      "cmovncq %[s], %[t2]\n\t"
      "cmovncq %%rdx, %[t3]"
      : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [lo] "=&r"(lo), [hi] "=&r"(hi), [s] "=&r"(s)
      : [t] "r"(&t), [q] "m"(Params::modulus), [n0] "m"(Params::n0), "m"(t)
      : "rdx", "cc");
  return {{t0, t1, t2, t3}};
}
#undef HP_WIDE_REDUCE

inline Wide product(const Fq& a, const Fq& b) {
  return __builtin_expect(cpu::has_adx, 1) ? product_adx(a, b) : product_portable(a, b);
}
inline Fq reduce(const Wide& t) { return __builtin_expect(cpu::has_adx, 1) ? reduce_adx(t) : reduce_portable(t); }

#else

inline Wide product(const Fq& a, const Fq& b) { return product_portable(a, b); }
inline Fq reduce(const Wide& t) { return reduce_portable(t); }

#endif

}  // namespace wide
}  // namespace hp
