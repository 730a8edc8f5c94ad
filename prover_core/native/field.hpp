// Prime fields of four limbs in Montgomery form.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "inverse.hpp"
#include "limbs.hpp"
#include "params/params.hpp"

namespace hp {

/// a < modulus of P, as integers.
template <class P>
inline bool is_canonical(const uint64_t a[4]) {
  for (int i = 3; i >= 0; i--)
    if (a[i] != P::modulus[i]) return a[i] < P::modulus[i];
  return false;
}

/// An element x of the field of P, held as x 2^256 mod p, always below p. Plain data: 32 bytes, no padding, so that
/// borrowed `uint64[n, 4]` buffers can be read as elements (use `load` where they may be unaligned).
template <class P>
struct Fp {
  using Params = P;
  uint64_t v[4];

  static Fp zero() { return {{0, 0, 0, 0}}; }
  static Fp one() { return raw(P::r1); }
  /// The limbs as they are (Montgomery).
  static Fp raw(const uint64_t limbs[4]) { return {{limbs[0], limbs[1], limbs[2], limbs[3]}}; }
  /// As raw, from bytes of any alignment.
  static Fp load(const void* bytes) {
    Fp r;
    std::memcpy(r.v, bytes, sizeof r.v);
    return r;
  }
  /// From an integer below p; one product.
  static Fp from_canonical(const uint64_t limbs[4]) {
    Fp r;
    limbs::mul<P>(r.v, limbs, P::r2);
    return r;
  }
  static Fp from_u64(uint64_t x) {
    const uint64_t limbs[4] = {x, 0, 0, 0};
    return from_canonical(limbs);
  }
  /// The integer in [0, p); one product.
  void to_canonical(uint64_t out[4]) const {
    static constexpr uint64_t unit[4] = {1, 0, 0, 0};
    limbs::mul<P>(out, v, unit);
  }

  bool is_zero() const { return (v[0] | v[1] | v[2] | v[3]) == 0; }
  bool is_one() const { return *this == one(); }
  bool operator==(const Fp& b) const {
    return ((v[0] ^ b.v[0]) | (v[1] ^ b.v[1]) | (v[2] ^ b.v[2]) | (v[3] ^ b.v[3])) == 0;
  }
  bool operator!=(const Fp& b) const { return !(*this == b); }

  Fp operator+(const Fp& b) const {
    Fp r;
    limbs::add<P>(r.v, v, b.v);
    return r;
  }
  Fp operator-(const Fp& b) const {
    Fp r;
    limbs::sub<P>(r.v, v, b.v);
    return r;
  }
  Fp operator*(const Fp& b) const {
    Fp r;
    limbs::mul<P>(r.v, v, b.v);
    return r;
  }
  Fp operator-() const { return zero() - *this; }
  /// flag ? -x : x without a branch, for flags nobody can predict.
  Fp negated_if(bool flag) const {
    const Fp negative = -*this;
    const uint64_t mask = 0 - uint64_t(flag);
    Fp r;
    for (int i = 0; i < 4; i++) r.v[i] = v[i] ^ ((v[i] ^ negative.v[i]) & mask);
    return r;
  }
  Fp& operator+=(const Fp& b) { return *this = *this + b; }
  Fp& operator-=(const Fp& b) { return *this = *this - b; }
  Fp& operator*=(const Fp& b) { return *this = *this * b; }
  Fp square() const { return *this * *this; }
  Fp twice() const { return *this + *this; }

  /// 1/x, and 0 for 0. About 1 us; time depends on x.
  Fp inverse_vartime() const {
    Fp r;
    inverse_detail::invert<P>(r.v, v, P::r2);  // 2^512 / (x 2^256) = x^-1 2^256
    return r;
  }

  /// x^e for an exponent of n little-endian words; time depends on e.
  Fp pow_vartime(const uint64_t* e, size_t n) const {
    Fp r = one();
    for (size_t i = 64 * n; i-- > 0;) {
      r = r.square();
      if (e[i / 64] >> (i % 64) & 1) r *= *this;
    }
    return r;
  }
  Fp pow_vartime(uint64_t e) const { return pow_vartime(&e, 1); }
};

using Fr = Fp<params::FrParams>;
using Fq = Fp<params::FqParams>;
static_assert(sizeof(Fr) == 32 && sizeof(Fq) == 32);

/// Replaces n elements by their inverses, zeros by zero: 3 products each and one inversion (Montgomery's trick).
/// `scratch` has room for n. Works for any field with one(), is_zero() and inverse_vartime().
template <class F>
void batch_inverse(F* x, F* scratch, size_t n) {
  F acc = F::one();
  for (size_t i = 0; i < n; i++) {
    scratch[i] = acc;
    if (!x[i].is_zero()) acc *= x[i];
  }
  acc = acc.inverse_vartime();
  for (size_t i = n; i-- > 0;) {
    if (x[i].is_zero()) continue;
    F inverse = acc * scratch[i];
    acc *= x[i];
    x[i] = inverse;
  }
}

}  // namespace hp
