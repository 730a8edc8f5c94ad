// Many independent affine additions at the price of one inversion: 5M + 1S each, against 8M + 2S with projective sums.
#pragma once
#include <memory>

#include "curve.hpp"

namespace hp {

/// A queue of additions *out = +-*a + +-*b. Within one flush no addition may read what another writes (out may be its
/// own a or b). Operands may be unaligned, as borrowed bases are; outputs are ours.
///
/// This is the border behind which an eight-lane path can work: it sees `capacity` independent additions at a time.
template <class F>
class AdditionQueue {
 public:
  static constexpr size_t capacity = 512;
  static constexpr size_t lanes = 4;

  AdditionQueue() : pairs_(new Pair[capacity]), slope_(new F[capacity]), below_(new F[capacity]), product_(new F[capacity]) {}

  void push(const void* a, bool negate_a, const void* b, bool negate_b, Affine<F>* out) {
    // The pair is read up to 512 pushes later: long enough to come from memory.
    prefetch(a);
    prefetch(b);
    pairs_[size_++] = {a, b, out, negate_a, negate_b, false};
    if (size_ == capacity) flush();
  }

  void flush() {
    // A product takes twice as long to answer as to issue, so four chains run side by side: chain g has the pairs g,
    // g + 4, g + 8... The queue is filled up to whole fours with pairs that do nothing.
    for (; size_ % lanes != 0; size_++) pairs_[size_] = {};
    F acc[lanes];
    for (F& a : acc) a = F::one();
    for (size_t i = 0; i < size_; i += lanes) {
      for (size_t g = 0; g < lanes; g++) {
        const Pair& pair = pairs_[i + g];
        if (pair.out == nullptr) [[unlikely]] {
          below_[i + g] = F::one();
        } else {
          const F ax = F::load(pair.a), bx = F::load(pair.b);
          below_[i + g] = bx - ax;
          if (below_[i + g].is_zero() || ax.is_zero() || bx.is_zero()) [[unlikely]] resolve(i + g);
        }
        product_[i + g] = acc[g];
        acc[g] *= below_[i + g];
      }
    }
    const F left = acc[0] * acc[1], right = acc[2] * acc[3];
    const F all = (left * right).inverse_vartime();
    const F left_inverse = all * right, right_inverse = all * left;
    const F inverses[lanes] = {left_inverse * acc[1], left_inverse * acc[0], right_inverse * acc[3], right_inverse * acc[2]};
    for (size_t g = 0; g < lanes; g++) acc[g] = inverses[g];
    for (size_t i = size_; i != 0;) {
      i -= lanes;
      F slope[lanes], ax[lanes], ay[lanes], x[lanes];
      for (size_t g = 0; g < lanes; g++) slope[g] = acc[g] * product_[i + g];
      for (size_t g = 0; g < lanes; g++) acc[g] *= below_[i + g];
      for (size_t g = 0; g < lanes; g++) {
        const Pair& pair = pairs_[i + g];
        if (pair.out == nullptr) [[unlikely]] {
          ax[g] = ay[g] = F::zero();  // resolved, or filling: computed along and thrown away
          continue;
        }
        ax[g] = F::load(pair.a);
        ay[g] = load_y(pair.a, pair.negate_a);
        slope[g] *= pair.doubling ? slope_[i + g] : load_y(pair.b, pair.negate_b) - ay[g];
      }
      for (size_t g = 0; g < lanes; g++) x[g] = slope[g].square() - ax[g];
      for (size_t g = 0; g < lanes; g++)
        if (pairs_[i + g].out != nullptr) x[g] -= F::load(pairs_[i + g].b);
      for (size_t g = 0; g < lanes; g++) {
        const F y = slope[g] * (ax[g] - x[g]) - ay[g];
        if (Affine<F>* out = pairs_[i + g].out; out != nullptr) *out = {x[g], y};
      }
    }
    size_ = 0;
  }

 private:
  struct Pair {
    const void* a;
    const void* b;
    Affine<F>* out;  // null: nothing to do
    bool negate_a, negate_b, doubling;
  };

  static void prefetch(const void* p) {
    const auto bytes = static_cast<const char*>(p);
    for (size_t offset = 0; offset < sizeof(Affine<F>); offset += 64) __builtin_prefetch(bytes + offset);
    __builtin_prefetch(bytes + sizeof(Affine<F>) - 1);  // borrowed points straddle cache lines
  }

  static F load_y(const void* p, bool negate) {
    return F::load(static_cast<const char*>(p) + sizeof(F)).negated_if(negate);
  }

  static Affine<F> load(const void* p, bool negate) { return {F::load(p), load_y(p, negate)}; }

  /// x = 0 or equal x: infinity, a doubling, opposite points, or an ordinary sum with a zero coordinate.
  [[gnu::noinline]] void resolve(size_t i) {
    Pair& pair = pairs_[i];
    const Affine<F> a = load(pair.a, pair.negate_a), b = load(pair.b, pair.negate_b);
    if (!a.is_infinity() && !b.is_infinity() && a.x != b.x) return;
    if (a.is_infinity()) {
      *pair.out = b;
    } else if (b.is_infinity()) {
      *pair.out = a;
    } else if (a.y == b.y && !a.y.is_zero()) {
      const F xx = a.x.square();
      slope_[i] = xx.twice() + xx;
      below_[i] = a.y.twice();
      pair.doubling = true;
      return;
    } else {
      *pair.out = Affine<F>::infinity();
    }
    pair.out = nullptr;
    below_[i] = F::one();
  }

  std::unique_ptr<Pair[]> pairs_;
  std::unique_ptr<F[]> slope_, below_, product_;
  size_t size_ = 0;
};

/// Replaces points[0] by the sum of points[0 .. n) in rounds of independent pairs, for all given segments together;
/// n - 1 additions each. The other points of a segment are overwritten.
template <class F>
void sum_segments(AdditionQueue<F>& queue, Affine<F>* points, const uint32_t* starts, uint32_t* counts, size_t segments,
                  std::vector<uint32_t>& active) {
  active.clear();
  for (size_t s = 0; s < segments; s++)
    if (counts[s] > 1) active.push_back(uint32_t(s));
  while (!active.empty()) {
    size_t kept = 0;
    for (uint32_t s : active) {
      const uint32_t n = counts[s], half = (n + 1) / 2;
      Affine<F>* p = points + starts[s];
      for (uint32_t j = 0; j + half < n; j++) queue.push(p + j, false, p + j + half, false, p + j);
      counts[s] = half;
      if (half > 1) active[kept++] = s;
    }
    queue.flush();
    active.resize(kept);
  }
}

}  // namespace hp
