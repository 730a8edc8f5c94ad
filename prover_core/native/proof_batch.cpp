#include "proof_batch.hpp"

#include <algorithm>
#include <array>

#include "msm_engine.hpp"
#include "pairing.hpp"
#include "pool.hpp"

namespace hp {
namespace {

/// Proofs decoded at a time.
constexpr size_t decode_grain = 32;
/// As many proofs share eight lanes with the key's three pairs.
constexpr size_t most_few = 5;
/// Fewer pairs than this in a call of miller_values share too little.
constexpr size_t least_block = 64;

/// 32 big-endian bytes; false if they are not below q.
bool decode_fq(const unsigned char* bytes, Fq& out) {
  uint64_t limbs[4];
  for (int i = 0; i < 4; i++) {
    uint64_t word = 0;
    for (int j = 0; j < 8; j++) word = word << 8 | bytes[8 * (3 - i) + j];
    limbs[i] = word;
  }
  out = Fq::from_canonical(limbs);
  return is_canonical<params::FqParams>(limbs);
}

/// More points than this are worth buckets.
constexpr size_t most_interleaved = 128;

/// The sum of scalars[i] points[i], scalars in Montgomery form. Few points: windows of four bits that share their doublings
/// (Straus), 252 + 78 n additions.
G1Affine sum(const G1Affine* points, const Fr* scalars, size_t n, unsigned threads, Isa isa) {
  std::vector<uint64_t> canonical(4 * n);
  for (size_t i = 0; i < n; i++) scalars[i].to_canonical(&canonical[4 * i]);
  if (n <= most_interleaved) {
    std::vector<std::array<G1, 16>> multiples(n);
    for (size_t i = 0; i < n; i++) {
      multiples[i][0] = G1::infinity();
      for (int k = 1; k < 16; k++) (multiples[i][k] = multiples[i][k - 1]).add(points[i]);
    }
    G1 r = G1::infinity();
    for (unsigned bit = 256; bit > 0;) {
      bit -= 4;
      for (int k = 0; k < 4; k++) r = r.twice();
      for (size_t i = 0; i < n; i++) r.add(multiples[i][canonical[4 * i + bit / 64] >> (bit % 64) & 15]);
    }
    return r.to_affine();
  }
  const auto engine = make_msm<Fq>(reinterpret_cast<const unsigned char*>(points), n, threads, isa);
  engine->add(0, reinterpret_cast<const unsigned char*>(canonical.data()), n);
  return engine->finish();
}

}  // namespace

ProofBatch::ProofBatch(Key key, const unsigned char* proofs, const unsigned char* publics, const uint64_t* coefficients,
                       size_t n, unsigned threads, Isa isa)
    : key_(std::move(key)),
      threads_(threads ? threads : default_threads()),
      isa_(isa),
      proofs_(n),
      c_(n),
      publics_(n * key_.n_public()),
      rho_(n) {
  parallel_ranges(n, decode_grain, threads_, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++)
      decode(i, proofs + i * proof_bytes, publics + i * key_.n_public() * 32, coefficients + 2 * i);
  });
  if (n > 0 && n <= most_few && eight_wide(isa))
    run_few();
  else
    run_groups();
}

void ProofBatch::decode(size_t i, const unsigned char* proof, const unsigned char* publics, const uint64_t* coefficient) {
  Proof& p = proofs_[i];
  G1Affine a;
  G2Affine b;
  Fq* const order[8] = {&a.x, &a.y, &b.x.c1, &b.x.c0, &b.y.c1, &b.y.c0, &c_[i].x, &c_[i].y};
  bool good = true;
  for (int k = 0; k < 8; k++) good &= decode_fq(proof + 32 * k, *order[k]);
  for (size_t j = 0; j < key_.n_public(); j++) {
    uint64_t limbs[4];
    std::memcpy(limbs, publics + 32 * j, sizeof limbs);
    good &= is_canonical<params::FrParams>(limbs);
    publics_[i * key_.n_public() + j] = Fr::from_canonical(limbs);
  }
  p.well_formed = good && on_curve(a) && on_curve(b) && on_curve(c_[i]);
  p.pair.scalar = {{coefficient[0], coefficient[1]}};
  rho_[i] = p.pair.scalar.value();
  p.pair.counts = p.well_formed && !a.is_infinity() && !b.is_infinity();  // infinity contributes 1
  p.pair.a = a;
  p.pair.b = p.well_formed && !b.is_infinity() ? b : G2Affine::load(params::g2_generator);
}

void ProofBatch::run_groups() {
  const size_t n = size();
  if (n == 0) return;
  const size_t least = (n + miller_pairs - 1) / miller_pairs;
  const size_t blocks = std::max(least, std::min<size_t>(threads_, n / least_block));
  struct Block {
    size_t first, last, groups;
    Fq12 values[8];
    bool in_subgroup[miller_pairs];
  };
  std::vector<Block> done(blocks);
  parallel_for(blocks, threads_, [&](size_t k) {
    Block& b = done[k];
    b.first = n * k / blocks;
    b.last = n * (k + 1) / blocks;
    std::vector<ScaledPair> pairs;
    for (size_t i = b.first; i < b.last; i++) pairs.push_back(proofs_[i].pair);
    miller_values(pairs.data(), pairs.size(), false, b.values, b.in_subgroup, isa_);
  });
  for (const Block& b : done) {
    const size_t length = group_size(b.last - b.first);
    for (size_t first = b.first, g = 0; first < b.last; first += length, g++) {
      Group group = {first, std::min(b.last, first + length), b.values[g], false, {}};
      for (size_t i = group.first; i < group.last; i++) {
        if (!b.in_subgroup[i - b.first]) refuse(i, group);
      }
      groups_.push_back(std::move(group));
    }
  }
}

void ProofBatch::run_few() {
  const size_t n = size();
  ScaledPair pairs[8];
  for (size_t i = 0; i < n; i++) {
    pairs[i] = proofs_[i].pair;
    if (pairs[i].counts) pairs[i].a = scaled(pairs[i].a, pairs[i].scalar);
  }
  key_pairs(0, n, pairs + n);
  Fq12 values[8];
  bool in_subgroup[8];
  few_miller_values(pairs, n + 3, values, in_subgroup);
  Group group = {0, n, Fq12::one(), false, {values, values + n}};
  for (size_t i = 0; i < n; i++) {
    if (proofs_[i].pair.counts) group.value *= values[i];
    if (!in_subgroup[i]) refuse(i, group);
  }
  if (!group.spoiled) key_value_ = values[n] * values[n + 1] * values[n + 2];
  groups_.push_back(std::move(group));
}

void ProofBatch::refuse(size_t i, Group& group) {
  group.spoiled = true;
  proofs_[i].well_formed = proofs_[i].pair.counts = false;
  proofs_[i].pair.b = G2Affine::load(params::g2_generator);
}

void ProofBatch::take_apart(Group& group) {
  const size_t n = group.last - group.first;
  std::vector<ScaledPair> pairs;
  for (size_t i = group.first; i < group.last; i++) pairs.push_back(proofs_[i].pair);
  group.each.resize(n);
  bool known[miller_group];
  miller_values(pairs.data(), n, true, group.each.data(), known, isa_);
}

Fq12 ProofBatch::proofs_product(size_t first, size_t last) {
  Fq12 f = Fq12::one();
  for (Group& group : groups_) {
    const size_t from = std::max(first, group.first), to = std::min(last, group.last);
    if (from >= to) continue;
    if (to - from == group.last - group.first && !group.spoiled) {
      f *= group.value;
      continue;
    }
    if (group.each.empty()) take_apart(group);
    for (size_t i = from; i < to; i++)
      if (proofs_[i].pair.counts) f *= group.each[i - group.first];
  }
  return f;
}

void ProofBatch::key_pairs(size_t first, size_t last, ScaledPair out[3]) const {
  const size_t l = key_.n_public();
  std::vector<Fr> ic(l + 1, Fr::zero());
  std::vector<G1Affine> c(last - first, G1Affine::infinity());
  std::vector<SplitScalar> scalars(last - first);
  for (size_t i = first; i < last; i++) {
    if (!proofs_[i].well_formed) continue;
    c[i - first] = c_[i];
    scalars[i - first] = proofs_[i].pair.scalar;
    ic[0] += rho_[i];
    for (size_t j = 0; j < l; j++) ic[j + 1] += rho_[i] * publics_[i * l + j];
  }
  const bool lone = last - first == 1 && proofs_[first].well_formed;
  const G1Affine p[3] = {lone ? scaled(key_.alpha, scalars[0]) : sum(&key_.alpha, ic.data(), 1, threads_, isa_),
                         sum(key_.ic.data(), ic.data(), l + 1, threads_, isa_),
                         combine(c.data(), scalars.data(), c.size(), threads_, isa_)};
  const G2Affine q[3] = {key_.beta, key_.gamma, key_.delta};
  for (int k = 0; k < 3; k++) out[k] = {-p[k], q[k], {}, !p[k].is_infinity()};
}

Fq12 ProofBatch::key_product(size_t first, size_t last) const {
  if (key_value_ && first == 0 && last == size()) return *key_value_;
  ScaledPair pairs[3];
  key_pairs(first, last, pairs);
  if (eight_wide(isa_)) {
    Fq12 values[3];
    bool in_subgroup[3];
    few_miller_values(pairs, 3, values, in_subgroup);
    return values[0] * values[1] * values[2];
  }
  const G1Affine p[3] = {-pairs[0].a, -pairs[1].a, -pairs[2].a};
  const G2Affine q[3] = {key_.beta, key_.gamma, key_.delta};
  return pairing::miller_product(p, q, 3);
}

bool ProofBatch::holds(size_t first, size_t last) {
  if (first > last || last > size()) throw std::invalid_argument("the range leaves the batch");
  std::lock_guard lock(mutex_);
  return pairing::final_exponentiation(proofs_product(first, last) * key_product(first, last)).is_one();
}

}  // namespace hp
