#include "ntt.hpp"

#include <memory>
#include <utility>

#include "pool.hpp"
#include "roots.hpp"
#if defined(HP_IFMA)
#include "ifma/engine.hpp"
#endif

namespace hp {

const Roots& Roots::of(Kind kind) {
  switch (kind) {
    case Kind::plain: {
      static const Roots roots(Kind::plain);
      return roots;
    }
    case Kind::inverse: {
      static const Roots roots(Kind::inverse);
      return roots;
    }
    default: {
      static const Roots roots(Kind::odd);
      return roots;
    }
  }
}

Roots::Roots(Kind kind) : kind_(kind) {
  const unsigned levels = kind == Kind::odd ? max_quotient_log2 : max_ntt_log2;
  for (unsigned k = 1; k <= levels; k++) {
    Fr step = root_of_unity(k), factor = Fr::one();
    if (kind == Kind::inverse) step = step.inverse_vartime();
    if (kind == Kind::odd) factor = root_of_unity(k + 1);
    std::vector<Fr>& out = k <= table_levels ? table_[k] : low_[k];
    out.resize(k <= table_levels ? size_t(1) << (k - 1) : run);
    for (Fr& f : out) f = factor, factor *= step;
  }
}

namespace {

using Kind = Roots::Kind;

// A leaf, 512 KiB, is transformed completely while it is in the second-level cache.
constexpr unsigned leaf_log2 = 14;

/// Two levels of decimation in frequency, 2^k and 2^(k-1), for indices [begin, end) of a quarter of the 2^k elements at a.
void dif_two_levels(Fr* a, unsigned k, size_t begin, size_t end, const Roots& roots) {
  const size_t quarter = size_t(1) << (k - 2);
  Fr space[3][Roots::run];
  for (size_t j = begin; j < end;) {
    const size_t n = std::min(Roots::run, end - j);
    const Fr* w0 = roots.factors(k, j, n, space[0]);
    const Fr* w1 = roots.factors(k, j + quarter, n, space[1]);
    const Fr* v = roots.factors(k - 1, j, n, space[2]);
    for (size_t i = 0; i < n; i++, j++) {
      Fr &a0 = a[j], &a1 = a[j + quarter], &a2 = a[j + 2 * quarter], &a3 = a[j + 3 * quarter];
      const Fr y0 = a0 + a2, y2 = (a0 - a2) * w0[i];
      const Fr y1 = a1 + a3, y3 = (a1 - a3) * w1[i];
      a0 = y0 + y1;
      a1 = (y0 - y1) * v[i];
      a2 = y2 + y3;
      a3 = (y2 - y3) * v[i];
    }
  }
}

/// Two levels of decimation in time, 2^(k-1) and 2^k; the mirror of dif_two_levels.
void dit_two_levels(Fr* a, unsigned k, size_t begin, size_t end, const Roots& roots) {
  const size_t quarter = size_t(1) << (k - 2);
  Fr space[3][Roots::run];
  for (size_t j = begin; j < end;) {
    const size_t n = std::min(Roots::run, end - j);
    const Fr* w0 = roots.factors(k, j, n, space[0]);
    const Fr* w1 = roots.factors(k, j + quarter, n, space[1]);
    const Fr* v = roots.factors(k - 1, j, n, space[2]);
    for (size_t i = 0; i < n; i++, j++) {
      Fr &a0 = a[j], &a1 = a[j + quarter], &a2 = a[j + 2 * quarter], &a3 = a[j + 3 * quarter];
      const Fr t1 = a1 * v[i], t3 = a3 * v[i];
      const Fr y0 = a0 + t1, y1 = a0 - t1;
      const Fr y2 = (a2 + t3) * w0[i], y3 = (a2 - t3) * w1[i];
      a0 = y0 + y2;
      a2 = y0 - y2;
      a1 = y1 + y3;
      a3 = y1 - y3;
    }
  }
}

/// The last two levels of decimation in frequency, where three of four factors are 1.
void dif_fours(Fr* a, size_t n, const Fr& fourth_root) {
  for (Fr* p = a; p != a + n; p += 4) {
    const Fr y0 = p[0] + p[2], y2 = p[0] - p[2], y1 = p[1] + p[3], y3 = (p[1] - p[3]) * fourth_root;
    p[0] = y0 + y1, p[1] = y0 - y1, p[2] = y2 + y3, p[3] = y2 - y3;
  }
}

void dif_leaf(Fr* a, unsigned log2, const Roots& roots) {
  const size_t n = size_t(1) << log2;
  Fr space[Roots::run];
  unsigned k = log2;
  for (; k > 2; k -= 2)
    for (size_t at = 0; at < n; at += size_t(1) << k) dif_two_levels(a + at, k, 0, size_t(1) << (k - 2), roots);
  if (k == 2) dif_fours(a, n, roots.factors(2, 0, 2, space)[1]);
  if (k == 1)
    for (Fr* p = a; p != a + n; p += 2) {
      const Fr sum = p[0] + p[1];
      p[1] = p[0] - p[1];
      p[0] = sum;
    }
}

void dit_leaf(Fr* a, unsigned log2, const Roots& roots) {
  const size_t n = size_t(1) << log2;
  Fr space[Roots::run];
  unsigned k = 2;
  if (log2 % 2 == 1) {
    const Fr factor = *roots.factors(1, 0, 1, space);
    for (Fr* p = a; p != a + n; p += 2) {
      const Fr t = p[1] * factor;
      p[1] = p[0] - t;
      p[0] = p[0] + t;
    }
    k = 3;
  }
  for (; k <= log2; k += 2)
    for (size_t at = 0; at < n; at += size_t(1) << k) dit_two_levels(a + at, k, 0, size_t(1) << (k - 2), roots);
}

void dif_serial(Fr* a, unsigned log2, const Roots& roots) {
  if (log2 <= leaf_log2) return dif_leaf(a, log2, roots);
  const size_t quarter = size_t(1) << (log2 - 2);
  dif_two_levels(a, log2, 0, quarter, roots);
  for (int i = 0; i < 4; i++) dif_serial(a + size_t(i) * quarter, log2 - 2, roots);
}

void dit_serial(Fr* a, unsigned log2, const Roots& roots) {
  if (log2 <= leaf_log2) return dit_leaf(a, log2, roots);
  const size_t quarter = size_t(1) << (log2 - 2);
  for (int i = 0; i < 4; i++) dit_serial(a + size_t(i) * quarter, log2 - 2, roots);
  dit_two_levels(a, log2, 0, quarter, roots);
}

/// How many levels to do side by side before the blocks outnumber the threads four to one; even.
unsigned shared_levels(unsigned log2, unsigned threads) {
  unsigned levels = 0;
  while (threads > 1 && (size_t(1) << levels) < 4 * size_t(threads) && log2 - levels >= 10) levels += 2;
  return levels;
}

/// One two-level pass over every block of 2^k among the 2^log2 elements, all threads together.
template <class Pass>
void shared_pass(unsigned log2, unsigned k, unsigned threads, const Pass& pass) {
  const size_t quarter = size_t(1) << (k - 2), piece = std::min(quarter, size_t(1024));
  const size_t pieces = quarter / piece, blocks = size_t(1) << (log2 - k);
  parallel_for(blocks * pieces, threads, [&](size_t i) {
    const size_t begin = i % pieces * piece;
    pass(i / pieces << k, begin, begin + piece);
  });
}

/// Natural order to bit-reversed order.
void dif(Fr* a, unsigned log2, const Roots& roots, unsigned threads) {
  const unsigned levels = shared_levels(log2, threads);
  for (unsigned k = log2; k > log2 - levels; k -= 2)
    shared_pass(log2, k, threads, [&](size_t at, size_t begin, size_t end) { dif_two_levels(a + at, k, begin, end, roots); });
  parallel_for(size_t(1) << levels, threads, [&](size_t i) { dif_serial(a + (i << (log2 - levels)), log2 - levels, roots); });
}

/// Bit-reversed order to natural order.
void dit(Fr* a, unsigned log2, const Roots& roots, unsigned threads) {
  const unsigned levels = shared_levels(log2, threads);
  parallel_for(size_t(1) << levels, threads, [&](size_t i) { dit_serial(a + (i << (log2 - levels)), log2 - levels, roots); });
  for (unsigned k = log2 - levels + 2; k <= log2; k += 2)
    shared_pass(log2, k, threads, [&](size_t at, size_t begin, size_t end) { dit_two_levels(a + at, k, begin, end, roots); });
}

size_t reverse_bits(size_t x, unsigned bits) {
  size_t r = 0;
  for (unsigned i = 0; i < bits; i++) r |= (x >> i & 1) << (bits - 1 - i);
  return r;
}

/// a[i] <-> a[reverse(i)], in tiles of 32 rows of 32 neighbours, so that every cache line moved is used whole.
void bit_reverse(Fr* a, unsigned log2, unsigned threads) {
  constexpr unsigned q = 5;
  if (log2 < 2 * q) {
    for (size_t i = 0; i < size_t(1) << log2; i++) {
      const size_t j = reverse_bits(i, log2);
      if (i < j) std::swap(a[i], a[j]);
    }
    return;
  }
  constexpr size_t side = size_t(1) << q;
  const unsigned middle_bits = log2 - 2 * q;
  size_t reversed[side];
  for (size_t i = 0; i < side; i++) reversed[i] = reverse_bits(i, q);
  parallel_ranges(size_t(1) << middle_bits, 4, threads, [&](size_t begin, size_t end) {
    const auto tiles = std::make_unique<Fr[]>(2 * side * side);
    Fr* mine = tiles.get();
    Fr* other = mine + side * side;
    const auto load = [&](Fr* tile, size_t middle) {
      for (size_t high = 0; high < side; high++)
        for (size_t low = 0; low < side; low++)
          tile[reversed[low] * side + reversed[high]] = a[high << (log2 - q) | middle << q | low];
    };
    const auto store = [&](const Fr* tile, size_t middle) {
      for (size_t high = 0; high < side; high++)
        std::memcpy(a + (high << (log2 - q) | middle << q), tile + high * side, side * sizeof(Fr));
    };
    for (size_t middle = begin; middle < end; middle++) {
      const size_t mirror = reverse_bits(middle, middle_bits);
      if (mirror < middle) continue;
      load(mine, middle);
      if (mirror != middle) load(other, mirror);
      store(mine, mirror);
      if (mirror != middle) store(other, middle);
    }
  });
}

/// x, y, z: values of A, B, C on the domain; x becomes A B - C at the odd points, canonical, and y and z are spoiled.
void combine(Fr* x, Fr* y, Fr* z, unsigned log2, unsigned threads) {
  const size_t n = size_t(1) << log2;
  for (Fr* p : {x, y, z}) {
    dif(p, log2, Roots::of(Kind::inverse), threads);
    dit(p, log2, Roots::of(Kind::odd), threads);
  }
  // x, y, z are now n A, n B, n C: with 1/n^2 as a plain integer one Montgomery product scales and leaves the form at once.
  const Fr size = Fr::from_u64(n);
  Fr scale;
  size.square().inverse_vartime().to_canonical(scale.v);
  parallel_ranges(n, 1024, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) x[i] = (x[i] * y[i] - z[i] * size) * scale;
  });
}

}  // namespace

void ntt(Fr* a, unsigned log2, bool inverse, unsigned threads, Isa isa) {
  if (threads == 0) threads = default_threads();
#if defined(HP_IFMA)
  if (ifma::takes(log2, isa)) return ifma::ntt(a, log2, inverse, threads);
#endif
  (void)isa;
  dif(a, log2, Roots::of(inverse ? Kind::inverse : Kind::plain), threads);
  bit_reverse(a, log2, threads);
  if (!inverse) return;
  const Fr scale = Fr::from_u64(uint64_t(1) << log2).inverse_vartime();
  parallel_ranges(size_t(1) << log2, 1024, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) a[i] *= scale;
  });
}

void quotient(const unsigned char* a, const unsigned char* b, const unsigned char* c, unsigned log2, Fr* out,
              unsigned threads, Isa isa) {
  if (threads == 0) threads = default_threads();
#if defined(HP_IFMA)
  if (ifma::takes(log2, isa)) return ifma::quotient(a, b, c, log2, out, threads);
#endif
  (void)isa;
  const size_t n = size_t(1) << log2;
  const std::unique_ptr<Fr[]> space(new Fr[2 * n]);
  Fr *x = out, *y = space.get(), *z = y + n;
  parallel_ranges(n, 1024, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      x[i] = Fr::load(a + 32 * i);
      y[i] = Fr::load(b + 32 * i);
      z[i] = c ? Fr::load(c + 32 * i) : x[i] * y[i];
    }
  });
  combine(x, y, z, log2, threads);
}

void quotient_in_place(Fr* a, Fr* b, unsigned log2, unsigned threads, Isa isa) {
  if (threads == 0) threads = default_threads();
#if defined(HP_IFMA)
  if (ifma::takes(log2, isa)) return ifma::quotient_in_place(a, b, log2, threads);
#endif
  (void)isa;
  const size_t n = size_t(1) << log2;
  const std::unique_ptr<Fr[]> c(new Fr[n]);
  parallel_ranges(n, 1024, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) c[i] = a[i] * b[i];
  });
  combine(a, b, c.get(), log2, threads);
}

}  // namespace hp
