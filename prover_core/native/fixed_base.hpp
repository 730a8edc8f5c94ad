// k_i * B for one base and many scalars, for the setup of keys.
#pragma once
#include <vector>

#include "isa.hpp"
#if defined(HP_IFMA)
#include "ifma/engine.hpp"
#endif

#include "batch_affine.hpp"
#include "pool.hpp"
#include "windows.hpp"

namespace hp {

/// The multiples d 2^(c w) B, 1 <= d <= 2^(c-1), of every window w, affine.
template <class F>
class FixedBase {
 public:
  /// c is chosen for n scalars: about count(c) * 2^(c-1) additions here against count(c) * n in `multiply`.
  FixedBase(const Affine<F>& base, size_t n, unsigned threads)
      : windows_(SignedWindows::cheapest(n, 1.0, sizeof(F) > 32 ? 15 : 16)), threads_(threads) {
    std::vector<Affine<F>> powers;
    Xyzz<F> power = Xyzz<F>::from(base);
    for (unsigned w = 0; w < windows_.count; w++) {
      powers.push_back(power.to_affine());
      for (unsigned k = 0; k < windows_.bits; k++) power = power.twice();
    }
    table_.resize(windows_.count);
    parallel_for(windows_.count, threads_, [&](size_t w) {
      AdditionQueue<F> queue;
      const size_t size = windows_.buckets();
      auto& table = table_[w];
      table.resize(size);
      table[0] = powers[w];
      for (size_t known = 1; known < size; known *= 2) {  // table[known + j] = table[known - 1] + table[j]
        for (size_t j = 0; j < known && known + j < size; j++)
          queue.push(&table[known - 1], false, &table[j], false, &table[known + j]);
        queue.flush();
      }
    });
  }

  /// out[i] = scalars[i] * B for canonical scalars; std::invalid_argument if one is not below r. count(c) additions each.
  void multiply(const unsigned char* scalars, size_t n, unsigned char* out) const {
    const size_t tasks = (n + block_size - 1) / block_size;
    parallel_for(tasks, threads_, [&](size_t task) {
      const size_t begin = task * block_size, size = std::min(block_size, n - begin);
      multiply_block(scalars + 32 * begin, size, out + begin * sizeof(Affine<F>));
    });
  }

 private:
  static constexpr size_t block_size = 2048;

  void multiply_block(const unsigned char* scalars, size_t n, unsigned char* out) const {
    AdditionQueue<F> queue;
    std::vector<Affine<F>> sums(n, Affine<F>::infinity());
    std::vector<uint64_t> shifted(4 * n);
    std::vector<unsigned char> negative(n);
    const SignedWindows::Kind zero = SignedWindows::Kind::zero;
    std::vector<uint32_t> live;
    for (size_t i = 0; i < n; i++) {
      uint64_t k[4];
      std::memcpy(k, scalars + 32 * i, 32);
      bool minus;
      const auto kind = windows_.recode(k, &shifted[4 * i], minus);
      negative[i] = minus;
      if (kind == zero) continue;
      if (kind == SignedWindows::Kind::general)
        live.push_back(uint32_t(i));
      else
        sums[i] = minus ? -table_[0][0] : table_[0][0];
    }
    for (unsigned w = 0; w < windows_.count; w++) {
      for (uint32_t i : live) {
        const int64_t digit = windows_.digit(&shifted[4 * i], w);
        if (digit == 0) continue;
        const Affine<F>& multiple = table_[w][size_t(digit < 0 ? -digit : digit) - 1];
        const bool minus = (digit < 0) != bool(negative[i]);
        if (w == 0)
          sums[i] = minus ? -multiple : multiple;
        else
          queue.push(&sums[i], false, &multiple, minus, &sums[i]);
      }
      queue.flush();
    }
    if (n) std::memcpy(out, sums.data(), n * sizeof(Affine<F>));
  }

  SignedWindows windows_;
  unsigned threads_;
  std::vector<std::vector<Affine<F>>> table_;
};

/// out[i] = scalars[i] * base: n canonical scalars of 32 bytes each, n affine points. std::invalid_argument, with out spoiled, if a
/// scalar is not below r. Threads: 0 for the default.
template <class F>
void fixed_base(const Affine<F>& base, const unsigned char* scalars, size_t n, unsigned char* out, unsigned threads, Isa isa) {
#if defined(HP_IFMA)
  constexpr size_t fewest = 256;  // below, rows are too few to share an inversion
  if (isa == Isa::best && n >= fewest && cpu::has_ifma && !base.is_infinity()) return ifma::fixed_base<F>(base, scalars, n, out, threads);
#endif
  (void)isa;
  FixedBase<F>(base, n, threads).multiply(scalars, n, out);
}

}  // namespace hp
