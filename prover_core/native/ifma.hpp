// Eight affine additions at a time on G1 with AVX-512 IFMA, radix 2^52. Only where cpu::has_ifma.
#pragma once
#include <cstddef>
#include <cstdint>

namespace hp::ifma {

inline constexpr size_t lanes = 8;

/// *out = +-*a + +-*b for affine points of G1, 64 bytes each, of any alignment.
struct Pair {
  const void* a;
  const void* b;
  void* out;  // null: nothing to do
  bool negate_a, negate_b, doubling;
};

/// Eight values of five limbs of 52 bits, limb by limb.
struct alignas(64) Octet {
  uint64_t limb[5][lanes];
};

/// Takes 8 n pairs of ordinary sums: neither point infinity, different x. Lane l has the pairs l, 8 + l, 16 + l...; for it
/// below[i] = b.x - a.x and product[i] = the product of all below[k] 2^-260, k < i, and chain[l] the product of all, below q.
void forward(const Pair* pairs, size_t n, Octet* below, Octet* product, uint64_t chain[lanes][4]);

/// Finishes what `forward` began, given inverse[l] = 2^518 / chain[l] mod q; writes the sums. 6 products a pair.
void backward(const Pair* pairs, size_t n, const Octet* below, const Octet* product, const uint64_t inverse[lanes][4]);

}  // namespace hp::ifma
