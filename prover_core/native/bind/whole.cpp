// Proofs of finished witnesses for callers that hold files' bytes and no arrays. Everything is flat bytes; points are affine, Montgomery,
// infinity all zero.
#include <nanobind/stl/string.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "bind.hpp"
#include "curve.hpp"
#include "pairing.hpp"
#include "pool.hpp"
#include "proof_batch.hpp"
#include "whole_sums.hpp"

namespace hp {
namespace {

/// A flat buffer of exactly n items of `item` bytes each.
class Items : public Buffer {
 public:
  Items(nb::handle object, size_t n, size_t item, const char* what, bool writable = false)
      : Buffer(object, 1, {}, what, writable) {
    if (rows() != n * item)
      throw std::invalid_argument(std::string(what) + " has " + std::to_string(rows()) + " bytes where " + std::to_string(n * item) +
                                  " are needed");
  }
};

/// Index of the first of these 32-byte scalars that is not below r; -1 if all are.
int64_t first_non_canonical(nb::handle object) {
  const Buffer bytes(object, 1, {}, "scalars");
  if (bytes.rows() % 32) throw std::invalid_argument("scalars have 32 bytes each");
  nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < bytes.rows() / 32; i++)
    if (!is_canonical<Fr::Params>(Fr::load(bytes.data() + 32 * i).v)) return int64_t(i);
  return -1;
}

void whole_sums(nb::handle terms, size_t n_vars, size_t n_public, size_t domain, nb::handle a, nb::handle b1, nb::handle b2,
                nb::handle l, nb::handle h, nb::handle witness, nb::handle out, unsigned threads, bool scalar, bool mapped) {
  if (!std::has_single_bit(domain) || domain < 2 || domain > size_t(1) << 27)
    throw std::invalid_argument(std::to_string(domain) + " is not a domain size");
  if (n_public + 1 > n_vars) throw std::invalid_argument("more public signals than wires");
  const Buffer list(terms, 1, {}, "terms");
  if (list.rows() % TermList::term_bytes) throw std::invalid_argument("terms have 44 bytes each");
  const Items a_(a, n_vars, 64, "a"), b1_(b1, n_vars, 64, "b1"), b2_(b2, n_vars, 128, "b2");
  const Items l_(l, n_vars - n_public - 1, 64, "l"), h_(h, domain, 64, "h"), w(witness, n_vars, 32, "witness");
  const Items target(out, 6, 64, "result", true);
  const KeySections key{TermList(list.data(), list.rows() / TermList::term_bytes),
                        n_vars,
                        n_public,
                        unsigned(std::countr_zero(domain)),
                        a_.data(),
                        b1_.data(),
                        b2_.data(),
                        l_.data(),
                        h_.data(),
                        mapped};
  nb::gil_scoped_release unlocked;
  const WholeSums sums = sum_whole(key, w.data(), threads, scalar ? Isa::scalar : Isa::best);
  unsigned char* to = target.writable();
  for (const G1Affine& p : {sums.a, sums.b1, sums.l, sums.h}) {
    std::memcpy(to, &p, sizeof p);
    to += sizeof p;
  }
  std::memcpy(to, &sums.b2, sizeof sums.b2);
}

bool canonical(const Fq& x) { return is_canonical<params::FqParams>(x.v); }

/// Index of the first of the key's points (g1, then g2) that is not one of its group, or is infinity in G2; -1 if there is none.
int64_t first_bad_key_point(nb::handle g1, nb::handle g2) {
  const Buffer first(g1, 1, {}, "g1"), second(g2, 1, {}, "g2");
  if (first.rows() % 64 || second.rows() % 128) throw std::invalid_argument("points have 64 and 128 bytes");
  const size_t n = first.rows() / 64;
  nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < n; i++) {
    const auto p = G1Affine::load(first.data() + 64 * i);
    if (!canonical(p.x) || !canonical(p.y) || !on_curve(p)) return int64_t(i);
  }
  for (size_t i = 0; i < second.rows() / 128; i++) {
    const auto p = G2Affine::load(second.data() + 128 * i);
    if (!canonical(p.x.c0) || !canonical(p.x.c1) || !canonical(p.y.c0) || !canonical(p.y.c1) || p.is_infinity() || !in_g2(p))
      return int64_t(n + i);
  }
  return -1;
}

/// Whether one proof holds under a key of valid points; see ProofBatch.
bool proof_holds(nb::handle g1, nb::handle g2, nb::handle proof, nb::handle publics) {
  const Buffer first(g1, 1, {}, "g1");
  const Items second(g2, 3, 128, "g2"), one(proof, 1, ProofBatch::proof_bytes, "proof");
  if (first.rows() % 64 || first.rows() < 128) throw std::invalid_argument("a key has alpha, IC_0, ... in G1");
  ProofBatch::Key key;
  key.alpha = G1Affine::load(first.data());
  for (size_t i = 64; i < first.rows(); i += 64) key.ic.push_back(G1Affine::load(first.data() + i));
  G2Affine* const points[3] = {&key.beta, &key.gamma, &key.delta};
  for (size_t i = 0; i < 3; i++) *points[i] = G2Affine::load(second.data() + 128 * i);
  const Items signals(publics, key.n_public(), 32, "publics");
  nb::gil_scoped_release unlocked;
  const uint64_t coefficient[2] = {0, 0};
  ProofBatch batch(std::move(key), one.data(), signals.data(), coefficient, 1, 1, Isa::best);
  return batch.well_formed(0) && batch.holds(0, 1);
}

/// out = e(P, Q)^k as `final_exponentiation` has it: twelve elements of Fq, Montgomery.
void pairing_value(nb::handle g1, nb::handle g2, nb::handle out) {
  const Items p(g1, 1, 64, "g1"), q(g2, 1, 128, "g2"), target(out, 12, 32, "result", true);
  nb::gil_scoped_release unlocked;
  const auto left = G1Affine::load(p.data());
  const auto right = G2Affine::load(q.data());
  const Fq12 f = pairing::final_exponentiation(pairing::miller_product(&left, &right, 1));
  static_assert(sizeof f == 12 * 32);
  std::memcpy(target.writable(), &f, sizeof f);
}

template <class F>
void small_sum_in(nb::handle points, nb::handle scalars, nb::handle out) {
  const Buffer p(points, 1, {}, "points");
  const size_t n = p.rows() / sizeof(Affine<F>);
  const Items all(points, n, sizeof(Affine<F>), "points"), k(scalars, n, 32, "scalars"),
      target(out, 1, sizeof(Affine<F>), "result", true);
  nb::gil_scoped_release unlocked;
  Xyzz<F> total = Xyzz<F>::infinity();
  for (size_t i = 0; i < n; i++) {
    uint64_t scalar[4];
    std::memcpy(scalar, k.data() + 32 * i, 32);
    const auto point = Affine<F>::load(p.data() + i * sizeof(Affine<F>));
    if (scalar[0] == 1 && (scalar[1] | scalar[2] | scalar[3]) == 0)
      total.add(point);
    else
      total.add(Xyzz<F>::from(point).times_vartime(scalar, 256));
  }
  const Affine<F> sum = total.to_affine();
  std::memcpy(target.writable(), &sum, sizeof sum);
}

/// Sum k_i P_i in G1 or G2, for a few points.
void small_sum(int group, nb::handle points, nb::handle scalars, nb::handle out) {
  if (group != 1 && group != 2) throw std::invalid_argument("there is no such group");
  return group == 1 ? small_sum_in<Fq>(points, scalars, out) : small_sum_in<Fq2>(points, scalars, out);
}

}  // namespace

void bind_whole(nb::module_& m) {
  m.def("first_non_canonical", &first_non_canonical);
  m.def("whole_sums", &whole_sums);
  m.def("first_bad_key_point", &first_bad_key_point);
  m.def("proof_holds", &proof_holds);
  m.def("small_sum", &small_sum);
  m.def("pairing_value", &pairing_value);
}

}  // namespace hp
