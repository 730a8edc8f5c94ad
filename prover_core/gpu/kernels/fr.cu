// The scalar field: elementwise operations, sparse products, the number-theoretic transform and the quotient's steps.
#include "field.cuh"

using namespace hp;

namespace {

constexpr uint32_t block = 256;
/// Elements a block of the transform holds in shared memory, and log2 of the most rows among them.
constexpr uint32_t tile = 1024, most_rows = 8;
/// Powers of the root of unity in one table; higher exponents take a second table and one more product.
constexpr uint32_t low_bits = 22;

/// w^e for the 2^level-th root w whose powers `low` holds, and `high` those of w^(2^22); e < 2^level.
HP_INLINE Fr power(const Fr* low, const Fr* high, uint32_t e) {
  const uint32_t in_low = e & ((1u << low_bits) - 1), in_high = e >> low_bits;
  const Fr x = low[in_low];
  return in_high == 0 ? x : x * high[in_high];
}

/// Elements in two planes of 16 bytes, so that neighbouring threads touch neighbouring banks.
struct alignas(16) Quarter {
  uint32_t v[4];
};
struct Tile {
  Quarter low[tile], high[tile];

  HP_INLINE Fr get(uint32_t i) const {
    const Quarter a = low[i], b = high[i];
    return {{a.v[0], a.v[1], a.v[2], a.v[3], b.v[0], b.v[1], b.v[2], b.v[3]}};
  }
  HP_INLINE void put(uint32_t i, const Fr& x) {
    low[i] = {{x.v[0], x.v[1], x.v[2], x.v[3]}};
    high[i] = {{x.v[4], x.v[5], x.v[6], x.v[7]}};
  }
};

HP_INLINE uint32_t reversed(uint32_t x, uint32_t bits) {
  uint32_t r = 0;
  for (uint32_t i = 0; i < bits; i++) r |= (x >> i & 1) << (bits - 1 - i);
  return r;
}

}  // namespace

/// out[i] = a[i] b[i].
extern "C" __global__ void __launch_bounds__(block) fr_mul(const Fr* a, const Fr* b, uint32_t n, Fr* out) {
  const uint32_t i = global_thread();
  if (i < n) out[i] = a[i] * b[i];
}

/// out[i] = w^(i 2^shift) for i < n, where root[k] is the 2^k-th root of unity and w = root[level].
extern "C" __global__ void __launch_bounds__(block)
    fr_powers(const Fr* root, uint32_t level, uint32_t shift, uint32_t n, Fr* out) {
  const uint32_t i = global_thread();
  if (i >= n) return;
  Fr x = Fr::one();
  for (uint32_t j = 0; j + shift < level; j++)
    if (i >> j & 1) x = x * root[level - shift - j];
  out[i] = x;
}

/// x[i] *= factor w^i, with w the 2^(log_n + 1)-th root of unity: coefficients moved to the odd points.
extern "C" __global__ void __launch_bounds__(block)
    fr_to_odd_points(Fr* x, uint32_t log_n, const Fr* low, const Fr* high, uint32_t level, const Fr* factor) {
  const uint32_t i = global_thread();
  if (i < 1u << log_n) x[i] = x[i] * power(low, high, i << (level - log_n - 1)) * *factor;
}

/// out[i] = a[i] b[i] - c[i], canonical.
extern "C" __global__ void __launch_bounds__(block)
    fr_quotient(const Fr* a, const Fr* b, const Fr* c, uint32_t n, Fr* out) {
  const uint32_t i = global_thread();
  if (i < n) out[i] = (a[i] * b[i] - c[i]).to_canonical();
}

/// One pass of the transform in Stockham's order: natural order in and out, no pass that only moves.
///
/// N = 2^log_n, s = 2^log_s (the product of the passes before), R = 2^log_r, n = N / s, m = n / R. With p < m, q < s:
///
///     out[q + s (R p + k)] = w_n^(p k) sum_j in[q + s (p + m j)] w_R^(j k),   k < R.
///
/// A block takes 1024 / R neighbouring columns g = s p + q, whose inputs in[g + (N / R) j] are neighbours too, and
/// transforms them in shared memory. Butterflies: N/2 log_r products, N more for w_n^(p k) unless it is the last pass.
/// The last pass multiplies by *scale if there is one.
extern "C" __global__ void __launch_bounds__(block)
    ntt_pass(const Fr* in, Fr* out, uint32_t log_n, uint32_t log_s, uint32_t log_r, uint32_t inverse, const Fr* low,
             const Fr* high, uint32_t level, const Fr* scale) {
  __shared__ Tile shared;
  const uint32_t log_t = most_rows + 2 - log_r, rows = 1u << log_r, columns = 1u << log_t;
  const uint32_t stride = 1u << (log_n - log_r), first = blockIdx.x << log_t, size = 1u << log_n;
  const auto root = [&](uint32_t e) {  // w_N^e, e < N
    return power(low, high, (inverse ? (size - e) & (size - 1) : e) << (level - log_n));
  };

  for (uint32_t i = threadIdx.x; i < tile; i += block) {
    const uint32_t j = i >> log_t, g = first + (i & (columns - 1));
    if (g < stride) shared.put(i, in[g + uint64_t(stride) * j]);
  }
  for (uint32_t half = rows / 2; half > 0; half /= 2) {
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < tile / 2; i += block) {
      const uint32_t column = i & (columns - 1), u = i >> log_t, j = u & (half - 1);
      if (first + column >= stride) continue;
      const uint32_t a = ((2 * u - j) << log_t) + column, b = a + (half << log_t);
      const Fr x = shared.get(a), y = shared.get(b);
      shared.put(a, x + y);
      // w_{2 half}^j; exponents reach N / 2 and no further
      shared.put(b, j == 0 ? x - y : (x - y) * root(j * (size / 2 / half)));
    }
  }
  __syncthreads();

  const bool by_row = log_s < log_t;  // then the rows of one column lie together in `out`
  const bool last = log_s + log_r == log_n;
  for (uint32_t i = threadIdx.x; i < tile; i += block) {
    const uint32_t k = by_row ? i & (rows - 1) : i >> log_t, column = by_row ? i >> log_r : i & (columns - 1);
    const uint32_t g = first + column;
    if (g >= stride) continue;
    Fr x = shared.get((reversed(k, log_r) << log_t) + column);
    const uint32_t p = g >> log_s, q = g & ((1u << log_s) - 1);
    if (last) {
      if (scale) x = x * *scale;
    } else if (p != 0 && k != 0) {
      x = x * root((p * k) << log_s);
    }
    out[q + (uint64_t(p * rows + k) << log_s)] = x;
  }
}

namespace {

/// value * canonical x, canonical; kinds 1 and 2 are the values 1 and -1.
HP_INLINE Fr entry(const uint32_t* column, const uint32_t* value_index, const Fr* value, const uint8_t* kind,
                   const Fr* witness, uint32_t e, const Fr& sum) {
  const Fr x = witness[column[e]];
  const uint32_t v = value_index[e];
  if (kind[v] == 1) return sum + x;
  if (kind[v] == 2) return sum - x;
  return sum + value[v] * x;
}

}  // namespace

/// out[i] = (M w)[first + i], Montgomery, for rows of at most `longest` entries; one thread a row.
extern "C" __global__ void __launch_bounds__(block)
    matrix_rows(const uint32_t* row_start, const uint32_t* column, const uint32_t* value_index, const Fr* value,
                const uint8_t* kind, const Fr* witness, uint32_t first, uint32_t n, uint32_t longest, Fr* out) {
  const uint32_t i = global_thread();
  if (i >= n) return;
  const uint32_t begin = row_start[first + i], end = row_start[first + i + 1];
  if (end - begin > longest) return;
  Fr sum = Fr::zero();
  for (uint32_t e = begin; e < end; e++) sum = entry(column, value_index, value, kind, witness, e, sum);
  out[i] = sum.from_canonical();
}

/// As matrix_rows, for the rows listed in `row`: one block each.
extern "C" __global__ void __launch_bounds__(block)
    matrix_long_rows(const uint32_t* row, const uint32_t* row_start, const uint32_t* column, const uint32_t* value_index,
                     const Fr* value, const uint8_t* kind, const Fr* witness, uint32_t first, uint32_t n, Fr* out) {
  __shared__ Fr shared[block];
  const uint32_t i = row[blockIdx.x];
  if (i < first || i - first >= n) return;
  const uint32_t begin = row_start[i], end = row_start[i + 1];
  Fr sum = Fr::zero();
  for (uint32_t e = begin + threadIdx.x; e < end; e += block)
    sum = entry(column, value_index, value, kind, witness, e, sum);
  shared[threadIdx.x] = sum;
  for (uint32_t half = block / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] = shared[threadIdx.x] + shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) out[i - first] = shared[0].from_canonical();
}
