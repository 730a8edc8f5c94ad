// Multi-scalar multiplication, sum_i k_i P_i, as a streaming accumulator: Pippenger's buckets stay open between calls.
//
// For each window the points of a block are sorted by bucket and summed pairwise in rounds, so that all additions of a
// round share inversions however skewed the digits are (5M + 1S an addition, see batch_affine.hpp). Scalars 0 and points at
// infinity are dropped; +-1, frequent in witnesses, are summed apart, without buckets.
#pragma once
#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "batch_affine.hpp"
#include "msm_engine.hpp"
#include "pool.hpp"
#include "windows.hpp"

namespace hp {

template <class F>
class Msm final : public MsmEngine<F> {
 public:
  /// Over `n` borrowed affine bases (any alignment), which must outlive this. Threads: 0 for the default.
  Msm(const unsigned char* bases, size_t n, unsigned threads)
      : bases_(bases),
        n_(n),
        threads_(threads ? threads : default_threads()),
        windows_(SignedWindows::cheapest(n, bucket_cost, max_bits)),
        slices_(std::max<size_t>(1, std::min<size_t>(3 * threads_ / windows_.count, windows_.buckets() / 64))),
        buckets_(windows_.count),
        rest_(Xyzz<F>::infinity()) {}

  void add(size_t start, const unsigned char* scalars, size_t n) override {
    this->check_open(start, n, n_);
    const auto opened = this->close_while_busy();
    for (size_t done = 0; done < n; done += block_size) {
      const size_t size = std::min(block_size, n - done);
      add_block(bases_ + (start + done) * sizeof(Affine<F>), scalars + done * 32, size);
    }
    opened.again();
  }

  void add_point(const Affine<F>& p) override {
    this->check_open(0, 0, n_);
    rest_.add(p);
  }

  /// Blocks do not wait, and the buckets are needed for what is missing: nothing to do.
  void settle(size_t) override { this->check_open(0, 0, n_); }

  /// The sum. 2^(c-1) bucket reductions a window, then 254 doublings; closes the accumulator and frees its buckets.
  Affine<F> finish() override {
    this->check_open(0, 0, n_);
    this->finished_ = true;
    std::vector<Xyzz<F>> sums(windows_.count * slices_, Xyzz<F>::infinity());
    parallel_for(sums.size(), threads_, [&](size_t i) {
      if (!buckets_[i / slices_]) return;
      auto scratch = take_scratch();
      sums[i] = reduce(unsigned(i / slices_), i % slices_, scratch->queue);
      give_scratch(std::move(scratch));
    });
    Xyzz<F> total = Xyzz<F>::infinity();
    for (size_t w = windows_.count; w-- > 0;) {
      for (unsigned k = 0; k < windows_.bits; k++) total = total.twice();
      for (size_t s = 0; s < slices_; s++) total.add(sums[w * slices_ + s]);
    }
    total.add(rest_);
    buckets_.clear();
    free_scratch_.clear();
    return total.to_affine();
  }

 private:
  // A bucket's reduction is two additions, in smaller batches.
  static constexpr double bucket_cost = 2.3;
  static constexpr unsigned max_bits = 17;
  static constexpr size_t block_size = size_t(1) << 16;
  static constexpr size_t group_size = 2048;
  static constexpr uint32_t negative_bit = uint32_t(1) << 31;

  struct Shifted {
    uint64_t v[4];
  };

  /// What one task needs besides the buckets; reused from task to task.
  struct Scratch {
    AdditionQueue<F> queue;
    std::vector<uint32_t> count, first, target, point, sorted, starts, owner, active;
    std::vector<Affine<F>> sums;
  };

  void add_block(const unsigned char* bases, const unsigned char* scalars, size_t n) {
    shifted_.resize(n);
    point_.resize(n);
    ones_.resize(n);
    const size_t groups = (n + group_size - 1) / group_size;
    general_in_.assign(groups, 0);
    ones_in_.assign(groups, 0);
    parallel_ranges(groups, 2, threads_, [&](size_t begin, size_t end) {
      for (size_t g = begin; g < end; g++) classify(bases, scalars, g, n);
    });
    size_t general = 0, ones = 0;
    for (size_t g = 0; g < groups; g++) general += general_in_[g], ones += ones_in_[g];
    const size_t one_tasks = ones == 0 ? 0 : std::clamp<size_t>(ones / 2048, 1, threads_);
    const size_t window_tasks = general == 0 ? 0 : windows_.count * slices_;
    const unsigned threads = general + ones < 64 ? 1 : threads_;
    // Window 0 holds all small scalars, so it begins first.
    parallel_for(one_tasks + window_tasks, threads, [&](size_t i) {
      std::unique_ptr<Scratch> scratch = take_scratch();
      if (i < one_tasks)
        sum_ones(bases, groups * i / one_tasks, groups * (i + 1) / one_tasks, *scratch);
      else
        fill_window(bases, unsigned((i - one_tasks) / slices_), (i - one_tasks) % slices_, groups, general, *scratch);
      give_scratch(std::move(scratch));
    });
  }

  void classify(const unsigned char* bases, const unsigned char* scalars, size_t group, size_t n) {
    const size_t begin = group * group_size, end = std::min(n, begin + group_size);
    uint32_t general = 0, ones = 0;
    for (size_t i = begin; i < end; i++) {
      uint64_t k[4];
      std::memcpy(k, scalars + 32 * i, 32);
      bool negative;
      const auto kind = windows_.recode(k, shifted_[begin + general].v, negative);
      if (kind == SignedWindows::Kind::zero) continue;
      if (Affine<F>::load(bases + i * sizeof(Affine<F>)).is_infinity()) continue;
      const uint32_t tagged = uint32_t(i) | (negative ? negative_bit : 0);
      if (kind == SignedWindows::Kind::general)
        point_[begin + general++] = tagged;
      else
        ones_[begin + ones++] = tagged;
    }
    general_in_[group] = general;
    ones_in_[group] = ones;
  }

  std::pair<size_t, size_t> slice(size_t s) const {
    return {windows_.buckets() * s / slices_, windows_.buckets() * (s + 1) / slices_};
  }

  /// Adds the block's points whose digit in window w falls into slice s to their buckets.
  void fill_window(const unsigned char* bases, unsigned w, size_t s, size_t groups, size_t general, Scratch& scratch) {
    const auto [low, high] = slice(s);
    const size_t width = high - low;
    scratch.count.assign(width, 0);
    scratch.target.clear();
    scratch.point.clear();
    scratch.target.reserve(general);
    scratch.point.reserve(general);
    for (size_t g = 0; g < groups; g++) {
      for (size_t i = g * group_size; i < g * group_size + general_in_[g]; i++) {
        const int64_t digit = windows_.digit(shifted_[i].v, w);
        if (digit == 0) continue;
        const size_t bucket = size_t(digit < 0 ? -digit : digit) - 1 - low;
        if (bucket >= width) continue;
        scratch.count[bucket]++;
        scratch.target.push_back(uint32_t(bucket));
        scratch.point.push_back(digit < 0 ? point_[i] ^ negative_bit : point_[i]);
      }
    }
    if (scratch.point.empty()) return;
    Affine<F>* buckets = open_window(w) + low;

    scratch.first.resize(width);
    uint32_t position = 0;
    for (size_t b = 0; b < width; b++) scratch.first[b] = position, position += scratch.count[b];
    scratch.sorted.resize(position);
    for (size_t i = 0; i < scratch.point.size(); i++) scratch.sorted[scratch.first[scratch.target[i]]++] = scratch.point[i];

    // first[b] is now the end of bucket b. Pairs go to sums, an odd one straight to its bucket.
    scratch.sums.resize(position / 2);
    scratch.starts.clear();
    scratch.owner.clear();
    auto& queue = scratch.queue;
    uint32_t used = 0;
    for (size_t b = 0; b < width; b++) {
      const uint32_t n = scratch.count[b];
      if (n == 0) continue;
      const uint32_t* list = scratch.sorted.data() + scratch.first[b] - n;
      if (n & 1) push_base(queue, bases, list[n - 1], buckets[b]);
      if (n < 2) continue;
      scratch.starts.push_back(used);
      scratch.owner.push_back(uint32_t(b));
      for (uint32_t j = 0; j + 1 < n; j += 2) push_bases(queue, bases, list[j], list[j + 1], scratch.sums[used++]);
    }
    queue.flush();
    for (size_t k = 0; k < scratch.owner.size(); k++) scratch.count[k] = scratch.count[scratch.owner[k]] / 2;
    sum_segments(queue, scratch.sums.data(), scratch.starts.data(), scratch.count.data(), scratch.owner.size(), scratch.active);
    for (size_t k = 0; k < scratch.owner.size(); k++) {
      Affine<F>* bucket = buckets + scratch.owner[k];
      queue.push(&scratch.sums[scratch.starts[k]], false, bucket, false, bucket);
    }
    queue.flush();
  }

  void sum_ones(const unsigned char* bases, size_t first_group, size_t last_group, Scratch& scratch) {
    scratch.point.clear();
    for (size_t g = first_group; g < last_group; g++)
      scratch.point.insert(scratch.point.end(), ones_.begin() + ptrdiff_t(g * group_size),
                           ones_.begin() + ptrdiff_t(g * group_size + ones_in_[g]));
    const size_t n = scratch.point.size();
    if (n == 0) return;
    scratch.sums.resize((n + 1) / 2);
    for (size_t j = 0; j + 1 < n; j += 2)
      push_bases(scratch.queue, bases, scratch.point[j], scratch.point[j + 1], scratch.sums[j / 2]);
    if (n & 1) {
      const uint32_t tagged = scratch.point[n - 1];
      const auto p = Affine<F>::load(base(bases, tagged));
      scratch.sums[n / 2] = tagged & negative_bit ? -p : p;
    }
    scratch.queue.flush();
    const uint32_t start = 0;
    uint32_t count = uint32_t((n + 1) / 2);
    sum_segments(scratch.queue, scratch.sums.data(), &start, &count, 1, scratch.active);
    std::lock_guard lock(this->mutex_);
    rest_.add(scratch.sums[0]);
  }

  static const unsigned char* base(const unsigned char* bases, uint32_t tagged) {
    return bases + (tagged & ~negative_bit) * sizeof(Affine<F>);
  }
  static void push_base(AdditionQueue<F>& queue, const unsigned char* bases, uint32_t tagged, Affine<F>& bucket) {
    queue.push(base(bases, tagged), tagged & negative_bit, &bucket, false, &bucket);
  }
  static void push_bases(AdditionQueue<F>& queue, const unsigned char* bases, uint32_t a, uint32_t b, Affine<F>& out) {
    queue.push(base(bases, a), a & negative_bit, base(bases, b), b & negative_bit, &out);
  }

  /// sum_b (b + 1) bucket[b] over slice s of window w.
  ///
  /// The slice is cut into strips of `width` buckets; in all strips together, from the top, running += bucket and
  /// total += running, affine. With the strips' running sums R_j then sum_j (total_j + (low + j width) R_j).
  Xyzz<F> reduce(unsigned w, size_t s, AdditionQueue<F>& queue) const {
    const auto [low, high] = slice(s);
    const size_t strips = std::clamp<size_t>((high - low) / 8, 1, 128), width = (high - low + strips - 1) / strips;
    std::vector<Affine<F>> running(strips, Affine<F>::infinity()), total = running;
    Affine<F>* buckets = buckets_[w].get() + low;
    for (size_t i = width; i-- > 0;) {
      for (size_t j = 0; j < strips; j++)
        if (const size_t b = j * width + i; b < high - low) queue.push(&running[j], false, buckets + b, false, &running[j]);
      queue.flush();
      for (size_t j = 0; j < strips; j++) queue.push(&total[j], false, &running[j], false, &total[j]);
      queue.flush();
    }
    Xyzz<F> above = Xyzz<F>::infinity(), weighted = above, sum = above;
    for (size_t j = strips; j-- > 0;) {
      sum.add(total[j]);
      weighted.add(above);  // sum_j j R_j, from the top
      above.add(running[j]);
    }
    const uint64_t strip = width, shift = low;
    sum.add(weighted.times_vartime(&strip, bit_length(width)));
    sum.add(above.times_vartime(&shift, bit_length(low)));
    return sum;
  }

  static unsigned bit_length(size_t x) { return unsigned(std::bit_width(x)); }

  /// The buckets of window w, all infinity when first opened.
  Affine<F>* open_window(unsigned w) {
    std::lock_guard lock(this->mutex_);
    if (!buckets_[w]) buckets_[w].reset(new Affine<F>[windows_.buckets()]());
    return buckets_[w].get();
  }

  std::unique_ptr<Scratch> take_scratch() {
    std::lock_guard lock(this->mutex_);
    if (free_scratch_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(free_scratch_.back());
    free_scratch_.pop_back();
    return scratch;
  }
  void give_scratch(std::unique_ptr<Scratch> scratch) {
    std::lock_guard lock(this->mutex_);
    free_scratch_.push_back(std::move(scratch));
  }

  const unsigned char* bases_;
  size_t n_;
  unsigned threads_;
  SignedWindows windows_;
  size_t slices_;
  std::vector<std::unique_ptr<Affine<F>[]>> buckets_;
  Xyzz<F> rest_;  // points that need no bucket
  // mutex_ guards rest_, free_scratch_ and the opening of windows
  std::vector<std::unique_ptr<Scratch>> free_scratch_;
  // The block being added: group g of 2048 scalars owns positions 2048 g .. of each.
  std::vector<Shifted> shifted_;
  std::vector<uint32_t> point_, ones_, general_in_, ones_in_;
};

}  // namespace hp
