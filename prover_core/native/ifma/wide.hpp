// HP_WIDE_BEGIN … HP_WIDE_END: the functions defined between are compiled for AVX-512 IFMA, whatever the file is compiled for.
//
// A whole file compiled with -mavx512… would emit AVX-512 copies of every inline function it includes, std::vector's too, and
// the linker may keep those for the rest of the library, which then fails on other processors. So the instruction set is
// chosen function by function: include first, then begin. Callers check cpu::has_ifma.
#pragma once

#if defined(__clang__)
#define HP_WIDE_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx512vl,avx512dq,avx512bw,avx512ifma,avx512vbmi2,bmi2,adx\"))), apply_to = function)")
#define HP_WIDE_END _Pragma("clang attribute pop")
#else
#define HP_WIDE_BEGIN \
  _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512vl,avx512dq,avx512bw,avx512ifma,avx512vbmi2,bmi2,adx\")")
#define HP_WIDE_END _Pragma("GCC pop_options")
#endif
