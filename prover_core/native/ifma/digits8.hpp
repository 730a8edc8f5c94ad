// The digits of one window's scalars, sorted by the bucket that they name.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "ifma/buckets8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

/// Sorts in two steps, so that counters and the places written to stay in the first-level cache: by the upper bits of the
/// bucket, with places packed next to the lower bits, and part by part by those. Memory is kept from window to window.
class DigitSorter {
 public:
  static constexpr unsigned max_bits = 16;    // so that a digit fits 16 signed bits
  static constexpr unsigned place_bits = 20;  // of a place next to the lower bits of a bucket

  DigitSorter(size_t digits, size_t buckets) : packed_(digits), sorted_(digits + buckets) {}

  /// Bucket b, low <= b < high, gets a list of the places i where |digits[i]| = b + 1, marked where the digit is negative. Where
  /// used[b - low] is set the list begins with a reference to stored point b - low; afterwards it is set for every list.
  /// `List::bucket` counts from low. n: at most 2^place_bits and what the sorter was made for.
  void sort(const std::int16_t* digits, size_t n, size_t low, size_t high, std::uint8_t* used) {
    const std::uint32_t first = std::uint32_t(low) + 1, width = std::uint32_t(high - low);
    const std::uint32_t parts = (width + part_size - 1) / part_size, nowhere = parts * part_size;
    const auto bucket = [=](int digit) {
      const std::uint32_t b = std::uint32_t(std::abs(digit)) - first;
      return b < width ? b : nowhere;  // digit 0 and buckets outside: a last part, dropped
    };
    std::uint32_t at[most_parts + 1] = {}, end[most_parts + 1];
    for (size_t i = 0; i < n; i++) at[bucket(digits[i]) / part_size]++;
    for (std::uint32_t p = 0, sum = 0; p <= parts; p++) {
      sum += at[p];
      end[p] = sum;
      at[p] = sum - at[p];
    }
    std::uint32_t* const packed = packed_.get();
    for (size_t i = 0; i < n; i++) {
      const int d = digits[i];
      const std::uint32_t b = bucket(d);
      packed[at[b / part_size]++] = std::uint32_t(i) | (b % part_size) << place_bits | (std::uint32_t(d) & negative_bit);
    }
    lists_.clear();
    std::uint32_t total = 0;
    for (std::uint32_t p = 0; p < parts; p++)
      total = sort_part(packed + (p ? end[p - 1] : 0), packed + end[p], p * part_size, std::min(part_size, width - p * part_size),
                        used, total);
  }

  const std::vector<List>& lists() const { return lists_; }
  const std::uint32_t* references() const { return sorted_.get(); }

 private:
  static constexpr std::uint32_t part_size = 512, most_parts = (1u << (max_bits - 1)) / part_size;
  static constexpr std::uint32_t place_mask = (1u << place_bits) - 1;

  Scratch<std::uint32_t> packed_, sorted_;
  std::vector<List> lists_;

  /// The lists of buckets first .. first + n - 1 from their packed places; `total`: references so far, and then.
  std::uint32_t sort_part(const std::uint32_t* begin, const std::uint32_t* end, std::uint32_t first, std::uint32_t n,
                          std::uint8_t* used, std::uint32_t total) {
    std::uint32_t* const sorted = sorted_.get();
    std::uint32_t position[part_size] = {};
    for (const std::uint32_t* e = begin; e < end; e++) position[*e >> place_bits & (part_size - 1)]++;
    for (std::uint32_t k = 0; k < n; k++) {
      const std::uint32_t count = position[k], b = first + k;
      position[k] = total;
      if (count == 0) continue;
      const std::uint32_t stored = used[b];
      used[b] = 1;
      lists_.push_back({b, total, count + stored});
      if (stored) sorted[position[k]++] = stored_bit | b;
      total += count + stored;
    }
    for (const std::uint32_t* e = begin; e < end; e++)
      sorted[position[*e >> place_bits & (part_size - 1)]++] = *e & (negative_bit | place_mask);
    return total;
  }
};

}  // namespace hp::ifma
HP_WIDE_END
