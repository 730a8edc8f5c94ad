// The weighted sums of windows' buckets.
#pragma once
#include "ifma/buckets8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// For each of several windows of n buckets, sum of (i + 1) buckets[i], by running sums over stretches of `len` buckets, the
/// stretches of all windows side by side: two affine additions a bucket.
///
/// Stretch s covers buckets [s len, (s + 1) len): its running sum T_s ends as the sum of its buckets, A_s as the sum of
/// their weights within the stretch, and a window's whole is sum A_s + len sum s T_s, where the second sum is the same problem
/// again, `len` times smaller.
template <class E>
class Reducer {
 public:
  /// Borrows what it needs of memory for plain sums.
  explicit Reducer(BucketSummer<E>& summer) : summer_(summer) {}

  /// A window's sum is the sum of its parts, each times 2^shift.
  struct Part {
    Stored<E> point;
    unsigned shift;
  };
  struct Window {
    std::vector<Part> parts;
    /// The sum of its buckets, not weighted.
    Stored<E> plain;
  };

  /// n: a power of two, the same for all. Points come out in the engine's scaled form.
  std::vector<Window> reduce(const std::vector<const Stored<E>*>& buckets, std::uint32_t n) {
    std::vector<Window> windows(buckets.size());
    reduce(buckets, n, true, 0, windows);
    return windows;
  }

 private:
  /// Lanes wanted at once: as many additions share an inversion as the rows of some 40 vectors a step.
  static constexpr std::uint32_t lanes_wanted = 1024;
  static constexpr std::uint32_t longest = 16;

  Round<E> round_;
  BucketSummer<E>& summer_;

  /// weight(i) is i + 1 (`from_one`) or i.
  void reduce(const std::vector<const Stored<E>*>& buckets, std::uint32_t n, bool from_one, unsigned shift,
              std::vector<Window>& windows) {
    const std::uint32_t count = std::uint32_t(buckets.size());
    std::uint32_t len = 1;
    unsigned log_len = 0;
    while (len < n && (len < longest || n / len * count > 4 * lanes_wanted)) len *= 2, log_len++;
    const std::uint32_t stretches = n / len, lanes = stretches * count, vectors = (lanes + 7) / 8;
    // rows: incoming buckets, running sums, accumulated sums
    const Scratch<Row<E>> space(size_t(vectors) * 3);
    Row<E>* rows = space.get();
    for (std::uint32_t r = vectors; r < 3 * vectors; r++) rows[r] = {E::zero(), E::zero()};
    // Step t adds bucket len - 1 - t to the running sums and the sums before it to the accumulated ones (weights from 0), in
    // one round: it is finished from the last addition to the first, so accumulated sums read running sums still unchanged.
    for (std::uint32_t t = 0; t <= len; t++) {
      round_.clear();
      if (t < len)
        for (std::uint32_t v = 0; v < vectors; v++) {
          load(rows[v], buckets, 8 * v, lanes, stretches, len, len - 1 - t);
          round_.push({vectors + v, v, vectors + v, true});
        }
      if (t > 0 && (t < len || from_one))
        for (std::uint32_t v = 0; v < vectors; v++) round_.push({2 * vectors + v, vectors + v, 2 * vectors + v, true});
      round_.add(rows);
    }
    std::vector<Stored<E>> running(8 * vectors), accumulated(8 * vectors);
    for (std::uint32_t v = 0; v < vectors; v++) {
      store_rows(rows[vectors + v], running.data() + 8 * v);
      store_rows(rows[2 * vectors + v], accumulated.data() + 8 * v);
    }
    const std::vector<Stored<E>> sums = plain_sums(accumulated, stretches, count);
    for (std::uint32_t w = 0; w < count; w++) windows[w].parts.push_back({sums[w], shift});
    if (stretches == 1) {
      for (std::uint32_t w = 0; w < count; w++) windows[w].plain = running[w];
      return;
    }
    std::vector<const Stored<E>*> next(count);
    for (std::uint32_t w = 0; w < count; w++) next[w] = running.data() + size_t(w) * stretches;
    reduce(next, stretches, false, shift + log_len, windows);
  }

  /// [w]: points[w n] + … + points[w n + n - 1].
  std::vector<Stored<E>> plain_sums(const std::vector<Stored<E>>& points, std::uint32_t n, std::uint32_t count) {
    std::vector<std::uint32_t> references(size_t(n) * count);
    for (size_t i = 0; i < references.size(); i++) references[i] = stored_bit | std::uint32_t(i);
    std::vector<List> lists;
    for (std::uint32_t w = 0; w < count; w++) lists.push_back({w, w * n, n});
    std::vector<Stored<E>> out(count);
    summer_.sum(nullptr, references.data(), lists, points.data(), out.data());
    return out;
  }

  /// Bucket `offset` of the stretches of lanes first .. first + 7; lanes beyond the last are blank.
  static void load(Row<E>& row, const std::vector<const Stored<E>*>& buckets, std::uint32_t first, std::uint32_t lanes,
                   std::uint32_t stretches, std::uint32_t len, std::uint32_t offset) {
    static constexpr Stored<E> nothing{};
    const Stored<E>* p[8];
    for (std::uint32_t i = 0; i < 8; i++) {
      const std::uint32_t lane = first + i;
      p[i] = lane < lanes ? buckets[lane / stretches] + size_t(lane % stretches) * len + offset : &nothing;
    }
    load_rows(row, p);
  }
};

}  // namespace hp::ifma
HP_WIDE_END
