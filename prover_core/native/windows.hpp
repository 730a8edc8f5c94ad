// Signed windows of a scalar, each independent of the others.
#pragma once
#include <cmath>
#include <stdexcept>
#include <string>

#include "field.hpp"

namespace hp {

/// k = (+-) sum_w digit_w 2^(c w) with digits in [-2^(c-1), 2^(c-1)].
///
/// The shorter of k and r - k is taken, below 2^252.6, so that small negative scalars have short digits too. Then
/// k' = k + sum_{w < count-1} 2^(c-1 + c w) turns every digit into the plain bits of its window less 2^(c-1), with no
/// carry from window to window; the top window has no offset. Windows above a small k are zero.
struct SignedWindows {
  unsigned bits, count;
  uint64_t offset[4];

  explicit SignedWindows(unsigned c) : bits(c), count((254 + c - 1) / c), offset{0, 0, 0, 0} {
    for (unsigned w = 0; w + 1 < count; w++) {
      const unsigned bit = c - 1 + c * w;
      offset[bit / 64] |= uint64_t(1) << (bit % 64);
    }
  }

  /// Largest |digit|.
  size_t buckets() const { return size_t(1) << (bits - 1); }

  enum class Kind { zero, plus_one, minus_one, general };

  /// shifted = k', negative = whether r - k was taken. Throws std::invalid_argument if k > r - 1.
  Kind recode(const uint64_t k[4], uint64_t shifted[4], bool& negative) const {
    using P = params::FrParams;
    uint64_t t[4] = {k[0], k[1], k[2], k[3]};
    negative = above_half(k);
    if (negative) {
      uint64_t borrow = 0;
      for (int i = 0; i < 4; i++) {
        const limbs::u128 d = limbs::u128(P::modulus[i]) - k[i] - borrow;
        t[i] = uint64_t(d);
        borrow = uint64_t(d >> 64) & 1;
      }
      if (borrow || (t[0] | t[1] | t[2] | t[3]) == 0) throw std::invalid_argument("a scalar is not below r");
    }
    if ((t[1] | t[2] | t[3]) == 0 && t[0] <= 1) {
      if (t[0] == 0) return Kind::zero;
      return negative ? Kind::minus_one : Kind::plus_one;
    }
    limbs::u128 c = 0;
    for (int i = 0; i < 4; i++) {
      c += limbs::u128(t[i]) + offset[i];
      shifted[i] = uint64_t(c);
      c >>= 64;
    }
    return Kind::general;
  }

  /// digit_w of k', the sign of the whole scalar not included.
  int64_t digit(const uint64_t shifted[4], unsigned w) const {
    const unsigned bit = bits * w, word = bit / 64, shift = bit % 64;
    uint64_t x = shifted[word] >> shift;
    if (shift + bits > 64 && word < 3) x |= shifted[word + 1] << (64 - shift);
    const int64_t plain = int64_t(x & ((uint64_t(1) << bits) - 1));
    return w + 1 < count ? plain - (int64_t(1) << (bits - 1)) : plain;
  }

  /// Additions for n scalars: n into the buckets of each window, and the price of each bucket in additions.
  double cost(size_t n, double bucket_cost) const { return double(count) * (double(n) + double(buckets()) * bucket_cost); }

  /// The c in [4, max_bits] of least cost.
  static SignedWindows cheapest(size_t n, double bucket_cost, unsigned max_bits) {
    unsigned best = 4;
    double least = INFINITY;
    for (unsigned c = 4; c <= max_bits; c++) {
      const double cost = SignedWindows(c).cost(n, bucket_cost);
      if (cost < least) least = cost, best = c;
    }
    return SignedWindows(best);
  }

 private:
  static bool above_half(const uint64_t k[4]) {
    for (int i = 3; i >= 0; i--)
      if (k[i] != params::FrParams::half[i]) return k[i] > params::FrParams::half[i];
    return false;
  }
};

}  // namespace hp
