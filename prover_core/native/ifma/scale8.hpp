// Points of G1 times scalars (2k + 1) + (2l + 1) lambda, k and l of 64 bits, eight lanes wide and many rows at a time.
//
// Affine arithmetic with one shared inversion a step. For 64-bit k, 2k + 1 = 2^64 + sum_i 16^i (2 n_i - 15) with n_i the
// nibbles of k: sixteen odd digits, no recoding, no zeros. phi(x, y) = (beta x, y) is lambda (x, y), so that both halves use
// one table of the odd multiples up to 15: 64 doublings, 32 additions, and 8 for the table; 7 products a doubling, 6 an addition.
//
// No addition meets equal or opposite points: those would be s P + t phi(P) = +-(u P + v phi(P)) for integers below 2^67,
// hence s = +-u, t = +-v (the lattice of s + t lambda = 0 mod r has no vector that short), but 16 s' for a positive s'
// exceeds every digit. P must have order r.
#pragma once
#include "ifma/tower8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Eight points and what scaling them needs.
struct ScaleRow {
  struct Entry {
    Fq8 x, y, beta_x;
  };
  Fq8 x, y;           // the points; the sum
  Entry odd[8];       // 1, 3, …, 15 times the points
  Word k, l;

  /// The digit of `scalar` for 16^i chooses among the odd multiples, lane by lane; `image`: their images under phi.
  [[gnu::always_inline]] void choose(Word scalar, int i, bool image, Fq8& px, Fq8& py) const {
    const Word n = _mm512_and_si512(_mm512_srli_epi64(scalar, unsigned(4 * i)), word(15));
    const __mmask8 negative = _mm512_cmplt_epu64_mask(n, word(8));
    const Word entry = _mm512_mask_xor_epi64(_mm512_xor_si512(n, word(8)), negative, n, word(7));
    const Word lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const Word at = _mm512_add_epi64(_mm512_mullo_epi64(entry, word(sizeof(Entry) / 8)), lanes);
    const Fq8* const from_x = image ? &odd[0].beta_x : &odd[0].x;
    for (int j = 0; j < 5; j++) {
      px.l[j] = _mm512_i64gather_epi64(at, reinterpret_cast<const long long*>(&from_x->l[j]), 8);
      py.l[j] = _mm512_i64gather_epi64(at, reinterpret_cast<const long long*>(&odd[0].y.l[j]), 8);
    }
    py = Fq8::select(negative, py, Fq8::sub<3>(Fq8::zero(), py));
  }
};

/// Scales rows in place. Scratch is kept between calls.
class Scaler8 {
 public:
  /// Fills in the odd multiples of x, y of each row, affine points of order r below 2.34 q; leaves 15 times them there.
  void tabulate(ScaleRow* rows, size_t n) {
    if (values_.size() < n) values_.resize(n), prefix_.resize(n), px_.resize(n), py_.resize(n);
    const Fq8 beta = everywhere(Fq::raw(params::g1_beta));
    for (size_t r = 0; r < n; r++) rows[r].odd[0] = {rows[r].x, rows[r].y, Fq8::mul(rows[r].x, beta)};
    twice(rows, n);
    for (size_t r = 0; r < n; r++) px_[r] = rows[r].x, py_[r] = rows[r].y;
    // 2 P, then + P, + 2 P, …: the sum runs through the odd multiples
    for (size_t r = 0; r < n; r++) rows[r].x = rows[r].odd[0].x, rows[r].y = rows[r].odd[0].y;
    for (int i = 1; i < 8; i++) {
      add(rows, n);
      for (size_t r = 0; r < n; r++) rows[r].odd[i] = {rows[r].x, rows[r].y, Fq8::mul(rows[r].x, beta)};
    }
  }

  /// x, y of each row, as for `tabulate`, times its scalars; k and l any 64 bits.
  void scale(ScaleRow* rows, size_t n) {
    tabulate(rows, n);
    for (size_t r = 0; r < n; r++) {
      rows[r].x = rows[r].odd[0].x, rows[r].y = rows[r].odd[0].y;
      px_[r] = rows[r].odd[0].beta_x, py_[r] = rows[r].odd[0].y;
    }
    add(rows, n);
    for (int i = 16; i-- > 0;) {
      for (int k = 0; k < 4; k++) twice(rows, n);
      for (size_t r = 0; r < n; r++) rows[r].choose(rows[r].k, i, false, px_[r], py_[r]);
      add(rows, n);
      for (size_t r = 0; r < n; r++) rows[r].choose(rows[r].l, i, true, px_[r], py_[r]);
      add(rows, n);
    }
  }

 private:
  static constexpr size_t abreast = 2;
  std::vector<Fq8> values_, prefix_, px_, py_;

  [[gnu::noinline]] void twice(ScaleRow* rows, size_t n) {
    for (size_t r = 0; r < n; r++) values_[r] = Fq8::add(rows[r].y, rows[r].y);
    sweep<true>(rows, n);
  }

  /// rows += (px_, py_)
  [[gnu::noinline]] void add(ScaleRow* rows, size_t n) {
    for (size_t r = 0; r < n; r++) values_[r] = Fq8::sub<3>(px_[r], rows[r].x);
    sweep<false>(rows, n);
  }

  template <bool doubling>
  [[gnu::always_inline]] void sweep(ScaleRow* rows, size_t n) {
    SharedInversion inverses(values_.data(), prefix_.data(), n);
    inverses.invert();  // neither y nor x2 - x is 0: the order is odd, and see above
    size_t r = n;
    for (; r >= abreast; r -= abreast) step<doubling, abreast>(rows, r - abreast, inverses);
    for (; r > 0; r--) step<doubling, 1>(rows, r - 1, inverses);
  }

  /// With slope m = 3x^2 / 2y or (y2 - y) / (x2 - x): x' = m^2 - x - x2, y' = m (x - x') - y. A row alone is one long chain
  /// of dependent products; `w` rows abreast keep the multipliers busy.
  template <bool doubling, size_t w>
  [[gnu::always_inline]] void step(ScaleRow* rows, size_t first, SharedInversion& inverses) {
    FqE8 m[w], x3[w];
    for (size_t j = w; j-- > 0;) m[j] = {inverses.take(first + j)};
    for (size_t j = 0; j < w; j++) {
      const ScaleRow& row = rows[first + j];
      m[j] = FqE8::mul(doubling ? FqE8::triple(FqE8::sqr({row.x})) : FqE8{Fq8::sub<3>(py_[first + j], row.y)}, m[j]);
    }
    for (size_t j = 0; j < w; j++) {
      const ScaleRow& row = rows[first + j];
      x3[j] = FqE8::minus_two(FqE8::sqr(m[j]), {row.x}, {doubling ? row.x : px_[first + j]});
    }
    for (size_t j = 0; j < w; j++) {
      ScaleRow& row = rows[first + j];
      row.y = FqE8::minus(FqE8::mul(m[j], FqE8::sub<3>({row.x}, x3[j])), {row.y}).c;
      row.x = x3[j].c;
    }
  }
};

}  // namespace hp::ifma
HP_WIDE_END
