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

/// to[out] = from[left] + from[right]; indices of rows.
struct Addition {
  std::uint32_t left, right, out;
  /// Lanes may be infinity.
  bool may_be_blank;
  __mmask8 left_blank = 0, right_blank = 0, doubled = 0, cancelled = 0;
};

/// Additions that share an inversion. Each is entered once its rows are there, which multiplies its slope's denominator into
/// a common product; after `invert` they are finished from the last to the first, while the next round is entered.
template <class E>
class Round {
 public:
  void clear() {
    additions_.clear();
    entered_ = 0;
    chain_[0] = chain_[1] = E::one();
  }
  size_t size() const { return additions_.size(); }

  /// Additions of one round may share no row that one of them writes, unless the one that reads comes after it; and no right
  /// row, unless they are said to be blank perhaps, which keeps it (see `enter`).
  void push(const Addition& a) { additions_.push_back(a); }
  void set_out(size_t i, std::uint32_t row) { additions_[i].out = row; }
  void may_be_blank(size_t i) { additions_[i].may_be_blank = true; }

  /// Enters the first addition that is not entered yet. Spoils its right row until `finish`, unless lanes may be blank.
  [[gnu::always_inline]] void enter(Row<E>* from) {
    if (prefix_.size() < additions_.size()) prefix_.resize(additions_.capacity());
    const size_t i = entered_++;
    Addition& a = additions_[i];
    const Row<E>& l = from[a.left];
    Row<E>& r = from[a.right];
    E d = E::template sub<3>(l.x, r.x);
    if (__builtin_expect(a.may_be_blank, 0)) {
      a.left_blank = l.y.blank();
      a.right_blank = r.y.blank();
      d = E::select(a.left_blank | a.right_blank, d, E::one());
    } else {
      r.x = d;
    }
    multiply(d, i);
  }

  /// To be called with every addition entered. Equal or opposite points are found by the product being zero, and then only;
  /// every lane is examined then. True if some sum will be infinity where no lane was before.
  bool invert(Row<E>* from) {
    if (additions_.empty() || inverted(chain_)) return false;
    bool cancelled = false;
    chain_[0] = chain_[1] = E::one();
    for (size_t i = 0; i < additions_.size(); i++) {
      Addition& a = additions_[i];
      const Row<E>& l = from[a.left];
      Row<E>& r = from[a.right];
      if (!a.may_be_blank) r.x = E::template sub<3>(l.x, r.x);  // as it was: l - (l - r + 3 p) + 3 p
      examine(l, r, a);
      cancelled |= a.cancelled != 0;
      multiply(denominator(l, r, a), i);
    }
    inverted(chain_);  // 0 again only for what is no point of odd order: y = 0
    return cancelled;
  }

  /// Writes the sums. An addition alone is one long chain of dependent products, so two are finished abreast, one of each
  /// chain. `meanwhile(i)`, after each such step: all from number i on are finished. `aside()` is called four times for each.
  template <class Meanwhile, class Aside>
  [[gnu::noinline]] void finish(const Row<E>* from, Row<E>* to, const Meanwhile& meanwhile, const Aside& aside) {
    size_t i = additions_.size();
    if (i & 1) {
      step<1>(from, to, --i, aside);
      meanwhile(i);
    }
    while (i > 0) {
      step<2>(from, to, i -= 2, aside);
      meanwhile(i);
    }
  }

  /// Enters and finishes everything in place, with nothing meanwhile. As `invert`.
  bool add(Row<E>* rows) {
    while (entered_ < size()) enter(rows);
    const bool cancelled = invert(rows);
    finish(rows, rows, [](size_t) {}, [] {});
    return cancelled;
  }

 private:
  std::vector<Addition> additions_;
  std::vector<E> prefix_;
  size_t entered_ = 0;
  E chain_[2] = {E::one(), E::one()};

  /// Lanes of `of` where a, below 10 p, is 0 modulo p.
  static __mmask8 vanishes(const E& a, __mmask8 of) { return of ? __mmask8(a.vanishes() & of) : __mmask8(0); }

  static void examine(const Row<E>& l, const Row<E>& r, Addition& a) {
    a.may_be_blank = true;
    a.left_blank = l.y.blank();
    a.right_blank = r.y.blank();
    const __mmask8 present = ~(a.left_blank | a.right_blank);
    const __mmask8 same_x = vanishes(E::template sub<3>(r.x, l.x), present);
    a.doubled = vanishes(E::template sub<3>(r.y, l.y), same_x);
    a.cancelled = same_x & ~a.doubled;
  }

  /// The denominator of the slope (y1 - y2) / (x1 - x2), 2 y to double, 1 where nothing is to be added; masks known.
  static E denominator(const Row<E>& l, const Row<E>& r, const Addition& a) {
    E d = E::template sub<3>(l.x, r.x);
    if (a.doubled) d = E::select(a.doubled, d, E::twice(l.y));
    return E::select(a.left_blank | a.right_blank | a.cancelled, d, E::one());
  }

  [[gnu::always_inline]] void multiply(const E& denominator, size_t i) {
    E& chain = chain_[i & 1];
    prefix_[i] = chain;
    chain = E::mul_factor(chain, denominator);
  }

  /// Each lane of each chain by its inverse: one scalar inversion and nine products; false, and nothing changed, if any is 0.
  [[gnu::noinline]] static bool inverted(E chain[2]) {
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

  /// Additions first .. first + w - 1, `first` even: chain j is that of number first + j.
  template <int w, class Aside>
  [[gnu::always_inline]] void step(const Row<E>* from, Row<E>* to, size_t first, const Aside& aside) {
    E slope[w], x[w];
    for (int j = 0; j < w; j++) {
      const Addition& a = additions_[first + size_t(j)];
      const Row<E>&l = from[a.left], &r = from[a.right];
      slope[j] = E::mul_factor(prefix_[first + size_t(j)], chain_[j]);
      aside();
      chain_[j] = E::mul_factor(chain_[j], __builtin_expect(a.may_be_blank, 0) ? denominator(l, r, a) : r.x);
    }
    for (int j = 0; j < w; j++) {
      const Addition& a = additions_[first + size_t(j)];
      const Row<E>&l = from[a.left], &r = from[a.right];
      E dy = E::template sub_factor<3>(l.y, r.y);
      if (__builtin_expect(a.doubled, 0)) dy = E::select(a.doubled, dy, E::triple(E::sqr(l.x)));
      slope[j] = E::mul_factor(dy, slope[j]);
      aside();
    }
    for (int j = 0; j < w; j++) {
      const Addition& a = additions_[first + size_t(j)];
      const Row<E>&l = from[a.left], &r = from[a.right];
      const E s = E::sqr_raw(slope[j]);
      x[j] = __builtin_expect(a.may_be_blank, 0) ? E::minus_two(s, l.x, r.x) : E::minus_twice(s, l.x, r.x);
      aside();
    }
    // from the last, so that an addition may read what one before it is to write
    for (int j = w; j-- > 0;) {
      const Addition& a = additions_[first + size_t(j)];
      const Row<E>&l = from[a.left], &r = from[a.right];
      E y = E::minus(E::mul_raw(slope[j], E::template sub_factor<3>(l.x, x[j])), l.y);
      if (__builtin_expect(a.may_be_blank, 0)) {
        x[j] = E::select(a.right_blank, E::select(a.left_blank, x[j], r.x), l.x);
        // both blank: right was blank, and left is too
        y = E::select(a.right_blank, E::select(a.left_blank, y, r.y), l.y);
        y = E::select(a.cancelled, y, E::zero());
      }
      to[a.out] = {x[j], y};
      aside();
    }
  }
};

}  // namespace hp::ifma
HP_WIDE_END
