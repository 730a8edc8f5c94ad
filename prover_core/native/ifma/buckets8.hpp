// One window of Pippenger's method: points added into their buckets eight buckets side by side.
//
// A bucket's points are a list of references. Lists are ordered by length and taken eight at a time, one a lane: a set. Its
// points are loaded as rows and summed as a binary tree, a level a round. A round takes one level of every set that is under
// way and the first level of new sets, as many as keep its additions, which share an inversion, at the number wanted. Sums go
// to the rows of the next round, packed, so that all that a round touches stays in the second-level cache; and as soon as two
// that belong together are there, the next round's addition of them is entered while they are in the first.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "curve.hpp"
#include "ifma/affine8.hpp"
#include "ifma/scratch.hpp"
#include "ifma/wide.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// A point in memory in the engine's own form, as `E::prepare` and `E::pack` write it; infinity if y's words are all zero.
template <class E>
struct alignas(64) Stored {
  u64 x[E::base_bytes / 16], y[E::base_bytes / 16];

  bool is_blank() const {
    u64 any = 0;
    for (const u64 w : y) any |= w;
    return any == 0;
  }
};

template <class E>
[[gnu::always_inline]] inline void load_rows(Row<E>& row, const Stored<E>* const p[8]) {
  const std::uint8_t* bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = reinterpret_cast<const std::uint8_t*>(p[i]);
  E::load(row.x, row.y, bytes, 0);
}

template <class E>
[[gnu::always_inline]] inline void store_rows(const Row<E>& row, Stored<E>* const p[8]) {
  std::uint8_t* bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = reinterpret_cast<std::uint8_t*>(p[i]);
  E::pack(bytes, row.x, row.y);
}
template <class E>
[[gnu::always_inline]] inline void store_rows(const Row<E>& row, Stored<E>* first) {
  Stored<E>* p[8];
  for (int i = 0; i < 8; i++) p[i] = first + i;
  store_rows(row, p);
}

/// As the rest of the library has it, from the isomorphic curve: x as it lies, four times y (see coordinate8.hpp).
template <class F>
Affine<F> unscaled(const Stored<typename CoordinateOf<F>::type>& s) {
  if (s.is_blank()) return Affine<F>::infinity();
  const Stored<typename CoordinateOf<F>::type>* const same[8] = {&s, &s, &s, &s, &s, &s, &s, &s};
  Row<typename CoordinateOf<F>::type> row;
  load_rows(row, same);
  return {row.x.lane(0), row.y.lane(0).twice().twice()};
}

/// Reference to a point: index, sign, and whether the index is into the prepared points or into stored points.
inline constexpr std::uint32_t negative_bit = 1u << 31, stored_bit = 1u << 30, index_mask = stored_bit - 1;

/// Points to be summed into one bucket: references [first, first + count).
struct List {
  std::uint32_t bucket, first, count;
};

template <class E>
class BucketSummer {
 public:
  BucketSummer() : rows_(2 * capacity), places_(8 * (capacity + ahead)) {}

  /// buckets[list.bucket] = sum of its list, for every list (each bucket at most once). References are into `points`, as
  /// E::prepare writes them, or, with stored_bit, into `stored`, which may be `buckets` themselves.
  void sum(const std::uint8_t* points, const std::uint32_t* references, const std::vector<List>& lists,
           const Stored<E>* stored, Stored<E>* buckets) {
    std::vector<List> pieces;
    std::vector<Stored<E>> partial;
    std::vector<List> split;  // first, count into `partial`
    pieces.reserve(lists.size());
    std::uint32_t extra = 0;
    for (const List& l : lists) {
      if (l.count <= longest) {
        pieces.push_back(l);
        continue;
      }
      const std::uint32_t n = (l.count + longest - 1) / longest;
      split.push_back({l.bucket, extra, n});
      for (std::uint32_t i = 0; i < n; i++) {
        const std::uint32_t from = std::uint32_t(u64(l.count) * i / n), to = std::uint32_t(u64(l.count) * (i + 1) / n);
        pieces.push_back({partial_bit | extra++, l.first + from, to - from});
      }
    }
    partial.resize(extra);
    source_ = {points, stored, references};
    target_ = {buckets, partial.data()};
    order_by_length(pieces);
    run(pieces);
    if (split.empty()) return;
    std::vector<std::uint32_t> again(extra);
    for (std::uint32_t i = 0; i < extra; i++) again[i] = stored_bit | i;
    sum(nullptr, again.data(), split, partial.data(), buckets);
  }

 private:
  static constexpr std::uint32_t partial_bit = 1u << 31;
  /// Longer lists are split.
  static constexpr std::uint32_t longest = 64;
  /// Additions wanted a round: as many share an inversion, and all rows fit the second-level cache.
  static constexpr std::uint32_t wanted = E::words > 5 ? 96 : 192;
  /// Rows of one round at most: two for an addition, and the set that passes what is wanted.
  static constexpr std::uint32_t capacity = 2 * (wanted + longest);
  static constexpr std::uint32_t nobody = ~0u, absent = ~0u;
  static constexpr Stored<E> nothing{};
  /// Rows that are asked for into the first-level cache before they are loaded.
  static constexpr size_t ahead = 4;

  struct Source {
    const std::uint8_t* points;
    const Stored<E>* stored;
    const std::uint32_t* references;
  };
  struct Target {
    Stored<E>*buckets, *partial;
  };
  /// Eight lists that are yet to be loaded.
  struct Fresh {
    std::uint32_t first[8], lengths[8], bucket[8];
  };
  /// Eight lists, a lane each, in rows row .. row + count - 1 of a round; numbers of its additions from `addition` on.
  struct Set {
    std::uint32_t row, count, addition;
    bool ragged;
    std::uint32_t bucket[8];
  };

  Source source_{};
  Target target_{};
  Scratch<Row<E>> rows_;  // this round's, the next one's
  Round<E> round_, next_round_;
  std::vector<Set> sets_, next_sets_, done_;
  std::vector<std::uint32_t> after_;  // [addition of the next round]: the one of this round that must be finished before
  std::vector<Fresh> fresh_;
  std::uint32_t next_row_ = 0;  // how many rows of the next round are taken
  /// Of the rows to load: where their points lie, with what is to be known of each in the lowest bits.
  Scratch<u64> places_;
  size_t noted_ = 0, fetched_ = 0;  // how many of them there are and were asked for

  void run(const std::vector<List>& pieces) {
    Row<E>*now = rows_.get(), *then = now + capacity;
    size_t next = 0;
    start_round();
    stage(pieces, next);
    load(then);
    while (!next_sets_.empty() || next < pieces.size()) {
      std::swap(now, then);
      std::swap(round_, next_round_);
      sets_.swap(next_sets_);
      if (round_.invert(now))
        for (Set& set : sets_) set.ragged = true;
      start_round();
      ascend(now, then);
      stage(pieces, next);
      size_t ready = 0;
      round_.finish(
          now, then,
          [&](size_t i) {
            while (ready < after_.size() && after_[ready] >= i) next_round_.enter(then), ready++;
          },
          [&] { prefetch(); });
      for (const Set& set : done_) store_set(set, then[set.row]);
      load(then);
    }
  }

  void start_round() {
    next_round_.clear();
    next_sets_.clear();
    done_.clear();
    after_.clear();
    next_row_ = 0;
  }

  static void order_by_length(std::vector<List>& pieces) {
    std::uint32_t start[longest + 2] = {};
    for (const List& l : pieces) start[longest - l.count + 1]++;
    for (std::uint32_t i = 0; i <= longest; i++) start[i + 1] += start[i];
    std::vector<List> sorted(pieces.size());
    for (const List& l : pieces) sorted[start[longest - l.count]++] = l;
    pieces.swap(sorted);
  }

  /// Places for the sums of this round, and the next round's additions of them. This round is finished from its last addition
  /// to its first, so everything is reversed here: then what is finished next stands next.
  void ascend(const Row<E>* now, Row<E>* then) {
    for (size_t s = sets_.size(); s-- > 0;) {
      const Set& set = sets_[s];
      const std::uint32_t pairs = set.count / 2, odd = set.count & 1, rows = pairs + odd;
      if (odd) then[next_row_] = now[set.row + set.count - 1];
      for (std::uint32_t k = 0; k < pairs; k++) round_.set_out(set.addition + k, next_row_ + rows - 1 - k);
      Set up = set;
      up.row = next_row_;
      up.count = rows;
      next_row_ += rows;
      if (rows == 1) {
        done_.push_back(up);
        continue;
      }
      // row r is the sum of addition `last - r`
      const std::uint32_t last = set.addition + rows - 1;
      for (std::uint32_t r = 1; r < rows; r += 2) after_.push_back(last - r);
      enlist(up);
    }
  }

  /// A set of the next round, whose rows are there or will be.
  void enlist(Set& set) {
    set.addition = std::uint32_t(next_round_.size());
    for (std::uint32_t r = 1; r < set.count; r += 2)
      next_round_.push({set.row + r - 1, set.row + r, 0, set.ragged});
    next_sets_.push_back(set);
  }

  /// Chooses sets to load for the next round.
  void stage(const std::vector<List>& pieces, size_t& next) {
    fresh_.clear();
    noted_ = fetched_ = 0;
    std::uint32_t rows = next_row_;
    for (size_t additions = next_round_.size();
         next < pieces.size() && additions < wanted && rows + longest <= capacity; next += 8) {
      Fresh& fresh = fresh_.emplace_back();
      const size_t there = std::min<size_t>(8, pieces.size() - next);
      for (size_t i = 0; i < 8; i++) {
        const List l = i < there ? pieces[next + i] : List{nobody, 0, 0};
        fresh.bucket[i] = l.bucket, fresh.first[i] = l.first, fresh.lengths[i] = l.count;
      }
      for (std::uint32_t r = 0; r < fresh.lengths[0]; r++) note_places(lanes(fresh, r));
      rows += fresh.lengths[0];
      additions += fresh.lengths[0] / 2;
    }
    std::fill_n(places_.get() + noted_, 8 * ahead, reinterpret_cast<u64>(&nothing));
  }

  /// Loads the staged sets' points and enters their additions.
  [[gnu::noinline]] void load(Row<E>* rows) {
    const u64* places = places_.get();
    for (const Fresh& fresh : fresh_) {
      Set set{next_row_, fresh.lengths[0], 0, fresh.lengths[7] < fresh.lengths[0], {}};
      std::copy_n(fresh.bucket, 8, set.bucket);
      if (set.count == 1) {
        Row<E> row;
        load_row(row, places);
        places += 8;
        store_set(set, row);
        continue;
      }
      next_row_ += set.count;
      enlist(set);
      for (std::uint32_t r = 0; r < set.count; r++, places += 8) {
        for (size_t i = 0; i < 8; i++) ask<_MM_HINT_T0>(places[8 * ahead + i]);
        if (load_row(rows[set.row + r], places)) {
          next_sets_.back().ragged = true;
          if (r / 2 < set.count / 2) next_round_.may_be_blank(set.addition + r / 2);
        }
        if (r & 1) next_round_.enter(rows);
      }
    }
  }

  /// The references of row r of a set; `absent` where a list is shorter.
  [[gnu::always_inline]] __m256i lanes(const Fresh& set, std::uint32_t r) const {
    const __m256i row = _mm256_set1_epi32(int(r));
    const __m256i at = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(set.first)), row);
    const __mmask8 there = _mm256_cmpgt_epi32_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(set.lengths)), row);
    return _mm256_mmask_i32gather_epi32(_mm256_set1_epi32(int(absent)), there, at, source_.references, 4);
  }

  static constexpr u64 place_negative = 1, place_may_be_blank = 2, place_flags = 63;

  /// Where the points of a row lie.
  [[gnu::always_inline]] void note_places(__m256i references) {
    constexpr unsigned log_bytes = E::base_bytes == 64 ? 6 : 7;
    const __mmask8 none = _mm256_cmpeq_epi32_mask(references, _mm256_set1_epi32(int(absent)));
    const __mmask8 of_stored = _mm256_test_epi32_mask(references, _mm256_set1_epi32(int(stored_bit)));
    const __m256i index = _mm256_and_si256(references, _mm256_set1_epi32(int(index_mask)));
    Word at = _mm512_add_epi64(_mm512_slli_epi64(_mm512_cvtepu32_epi64(index), log_bytes),
                               _mm512_mask_blend_epi64(of_stored, word(reinterpret_cast<u64>(source_.points)),
                                                       word(reinterpret_cast<u64>(source_.stored) + place_may_be_blank)));
    at = _mm512_mask_add_epi64(at, _mm256_movepi32_mask(references), at, word(place_negative));
    at = _mm512_mask_mov_epi64(at, none, word(reinterpret_cast<u64>(&nothing) + place_may_be_blank));
    _mm512_storeu_si512(places_.get() + noted_, at);
    noted_ += 8;
  }

  /// Asks for two of the points to load.
  [[gnu::always_inline]] void prefetch() {
    if (fetched_ >= noted_) return;
    for (const size_t end = fetched_ + 2; fetched_ < end; fetched_++) ask<_MM_HINT_T1>(places_.get()[fetched_]);
  }

  template <_mm_hint hint>
  [[gnu::always_inline]] static void ask(u64 place) {
    for (size_t k = 0; k < E::base_bytes; k += 64) _mm_prefetch(reinterpret_cast<const char*>(place) + k, hint);
  }

  /// True if some lane is blank.
  [[gnu::always_inline]] static bool load_row(Row<E>& row, const u64* places) {
    const Word all = _mm512_loadu_si512(places);
    const std::uint8_t* p[8];
    for (int i = 0; i < 8; i++) p[i] = reinterpret_cast<const std::uint8_t*>(places[i] & ~place_flags);
    E::load(row.x, row.y, p, _mm512_test_epi64_mask(all, word(place_negative)));
    return _mm512_test_epi64_mask(all, word(place_may_be_blank)) != 0 && row.y.blank() != 0;
  }

  void store_set(const Set& set, const Row<E>& row) const {
    Stored<E> dropped;
    Stored<E>* p[8];
    for (int i = 0; i < 8; i++) {
      const std::uint32_t b = set.bucket[i];
      p[i] = b == nobody ? &dropped : b & partial_bit ? target_.partial + (b & ~partial_bit) : target_.buckets + b;
    }
    store_rows(row, p);
  }
};

}  // namespace hp::ifma
HP_WIDE_END
