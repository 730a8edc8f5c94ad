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

  AdditionQueue() : pairs_(new Pair[capacity]), slope_(new F[capacity]), below_(new F[capacity]), product_(new F[capacity]) {}

  void push(const void* a, bool negate_a, const void* b, bool negate_b, Affine<F>* out) {
    // The pair is read up to 512 pushes later: long enough to come from memory.
    prefetch(a);
    prefetch(b);
    pairs_[size_++] = {a, b, out, negate_a, negate_b};
    if (size_ == capacity) flush();
  }

  void flush() {
    F acc = F::one();
    for (size_t i = 0; i < size_; i++) {
      const Pair& pair = pairs_[i];
      const F ax = F::load(pair.a), bx = F::load(pair.b);
      below_[i] = bx - ax;
      if (below_[i].is_zero() || ax.is_zero() || bx.is_zero()) [[unlikely]] resolve(i);
      product_[i] = acc;
      acc *= below_[i];
    }
    acc = acc.inverse_vartime();
    for (size_t i = size_; i-- > 0;) {
      const Pair& pair = pairs_[i];
      if (pair.out == nullptr) continue;  // resolved; its denominator is 1
      const F inverse = acc * product_[i];
      acc *= below_[i];
      const F ax = F::load(pair.a), bx = F::load(pair.b);
      F ay = load_y(pair.a, pair.negate_a);
      F slope;
      if (pair.doubling) [[unlikely]] {
        slope = slope_[i] * inverse;
      } else {
        slope = (load_y(pair.b, pair.negate_b) - ay) * inverse;
      }
      const F x = slope.square() - ax - bx;
      const F y = slope * (ax - x) - ay;
      pair.out->x = x;
      pair.out->y = y;
    }
    size_ = 0;
  }

 private:
  struct Pair {
    const void* a;
    const void* b;
    Affine<F>* out;
    bool negate_a, negate_b, doubling = false;
  };

  static void prefetch(const void* p) {
    for (size_t offset = 0; offset < sizeof(Affine<F>); offset += 64)
      __builtin_prefetch(static_cast<const char*>(p) + offset);
  }

  static F load_y(const void* p, bool negate) {
    const F y = F::load(static_cast<const char*>(p) + sizeof(F));
    return negate ? -y : y;
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
