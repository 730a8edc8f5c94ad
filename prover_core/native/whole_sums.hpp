// The five sums of a Groth16 proof of a finished witness, straight from the sections of a .zkey.
#pragma once
#include "curve.hpp"
#include "isa.hpp"
#include "terms.hpp"

namespace hp {

/// What is borrowed of a key: m wires, of which l are public, and a domain of n = 2^log2 points. Points are affine,
/// Montgomery, of any alignment.
struct KeySections {
  TermList terms;
  size_t n_vars, n_public;
  unsigned log2;
  const unsigned char *a, *b1, *b2, *l, *h;  // m, m, m, m - l - 1 and n points
  /// The sections lie in a read-only map of a file: their pages are given back once they are summed.
  bool mapped;
};

/// Sum a_i [u_i], sum a_i [v_i] in both groups, sum a_i [l_i] and sum h_i [h_i], as in groth16/prove.py.
struct WholeSums {
  G1Affine a, b1, l, h;
  G2Affine b2;
};

/// `witness`: m values of 32 bytes. Two sparse products, six transforms, five MSMs, one after another, so that no two hold
/// their memory at once. std::invalid_argument for a term that names what does not exist or a witness value not below r.
WholeSums sum_whole(const KeySections& key, const unsigned char* witness, unsigned threads, Isa isa);

}  // namespace hp
