// The parts of the eight-wide MSM by themselves, on lists that the whole seldom makes, for a build with sanitizers.
//
//   buckets CASES    lists and windows from a fixed seed; exits with 1 and a line for each wrong sum
//
// Points have small logarithms, so that sums meet each other everywhere: equal, opposite and infinite at every height of the
// trees, and what is right is known by adding integers.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "cpu.hpp"
#include "fixed_base.hpp"
#include "ifma/reduce8.hpp"

HP_WIDE_BEGIN
namespace {

using namespace hp;
using namespace hp::ifma;

std::mt19937_64 randomness(20);

size_t below(size_t n) { return randomness() % n; }

template <class F>
Affine<F> multiple(long k) {
  static const Affine<F> one = [] {
    if constexpr (sizeof(F) == sizeof(Fq)) return Affine<F>::load(params::g1_generator);
    else return Affine<F>::load(params::g2_generator);
  }();
  const uint64_t size = uint64_t(std::labs(k));
  const Affine<F> p = Xyzz<F>::from(one).times_vartime(&size, 64).to_affine();
  return k < 0 ? -p : p;
}

/// The logarithm of point i in one of several patterns.
int logarithm(size_t pattern, size_t i) {
  switch (pattern) {
    case 0: return 1;
    case 1: return below(2) ? 1 : -1;
    case 2: return i & 1 ? -4 : 4;
    case 3: return i >> 1 & 1 ? 2 : -2;   // cancels one level up,
    case 4: return i >> 2 & 1 ? 3 : -3;   // two,
    case 5: return i >> 4 & 1 ? 1 : -1;   // and four
    case 6: return __builtin_popcountll(i) & 1 ? 7 : -7;
    default: return below(2) ? int(1 + below(200)) : -int(1 + below(200));  // P + Q = R + S, 2 P = Q + R
  }
}
constexpr size_t patterns = 8;

size_t length(size_t kind, size_t i) {
  switch (kind) {
    case 0: return 1;
    case 1: return 1 + below(3);
    case 2: return 1 + i % 200;
    case 3: return 60 + below(10);  // about where lists are split
    case 4: return size_t(1) << below(8);
    default: return below(50) ? 1 + below(9) : 1 + below(3000);
  }
}
constexpr size_t kinds = 6;

template <class F>
class Bench {
  using E = typename CoordinateOf<F>::type;

 public:
  /// Buckets of lists of ±points, some beginning with a stored point, in place or not; the number of wrong ones.
  size_t lists(size_t kind, size_t pattern, bool in_place) {
    const size_t n = 1 + below(300);
    std::vector<Stored<E>> buckets(n, Stored<E>{}), other(n, Stored<E>{});
    std::vector<Stored<E>>& stored = in_place ? buckets : other;
    std::vector<std::uint32_t> references;
    std::vector<int> logs;
    std::vector<long> want(n);
    std::vector<List> lists;
    for (size_t b = 0; b < n; b++) {
      if (below(9) == 0) continue;  // an empty bucket
      const auto first = std::uint32_t(references.size());
      if (below(2)) {
        references.push_back(stored_bit | std::uint32_t(b));
        if (below(4)) stored[b] = prepared(want[b] = logarithm(pattern, b));  // else infinity
      }
      for (size_t i = 0, count = length(kind, b); i < count; i++) {
        const int log = logarithm(pattern, i);
        const bool negative = below(2);
        references.push_back(std::uint32_t(logs.size()) | (negative ? negative_bit : 0));
        logs.push_back(negative ? -log : log);
        want[b] += log;
      }
      lists.push_back({std::uint32_t(b), first, std::uint32_t(references.size()) - first});
    }
    Scratch<Stored<E>> points(logs.size() + 1);
    for (size_t i = 0; i < logs.size(); i++) points.get()[i] = prepared(logs[i]);
    references.shrink_to_fit();
    summer_.sum(reinterpret_cast<const std::uint8_t*>(points.get()), references.data(), lists, stored.data(), buckets.data());
    size_t wrong = 0;
    for (const List& l : lists) wrong += !(unscaled<F>(buckets[l.bucket]) == multiple<F>(want[l.bucket]));
    return wrong;
  }

  /// Weighted and plain sums of several windows' buckets; the number of wrong ones.
  size_t windows(size_t pattern) {
    const size_t count = 1 + below(5), n = size_t(8) << below(7), empty = 1 + below(4);
    std::vector<std::vector<Stored<E>>> buckets(count, std::vector<Stored<E>>(n, Stored<E>{}));
    std::vector<const Stored<E>*> first;
    std::vector<long> weighted(count), sum(count);
    for (size_t w = 0; w < count; w++) {
      for (size_t b = 0; b < n; b++) {
        if (below(4) < empty) continue;
        const int log = logarithm(pattern, b);
        buckets[w][b] = prepared(log);
        weighted[w] += long(b + 1) * log;
        sum[w] += log;
      }
      first.push_back(buckets[w].data());
    }
    const auto results = Reducer<E>(summer_).reduce(first, std::uint32_t(n));
    size_t wrong = 0;
    for (size_t w = 0; w < count; w++) {
      Xyzz<F> total = Xyzz<F>::infinity();
      for (const auto& part : results[w].parts) {
        auto p = Xyzz<F>::from(unscaled<F>(part.point));
        for (unsigned k = 0; k < part.shift; k++) p = p.twice();
        total.add(p);
      }
      wrong += !(total.to_affine() == multiple<F>(weighted[w]));
      wrong += !(unscaled<F>(results[w].plain) == multiple<F>(sum[w]));
    }
    return wrong;
  }

 private:
  BucketSummer<E> summer_;

  static Stored<E> prepared(long log) {
    static std::map<long, Stored<E>> known;
    const auto [it, fresh] = known.try_emplace(log);
    if (fresh) {
      const Affine<F> p = multiple<F>(log);
      alignas(64) std::uint8_t out[8][E::base_bytes];
      const std::uint8_t* same[8];
      std::fill_n(same, 8, reinterpret_cast<const std::uint8_t*>(&p));
      E::prepare(out[0], same, 0);
      std::memcpy(static_cast<void*>(&it->second), out[0], E::base_bytes);
    }
    return it->second;
  }
};

template <class F>
size_t all(const char* group, size_t cases) {
  Bench<F> bench;
  size_t wrong = 0;
  for (size_t i = 0; i < cases; i++) {
    const size_t kind = i % kinds, pattern = i / kinds % patterns;
    const size_t of_lists = bench.lists(kind, pattern, i & 1), of_windows = bench.windows(pattern);
    if (of_lists || of_windows)
      std::printf("wrong: %s case %zu, %zu buckets of kind %zu pattern %zu, %zu sums of windows\n", group, i, of_lists, kind,
                  pattern, of_windows);
    wrong += of_lists + of_windows;
  }
  return wrong;
}

}  // namespace
HP_WIDE_END

int main(int argc, char** argv) {
  if (!hp::cpu::has_ifma) {
    std::puts("buckets: this processor has no AVX-512 IFMA");
    return 0;
  }
  const size_t cases = argc > 1 ? size_t(std::atol(argv[1])) : 48;
  const size_t wrong = all<hp::Fq>("G1", cases) + all<hp::Fq2>("G2", cases);
  std::printf("buckets: %zu cases a group, %zu wrong\n", cases, wrong);
  return wrong != 0;
}
