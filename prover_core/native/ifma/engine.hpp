// What the AVX-512 IFMA engine offers; plain declarations, includable anywhere. Only where cpu::has_ifma.
#pragma once
#include "cpu.hpp"
#include "msm_engine.hpp"
#include "ntt.hpp"

namespace hp::ifma {

/// As make_msm in msm_engine.hpp, always this engine; worth it from some thousand bases.
template <class F>
std::unique_ptr<MsmEngine<F>> make_msm(const unsigned char* bases, size_t n, unsigned threads);

/// As hp::fixed_base; worth it from some hundred scalars.
template <class F>
void fixed_base(const Affine<F>& base, const unsigned char* scalars, size_t n, unsigned char* out, unsigned threads);

/// Whether `ntt` and `quotient` of size 2^log2 belong here: rows and columns fill the lanes, and no sum leaves its bound.
inline bool takes(unsigned log2, Isa isa) { return isa == Isa::best && cpu::has_ifma && log2 >= 8 && log2 <= 26; }

/// As hp::ntt.
void ntt(Fr* a, unsigned log2, bool inverse, unsigned threads);

/// As hp::quotient.
void quotient(const unsigned char* a, const unsigned char* b, const unsigned char* c, unsigned log2, Fr* out,
              unsigned threads);

/// As hp::quotient_in_place.
void quotient_in_place(Fr* a, Fr* b, unsigned log2, unsigned threads);

}  // namespace hp::ifma
