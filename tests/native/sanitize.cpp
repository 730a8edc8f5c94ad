// The engine's algorithms on hard inputs, for a build with sanitizers: wide against one at a time, that against plain sums.
//
//   sanitize THREADS    prints a digest of all results, which must not depend on THREADS or on the run
//
// Inputs come from a fixed seed. Exits with 1 and a line for each disagreement.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "fixed_base.hpp"
#include "msm_engine.hpp"
#include "ntt.hpp"
#include "proof_batch.hpp"
#include "whole_sums.hpp"

namespace {

using namespace hp;
using Bytes = std::vector<unsigned char>;

std::mt19937_64 randomness(20);
unsigned threads = 2;
int failures = 0;
uint64_t digest = 0xcbf29ce484222325;  // FNV-1a

void record(const void* data, size_t size) {
  for (size_t i = 0; i < size; i++) digest = (digest ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
}

void expect(bool holds, const char* what, size_t n, const char* kind) {
  if (holds) return;
  failures++;
  std::printf("wrong: %s, n = %zu, %s\n", what, n, kind);
}

struct Scalar {
  uint64_t v[4];
};

Scalar uniform() {
  Scalar k;
  for (uint64_t& limb : k.v) limb = randomness();
  k.v[3] %= params::FrParams::modulus[3];
  return k;
}

Scalar minus(uint64_t d) {
  Scalar k;
  std::copy_n(params::FrParams::modulus, 4, k.v);
  k.v[0] -= d;
  return k;
}

/// Zeros, ones, minus ones, small ones of both signs, one value again and again, and uniform ones.
Scalar skewed() {
  switch (randomness() % 7) {
    case 0: return {{0, 0, 0, 0}};
    case 1: return {{1, 0, 0, 0}};
    case 2: return minus(1);
    case 3: return {{randomness() % 256, 0, 0, 0}};
    case 4: return minus(1 + randomness() % 9);
    case 5: return {{5, 5, 5, 5}};
    default: return uniform();
  }
}

Fr field(const Scalar& k) { return Fr::from_canonical(k.v); }

template <class F>
Affine<F> generator() {
  if constexpr (sizeof(F) == sizeof(Fq)) return Affine<F>::load(params::g1_generator);
  else return Affine<F>::load(params::g2_generator);
}

/// k_i times the generator, one at a time: the oracle.
template <class F>
Affine<F> multiple(const Fr& k) {
  uint64_t v[4];
  k.to_canonical(v);
  return Xyzz<F>::from(generator<F>()).times_vartime(v, 254).to_affine();
}

template <class F>
Affine<F> sum(Isa isa, const Bytes& bases, const std::vector<Scalar>& k, size_t chunks, bool settled) {
  const auto msm = make_msm<F>(bases.data() + 1, k.size(), threads, isa);
  for (size_t c = 0; c < chunks; c++) {
    const size_t begin = k.size() * c / chunks, end = k.size() * (c + 1) / chunks;
    const std::vector<Scalar> chunk(k.begin() + ptrdiff_t(begin), k.begin() + ptrdiff_t(end));  // ends where ASan looks
    msm->add(begin, reinterpret_cast<const unsigned char*>(chunk.data()), chunk.size());
    if (settled) msm->settle(k.size() - end);
  }
  msm->add_point(generator<F>());
  return msm->finish();
}

template <class F>
void sums(const char* group, size_t n) {
  for (const bool hard : {false, true}) {
    std::vector<Scalar> logs(n), k(n);
    for (size_t i = 0; i < n; i++) {
      logs[i] = hard && i % 13 == 0 ? Scalar{{0, 0, 0, 0}} : uniform();
      if (hard && i % 5 == 1) logs[i] = logs[i - 1];
      if (hard && i % 5 == 3) (-field(logs[i - 1])).to_canonical(logs[i].v);
      k[i] = hard ? skewed() : uniform();
    }
    std::vector<Affine<F>> wide(n), single(n);
    const auto* raw = reinterpret_cast<const unsigned char*>(logs.data());
    fixed_base<F>(generator<F>(), raw, n, reinterpret_cast<unsigned char*>(wide.data()), threads, Isa::best);
    fixed_base<F>(generator<F>(), raw, n, reinterpret_cast<unsigned char*>(single.data()), threads, Isa::scalar);
    const char* kind = hard ? "hard" : "uniform";
    expect(wide == single, group, n, "multiples of one base");
    expect(single[n / 2] == multiple<F>(field(logs[n / 2])), group, n, "a multiple");
    record(wide.data(), n * sizeof wide[0]);

    Bytes bases(1 + n * sizeof(Affine<F>));  // unaligned, as in a mapped key
    std::memcpy(bases.data() + 1, single.data(), n * sizeof(Affine<F>));
    Fr total = Fr::one();
    for (size_t i = 0; i < n; i++) total = total + field(logs[i]) * field(k[i]);
    const Affine<F> expected = multiple<F>(total);
    record(&expected, sizeof expected);
    for (const Isa isa : {Isa::best, Isa::scalar})
      for (const size_t chunks : {1, 3})
        for (const bool settled : {false, true})
          expect(sum<F>(isa, bases, k, chunks, settled) == expected, group, n, kind);
  }
}

/// Every point P or -P, every scalar the same: all sums pass through infinity or are doublings.
template <class F>
void degenerate(const char* group, bool opposite) {
  const size_t n = 2048;
  Bytes bases(1 + n * sizeof(Affine<F>));
  const Affine<F> p = generator<F>();
  for (size_t i = 0; i < n; i++) {
    const Affine<F> q = opposite && i % 2 ? -p : p;
    std::memcpy(bases.data() + 1 + i * sizeof q, &q, sizeof q);
  }
  const Scalar one = uniform();
  const std::vector<Scalar> k(n, one);
  const Fr times = opposite ? Fr::zero() : Fr::from_u64(n);
  const Affine<F> expected = multiple<F>(field(one) * times + Fr::one());
  for (const Isa isa : {Isa::best, Isa::scalar}) expect(sum<F>(isa, bases, k, 2, true) == expected, group, n, "degenerate");
}

void transforms(unsigned log2) {
  const size_t n = size_t(1) << log2;
  for (const bool largest : {false, true}) {
    std::vector<Fr> a(n), b(n);
    for (Fr& x : a) x = largest ? -Fr::one() : field(skewed());
    for (Fr& x : b) x = largest ? -Fr::one() : field(uniform());
    if (largest)
      for (Fr& x : a) x = Fr::raw(minus(1).v);  // the largest limbs there are
    for (const bool inverse : {false, true}) {
      std::vector<Fr> wide = a, single = a;
      ntt(wide.data(), log2, inverse, threads, Isa::best);
      ntt(single.data(), log2, inverse, threads, Isa::scalar);
      expect(std::memcmp(wide.data(), single.data(), n * sizeof(Fr)) == 0, "NTT", n, inverse ? "inverse" : "forward");
      ntt(wide.data(), log2, !inverse, threads, Isa::scalar);
      expect(std::memcmp(wide.data(), a.data(), n * sizeof(Fr)) == 0, "NTT", n, "there and back");
      record(single.data(), n * sizeof(Fr));
    }
    const auto* x = reinterpret_cast<const unsigned char*>(a.data());
    const auto* y = reinterpret_cast<const unsigned char*>(b.data());
    for (const unsigned char* z : {static_cast<const unsigned char*>(nullptr), x}) {
      std::vector<Fr> wide(n), single(n);
      quotient(x, y, z, log2, wide.data(), threads, Isa::best);
      quotient(x, y, z, log2, single.data(), threads, Isa::scalar);
      expect(std::memcmp(wide.data(), single.data(), n * sizeof(Fr)) == 0, "quotient", n, z ? "given" : "product");
      record(single.data(), n * sizeof(Fr));
      if (z) continue;
      for (const Isa isa : {Isa::best, Isa::scalar}) {
        std::vector<Fr> left = a, right = b;
        quotient_in_place(left.data(), right.data(), log2, threads, isa);
        expect(std::memcmp(left.data(), single.data(), n * sizeof(Fr)) == 0, "quotient", n, "in place");
      }
    }
  }
}

template <class F>
Bytes points(const std::vector<Scalar>& logs) {
  std::vector<Affine<F>> p(logs.size());
  const auto* raw = reinterpret_cast<const unsigned char*>(logs.data());
  fixed_base<F>(generator<F>(), raw, logs.size(), reinterpret_cast<unsigned char*>(p.data()), threads, Isa::best);
  Bytes bytes(1 + p.size() * sizeof p[0]);
  std::memcpy(bytes.data() + 1, p.data(), p.size() * sizeof p[0]);
  return bytes;
}

/// The five sums of a proof from bytes as a key file has them, against their logarithms; rows of the terms ascend or not.
void whole(size_t m, unsigned log2, bool ascending) {
  const size_t n = size_t(1) << log2, l = m / 3, n_terms = 3 * n;
  const auto logarithms = [](size_t count) {
    std::vector<Scalar> logs(count);
    for (Scalar& k : logs) k = uniform();
    return logs;
  };
  const auto a = logarithms(m), b = logarithms(m), c = logarithms(m - l - 1), h = logarithms(n);
  const Bytes pa = points<Fq>(a), pb1 = points<Fq>(b), pb2 = points<Fq2>(b), pl = points<Fq>(c), ph = points<Fq>(h);
  std::vector<Scalar> w(m);
  for (Scalar& k : w) k = skewed();
  Bytes terms(n_terms * TermList::term_bytes);
  std::vector<Fr> rows[2] = {std::vector<Fr>(n, Fr::zero()), std::vector<Fr>(n, Fr::zero())};
  for (size_t i = 0; i < n_terms; i++) {
    const uint32_t matrix = randomness() % 2, row = uint32_t(ascending ? n * i / n_terms : randomness() % n), wire = uint32_t(randomness() % m);
    const Fr coefficient = field(skewed()), stored = Fr::from_canonical(coefficient.v);  // c R^2
    unsigned char* to = &terms[i * TermList::term_bytes];
    std::memcpy(to, &matrix, 4), std::memcpy(to + 4, &row, 4), std::memcpy(to + 8, &wire, 4), std::memcpy(to + 12, stored.v, 32);
    rows[matrix][row] += coefficient * field(w[wire]);
  }
  quotient_in_place(rows[0].data(), rows[1].data(), log2, threads, Isa::scalar);
  const auto total = [](const std::vector<Scalar>& logs, const Scalar* k) {
    Fr sum = Fr::zero();
    for (size_t i = 0; i < logs.size(); i++) sum += field(logs[i]) * field(k[i]);
    return sum;
  };
  const G1Affine sums[4] = {multiple<Fq>(total(a, w.data())), multiple<Fq>(total(b, w.data())), multiple<Fq>(total(c, w.data() + l + 1)),
                            multiple<Fq>(total(h, reinterpret_cast<const Scalar*>(rows[0].data())))};
  const G2Affine b2 = multiple<Fq2>(total(b, w.data()));
  record(sums, sizeof sums);
  const KeySections key{TermList(terms.data(), n_terms), m, l, log2, pa.data() + 1, pb1.data() + 1, pb2.data() + 1, pl.data() + 1,
                        ph.data() + 1, false};
  for (const Isa isa : {Isa::best, Isa::scalar}) {
    const WholeSums found = sum_whole(key, reinterpret_cast<const unsigned char*>(w.data()), threads, isa);
    expect(found.a == sums[0] && found.b1 == sums[1] && found.l == sums[2] && found.h == sums[3] && found.b2 == b2, "whole sums", m,
           ascending ? "ascending" : "in any order");
  }
}

void big_endian(const Fq& x, unsigned char* out) {
  uint64_t v[4];
  x.to_canonical(v);
  for (int i = 0; i < 32; i++) out[31 - i] = static_cast<unsigned char>(v[i / 8] >> (8 * (i % 8)));
}

/// Proofs whose logarithms satisfy a b = alpha beta + x gamma + c delta; proof `bad` is false, or garbage.
void proofs(size_t n, size_t bad, bool garbage) {
  const Fr alpha = field(uniform()), beta = field(uniform()), gamma = field(uniform()), delta = field(uniform());
  const Fr ic[2] = {field(uniform()), field(uniform())};
  const ProofBatch::Key key{multiple<Fq>(alpha), {multiple<Fq>(ic[0]), multiple<Fq>(ic[1])}, multiple<Fq2>(beta),
                            multiple<Fq2>(gamma), multiple<Fq2>(delta)};
  Bytes encoded(n * ProofBatch::proof_bytes), publics(32 * n);
  std::vector<uint64_t> coefficients(2 * n);
  for (uint64_t& c : coefficients) c = randomness();
  for (size_t i = 0; i < n; i++) {
    const Fr a = field(uniform()), b = field(uniform());
    const Scalar s = skewed();
    const Fr x = ic[0] + field(s) * ic[1];
    Fr c = (a * b - alpha * beta - x * gamma) * delta.inverse_vartime();
    if (i == bad && !garbage) c = c + Fr::one();
    std::memcpy(&publics[32 * i], s.v, 32);
    unsigned char* out = &encoded[i * ProofBatch::proof_bytes];
    const G1Affine pa = multiple<Fq>(a), pc = multiple<Fq>(c);
    const G2Affine pb = multiple<Fq2>(b);
    const Fq* order[8] = {&pa.x, &pa.y, &pb.x.c1, &pb.x.c0, &pb.y.c1, &pb.y.c0, &pc.x, &pc.y};
    for (int k = 0; k < 8; k++) big_endian(*order[k], out + 32 * k);
    if (i == bad && garbage)
      for (size_t k = 0; k < ProofBatch::proof_bytes; k++) out[k] = static_cast<unsigned char>(randomness());
  }
  for (const Isa isa : {Isa::best, Isa::scalar}) {
    ProofBatch batch(key, encoded.data(), publics.data(), coefficients.data(), n, threads, isa);
    for (size_t i = 0; i < n; i++) expect(batch.well_formed(i) == !(garbage && i == bad), "proofs", n, "well formed");
    const bool sound = bad >= n || garbage;
    expect(batch.holds(0, n) == sound, "proofs", n, "all");
    expect(batch.holds(0, n / 2) == (sound || bad >= n / 2), "proofs", n, "first half");
    expect(batch.holds(n / 2, n) == (sound || bad < n / 2), "proofs", n, "second half");
    expect(batch.holds(n / 3, n / 3), "proofs", n, "none");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) threads = unsigned(std::atoi(arguments[1]));
  std::printf("engine: %s, %u threads\n", cpu::isa(), threads);
  for (const size_t n : {1, 7, 300, 2051}) {
    sums<Fq>("G1", n);
    sums<Fq2>("G2", n);
  }
  sums<Fq>("G1", 5000);
  for (const bool opposite : {false, true}) {
    degenerate<Fq>("G1", opposite);
    degenerate<Fq2>("G2", opposite);
  }
  for (const unsigned log2 : {1, 5, 8, 9, 12}) transforms(log2);
  for (const bool ascending : {false, true}) {
    whole(7, 3, ascending);
    whole(3000, 12, ascending);
  }
  for (const size_t n : {1, 3, 40}) {
    proofs(n, n, false);
    proofs(n, n - 1, false);
    proofs(n, n / 2, true);
  }
  std::printf("digest: %016llx\n", static_cast<unsigned long long>(digest));
  return failures != 0;
}
