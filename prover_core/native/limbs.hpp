// Four-limb arithmetic modulo p < 2^254: addition, subtraction and the Montgomery product, portable and for x86-64.
//
// Every function takes and returns values in [0, p) unless it says otherwise. `mul` also accepts factors below 2p, since
// (2p)^2 / 2^256 + p < 2p for p < 2^254, and the final subtraction then still lands below p; towers use that to skip
// reductions of sums.
#pragma once
#include <cstdint>

#include "cpu.hpp"

namespace hp::limbs {

using u128 = unsigned __int128;

/// r = r - p if r >= p, for r < 2p.
template <class P>
inline void reduce_once(uint64_t r[4]) {
  uint64_t t[4], borrow = 0;
  for (int i = 0; i < 4; i++) {
    u128 d = u128(r[i]) - P::modulus[i] - borrow;
    t[i] = uint64_t(d);
    borrow = uint64_t(d >> 64) & 1;
  }
  uint64_t keep = 0 - borrow;
  for (int i = 0; i < 4; i++) r[i] = (r[i] & keep) | (t[i] & ~keep);
}

/// a + b mod p
template <class P>
inline void add_portable(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  u128 c = 0;
  for (int i = 0; i < 4; i++) {
    c += u128(a[i]) + b[i];
    r[i] = uint64_t(c);
    c >>= 64;
  }
  reduce_once<P>(r);
}

/// a - b mod p
template <class P>
inline void sub_portable(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  uint64_t borrow = 0;
  for (int i = 0; i < 4; i++) {
    u128 d = u128(a[i]) - b[i] - borrow;
    r[i] = uint64_t(d);
    borrow = uint64_t(d >> 64) & 1;
  }
  uint64_t mask = 0 - borrow;
  u128 c = 0;
  for (int i = 0; i < 4; i++) {
    c += u128(r[i]) + (P::modulus[i] & mask);
    r[i] = uint64_t(c);
    c >>= 64;
  }
}

/// a b 2^-256 mod p: Montgomery's product, operand scanning, 36 word products. p < 2^254 leaves the top word no carry
/// (https://eprint.iacr.org/2022/1400).
template <class P>
[[gnu::noinline]] void mul_portable(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  uint64_t t[4] = {0, 0, 0, 0};
  for (int i = 0; i < 4; i++) {
    u128 c = u128(a[0]) * b[i] + t[0];
    const uint64_t m = uint64_t(c) * P::n0;
    u128 d = u128(m) * P::modulus[0] + uint64_t(c);
    for (int j = 1; j < 4; j++) {
      c = u128(a[j]) * b[i] + t[j] + uint64_t(c >> 64);
      d = u128(m) * P::modulus[j] + uint64_t(c) + uint64_t(d >> 64);
      t[j - 1] = uint64_t(d);
    }
    t[3] = uint64_t(c >> 64) + uint64_t(d >> 64);
  }
  for (int i = 0; i < 4; i++) r[i] = t[i];
  reduce_once<P>(r);
}

#if defined(__x86_64__)

template <class P>
inline void add(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0, s1, s2, s3;
  asm("addq (%[b]), %[t0]\n\t"
      "adcq 8(%[b]), %[t1]\n\t"
      "adcq 16(%[b]), %[t2]\n\t"
      "adcq 24(%[b]), %[t3]\n\t"
      "movq %[t0], %[s0]\n\t"
      "movq %[t1], %[s1]\n\t"
      "movq %[t2], %[s2]\n\t"
      "movq %[t3], %[s3]\n\t"
      "subq %[q], %[s0]\n\t"
      "sbbq 8+%[q], %[s1]\n\t"
      "sbbq 16+%[q], %[s2]\n\t"
      "sbbq 24+%[q], %[s3]\n\t"
      "cmovncq %[s0], %[t0]\n\t"
      "cmovncq %[s1], %[t1]\n\t"
      "cmovncq %[s2], %[t2]\n\t"
      "cmovncq %[s3], %[t3]"
      : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "=&r"(s0), [s1] "=&r"(s1),
        [s2] "=&r"(s2), [s3] "=&r"(s3)
      : [b] "r"(b), [q] "m"(P::modulus), "m"(*reinterpret_cast<const uint64_t(*)[4]>(b))
      : "cc");
  r[0] = t0, r[1] = t1, r[2] = t2, r[3] = t3;
}

template <class P>
inline void sub(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0, s1, s2, s3, zero = 0;
  asm("movq %[q], %[s0]\n\t"
      "movq 8+%[q], %[s1]\n\t"
      "movq 16+%[q], %[s2]\n\t"
      "movq 24+%[q], %[s3]\n\t"
      "subq (%[b]), %[t0]\n\t"
      "sbbq 8(%[b]), %[t1]\n\t"
      "sbbq 16(%[b]), %[t2]\n\t"
      "sbbq 24(%[b]), %[t3]\n\t"
      "cmovncq %[z], %[s0]\n\t"
      "cmovncq %[z], %[s1]\n\t"
      "cmovncq %[z], %[s2]\n\t"
      "cmovncq %[z], %[s3]\n\t"
      "addq %[s0], %[t0]\n\t"
      "adcq %[s1], %[t1]\n\t"
      "adcq %[s2], %[t2]\n\t"
      "adcq %[s3], %[t3]"
      : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "=&r"(s0), [s1] "=&r"(s1),
        [s2] "=&r"(s2), [s3] "=&r"(s3)
      : [b] "r"(b), [q] "m"(P::modulus), "m"(*reinterpret_cast<const uint64_t(*)[4]>(b)), [z] "r"(zero)
      : "cc");
  r[0] = t0, r[1] = t1, r[2] = t2, r[3] = t3;
}

// One step of the product: t += a * b[i] along two carry chains, then t = (t + m p) / 2^64 with m = -t[0] / p mod 2^64.
#define HP_ROW(OFFSET)                            \
  "movq " OFFSET "(%[b]), %%rdx\n\t"              \
  "xorl %k[lo], %k[lo]\n\t"                       \
  "mulxq (%[a]), %[lo], %[hi]\n\t"                  \
  "adoxq %[lo], %[t0]\n\t"                        \
  "adcxq %[hi], %[t1]\n\t"                        \
  "mulxq 8(%[a]), %[lo], %[hi]\n\t"                \
  "adoxq %[lo], %[t1]\n\t"                        \
  "adcxq %[hi], %[t2]\n\t"                        \
  "mulxq 16(%[a]), %[lo], %[hi]\n\t"               \
  "adoxq %[lo], %[t2]\n\t"                        \
  "adcxq %[hi], %[t3]\n\t"                        \
  "mulxq 24(%[a]), %[lo], %[hi]\n\t"               \
  "adoxq %[lo], %[t3]\n\t"                        \
  "movl $0, %k[lo]\n\t"                           \
  "adcxq %[lo], %[hi]\n\t"                        \
  "adoxq %[lo], %[hi]\n\t"
#define HP_REDUCE                                 \
  "movq %[n0], %%rdx\n\t"                         \
  "imulq %[t0], %%rdx\n\t"                        \
  "xorl %k[lo], %k[lo]\n\t"                       \
  "mulxq %[q], %[lo], %[c]\n\t"                   \
  "adcxq %[t0], %[lo]\n\t"                        \
  "movq %[c], %[t0]\n\t"                          \
  "adcxq %[t1], %[t0]\n\t"                        \
  "mulxq 8+%[q], %[lo], %[t1]\n\t"                \
  "adoxq %[lo], %[t0]\n\t"                        \
  "adcxq %[t2], %[t1]\n\t"                        \
  "mulxq 16+%[q], %[lo], %[t2]\n\t"               \
  "adoxq %[lo], %[t1]\n\t"                        \
  "adcxq %[t3], %[t2]\n\t"                        \
  "mulxq 24+%[q], %[lo], %[t3]\n\t"               \
  "adoxq %[lo], %[t2]\n\t"                        \
  "movl $0, %k[lo]\n\t"                           \
  "adcxq %[lo], %[t3]\n\t"                        \
  "adoxq %[hi], %[t3]\n\t"

/// As mul_portable, with mulx, adcx and adox; only where cpu::has_adx.
template <class P>
inline void mul_adx(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  uint64_t t0, t1, t2, t3, hi, lo, c;
  asm("movq (%[b]), %%rdx\n\t"
      "mulxq (%[a]), %[t0], %[t1]\n\t"
      "mulxq 8(%[a]), %[lo], %[t2]\n\t"
      "addq %[lo], %[t1]\n\t"
      "mulxq 16(%[a]), %[lo], %[t3]\n\t"
      "adcq %[lo], %[t2]\n\t"
      "mulxq 24(%[a]), %[lo], %[hi]\n\t"
      "adcq %[lo], %[t3]\n\t"
      "adcq $0, %[hi]\n\t" HP_REDUCE HP_ROW("8") HP_REDUCE HP_ROW("16") HP_REDUCE HP_ROW("24") HP_REDUCE
      "movq %[t0], %[lo]\n\t"
      "movq %[t1], %[c]\n\t"
      "movq %[t2], %[hi]\n\t"
      "movq %[t3], %%rdx\n\t"
      "subq %[q], %[lo]\n\t"
      "sbbq 8+%[q], %[c]\n\t"
      "sbbq 16+%[q], %[hi]\n\t"
      "sbbq 24+%[q], %%rdx\n\t"
      "cmovncq %[lo], %[t0]\n\t"
      "cmovncq %[c], %[t1]\n\t"
      "cmovncq %[hi], %[t2]\n\t"
      "cmovncq %%rdx, %[t3]"
      : [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [hi] "=&r"(hi), [lo] "=&r"(lo), [c] "=&r"(c)
      : [a] "r"(a), [b] "r"(b), [q] "m"(P::modulus), [n0] "m"(P::n0), "m"(*reinterpret_cast<const uint64_t(*)[4]>(a)),
        "m"(*reinterpret_cast<const uint64_t(*)[4]>(b))
      : "rdx", "cc");
  r[0] = t0, r[1] = t1, r[2] = t2, r[3] = t3;
}
#undef HP_ROW
#undef HP_REDUCE

template <class P>
inline void mul(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  if (__builtin_expect(cpu::has_adx, 1))
    mul_adx<P>(r, a, b);
  else
    mul_portable<P>(r, a, b);
}

#else

template <class P>
inline void add(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  add_portable<P>(r, a, b);
}
template <class P>
inline void sub(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  sub_portable<P>(r, a, b);
}
template <class P>
inline void mul(uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  mul_portable<P>(r, a, b);
}

#endif

}  // namespace hp::limbs
