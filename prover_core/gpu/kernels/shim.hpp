// CUDA's words on the host, so that the kernels' own sources run where there is no GPU. For tests: right, not fast.
//
// One block runs at a time, its threads one after another. A thread that reaches a barrier waits there in its own fiber
// while the others come up; so what lies between two barriers runs whole threads at a time, in an order that tests choose:
// a barrier that is missing shows as a result that depends on the order. Barriers in different lines never match.
#pragma once
#include <cstddef>
#include <cstdint>

#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__

namespace hp::shim {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
};

extern Dim block_index, block_size, grid_size, thread_index;

/// Waits until every thread of the block that has not returned is at the barrier of the same line.
void barrier(int line);

}  // namespace hp::shim

#define blockIdx hp::shim::block_index
#define blockDim hp::shim::block_size
#define gridDim hp::shim::grid_size
#define threadIdx hp::shim::thread_index
#define __syncthreads() hp::shim::barrier(__LINE__)

inline uint32_t atomicAdd(uint32_t* where, uint32_t x) {
  const uint32_t before = *where;
  *where += x;
  return before;
}
inline uint32_t atomicOr(uint32_t* where, uint32_t x) {
  const uint32_t before = *where;
  *where |= x;
  return before;
}
