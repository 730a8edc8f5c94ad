// Transforms and the Groth16 quotient on AVX-512 IFMA, behind the interface of ntt.hpp.
#include "ifma/engine.hpp"
#include "ifma/ntt8.hpp"
#include "ifma/scratch.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {
namespace {

Fr root(unsigned log2) { return Fr::raw(params::fr_roots[log2]); }
const u64* words(const unsigned char* p) { return reinterpret_cast<const u64*>(p); }

/// From values at the n-th roots of unity to coefficients.
FourStep to_coefficients(unsigned log2) {
  return FourStep(log2, root(log2).inverse_vartime(), Fr::one(), Fr::from_u64(u64(1) << log2).inverse_vartime());
}

/// From coefficients to `scale` times the values at w_2n^(2i+1).
FourStep to_odd_points(unsigned log2, const Fr& scale) { return FourStep(log2, root(log2), root(log2 + 1), scale); }

/// Where the three polynomials' values at the odd points go: of A, of B and of C.
struct OddValues {
  u64 *a, *b, *c;
};

/// a, b and c (a b where it is nullptr) on the domain → their values at the odd points → out = (A B - C), canonical. `odd.a` may be a,
/// `odd.b` may be b, and `out` any of the three.
void evaluate(const u64* a, const u64* b, const u64* c, unsigned log2, const OddValues& odd, u64* out, unsigned threads) {
  const size_t n = size_t(1) << log2;
  const Scratch<Fr8> middle(n / 8);
  const Fr unit = Fr::from_u64(2).inverse_vartime();
  const auto two_to_minus = [&](uint64_t e) { return unit.pow_vartime(e); };
  const FourStep down = to_coefficients(log2);

  // a, b, c come as x 2^256. The last product divides by 2^260, so b is brought to x 2^4 and c to x, and a b - c comes out
  // canonical. a b of the domain, where c is not given, is a product already: x 2^252.
  if (c) {
    down.run(c, odd.c, middle.get(), threads);
  } else {
    parallel_ranges(n / 8, 256, threads, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) store8(odd.c + 32 * i, Fr8::mul(load8(a + 32 * i), load8(b + 32 * i)));
    });
    down.run(odd.c, odd.c, middle.get(), threads);
  }
  to_odd_points(log2, two_to_minus(c ? 256 : 252)).run(odd.c, odd.c, middle.get(), threads);
  down.run(a, odd.a, middle.get(), threads);
  to_odd_points(log2, Fr::one()).run(odd.a, odd.a, middle.get(), threads);
  down.run(b, odd.b, middle.get(), threads);
  to_odd_points(log2, two_to_minus(252)).run(odd.b, odd.b, middle.get(), threads);
  parallel_ranges(n / 8, 256, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++)
      store8(out + 32 * i, Fr8::sub<3>(Fr8::mul(load8(odd.a + 32 * i), load8(odd.b + 32 * i)), load8(odd.c + 32 * i)));
  });
}

}  // namespace

void ntt(Fr* a, unsigned log2, bool inverse, unsigned threads) {
  const Scratch<Fr8> middle((size_t(1) << log2) / 8);
  const FourStep step = inverse ? to_coefficients(log2) : FourStep(log2, root(log2), Fr::one(), Fr::one());
  step.run(a->v, a->v, middle.get(), threads);
}

void quotient(const unsigned char* a, const unsigned char* b, const unsigned char* c, unsigned log2, Fr* out,
              unsigned threads) {
  const size_t n = size_t(1) << log2;
  const Scratch<u64> left(4 * n), right(4 * n);
  evaluate(words(a), words(b), c ? words(c) : nullptr, log2, {left.get(), right.get(), out->v}, out->v, threads);
}

void quotient_in_place(Fr* a, Fr* b, unsigned log2, unsigned threads) {
  const Scratch<u64> c(size_t(4) << log2);
  evaluate(a->v, b->v, nullptr, log2, {a->v, b->v, c.get()}, a->v, threads);
}

}  // namespace hp::ifma
HP_WIDE_END
