// Affine additions eight lanes wide, many rows at a time, sharing one inversion (Montgomery's trick): 5 M + 1 S a lane.
#pragma once
#include <vector>

#include "ifma/coordinate8.hpp"
#include "ifma/wide.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Eight affine points; a lane whose y limbs are all zero is the point at infinity (no point of odd order has y = 0).
template <class E>
struct Row {
  E x, y;
};

/// rows[left] += rows[right].
struct Pair {
  std::uint32_t left, right;
  /// 0: no lane can be infinity. 1: lanes may be.
  std::uint8_t may_be_blank;
  __mmask8 left_blank, right_blank, doubled, cancelled;
};

template <class E>
class PairAdder {
 public:
  /// All pairs must be disjoint. Equal or opposite points in a pair are found by the shared product being zero, and then
  /// only; the round is repeated with every lane examined. True if a sum came out as infinity where no lane was before.
  /// `meanwhile()` is called once for each pair: a place to fetch what is needed next from memory.
  template <class Meanwhile>
  bool add(Row<E>* rows, std::vector<Pair>& pairs, const Meanwhile& meanwhile) {
    if (pairs.empty()) return false;
    if (prefix_.size() < pairs.size()) prefix_.resize(pairs.size());
    E chain[2];
    bool cancelled = false;
    multiply<false>(rows, pairs, chain);
    if (!invert(chain)) {
      cancelled = multiply<true>(rows, pairs, chain);
      invert(chain);
    }
    finish(rows, pairs, chain, meanwhile);
    return cancelled;
  }

 private:
  std::vector<E> prefix_;

  /// Lanes of `of` where a, below 10 p, is 0 modulo p.
  static __mmask8 vanishes(const E& a, __mmask8 of) { return of ? __mmask8(a.vanishes() & of) : __mmask8(0); }

  static void examine(const Row<E>& l, const Row<E>& r, Pair& p) {
    p.may_be_blank = 1;
    p.left_blank = l.y.blank();
    p.right_blank = r.y.blank();
    const __mmask8 present = ~(p.left_blank | p.right_blank);
    const __mmask8 same_x = vanishes(E::template sub<3>(r.x, l.x), present);
    p.doubled = vanishes(E::template sub<3>(r.y, l.y), same_x);
    p.cancelled = same_x & ~p.doubled;
  }

  /// The denominator of a pair's slope: x2 - x1, 2 y to double, 1 where nothing is to be added.
  [[gnu::always_inline]] static E denominator(const Row<E>& l, const Row<E>& r, const Pair& p) {
    E d = E::template sub_factor<3>(r.x, l.x);
    if (p.may_be_blank) {
      if (p.doubled) d = E::select(p.doubled, d, E::twice(l.y));
      d = E::select(p.left_blank | p.right_blank | p.cancelled, d, E::one());
    }
    return d;
  }

  template <bool careful>
  [[gnu::noinline]] bool multiply(const Row<E>* rows, std::vector<Pair>& pairs, E chain[2]) {
    bool cancelled = false;
    chain[0] = chain[1] = E::one();
    for (size_t i = 0; i < pairs.size(); i++) {
      Pair& p = pairs[i];
      const Row<E>&l = rows[p.left], &r = rows[p.right];
      if (careful) {
        examine(l, r, p);
        cancelled |= p.cancelled != 0;
      } else if (p.may_be_blank) {
        p.left_blank = l.y.blank();
        p.right_blank = r.y.blank();
        p.doubled = p.cancelled = 0;
      }
      E& acc = chain[i & 1];
      prefix_[i] = acc;
      acc = E::mul_factor(acc, denominator(l, r, p));
    }
    return cancelled;
  }

  /// Each lane of each chain by its inverse: one scalar inversion and nine products; false, and nothing changed, if any is 0.
  [[gnu::noinline]] static bool invert(E chain[2]) {
    // products over 2, 4, 8 lanes, so that every lane of the last holds the product of all sixteen
    const E both = E::mul(chain[0], chain[1]);
    const E half = E::template rotate<4>(both), two = E::mul(both, half);
    const E quarter = E::template rotate<2>(two), four = E::mul(two, quarter);
    const E other = E::template rotate<1>(four), all = E::mul(four, other);
    const auto total = all.lane(0);
    if (total.is_zero()) return false;
    // the lane held a 2^260 and was read as (a 2^4) 2^256; its inverse is (a^-1 2^-4) 2^256, and a^-1 2^260 is 2^8 of that
    const auto inverse = E::times(total.inverse_vartime(), E::V::Scalar::from_u64(256));
    E t = E::same(inverse);
    t = E::mul(E::mul(t, half), E::mul(quarter, other));  // 1 / both, lane by lane
    const E first = E::mul(t, chain[1]);
    chain[1] = E::mul(t, chain[0]);
    chain[0] = first;
    return true;
  }

  /// A pair alone is one long chain of dependent products, so two are finished abreast, one of each chain.
  template <class Meanwhile>
  [[gnu::noinline]] void finish(Row<E>* rows, const std::vector<Pair>& pairs, E chain[2], const Meanwhile& meanwhile) {
    size_t i = pairs.size();
    if (i & 1) step<1>(rows, pairs.data(), --i, chain, meanwhile);
    for (; i > 0; i -= 2) step<2>(rows, pairs.data(), i - 2, chain, meanwhile);
  }

  /// Pairs first .. first + w, `first` even: chain j is that of pair first + j.
  template <int w, class Meanwhile>
  [[gnu::always_inline]] void step(Row<E>* rows, const Pair* pairs, size_t first, E chain[2], const Meanwhile& meanwhile) {
    E slope[w], x[w];
    for (int j = 0; j < w; j++) {
      meanwhile();
      const Pair& p = pairs[first + size_t(j)];
      const Row<E>&l = rows[p.left], &r = rows[p.right];
      slope[j] = E::mul_factor(prefix_[first + size_t(j)], chain[j]);
      chain[j] = E::mul_factor(chain[j], denominator(l, r, p));
    }
    for (int j = 0; j < w; j++) {
      const Pair& p = pairs[first + size_t(j)];
      const Row<E>&l = rows[p.left], &r = rows[p.right];
      E dy = E::template sub_factor<3>(r.y, l.y);
      if (p.may_be_blank && p.doubled) dy = E::select(p.doubled, dy, E::triple(E::sqr(l.x)));
      slope[j] = E::mul_factor(dy, slope[j]);
    }
    for (int j = 0; j < w; j++) {
      const Pair& p = pairs[first + size_t(j)];
      x[j] = E::minus_two(E::sqr_raw(slope[j]), rows[p.left].x, rows[p.right].x);
    }
    // from the last, so that a pair may read what one before it is to write
    for (int j = w; j-- > 0;) {
      const Pair& p = pairs[first + size_t(j)];
      Row<E>&l = rows[p.left], &r = rows[p.right];
      const E y = E::minus(E::mul_raw(slope[j], E::template sub_factor<3>(l.x, x[j])), l.y);
      if (p.may_be_blank) {
        E rx = E::select(p.left_blank, x[j], r.x), ry = E::select(p.left_blank, y, r.y);
        rx = E::select(p.right_blank, rx, l.x), ry = E::select(p.right_blank, ry, l.y);
        // both blank: right was blank, and left is too
        l.x = rx, l.y = E::select(p.cancelled, ry, E::zero());
      } else {
        l.x = x[j], l.y = y;
      }
    }
  }
};

}  // namespace hp::ifma
HP_WIDE_END
