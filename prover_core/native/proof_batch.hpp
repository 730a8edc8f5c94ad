// Groth16 proofs under one key, checked in any combination by one random linear combination.
//
//   prod_i e(-rho_i A_i, B_i) e(sum_i rho_i alpha, beta) e(sum_i rho_i X_i, gamma) e(sum_i rho_i C_i, delta) = 1
//
// The Miller values of the proofs are computed once, in groups; what a check of some range costs is a product of those, two
// multi-scalar multiplications, three Miller loops and one final exponentiation.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "miller_values.hpp"

namespace hp {

class ProofBatch {
 public:
  /// What all proofs share; valid points, beta, gamma, delta not infinity.
  struct Key {
    G1Affine alpha;
    std::vector<G1Affine> ic;
    G2Affine beta, gamma, delta;
    size_t n_public() const { return ic.size() - 1; }
  };
  static constexpr size_t proof_bytes = 256;

  /// Proofs: A, B, C big-endian as EIP-197 has them. Publics: n_public() canonical scalars of 32 little-endian bytes a
  /// proof. Anything at all may stand there: what is not canonical, on its curve and of order r makes its proof
  /// malformed and harms no other. Coefficients: two words a proof, see SplitScalar. Threads: 0 for the default.
  ProofBatch(Key key, const unsigned char* proofs, const unsigned char* publics, const uint64_t* coefficients, size_t n,
             unsigned threads, Isa isa);

  size_t size() const { return proofs_.size(); }
  bool well_formed(size_t i) const { return proofs_[i].well_formed; }

  /// Whether the equation is true of the well-formed proofs first <= i < last. The first range that cuts a group makes
  /// that group's Miller loops run once more, each with a value of its own.
  bool holds(size_t first, size_t last);

 private:
  struct Proof {
    ScaledPair pair;
    bool well_formed;
  };
  struct Group {
    size_t first, last;
    Fq12 value;
    /// Some member turned out not to have order r: `value` means nothing.
    bool spoiled;
    std::vector<Fq12> each;
  };

  Key key_;
  unsigned threads_;
  Isa isa_;
  std::vector<Proof> proofs_;
  std::vector<G1Affine> c_;
  std::vector<Fr> publics_, rho_;
  std::vector<Group> groups_;
  std::mutex mutex_;
  /// The Miller values of the key's three pairs for all proofs, where they could ride along with the proofs' own.
  std::optional<Fq12> key_value_;

  void decode(size_t i, const unsigned char* proof, const unsigned char* publics, const uint64_t* coefficient);
  void run_groups();
  void run_few();
  void refuse(size_t i, Group& group);
  /// The negatives of what is paired with beta, gamma and delta for a range of proofs.
  void key_pairs(size_t first, size_t last, ScaledPair out[3]) const;
  void take_apart(Group& group);
  Fq12 proofs_product(size_t first, size_t last);
  Fq12 key_product(size_t first, size_t last) const;
};

}  // namespace hp
