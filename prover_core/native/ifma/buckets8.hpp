// One window of Pippenger's method: points added into their buckets eight buckets side by side, and the buckets' weighted sum.
//
// A bucket's points are a list of references. Buckets are ordered by the length of their lists and taken eight at a time, one
// a lane; their points are loaded as rows and summed as binary trees. Several groups of rows are at different heights of their
// trees at once, so that every round has many additions to share its inversion, and rows stay in the second-level cache.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "ifma/affine8.hpp"
#include "ifma/scratch.hpp"
#include "ifma/wide.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// A point in memory in the engine's own form: the limbs of x, then of y; blank if y's are all zero.
template <class E>
struct Stored {
  u64 x[E::words], y[E::words];
};

/// Eight stored points as lanes.
template <class E>
[[gnu::always_inline]] inline void load_rows(Row<E>& row, const Stored<E>* const p[8]) {
  Word* limbs = row.x.limbs();  // x's, then y's: Row and the coordinates hold nothing else
  constexpr int words = 2 * E::words;
  for (int w = 0; w < words; w += 8) {
    Word r[8];
    const int n = std::min(8, words - w);
    const __mmask8 there = __mmask8((1 << n) - 1);
    for (int i = 0; i < 8; i++) r[i] = _mm512_maskz_loadu_epi64(there, p[i]->x + w);
    transpose(r);
    for (int k = 0; k < n; k++) limbs[w + k] = r[k];
  }
}

/// Lanes as eight stored points.
template <class E>
[[gnu::always_inline]] inline void store_rows(const Row<E>& row, Stored<E>* const p[8]) {
  const Word* limbs = row.x.limbs();
  constexpr int words = 2 * E::words;
  for (int w = 0; w < words; w += 8) {
    Word r[8];
    const int n = std::min(8, words - w);
    for (int k = 0; k < 8; k++) r[k] = k < n ? limbs[w + k] : word(0);
    transpose(r);
    const __mmask8 there = __mmask8((1 << n) - 1);
    for (int i = 0; i < 8; i++) _mm512_mask_storeu_epi64(p[i]->x + w, there, r[i]);
  }
}
template <class E>
[[gnu::always_inline]] inline void store_rows(const Row<E>& row, Stored<E>* first) {
  Stored<E>* p[8];
  for (int i = 0; i < 8; i++) p[i] = first + i;
  store_rows(row, p);
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
  BucketSummer() : rows_(size_t(slots) * capacity) {}

  /// buckets[list.bucket] = sum of its list, for every list (each bucket at most once). References are into `points`, as
  /// E::prepare writes them, or, with stored_bit, into `stored`, which may be `buckets` themselves.
  void sum(const std::uint8_t* points, const std::uint32_t* references, const std::vector<List>& lists,
           const Stored<E>* stored, Stored<E>* buckets) {
    points_ = points;
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
    run(references, pieces, stored, buckets, partial.data());
    if (split.empty()) return;
    std::vector<std::uint32_t> again(extra);
    for (std::uint32_t i = 0; i < extra; i++) again[i] = stored_bit | i;
    sum(nullptr, again.data(), split, partial.data(), buckets);
  }

 private:
  static constexpr std::uint32_t partial_bit = 1u << 31;
  /// Rows of the tree of one list at most: longer lists are split.
  static constexpr std::uint32_t longest = 64;
  /// Rows loaded a round: as many additions share one inversion.
  static constexpr std::uint32_t group_rows = E::words > 5 ? 128 : 256;  // so that all rows fit the second-level cache
  /// Groups at different heights of their trees, up to log2 `longest` of them and one beginning; and the rows of one.
  static constexpr std::uint32_t slots = 7, capacity = group_rows + longest;

  /// Eight lists, a lane each, in rows row .. row + count.
  struct Set {
    std::uint32_t row, count;
    std::uint32_t bucket[8], first[8], lengths[8];
    bool ragged;
  };
  struct Group {
    std::vector<Set> sets;
    std::uint32_t stride = 0, height = 0;
  };

  const std::uint8_t* points_ = nullptr;
  Scratch<Row<E>> rows_;
  PairAdder<E> adder_;
  Group staged_;
  size_t next_set_ = 0;         // where prefetching stands in the staged group
  std::uint32_t next_row_ = 0;

  void run(const std::uint32_t* references, std::vector<List>& pieces, const Stored<E>* stored, Stored<E>* buckets,
           Stored<E>* partial) {
    order_by_length(pieces);
    Row<E>* rows = rows_.get();
    Group groups[slots];
    std::vector<Pair> pairs;
    size_t next = 0;
    stage(pieces, next);
    for (;;) {
      bool busy = false;
      pairs.clear();
      for (std::uint32_t s = 0; s < slots; s++) {
        Group& g = groups[s];
        if (g.sets.empty() && !staged_.sets.empty()) {
          load(g, rows + size_t(s) * capacity, references, stored);
        }
        if (g.sets.empty()) continue;
        busy = true;
        for (const Set& set : g.sets)
          for (std::uint32_t r = 0; r + g.stride < set.count; r += 2 * g.stride)
            pairs.push_back({s * capacity + set.row + r, s * capacity + set.row + r + g.stride, set.ragged, 0, 0, 0, 0});
      }
      if (!busy) return;
      stage(pieces, next);
      const bool cancelled = adder_.add(rows, pairs, [&] { prefetch(references, stored); });
      for (std::uint32_t s = 0; s < slots; s++) {
        Group& g = groups[s];
        if (g.sets.empty()) continue;
        if (cancelled)
          for (Set& set : g.sets) set.ragged = true;
        g.stride *= 2;
        if (g.stride >= g.height) {
          for (const Set& set : g.sets) store_set(set, rows[size_t(s) * capacity + set.row], buckets, partial);
          g.sets.clear();
        }
      }
    }
  }

  static void order_by_length(std::vector<List>& pieces) {
    std::uint32_t start[longest + 2] = {};
    for (const List& l : pieces) start[longest - l.count + 1]++;
    for (std::uint32_t i = 0; i <= longest; i++) start[i + 1] += start[i];
    std::vector<List> sorted(pieces.size());
    for (const List& l : pieces) sorted[start[longest - l.count]++] = l;
    pieces.swap(sorted);
  }

  /// Chooses the next group's sets, if none is staged yet.
  void stage(const std::vector<List>& pieces, size_t& next) {
    if (!staged_.sets.empty() || next >= pieces.size()) return;
    staged_.stride = 1;
    staged_.height = 0;
    std::uint32_t used = 0;
    for (; next < pieces.size() && used < group_rows; next += 8) {
      Set set;
      const size_t there = std::min<size_t>(8, pieces.size() - next);
      for (size_t i = 0; i < 8; i++) {
        const List l = i < there ? pieces[next + i] : List{nobody, 0, 0};
        set.bucket[i] = l.bucket, set.first[i] = l.first, set.lengths[i] = l.count;
      }
      set.row = used;
      set.count = set.lengths[0];
      set.ragged = set.lengths[7] < set.count;
      staged_.sets.push_back(set);
      staged_.height = std::max(staged_.height, set.count);
      used += set.count;
    }
    next_set_ = 0, next_row_ = 0;
  }

  /// The references of row r of a set; `absent` where a list is shorter.
  [[gnu::always_inline]] static __m256i lanes(const Set& set, std::uint32_t r, const std::uint32_t* references) {
    const __m256i row = _mm256_set1_epi32(int(r));
    const __m256i at = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(set.first)), row);
    const __mmask8 there = _mm256_cmpgt_epi32_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(set.lengths)), row);
    return _mm256_mmask_i32gather_epi32(_mm256_set1_epi32(int(absent)), there, at, references, 4);
  }

  /// Asks for the points of the next staged row.
  [[gnu::always_inline]] void prefetch(const std::uint32_t* references, const Stored<E>* stored) {
    if (next_set_ >= staged_.sets.size()) return;
    const Set& set = staged_.sets[next_set_];
    alignas(32) std::uint32_t refs[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(refs), lanes(set, next_row_, references));
    for (const std::uint32_t ref : refs) {
      if (ref == absent) continue;
      const bool of_stored = ref & stored_bit;
      const char* p = of_stored ? reinterpret_cast<const char*>(stored + (ref & index_mask))
                                : reinterpret_cast<const char*>(points_ + size_t(ref & index_mask) * E::base_bytes);
      for (size_t k = 0; k < E::base_bytes; k += 64) _mm_prefetch(p + k, _MM_HINT_T1);
      if (of_stored) _mm_prefetch(p + sizeof(Stored<E>) - 1, _MM_HINT_T1);
    }
    if (++next_row_ == set.count) next_set_++, next_row_ = 0;
  }

  /// Loads the staged group's points.
  [[gnu::noinline]] void load(Group& g, Row<E>* rows, const std::uint32_t* references, const Stored<E>* stored) {
    std::swap(g, staged_);
    staged_.sets.clear();
    for (Set& set : g.sets)
      for (std::uint32_t r = 0; r < set.count; r++) set.ragged |= load_row(rows[set.row + r], lanes(set, r, references), stored);
  }

  static constexpr std::uint32_t nobody = ~0u, absent = ~0u;

  /// True if some lane is blank.
  [[gnu::always_inline]] bool load_row(Row<E>& row, __m256i refs, const Stored<E>* stored) {
    const __mmask8 negative = _mm256_movepi32_mask(refs);
    const __mmask8 special = _mm256_test_epi32_mask(refs, _mm256_set1_epi32(int(stored_bit)));
    if (special == 0xff) return load_stored(row, refs, stored);
    const __m256i index = _mm256_maskz_and_epi32(__mmask8(~special), refs, _mm256_set1_epi32(int(index_mask)));
    alignas(64) const std::uint8_t* p[8];
    _mm512_store_si512(p, _mm512_add_epi64(_mm512_slli_epi64(_mm512_cvtepu32_epi64(index), E::base_bytes == 64 ? 6 : 7),
                                           word(reinterpret_cast<u64>(points_))));
    E::load(row.x, row.y, p, negative);
    if (__builtin_expect(special == 0, 1)) return false;
    alignas(64) u64 t[2 * E::words][8];
    for (int j = 0; j < E::words; j++) {
      _mm512_store_si512(t[j], row.x.limbs()[j]);
      _mm512_store_si512(t[E::words + j], row.y.limbs()[j]);
    }
    alignas(32) std::uint32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), refs);
    bool blank = false;
    for (int i = 0; i < 8; i++) {
      if (!(special >> i & 1)) continue;
      if (lanes[i] == absent) {
        for (auto& limb : t) limb[i] = 0;
        blank = true;
        continue;
      }
      const Stored<E>& s = stored[lanes[i] & index_mask];
      u64 any = 0;
      for (int j = 0; j < E::words; j++) {
        t[j][i] = s.x[j];
        t[E::words + j][i] = s.y[j];
        any |= s.y[j];
      }
      blank |= any == 0;
    }
    for (int j = 0; j < E::words; j++) {
      row.x.limbs()[j] = _mm512_load_si512(t[j]);
      row.y.limbs()[j] = _mm512_load_si512(t[E::words + j]);
    }
    return blank;
  }

  /// As load_row where no lane is one of `points`.
  [[gnu::noinline]] static bool load_stored(Row<E>& row, __m256i refs, const Stored<E>* stored) {
    static constexpr Stored<E> nothing{};
    alignas(32) std::uint32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), refs);
    const Stored<E>* p[8];
    for (int i = 0; i < 8; i++) p[i] = lanes[i] == absent ? &nothing : stored + (lanes[i] & index_mask);
    load_rows(row, p);
    return row.y.blank() != 0;
  }

  static void store_set(const Set& set, Row<E>& row, Stored<E>* buckets, Stored<E>* partial) {
    Stored<E> dropped;
    Stored<E>* p[8];
    for (int i = 0; i < 8; i++) {
      const std::uint32_t b = set.bucket[i];
      p[i] = b == nobody ? &dropped : b & partial_bit ? partial + (b & ~partial_bit) : buckets + b;
    }
    store_rows(row, p);
  }
};

}  // namespace hp::ifma
HP_WIDE_END
