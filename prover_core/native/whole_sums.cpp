#include "whole_sums.hpp"

#include "ifma/scratch.hpp"
#include "msm_engine.hpp"
#include "ntt.hpp"
#include "pages.hpp"

namespace hp {
namespace {

void release(const KeySections& key, const unsigned char* p, size_t bytes) {
  if (key.mapped) release_file_pages(p, bytes);
}

template <class F>
Affine<F> sum(const KeySections& key, const unsigned char* points, const unsigned char* scalars, size_t n, unsigned threads,
              Isa isa) {
  const auto msm = make_msm<F>(points, n, threads, isa);
  if (key.mapped) msm->bases_are_mapped();
  msm->add(0, scalars, n);
  const Affine<F> total = msm->finish();
  release(key, points, n * sizeof(Affine<F>));
  return total;
}

/// Sum h_i [h_i]; see Quotient in groth16/quotient.py.
G1Affine sum_h(const KeySections& key, const unsigned char* witness, unsigned threads, Isa isa) {
  const size_t n = size_t(1) << key.log2;
  const ifma::Scratch<Fr> h(n);
  {
    const ifma::Scratch<Fr> b(n);
    key.terms.product(witness, key.n_vars, n, {h.get(), b.get()}, threads);
    release(key, key.terms.data(), key.terms.bytes());
    quotient_in_place(h.get(), b.get(), key.log2, threads, isa);
  }
  return sum<Fq>(key, key.h, reinterpret_cast<const unsigned char*>(h.get()), n, threads, isa);
}

}  // namespace

WholeSums sum_whole(const KeySections& key, const unsigned char* witness, unsigned threads, Isa isa) {
  if (threads == 0) threads = default_threads();
  const ifma::BlockPool::Hold hold;  // what one sum has touched the next one takes
  const size_t m = key.n_vars, l = key.n_public;
  WholeSums sums;
  sums.h = sum_h(key, witness, threads, isa);
  sums.b2 = sum<Fq2>(key, key.b2, witness, m, threads, isa);
  sums.a = sum<Fq>(key, key.a, witness, m, threads, isa);
  sums.b1 = sum<Fq>(key, key.b1, witness, m, threads, isa);
  sums.l = sum<Fq>(key, key.l, witness + 32 * (l + 1), m - l - 1, threads, isa);
  return sums;
}

}  // namespace hp
