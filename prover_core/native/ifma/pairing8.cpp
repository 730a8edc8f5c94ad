// The engine behind pairing8.hpp: scales the first points, then runs the Miller loops.
#include "ifma/pairing8.hpp"

#include <cstring>
#include <memory>

#include "ifma/combine8.hpp"
#include "ifma/miller8.hpp"
#include "ifma/scale8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {
namespace {

/// Eight points of 64 bytes in Montgomery 2^256 as columns of x and y, Montgomery 2^260, below 2.1 q.
void load(const void* const from[8], Fq8& x, Fq8& y) {
  static constexpr auto r = power_of_two<params::FqParams>(264);  // x 2^256 * 2^264 / 2^260 = x 2^260
  const Fq8 to260 = Fq8::same(split52(r.data()));
  Word w[8];
  for (int i = 0; i < 8; i++) w[i] = _mm512_loadu_si512(from[i]);
  transpose(w);
  x = Fq8::mul(Fq8::from_columns(w[0], w[1], w[2], w[3]), to260);
  y = Fq8::mul(Fq8::from_columns(w[4], w[5], w[6], w[7]), to260);
}

/// What a thread keeps from call to call: it is larger than the first-level cache and fits the second.
struct Workspace {
  std::vector<ScaleRow> scaling;
  std::vector<MillerRow> miller;
  std::vector<Running8> f;
  std::vector<Fq8> inverses, prefix;
  Scaler8 scaler;
  Combiner8 combiner;
  Miller8 loops;
};

Workspace& workspace() {
  thread_local std::unique_ptr<Workspace> kept;
  if (!kept) kept = std::make_unique<Workspace>();
  return *kept;
}

}  // namespace

void miller_values(const ScaledPair* pairs, size_t n, bool apart, bool scaled, Fq12* values, bool* in_subgroup) {
  static const ScaledPair nobody = {G1Affine::load(params::g1_generator), G2Affine::load(params::g2_generator), {{0, 0}}, false};
  if (n == 0) return;
  Workspace& w = workspace();
  const size_t rows = group_size(n);
  w.scaling.resize(rows);
  w.miller.resize(rows);
  w.inverses.resize(rows);
  w.prefix.resize(rows);
  if (w.f.size() < (apart ? rows : 1)) w.f.resize(apart ? rows : 1);

  for (size_t r = 0; r < rows; r++) {
    const ScaledPair* lane[8];
    const void *a[8], *bx[8], *by[8];
    alignas(64) u64 k[8], l[8];
    __mmask8 counts = 0;
    for (size_t i = 0; i < 8; i++) {
      const size_t at = i * rows + r;
      lane[i] = at < n ? pairs + at : &nobody;
      a[i] = lane[i]->counts ? &lane[i]->a : &nobody.a;
      bx[i] = &lane[i]->b.x;
      by[i] = &lane[i]->b.y;
      k[i] = lane[i]->scalar.k[0];
      l[i] = lane[i]->scalar.k[1];
      counts |= __mmask8(lane[i]->counts << i);
    }
    load(a, w.scaling[r].x, w.scaling[r].y);
    w.scaling[r].k = _mm512_load_si512(k);
    w.scaling[r].l = _mm512_load_si512(l);
    MillerRow& m = w.miller[r];
    load(bx, m.qx.c0, m.qx.c1);
    load(by, m.qy.c0, m.qy.c1);
    m.refused = counts;  // for now: who counts
  }

  if (scaled) w.scaler.scale(w.scaling.data(), rows);
  for (size_t r = 0; r < rows; r++) w.inverses[r] = w.scaling[r].y;
  SharedInversion shared(w.inverses.data(), w.prefix.data(), rows);
  shared.invert();
  for (size_t r = rows; r-- > 0;) {
    MillerRow& m = w.miller[r];
    const __mmask8 counts = m.refused;
    const Fq8 inverse = shared.take(r);
    m.x_over_y = Fq8::select(counts, Fq8::zero(), Fq8::mul(w.scaling[r].x, inverse));
    m.minus_one_over_y = Fq8::select(counts, Fq8::zero(), Fq8::sub<3>(Fq8::zero(), inverse));
  }

  w.loops.run(w.miller.data(), rows, w.f.data(), apart);
  for (size_t i = 0; i < n; i++) {
    in_subgroup[i] = !(w.miller[i % rows].refused >> (i / rows) & 1);
    if (apart) values[i] = w.f[i % rows].value().lane_up_to_scale(int(i / rows));
  }
  if (!apart)
    for (size_t g = 0; g * rows < n; g++) values[g] = w.f[0].value().lane_up_to_scale(int(g));
}

G1 combine(const G1Affine* p, const SplitScalar* k, size_t n) {
  static const G1Affine anybody = G1Affine::load(params::g1_generator);
  Workspace& w = workspace();
  const size_t rows = group_size(n);
  w.scaling.resize(rows);
  std::vector<__mmask8> present(rows);
  for (size_t r = 0; r < rows; r++) {
    const void* from[8];
    alignas(64) u64 words[2][8];
    for (size_t i = 0; i < 8; i++) {
      const size_t at = i * rows + r;
      const bool there = at < n && !p[at].is_infinity();
      from[i] = there ? p + at : &anybody;
      for (int h = 0; h < 2; h++) words[h][i] = there ? k[at].k[h] : 0;
      present[r] |= __mmask8(there << i);
    }
    load(from, w.scaling[r].x, w.scaling[r].y);
    w.scaling[r].k = _mm512_load_si512(words[0]);
    w.scaling[r].l = _mm512_load_si512(words[1]);
  }
  w.scaler.tabulate(w.scaling.data(), rows);
  return w.combiner.sum(w.scaling.data(), present.data(), rows);
}

}  // namespace hp::ifma
HP_WIDE_END
