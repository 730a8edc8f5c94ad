// Pedersen sums over fixed generators of Grumpkin, with all windows in one set of buckets.
//
// 2^(8 w) G_i is kept for all 32 windows w, so that a sum over n generators is one bucket sum of up to 32 n points with
// digits in [-128, 128): no doublings, and buckets that stay open while more is added.
#pragma once
#include <cstring>
#include <vector>

#include "../batch_affine.hpp"
#include "../pool.hpp"
#include "grumpkin.hpp"

namespace hp::grumpkin {

inline constexpr unsigned window_bits = 8, windows = 32;
inline constexpr size_t buckets_per_sum = size_t(1) << (window_bits - 1);

/// Digits of a canonical scalar below 2^254, least significant first, each in [-128, 128).
inline void signed_digits(const uint64_t k[4], int8_t out[windows]) {
  unsigned carry = 0;
  for (unsigned w = 0; w < windows; w++) {
    const unsigned digit = unsigned(k[w / 8] >> (8 * (w % 8)) & 255) + carry;
    carry = digit >= 128;
    out[w] = int8_t(digit - (carry ? 256 : 0));
  }
}

/// 2^(8 w) G_i, all windows of a generator together: 2 KiB each.
class Generators {
 public:
  Generators(const Point* points, size_t n, unsigned threads) : n_(n), table_(n * windows) {
    parallel_ranges(n, 8, threads, [&](size_t begin, size_t end) {
      std::vector<Sum> sums;
      std::vector<Fr> inverses, scratch;
      for (size_t i = begin; i < end; i++) {
        Sum s = Sum::from(points[i]);
        for (unsigned w = 0; w < windows; w++) {
          sums.push_back(s);
          for (unsigned k = 0; k < window_bits; k++) s = s.twice();
        }
      }
      for (const Sum& s : sums) inverses.push_back(s.zzz);
      scratch.resize(inverses.size());
      batch_inverse(inverses.data(), scratch.data(), inverses.size());
      for (size_t j = 0; j < sums.size(); j++) {
        const Fr z_inverse = sums[j].zz * inverses[j];
        table_[begin * windows + j] = {sums[j].x * z_inverse.square(), sums[j].y * inverses[j]};
      }
    });
  }
  size_t size() const { return n_; }
  const Point& multiple(size_t i, unsigned window) const { return table_[i * windows + window]; }
  const Point& operator[](size_t i) const { return multiple(i, 0); }

 private:
  size_t n_;
  std::vector<Point> table_;
};

/// Open buckets of one sum.
using Buckets = std::vector<Point>;

/// What adding to buckets needs besides; one a thread.
class BucketAdder {
 public:
  explicit BucketAdder(const Generators& generators) : generators_(generators) {}

  /// buckets += sum_i scalars[i] G_{first + i}, scalars Montgomery elements of Fq. About 32 additions a scalar.
  void add(Buckets& buckets, const Fq* scalars, size_t first, size_t n) {
    begin(buckets);
    for (size_t i = 0; i < n; i++) collect(scalars[i], first + i);
    spread(buckets);
  }

  /// The same for generators that lie `stride` apart, first, first + stride, ...
  void add_strided(Buckets& buckets, const Fq* scalars, size_t first, size_t stride, size_t n) {
    begin(buckets);
    for (size_t i = 0; i < n; i++) collect(scalars[i], first + i * stride);
    spread(buckets);
  }

  /// sum_b (b + 1) bucket_b: 256 additions.
  static Sum reduce(const Buckets& buckets) {
    Sum running = Sum::infinity(), total = running;
    for (size_t b = buckets.size(); b-- > 0;) {
      running.add(buckets[b]);
      total.add(running);
    }
    return total;
  }

  Sum sum(const Fq* scalars, size_t first, size_t n) {
    Buckets buckets;
    add(buckets, scalars, first, n);
    return reduce(buckets);
  }

 private:
  struct Term {
    const Point* point;
    uint32_t bucket;
    bool negative;
  };

  void begin(Buckets& buckets) {
    if (buckets.empty()) buckets.assign(buckets_per_sum, Point::infinity());
    terms_.clear();
    std::memset(count_, 0, sizeof count_);
  }

  void collect(const Fq& scalar, size_t generator) {
    if (scalar.is_zero()) return;
    uint64_t k[4];
    scalar.to_canonical(k);
    int8_t digits[windows];
    signed_digits(k, digits);
    for (unsigned w = 0; w < windows; w++) {
      if (digits[w] == 0) continue;
      const uint32_t bucket = uint32_t(digits[w] < 0 ? -digits[w] : digits[w]) - 1;
      count_[bucket]++;
      terms_.push_back({&generators_.multiple(generator, w), bucket, digits[w] < 0});
    }
  }

  void spread(Buckets& buckets) {
    uint32_t first[buckets_per_sum], position = 0;
    for (size_t b = 0; b < buckets_per_sum; b++) first[b] = position, position += count_[b];
    sorted_.resize(position);
    for (const Term& t : terms_) sorted_[first[t.bucket]++] = t;
    sums_.resize(position / 2 + 1);
    starts_.clear(), owner_.clear(), lengths_.clear();
    uint32_t used = 0;
    for (uint32_t b = 0; b < buckets_per_sum; b++) {
      const uint32_t n = count_[b];
      if (n == 0) continue;
      const Term* list = sorted_.data() + first[b] - n;
      if (n & 1) queue_.push(list[n - 1].point, list[n - 1].negative, &buckets[b], false, &buckets[b]);
      if (n < 2) continue;
      starts_.push_back(used), owner_.push_back(b), lengths_.push_back(n / 2);
      for (uint32_t j = 0; j + 1 < n; j += 2)
        queue_.push(list[j].point, list[j].negative, list[j + 1].point, list[j + 1].negative, &sums_[used++]);
    }
    queue_.flush();
    sum_segments(queue_, sums_.data(), starts_.data(), lengths_.data(), owner_.size(), active_);
    for (size_t i = 0; i < owner_.size(); i++) {
      Point* bucket = &buckets[owner_[i]];
      queue_.push(&sums_[starts_[i]], false, bucket, false, bucket);
    }
    queue_.flush();
  }

  const Generators& generators_;
  AdditionQueue<Fr> queue_;
  std::vector<Term> terms_, sorted_;
  std::vector<Point> sums_;
  std::vector<uint32_t> starts_, owner_, lengths_, active_;
  uint32_t count_[buckets_per_sum];
};

/// sum_i k_i P_i for points that are not fixed, k_i Montgomery: digits of 4 bits, shared doublings. About 64 additions a
/// point and 254 doublings.
inline Sum straus(const Point* points, const Fq* scalars, size_t n) {
  constexpr unsigned bits = 4, count = 64, half = 8;
  std::vector<Sum> tables(n * half);
  std::vector<int8_t> digits(n * count);
  for (size_t i = 0; i < n; i++) {
    tables[i * half] = Sum::from(points[i]);
    for (unsigned j = 1; j < half; j++) {
      tables[i * half + j] = tables[i * half + j - 1];
      tables[i * half + j].add(points[i]);
    }
    uint64_t k[4];
    scalars[i].to_canonical(k);
    unsigned carry = 0;
    for (unsigned w = 0; w < count; w++) {
      const unsigned digit = unsigned(k[w / 16] >> (bits * (w % 16)) & 15) + carry;
      carry = digit > half;
      digits[i * count + w] = int8_t(int(digit) - (carry ? 16 : 0));
    }
  }
  Sum total = Sum::infinity();
  for (unsigned w = count; w-- > 0;) {
    for (unsigned k = 0; k < bits; k++) total = total.twice();
    for (size_t i = 0; i < n; i++) {
      const int digit = digits[i * count + w];
      if (digit == 0) continue;
      const Sum& multiple = tables[i * half + unsigned(digit < 0 ? -digit : digit) - 1];
      total.add(digit < 0 ? -multiple : multiple);
    }
  }
  return total;
}

}  // namespace hp::grumpkin
