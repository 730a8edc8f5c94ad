// Pairings and the validity of G2 points for Python. Shapes are checked here; points must be valid unless said otherwise.
#include <nanobind/ndarray.h>

#include <algorithm>
#include <vector>

#include "bind.hpp"
#include "pairing.hpp"
#include "pool.hpp"
#include "proof_batch.hpp"

namespace hp {
namespace {

using GtArray = nb::ndarray<nb::numpy, uint64_t, nb::shape<12, 4>>;
using BoolArray = nb::ndarray<nb::numpy, bool, nb::ndim<1>>;

/// Fewer pairs than this are not worth a Miller loop of their own: its squarings cost as much as half a pair.
constexpr size_t least_pairs = 4;
/// Subgroup checks handed to a thread at a time.
constexpr size_t check_grain = 16;

template <class Array, class T>
Array to_numpy(const T* data, std::initializer_list<size_t> shape) {
  size_t n = 1;
  for (size_t extent : shape) n *= extent;
  T* copy = new T[n];
  std::copy(data, data + n, copy);
  nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return Array(copy, shape, owner);
}

GtArray gt_to_numpy(const Fq12& f) {
  uint64_t limbs[12][4];
  std::memcpy(limbs, &f, sizeof limbs);
  return to_numpy<GtArray>(&limbs[0][0], {12, 4});
}

Fq12 gt_from(nb::handle object, const char* what) {
  Buffer buffer(object, 8, {4}, what);
  if (buffer.rows() != 12) throw std::invalid_argument(std::string(what) + " needs shape (12, 4)");
  Fq12 f;
  std::memcpy(&f, buffer.data(), sizeof f);
  return f;
}

/// The product of the Miller functions of all pairs; each thread takes blocks that share their squarings.
Fq12 miller(const Buffer& g1, const Buffer& g2, unsigned threads) {
  const size_t n = g1.rows();
  const size_t share = (n + (threads ? threads : default_threads()) - 1) / (threads ? threads : default_threads());
  const size_t block = std::clamp(share, least_pairs, pairing::miller_block);
  std::vector<Fq12> parts((n + block - 1) / block);
  parallel_for(parts.size(), threads, [&](size_t k) {
    G1Affine p[pairing::miller_block];
    G2Affine q[pairing::miller_block];
    const size_t first = k * block, count = std::min(block, n - first);
    std::memcpy(p, g1.data() + first * sizeof *p, count * sizeof *p);
    std::memcpy(q, g2.data() + first * sizeof *q, count * sizeof *q);
    parts[k] = pairing::miller_block_product(p, q, count);
  });
  Fq12 f = Fq12::one();
  for (const Fq12& part : parts) f *= part;
  return f;
}

void check_lengths(const Buffer& g1, const Buffer& g2) {
  if (g1.rows() != g2.rows())
    throw std::invalid_argument(std::to_string(g1.rows()) + " points of G1 for " + std::to_string(g2.rows()) + " of G2");
}

bool pairing_product_is_one(nb::handle g1_object, nb::handle g2_object, unsigned threads) {
  Buffer g1(g1_object, 8, {2, 4}, "g1"), g2(g2_object, 8, {2, 2, 4}, "g2");
  check_lengths(g1, g2);
  nb::gil_scoped_release release;
  return pairing::final_exponentiation(miller(g1, g2, threads)).is_one();
}

GtArray miller_loop(nb::handle g1_object, nb::handle g2_object, unsigned threads) {
  Buffer g1(g1_object, 8, {2, 4}, "g1"), g2(g2_object, 8, {2, 2, 4}, "g2");
  check_lengths(g1, g2);
  Fq12 f;
  {
    nb::gil_scoped_release release;
    f = miller(g1, g2, threads);
  }
  return gt_to_numpy(f);
}

GtArray gt_multiply(nb::handle a, nb::handle b) { return gt_to_numpy(gt_from(a, "a") * gt_from(b, "b")); }

GtArray final_exponentiation(nb::handle object) {
  Fq12 f = gt_from(object, "f");
  {
    nb::gil_scoped_release release;
    f = pairing::final_exponentiation(f);
  }
  return gt_to_numpy(f);
}

bool final_exponentiation_is_one(nb::handle object) {
  const Fq12 f = gt_from(object, "f");
  nb::gil_scoped_release release;
  return pairing::final_exponentiation(f).is_one();
}

bool canonical_g2(const G2Affine& p) {
  for (const Fq& c : {p.x.c0, p.x.c1, p.y.c0, p.y.c1})
    if (!is_canonical<params::FqParams>(c.v)) return false;
  return true;
}

BoolArray g2_valid(nb::handle object, unsigned threads) {
  Buffer points(object, 8, {2, 2, 4}, "points");
  const size_t n = points.rows();
  std::vector<uint8_t> valid(n);
  {
    nb::gil_scoped_release release;
    parallel_ranges(n, check_grain, threads, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        const G2Affine p = G2Affine::load(points.data() + i * sizeof(G2Affine));
        valid[i] = canonical_g2(p) && in_g2(p);
      }
    });
  }
  return to_numpy<BoolArray>(reinterpret_cast<const bool*>(valid.data()), {n});
}

/// ProofBatch for Python: shapes are checked, everything is copied.
void open_proof_batch(ProofBatch* self, nb::handle g1_object, nb::handle g2_object, nb::handle proofs_object,
                      nb::handle publics_object, nb::handle coefficients_object, unsigned threads, bool scalar) {
  Buffer g1(g1_object, 8, {2, 4}, "g1"), g2(g2_object, 8, {2, 2, 4}, "g2");
  Buffer proofs(proofs_object, 1, {ProofBatch::proof_bytes}, "proofs"), publics(publics_object, 1, {32}, "publics");
  Buffer coefficients(coefficients_object, 8, {2}, "coefficients");
  if (g1.rows() < 2 || g2.rows() != 3) throw std::invalid_argument("a key has alpha, IC_0, ... in G1 and beta, gamma, delta in G2");
  ProofBatch::Key key;
  key.alpha = G1Affine::load(g1.data());
  for (size_t i = 1; i < g1.rows(); i++) key.ic.push_back(G1Affine::load(g1.data() + i * sizeof(G1Affine)));
  G2Affine* const points[3] = {&key.beta, &key.gamma, &key.delta};
  for (size_t i = 0; i < 3; i++) *points[i] = G2Affine::load(g2.data() + i * sizeof(G2Affine));
  const size_t n = proofs.rows();
  if (publics.rows() != n * key.n_public() || coefficients.rows() != n)
    throw std::invalid_argument(std::to_string(n) + " proofs with " + std::to_string(publics.rows()) + " public signals and " +
                                std::to_string(coefficients.rows()) + " coefficients");
  const auto* words = coefficients.as<SplitScalar>("coefficients")->k;
  nb::gil_scoped_release release;
  new (self) ProofBatch(std::move(key), proofs.data(), publics.data(), words, n, threads, scalar ? Isa::scalar : Isa::best);
}

BoolArray well_formed(const ProofBatch& batch) {
  std::vector<uint8_t> flags(batch.size());
  for (size_t i = 0; i < flags.size(); i++) flags[i] = batch.well_formed(i);
  return to_numpy<BoolArray>(reinterpret_cast<const bool*>(flags.data()), {flags.size()});
}

}  // namespace

void bind_pairing(nb::module_& m) {
  using namespace nb::literals;
  m.def("pairing_product_is_one", &pairing_product_is_one, "g1"_a, "g2"_a, "threads"_a = 0,
        "Whether the product of e(g1[i], g2[i]) is 1. uint64[n, 2, 4] and uint64[n, 2, 2, 4], Montgomery, valid points; "
        "infinity contributes 1. ValueError for other shapes. One final exponentiation.");
  m.def("miller_loop", &miller_loop, "g1"_a, "g2"_a, "threads"_a = 0,
        "The product of the Miller functions of the pairs, before the final exponentiation, as opaque uint64[12, 4]: "
        "multiply such values with gt_multiply, decide with final_exponentiation_is_one.");
  m.def("gt_multiply", &gt_multiply, "a"_a, "b"_a, "The product in Fq12 of two uint64[12, 4].");
  m.def("final_exponentiation", &final_exponentiation, "f"_a,
        "f^(k (q^12 - 1) / r) with k = 2x (6x^2 + 3x + 1): equal for equal pairing values, of order r.");
  m.def("final_exponentiation_is_one", &final_exponentiation_is_one, "f"_a,
        "Whether f, a product of Miller functions, is 1 after the final exponentiation.");
  m.def("g2_valid", &g2_valid, "points"_a, "threads"_a = 0,
        "bool[n]: canonical coordinates, on the twist and of order r; or infinity. uint64[n, 2, 2, 4], anything at all.");
  nb::class_<ProofBatch>(m, "ProofBatch", "Groth16 proofs under one key, checked in any combination.")
      .def("__init__", &open_proof_batch, "g1"_a, "g2"_a, "proofs"_a, "publics"_a, "coefficients"_a, "threads"_a, "scalar"_a,
           "alpha, IC_0, ... and beta, gamma, delta; uint8[n, 256], uint8[n l, 32], uint64[n, 2]: see proof_batch.hpp.")
      .def("well_formed", &well_formed)
      .def("holds", &ProofBatch::holds, "first"_a, "last"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace hp
