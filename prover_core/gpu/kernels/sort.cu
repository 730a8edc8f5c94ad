// Everything of an MSM but points: scalars become signed digits, digits are sorted by bucket, buckets are cut into tasks.
//
// Windows as on the CPU (native/windows.hpp): the shorter of k and r - k, plus an offset that makes every digit the plain
// bits of its window less 2^(c-1). -DHP_SCALAR names the field's parameters.
#include "field.cuh"

#ifndef HP_SCALAR
#define HP_SCALAR FrParams
#endif

using namespace hp;
using Scalar = Fp<params::HP_SCALAR>;

namespace {

/// Where the kernels count; one array of words for each block of scalars.
enum Counter : uint32_t { general, ones, refused, tasks, partials, splits };

constexpr uint32_t negative = 0x80000000;
constexpr uint32_t block = 256;

/// Sums `mine` over the threads before this one and reserves room for all in *total; returns where this thread begins.
/// Every thread of the block must come here.
HP_INLINE uint32_t reserve(uint32_t* total, uint32_t mine, uint32_t* shared_sum, uint32_t* shared_base) {
  if (threadIdx.x == 0) *shared_sum = 0;
  __syncthreads();
  const uint32_t rank = mine ? atomicAdd(shared_sum, mine) : 0;
  __syncthreads();
  if (threadIdx.x == 0) *shared_base = *shared_sum ? atomicAdd(total, *shared_sum) : 0;
  __syncthreads();
  return *shared_base + rank;
}

}  // namespace

/// Sorts out n scalars over bases first, first + 1, ..: zeros and points at infinity are dropped, +-1 go to ones_out, the
/// rest to point_out, each as its index with the sign in bit 31; shifted_out gets 8 words for each of the rest.
/// refused is counted up for each scalar not below r. `base_words`: 32-bit words of one affine point.
extern "C" __global__ void __launch_bounds__(block)
    msm_recode(const Scalar* scalars, const uint32_t* bases, uint32_t base_words, uint32_t first, uint32_t n,
               const uint32_t* offset, uint32_t* counters, uint32_t* shifted_out, uint32_t* point_out, uint32_t* ones_out) {
  __shared__ uint32_t sum, base;
  const uint32_t i = global_thread();
  bool is_general = false, is_one = false;
  uint32_t tagged = 0;
  Scalar t = Scalar::zero();
  if (i < n) {
    t = scalars[i];
    if (!t.is_canonical()) {
      atomicAdd(counters + refused, 1);
      t = Scalar::zero();
    }
    Chain chain;
    chain.sub_first(Words<params::HP_SCALAR>::half(0), t.v[0]);
    HP_UNROLL
    for (int j = 1; j < 8; j++) chain.sub(Words<params::HP_SCALAR>::half(j), t.v[j]);
    const bool above_half = chain.sub_last(0, 0) != 0;
    if (above_half) t = -t;
    bool present = !t.is_zero();
    if (present) {
      const uint64_t at = uint64_t(first + i) * base_words;
      uint32_t any = 0;
      for (uint32_t j = 0; j < base_words && any == 0; j++) any |= bases[at + j];
      present = any != 0;
    }
    is_one = present && t.v[0] == 1 && (t.v[1] | t.v[2] | t.v[3] | t.v[4] | t.v[5] | t.v[6] | t.v[7]) == 0;
    is_general = present && !is_one;
    tagged = (first + i) | (above_half ? negative : 0);
  }
  const uint32_t at_ones = reserve(counters + ones, is_one, &sum, &base);
  if (is_one) ones_out[at_ones] = tagged;
  __syncthreads();
  const uint32_t at = reserve(counters + general, is_general, &sum, &base);
  if (!is_general) return;
  point_out[at] = tagged;
  Chain chain;
  uint32_t* out = shifted_out + uint64_t(at) * 8;
  out[0] = chain.add_first(t.v[0], offset[0]);
  HP_UNROLL
  for (int j = 1; j < 8; j++) out[j] = chain.add(t.v[j], offset[j]);
}

namespace {

/// Calls visit(bucket, is_negative) for each digit of one shifted scalar that is not zero.
template <class Visit>
HP_INLINE void each_digit(const uint32_t* shifted, uint32_t c, uint32_t windows, Visit visit) {
  uint64_t bits = 0;
  uint32_t have = 0, word = 0;
  const uint32_t buckets = 1u << (c - 1), mask = (1u << c) - 1;
  for (uint32_t w = 0; w < windows; w++) {
    while (have < c && word < 8) {
      bits |= uint64_t(shifted[word++]) << have;
      have += 32;
    }
    const int32_t plain = int32_t(uint32_t(bits) & mask);
    bits >>= c;
    have = have > c ? have - c : 0;
    const int32_t digit = w + 1 < windows ? plain - int32_t(buckets) : plain;
    if (digit != 0) visit(w * buckets + uint32_t(digit < 0 ? -digit : digit) - 1, digit < 0);
  }
}

}  // namespace

/// count[bucket] += 1 for every digit; bucket = window 2^(c-1) + |digit| - 1.
extern "C" __global__ void __launch_bounds__(block)
    msm_count(const uint32_t* shifted, const uint32_t* counters, uint32_t c, uint32_t windows, uint32_t* count) {
  const uint32_t i = global_thread();
  if (i >= counters[general]) return;
  each_digit(shifted + uint64_t(i) * 8, c, windows, [&](uint32_t bucket, bool) { atomicAdd(count + bucket, 1); });
}

/// sorted[cursor[bucket]++] = point, with the digit's sign.
extern "C" __global__ void __launch_bounds__(block)
    msm_scatter(const uint32_t* shifted, const uint32_t* point, const uint32_t* counters, uint32_t c, uint32_t windows,
                uint32_t* cursor, uint32_t* sorted) {
  const uint32_t i = global_thread();
  if (i >= counters[general]) return;
  const uint32_t tagged = point[i];
  each_digit(shifted + uint64_t(i) * 8, c, windows, [&](uint32_t bucket, bool minus) {
    sorted[atomicAdd(cursor + bucket, 1)] = minus ? tagged ^ negative : tagged;
  });
}

namespace {

/// Replaces the 1024 values of a block of 256 threads, four each, by the sums of those before; returns the sum of all.
HP_INLINE uint32_t scan_tile(uint32_t v[4], uint32_t* shared) {
  const uint32_t t = threadIdx.x, mine = v[0] + v[1] + v[2] + v[3];
  shared[t] = mine;
  __syncthreads();
  for (uint32_t step = 1; step < block; step *= 2) {
    const uint32_t left = t >= step ? shared[t - step] : 0;
    __syncthreads();
    shared[t] += left;
    __syncthreads();
  }
  uint32_t before = shared[t] - mine;
  HP_UNROLL
  for (int j = 0; j < 4; j++) {
    const uint32_t x = v[j];
    v[j] = before;
    before += x;
  }
  return shared[block - 1];
}

}  // namespace

/// out[i] = sum of in[j], j < i, within each 1024; tile[k] = sum of the k-th 1024.
extern "C" __global__ void __launch_bounds__(block) scan_tiles(const uint32_t* in, uint32_t n, uint32_t* out, uint32_t* tile) {
  __shared__ uint32_t shared[block];
  const uint32_t at = blockIdx.x * 1024 + threadIdx.x * 4;
  uint32_t v[4];
  for (uint32_t j = 0; j < 4; j++) v[j] = at + j < n ? in[at + j] : 0;
  const uint32_t sum = scan_tile(v, shared);
  for (uint32_t j = 0; j < 4; j++)
    if (at + j < n) out[at + j] = v[j];
  if (threadIdx.x == 0) tile[blockIdx.x] = sum;
}

/// tile[k] = sum of tile[j], j < k, in place; one block.
extern "C" __global__ void __launch_bounds__(block) scan_top(uint32_t* tile, uint32_t n) {
  __shared__ uint32_t shared[block];
  uint32_t carry = 0;
  for (uint32_t begin = 0; begin < n; begin += 1024) {
    const uint32_t at = begin + threadIdx.x * 4;
    uint32_t v[4];
    for (uint32_t j = 0; j < 4; j++) v[j] = at + j < n ? tile[at + j] : 0;
    const uint32_t sum = scan_tile(v, shared);
    for (uint32_t j = 0; j < 4; j++)
      if (at + j < n) tile[at + j] = carry + v[j];
    carry += sum;
    __syncthreads();
  }
}

/// out[i] += tile[i / 1024].
extern "C" __global__ void __launch_bounds__(block) scan_add(uint32_t* out, const uint32_t* tile, uint32_t n) {
  const uint32_t i = global_thread();
  if (i < n) out[i] += tile[i / 1024];
}

/// A bucket of m points becomes m / limit tasks of `limit` points and one of the rest: bins[size] counts them. limit <= 255.
extern "C" __global__ void __launch_bounds__(block)
    plan_sizes(const uint32_t* count, uint32_t buckets, uint32_t limit, uint32_t* bins) {
  __shared__ uint32_t local[256];
  local[threadIdx.x] = 0;
  __syncthreads();
  const uint32_t i = global_thread();
  const uint32_t m = i < buckets ? count[i] : 0, full = m / limit, rest = m % limit;
  if (full) atomicAdd(local + limit, full);
  if (rest) atomicAdd(local + rest, 1);
  __syncthreads();
  if (local[threadIdx.x]) atomicAdd(bins + threadIdx.x, local[threadIdx.x]);
}

/// bins[size] becomes the place of the first task of that size, largest first; counts the tasks. One block of one thread.
extern "C" __global__ void __launch_bounds__(1) plan_places(uint32_t* bins, uint32_t* counters) {
  uint32_t place = 0;
  for (uint32_t size = 255; size > 0; size--) {
    const uint32_t n = bins[size];
    bins[size] = place;
    place += n;
  }
  counters[tasks] = place;
}

/// Writes the tasks, four words each: first point in `sorted`, size, target, 0. A bucket that is one task is its own
/// target; of a larger one each task fills a partial (target with bit 31), and split gets bucket, first partial, number.
extern "C" __global__ void __launch_bounds__(block)
    plan_tasks(const uint32_t* count, const uint32_t* start, uint32_t buckets, uint32_t limit, uint32_t* bins,
               uint32_t* counters, uint32_t* task, uint32_t* split) {
  __shared__ uint32_t local[256], base[256], sum, first_of_all;
  __shared__ uint32_t large[block][4];
  __shared__ uint32_t n_large;
  local[threadIdx.x] = 0;
  if (threadIdx.x == 0) n_large = 0;
  __syncthreads();
  const uint32_t i = global_thread();
  const uint32_t m = i < buckets ? count[i] : 0, full = m / limit, rest = m % limit, pieces = full + (rest != 0);
  const uint32_t rank_full = full ? atomicAdd(local + limit, full) : 0;
  const uint32_t rank_rest = rest ? atomicAdd(local + rest, 1) : 0;
  __syncthreads();
  if (local[threadIdx.x]) base[threadIdx.x] = atomicAdd(bins + threadIdx.x, local[threadIdx.x]);
  __syncthreads();
  const uint32_t partial = reserve(counters + partials, pieces > 1 ? pieces : 0, &sum, &first_of_all);
  __syncthreads();
  const uint32_t at_split = reserve(counters + splits, pieces > 1, &sum, &first_of_all);
  if (pieces > 1) {
    uint32_t* s = split + uint64_t(at_split) * 4;
    s[0] = i, s[1] = partial, s[2] = pieces, s[3] = 0;
    uint32_t* l = large[atomicAdd(&n_large, 1)];
    l[0] = start[i], l[1] = full, l[2] = base[limit] + rank_full, l[3] = partial;
  } else if (full) {
    uint32_t* t = task + uint64_t(base[limit] + rank_full) * 4;
    t[0] = start[i], t[1] = limit, t[2] = i, t[3] = 0;
  }
  if (rest) {
    uint32_t* t = task + uint64_t(base[rest] + rank_rest) * 4;
    t[0] = start[i] + full * limit, t[1] = rest, t[2] = pieces > 1 ? (partial + full) | negative : i, t[3] = 0;
  }
  __syncthreads();
  for (uint32_t k = 0; k < n_large; k++) {
    for (uint32_t j = threadIdx.x; j < large[k][1]; j += block) {
      uint32_t* t = task + uint64_t(large[k][2] + j) * 4;
      t[0] = large[k][0] + j * limit, t[1] = limit, t[2] = (large[k][3] + j) | negative, t[3] = 0;
    }
  }
}

/// *sum += *x.
extern "C" __global__ void __launch_bounds__(1) add_word(uint32_t* sum, const uint32_t* x) { *sum += *x; }
