// What the kernels ask of their surroundings: CUDA's own words under NVRTC and nvcc, the host shim's otherwise.
#pragma once

#ifdef __CUDACC_RTC__
using int8_t = signed char;
using uint8_t = unsigned char;
using uint32_t = unsigned int;
using int32_t = int;
using uint64_t = unsigned long long;
using int64_t = long long;
#else
#include <cstdint>
#endif

#ifdef __CUDACC__
#define HP_INLINE __device__ __forceinline__
/// For long functions called from several places: a call costs less than their code over again.
#define HP_CALLED __device__ __noinline__
#define HP_UNROLL _Pragma("unroll")
#else
#include "shim.hpp"
#define HP_INLINE inline
#define HP_CALLED
#define HP_UNROLL _Pragma("GCC unroll 16")
#endif

namespace hp {

/// One chain of 32-bit operations through the carry flag. The pairs mad_lo, mad_hi over the same factors become one
/// IMAD.WIDE each. On the host the flag is a member, on the device the one in the condition register, which no
/// instruction but these touches between them.
struct Chain {
#ifdef __CUDACC__
#define HP_OP2(name, op)                                                               \
  HP_INLINE uint32_t name(uint32_t a, uint32_t b) {                                     \
    uint32_t r;                                                                         \
    asm volatile(op " %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));                         \
    return r;                                                                           \
  }
#define HP_OP3(name, op)                                                                \
  HP_INLINE uint32_t name(uint32_t a, uint32_t b, uint32_t c) {                         \
    uint32_t r;                                                                         \
    asm volatile(op " %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));             \
    return r;                                                                           \
  }
  HP_OP2(add_first, "add.cc.u32")
  HP_OP2(add, "addc.cc.u32")
  HP_OP2(add_last, "addc.u32")
  HP_OP2(sub_first, "sub.cc.u32")
  HP_OP2(sub, "subc.cc.u32")
  HP_OP2(sub_last, "subc.u32")
  HP_OP3(mad_lo_first, "mad.lo.cc.u32")
  HP_OP3(mad_lo, "madc.lo.cc.u32")
  HP_OP3(mad_hi, "madc.hi.cc.u32")
#undef HP_OP2
#undef HP_OP3
#else
  uint32_t flag = 0;

  uint32_t sum(uint64_t a, uint64_t b, uint64_t c) {
    const uint64_t s = a + b + c;
    flag = uint32_t(s >> 32);
    return uint32_t(s);
  }
  uint32_t difference(uint64_t a, uint64_t b, uint64_t c) {
    const uint64_t s = a - b - c;
    flag = uint32_t(s >> 32) & 1;
    return uint32_t(s);
  }
  uint32_t add_first(uint32_t a, uint32_t b) { return sum(a, b, 0); }
  uint32_t add(uint32_t a, uint32_t b) { return sum(a, b, flag); }
  uint32_t add_last(uint32_t a, uint32_t b) { return a + b + flag; }
  uint32_t sub_first(uint32_t a, uint32_t b) { return difference(a, b, 0); }
  uint32_t sub(uint32_t a, uint32_t b) { return difference(a, b, flag); }
  uint32_t sub_last(uint32_t a, uint32_t b) { return a - b - flag; }
  uint32_t mad_lo_first(uint32_t a, uint32_t b, uint32_t c) { return sum(a * b, c, 0); }
  uint32_t mad_lo(uint32_t a, uint32_t b, uint32_t c) { return sum(a * b, c, flag); }
  uint32_t mad_hi(uint32_t a, uint32_t b, uint32_t c) { return sum(uint64_t(a) * b >> 32, c, flag); }
#endif
};

/// This thread's number in the whole launch, and how many there are; launches are one-dimensional.
HP_INLINE uint32_t global_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }
HP_INLINE uint32_t global_threads() { return gridDim.x * blockDim.x; }

}  // namespace hp
