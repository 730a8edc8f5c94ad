// Chooses who computes Miller values, and computes them one element at a time where nothing wider can.
#include "miller_values.hpp"

#include <vector>

#include "cpu.hpp"
#include "msm_engine.hpp"
#include "pairing.hpp"
#include "pool.hpp"
#ifdef HP_IFMA
#include "ifma/pairing8.hpp"
#endif

namespace hp {
namespace {

/// The wide loops always cost as much as a full row of eight; fewer pairs than this go faster one by one.
constexpr size_t least_wide = 3;

void scalar_miller_values(const ScaledPair* pairs, size_t n, bool apart, Fq12* values, bool* in_subgroup) {
  const size_t group = apart ? 1 : group_size(n);
  for (size_t first = 0; first < n; first += group) {
    G1Affine p[miller_group];
    G2Affine q[miller_group];
    size_t live = 0;
    for (size_t i = first; i < std::min(n, first + group); i++) {
      in_subgroup[i] = in_g2(pairs[i].b);
      if (!in_subgroup[i] || !pairs[i].counts) continue;
      p[live] = -scaled(pairs[i].a, pairs[i].scalar);
      q[live++] = pairs[i].b;
    }
    values[first / group] = pairing::miller_product(p, q, live);
  }
}

}  // namespace

G1Affine scaled(const G1Affine& p, const SplitScalar& scalar) {
  const G1Affine image = {p.x * Fq::raw(params::g1_beta), p.y};
  G1 both = G1::from(p);
  both.add(image);
  const G1Affine sums[3] = {p, image, both.to_affine()};
  G1 r = G1::infinity();
  for (unsigned i = 65; i-- > 0;) {
    r = r.twice();
    // bit i of 2k + 1
    const auto bit = [&](uint64_t k) { return i == 0 ? 1u : unsigned(k >> (i - 1) & 1); };
    const unsigned choice = bit(scalar.k[0]) | bit(scalar.k[1]) << 1;
    if (choice) r.add(sums[choice - 1]);
  }
  return r.to_affine();
}

bool eight_wide(Isa isa) {
#ifdef HP_IFMA
  return isa == Isa::best && cpu::has_ifma;
#else
  (void)isa;
  return false;
#endif
}

void few_miller_values(const ScaledPair* pairs, size_t n, Fq12* values, bool* in_subgroup) {
#ifdef HP_IFMA
  ifma::miller_values(pairs, n, false, false, values, in_subgroup);
#else
  (void)pairs, (void)n, (void)values, (void)in_subgroup;
#endif
}

void miller_values(const ScaledPair* pairs, size_t n, bool apart, Fq12* values, bool* in_subgroup, Isa isa) {
#ifdef HP_IFMA
  if (eight_wide(isa) && n >= least_wide) return ifma::miller_values(pairs, n, apart, true, values, in_subgroup);
#endif
  (void)isa;
  scalar_miller_values(pairs, n, apart, values, in_subgroup);
}

G1Affine combine(const G1Affine* p, const SplitScalar* k, size_t n, unsigned threads, Isa isa) {
#ifdef HP_IFMA
  if (eight_wide(isa) && n >= least_wide) {
    std::vector<G1> parts((n + miller_pairs - 1) / miller_pairs);
    parallel_for(parts.size(), threads, [&](size_t i) {
      const size_t first = i * miller_pairs;
      parts[i] = ifma::combine(p + first, k + first, std::min(miller_pairs, n - first));
    });
    for (size_t i = 1; i < parts.size(); i++) parts[0].add(parts[i]);
    return parts[0].to_affine();
  }
#endif
  if (n < least_wide) {
    G1 r = G1::infinity();
    for (size_t i = 0; i < n; i++) r.add(scaled(p[i], k[i]));
    return r.to_affine();
  }
  std::vector<uint64_t> canonical(4 * n);
  for (size_t i = 0; i < n; i++) k[i].value().to_canonical(&canonical[4 * i]);
  const auto engine = make_msm<Fq>(reinterpret_cast<const unsigned char*>(p), n, threads, isa);
  engine->add(0, reinterpret_cast<const unsigned char*>(canonical.data()), n);
  return engine->finish();
}

}  // namespace hp
