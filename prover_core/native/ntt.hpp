// The number-theoretic transform over Fr.
#pragma once
#include "field.hpp"
#include "isa.hpp"

namespace hp {

/// Longest transform, and longest quotient (which needs 2n-th roots).
inline constexpr unsigned max_ntt_log2 = params::two_adicity;
inline constexpr unsigned max_quotient_log2 = params::two_adicity - 1;

/// In place, natural order in and out: a[i] = sum_j a[j] w^(i j), w = 5^((r-1)/n), n = 2^log2; inverse: the reverse, 1/n
/// included. n/2 log2 n products and one permutation.
void ntt(Fr* a, unsigned log2, bool inverse, unsigned threads, Isa isa = Isa::best);

/// out[i] = (A B - C)(w_2n^(2i+1)), canonical, where A, B, C are the polynomials of degree < n = 2^log2 with values a, b, c at
/// the n-th roots of unity; c = nullptr stands for a[i] b[i]. Inputs may be unaligned and are not changed; out may not
/// overlap them. Three inverse and three odd transforms without any permutation: 3 n log2 n products and 2 n elements of
/// memory.
void quotient(const unsigned char* a, const unsigned char* b, const unsigned char* c, unsigned log2, Fr* out,
              unsigned threads, Isa isa = Isa::best);

/// As `quotient` with c = nullptr, into a; b is spoiled. One more vector of n elements while it runs, not two.
void quotient_in_place(Fr* a, Fr* b, unsigned log2, unsigned threads, Isa isa = Isa::best);

}  // namespace hp
