// k_i * B for one base and many scalars on AVX-512 IFMA, behind the interface of fixed_base.hpp.
//
// One table of the multiples d 2^(c w) B, 1 <= d <= 2^(c-1), of every window w. A lane is a scalar: window by window the
// multiples that its digits choose are added to the sums of some 2,000 scalars, which share one inversion.
#include "ifma/buckets8.hpp"
#include "ifma/engine.hpp"
#include "pool.hpp"
#include "windows.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {
namespace {

template <class F>
class FixedBase8 {
  using E = typename CoordinateOf<F>::type;

 public:
  FixedBase8(const Affine<F>& base, size_t n, unsigned threads)
      : windows_(SignedWindows::cheapest(n, entry_cost, max_bits)), threads_(threads) {
    std::vector<Xyzz<F>> powers(windows_.count, Xyzz<F>::from(base));
    for (unsigned w = 1; w < windows_.count; w++) {
      powers[w] = powers[w - 1];
      for (unsigned k = 0; k < windows_.bits; k++) powers[w] = powers[w].twice();
    }
    for (unsigned w = 0; w < windows_.count; w++) table_.emplace_back(windows_.buckets());
    parallel_for(windows_.count, threads_, [&](size_t w) { tabulate(powers[w], table_[w].get()); });
  }

  /// windows_.count additions a scalar.
  void multiply(const unsigned char* scalars, size_t n, unsigned char* out) const {
    parallel_ranges((n + block - 1) / block, 1, threads_, [&](size_t from, size_t to) {
      Desk desk(windows_.count);
      for (size_t begin = from * block; begin < std::min(n, to * block); begin += block)
        multiply_block(scalars + 32 * begin, std::min(block, n - begin), out + begin * sizeof(Affine<F>), desk);
    });
  }

 private:
  static constexpr double entry_cost = 1.2;  // in additions, of a table that may serve no second call
  static constexpr unsigned max_bits = 13;  // larger tables leave the second-level cache: 16 bits measured a quarter slower
  static constexpr size_t block = 2048, block_rows = block / 8;
  static constexpr std::uint32_t absent = stored_bit;
  static constexpr Stored<E> nothing{};

  SignedWindows windows_;
  unsigned threads_;
  std::vector<Scratch<Stored<E>>> table_;  // [w][d - 1]

  /// The multiples 1 .. 2^(c-1) of a point, doubling their number eight at a time.
  void tabulate(const Xyzz<F>& point, Stored<E>* table) const {
    const size_t rows = windows_.buckets() / 8;
    const Scratch<Row<E>> space(rows + 1);
    Row<E>* row = space.get();
    alignas(64) std::uint8_t first[8][E::base_bytes];
    const std::uint8_t* p[8];
    Xyzz<F> multiple = point;
    for (int i = 0; i < 8; i++) {
      const Affine<F> affine = multiple.to_affine();
      std::memcpy(first[i], &affine, sizeof affine);
      p[i] = first[i];
      multiple.add(point);
    }
    E::prepare(first[0], p, 0);
    E::load(row[0].x, row[0].y, p, 0);
    Round<E> round;
    for (size_t known = 1; known < rows; known *= 2) {
      Row<E>& last = row[rows];  // the largest multiple known, in all lanes
      for (int j = 0; j < E::words; j++) {
        last.x.limbs()[j] = _mm512_permutexvar_epi64(word(7), row[known - 1].x.limbs()[j]);
        last.y.limbs()[j] = _mm512_permutexvar_epi64(word(7), row[known - 1].y.limbs()[j]);
      }
      for (size_t begin = 0; begin < known; begin += block_rows) {
        round.clear();
        for (size_t r = begin; r < std::min(known, begin + block_rows); r++)
          round.push({std::uint32_t(r), std::uint32_t(rows), std::uint32_t(known + r), true});  // true keeps `last`
        round.add(row);
      }
    }
    for (size_t r = 0; r < rows; r++) store_rows(row[r], table + 8 * r);
  }

  /// What one block needs.
  struct Desk {
    explicit Desk(unsigned windows) : rows(2 * block_rows), chosen(size_t(windows) * block) { live.reserve(block); }
    Scratch<Row<E>> rows;                  // sums, then what is added to them
    std::vector<std::uint32_t> chosen;     // [w][live scalar]: digit - 1 and sign, or absent
    std::vector<std::uint32_t> live;       // the scalars that are neither 0 nor 1 nor -1
    Round<E> round;
  };

  void multiply_block(const unsigned char* scalars, size_t n, unsigned char* out, Desk& desk) const {
    desk.live.clear();
    recode(scalars, n, out, desk);
    const size_t rows = (desk.live.size() + 7) / 8;
    for (size_t i = desk.live.size(); i < 8 * rows; i++)
      for (unsigned w = 0; w < windows_.count; w++) desk.chosen[w * block + i] = absent;
    Row<E>* sums = desk.rows.get();
    std::vector<std::uint8_t> blank(rows);
    for (size_t r = 0; r < rows; r++) blank[r] = choose(sums[r], 0, &desk.chosen[8 * r]);
    for (unsigned w = 1; w < windows_.count; w++) {
      desk.round.clear();
      for (size_t r = 0; r < rows; r++) {
        const bool absent_lane = choose(sums[rows + r], w, &desk.chosen[w * block + 8 * r]);
        desk.round.push({std::uint32_t(r), std::uint32_t(rows + r), std::uint32_t(r), blank[r] || absent_lane});
        desk.round.enter(sums);
      }
      size_t next = 0;
      const bool cancelled = desk.round.invert(sums);
      desk.round.finish(sums, sums, [](size_t) {}, [&] {
        if (w + 1 < windows_.count && next < 8 * rows) prefetch(w + 1, &desk.chosen[(w + 1) * block + next]), next += 2;
      });
      for (size_t r = 0; r < rows; r++)
        if (blank[r] | cancelled) blank[r] = sums[r].y.blank() != 0;
    }
    for (size_t r = 0; r < rows; r++) store(sums[r], desk.live, 8 * r, out);
  }

  /// Writes the multiples of -1, 0 and 1, and the digits of the rest.
  void recode(const unsigned char* scalars, size_t n, unsigned char* out, Desk& desk) const {
    for (size_t i = 0; i < n; i++) {
      u64 k[4], shifted[4];
      std::memcpy(k, scalars + 32 * i, 32);
      bool negative;
      const auto kind = windows_.recode(k, shifted, negative);
      const std::uint32_t sign = negative ? negative_bit : 0;
      if (kind == SignedWindows::Kind::zero) {
        std::memset(out + i * sizeof(Affine<F>), 0, sizeof(Affine<F>));  // infinity
        continue;
      }
      if (kind != SignedWindows::Kind::general) {
        Row<E> row;
        const std::uint32_t one[8] = {sign, absent, absent, absent, absent, absent, absent, absent};
        choose(row, 0, one);
        store(row, {std::uint32_t(i)}, 0, out);
        continue;
      }
      const size_t at = desk.live.size();
      desk.live.push_back(std::uint32_t(i));
      for (unsigned w = 0; w < windows_.count; w++) {
        const std::int64_t digit = windows_.digit(shifted, w);
        desk.chosen[w * block + at] =
            digit == 0 ? absent : (std::uint32_t(std::abs(digit)) - 1) | (sign ^ (digit < 0 ? negative_bit : 0));
      }
    }
  }

  /// Eight entries of window w as lanes; true if some are absent.
  bool choose(Row<E>& row, unsigned w, const std::uint32_t* chosen) const {
    const Stored<E>* p[8];
    unsigned negative = 0, missing = 0;
    for (unsigned i = 0; i < 8; i++) {
      const bool none = chosen[i] & absent;
      p[i] = none ? &nothing : table_[w].get() + (chosen[i] & index_mask);
      missing |= unsigned(none) << i;
      negative |= (chosen[i] >> 31) << i;
    }
    load_rows(row, p);
    row.y = E::select(__mmask8(negative), row.y, E::minus(E::zero(), row.y));
    return missing != 0;
  }

  /// Asks for the two entries of window w that are chosen next.
  [[gnu::always_inline]] void prefetch(unsigned w, const std::uint32_t* chosen) const {
    for (size_t i = 0; i < 2; i++) {
      const std::uint32_t c = chosen[i];
      const char* p = reinterpret_cast<const char*>(table_[w].get() + (c & absent ? 0 : c & index_mask));
      for (size_t k = 0; k < sizeof(Stored<E>); k += 64) _mm_prefetch(p + k, _MM_HINT_T1);
    }
  }

  /// The lanes of a row to the places in `out` of scalars live[first], live[first + 1] …
  static void store(const Row<E>& row, const std::vector<std::uint32_t>& live, size_t first, unsigned char* out) {
    std::uint8_t unused[sizeof(Affine<F>)];
    std::uint8_t* p[8];
    for (size_t i = 0; i < 8; i++) p[i] = first + i < live.size() ? out + size_t(live[first + i]) * sizeof(Affine<F>) : unused;
    E::store(p, row.x, row.y, row.y.blank());
  }
};

}  // namespace

template <class F>
void fixed_base(const Affine<F>& base, const unsigned char* scalars, size_t n, unsigned char* out, unsigned threads) {
  if (threads == 0) threads = default_threads();
  FixedBase8<F>(base, n, threads).multiply(scalars, n, out);
}
template void fixed_base<Fq>(const Affine<Fq>&, const unsigned char*, size_t, unsigned char*, unsigned);
template void fixed_base<Fq2>(const Affine<Fq2>&, const unsigned char*, size_t, unsigned char*, unsigned);

}  // namespace hp::ifma
HP_WIDE_END
