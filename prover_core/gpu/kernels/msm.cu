// The points of an MSM: tasks into buckets, buckets into window sums. Compiled once a group, by -DHP_GROUP.
//
// Buckets are XYZZ, stay open between blocks of scalars, and lie window after window, 2^(c-1) each.
#include "curve.cuh"

#define HP_G1 1
#define HP_G2 2
#define HP_GRUMPKIN 3

using namespace hp;

#if HP_GROUP == HP_G2
using Field = Fq2;
constexpr uint32_t tree = 64;
#elif HP_GROUP == HP_GRUMPKIN
using Field = Fr;
constexpr uint32_t tree = 128;
#else
using Field = Fq;
constexpr uint32_t tree = 128;
#endif

using Base = Affine<Field>;
using Point = Xyzz<Field>;

namespace {

constexpr uint32_t negative = 0x80000000;
enum Counter : uint32_t { general, ones, refused, tasks, partials, splits };

HP_INLINE Base signed_base(const Base* bases, uint32_t tagged) {
  Base p = bases[tagged & ~negative];
  p.y = p.y.negated_if(tagged & negative);
  return p;
}

/// The sum over the threads of a block, in thread 0. `tree` threads, all of which must come here.
HP_INLINE void sum_block(Point& mine, Point* shared) {
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (uint32_t half = tree / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      mine.add(shared[threadIdx.x + half]);
      shared[threadIdx.x] = mine;
    }
    __syncthreads();
  }
}

}  // namespace

/// One task a thread, at most `limit` mixed additions each, neighbours of about equal size.
extern "C" __global__ void __launch_bounds__(128)
    msm_accumulate(const Base* bases, const uint32_t* sorted, const uint32_t* task, const uint32_t* counters, Point* buckets,
                   Point* partial) {
  const uint32_t i = global_thread();
  if (i >= counters[tasks]) return;
  const uint32_t first = task[uint64_t(i) * 4], size = task[uint64_t(i) * 4 + 1], target = task[uint64_t(i) * 4 + 2];
  Point* out = target & negative ? partial + (target & ~negative) : buckets + target;
  Point sum = Point::infinity();
  if (!(target & negative)) sum = *out;
  for (uint32_t j = 0; j < size; j++) sum.add(signed_base(bases, sorted[first + j]));
  *out = sum;
}

/// Adds the partials of each split bucket to it, one block a bucket.
extern "C" __global__ void __launch_bounds__(tree)
    msm_combine(const uint32_t* split, const uint32_t* counters, const Point* partial, Point* buckets) {
  __shared__ Point shared[tree];
  for (uint32_t k = blockIdx.x; k < counters[splits]; k += gridDim.x) {
    const uint32_t first = split[uint64_t(k) * 4 + 1], n = split[uint64_t(k) * 4 + 2];
    Point sum = Point::infinity();
    for (uint32_t j = threadIdx.x; j < n; j += tree) sum.add(partial[first + j]);
    sum_block(sum, shared);
    if (threadIdx.x == 0) {
      Point bucket = buckets[split[uint64_t(k) * 4]];
      bucket.add(sum);
      buckets[split[uint64_t(k) * 4]] = bucket;
    }
    __syncthreads();
  }
}

/// Adds the points whose scalar is +-1 to the running sums, one sum a thread of the launch.
extern "C" __global__ void __launch_bounds__(128)
    msm_ones(const Base* bases, const uint32_t* one, const uint32_t* counters, Point* sums) {
  const uint32_t n = counters[ones];
  if (global_thread() >= n) return;
  Point sum = sums[global_thread()];
  for (uint32_t j = global_thread(); j < n; j += global_threads()) sum.add(signed_base(bases, one[j]));
  sums[global_thread()] = sum;
}

/// out[k] = sum of the k-th `tree` of n points.
extern "C" __global__ void __launch_bounds__(tree) msm_sum(const Point* in, uint32_t n, Point* out) {
  __shared__ Point shared[tree];
  const uint32_t i = global_thread();
  Point sum = Point::infinity();
  if (i < n) sum = in[i];
  sum_block(sum, shared);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

/// One level of sum_b b x_b in every window. With b = 2^k t + j,
///
///     sum_b b x_b = sum_t (sum_j j x_{2^k t + j}) + 2^k sum_t t (sum_j x_{2^k t + j}),
///
/// so thread t writes x'_t = sum_j x_j and e'_t = sum_j e_j + 2^`twice` sum_j j x_j, with 2^twice the product of the levels
/// below; the next level does the same over t. Where one item a window remains it is S = x' + e' = sum_b (b + 1) x_b.
/// `e` is read only where has_e. Each item costs three additions.
extern "C" __global__ void __launch_bounds__(128)
    msm_fold(const Point* x, const Point* e, uint32_t has_e, uint32_t windows, uint32_t items, uint32_t k, uint32_t twice,
             Point* x_out, Point* e_out) {
  const uint32_t outs = (items + (1u << k) - 1) >> k, i = global_thread();
  if (i >= windows * outs) return;
  const uint32_t w = i / outs, t = i % outs, begin = t << k;
  const uint32_t end = begin + (1u << k) < items ? begin + (1u << k) : items;
  const Point* row = x + uint64_t(w) * items;
  Point running = Point::infinity(), weighted = Point::infinity();
  for (uint32_t b = end; b-- > begin;) {
    weighted.add(running);
    const Point p = row[b];
    running.add(p);
  }
  for (uint32_t d = 0; d < twice; d++) weighted.twice();
  if (has_e) {
    const Point* extra = e + uint64_t(w) * items;
    for (uint32_t b = begin; b < end; b++) {
      const Point p = extra[b];
      weighted.add(p);
    }
  }
  if (outs == 1) {
    running.add(weighted);
    x_out[w] = running;
  } else {
    x_out[i] = running;
    e_out[i] = weighted;
  }
}
