// The arithmetic of the headers on arrays, for tests only: each operation where nothing else is around it.
#include "curve.cuh"

using namespace hp;

namespace {

/// out[7 i ..] = a + b, a - b, -a, a b, a^2, a b + c d, a b - c d.
template <class F>
HP_INLINE void field_laws(const F* a, const F* b, const F* c, const F* d, uint32_t n, F* out) {
  const uint32_t i = global_thread();
  if (i >= n) return;
  F* o = out + uint64_t(i) * 7;
  o[0] = a[i] + b[i];
  o[1] = a[i] - b[i];
  o[2] = -a[i];
  o[3] = a[i] * b[i];
  o[4] = a[i].square();
  o[5] = F::mul_sub(a[i], b[i], -c[i], d[i]);
  o[6] = F::mul_sub(a[i], b[i], c[i], d[i]);
}

/// out[3 i ..] = p + q for affine q, p + r for r in XYZZ, 2 p.
template <class F>
HP_INLINE void curve_laws(const Xyzz<F>* p, const Affine<F>* q, const Xyzz<F>* r, uint32_t n, Xyzz<F>* out) {
  const uint32_t i = global_thread();
  if (i >= n) return;
  Xyzz<F>* o = out + uint64_t(i) * 3;
  o[0] = p[i], o[0].add(q[i]);
  o[1] = p[i], o[1].add(r[i]);
  o[2] = p[i], o[2].twice();
}

}  // namespace

extern "C" __global__ void __launch_bounds__(128)
    fr_laws(const Fr* a, const Fr* b, const Fr* c, const Fr* d, uint32_t n, Fr* out) {
  field_laws(a, b, c, d, n, out);
}
extern "C" __global__ void __launch_bounds__(128)
    fq_laws(const Fq* a, const Fq* b, const Fq* c, const Fq* d, uint32_t n, Fq* out) {
  field_laws(a, b, c, d, n, out);
}
extern "C" __global__ void __launch_bounds__(128)
    fq2_laws(const Fq2* a, const Fq2* b, const Fq2* c, const Fq2* d, uint32_t n, Fq2* out) {
  field_laws(a, b, c, d, n, out);
}
/// Products and nothing else, to measure what a device can do: two chains a thread, `rounds` products each:
/// out = a_0 a_2^rounds + a_1 a_2^rounds, the same in every thread.
extern "C" __global__ void __launch_bounds__(256) fq_chains(const Fq* a, uint32_t rounds, Fq* out) {
  Fq x = a[0], y = a[1];
  const Fq factor = a[2];
  for (uint32_t i = 0; i < rounds; i++) {
    x = x * factor;
    y = y * factor;
  }
  out[global_thread()] = x + y;
}
/// out[i] = whether x[i] is below p, then x[i] from and to Montgomery form in between.
extern "C" __global__ void __launch_bounds__(128) fr_forms(const Fr* x, uint32_t n, uint32_t* below, Fr* out) {
  const uint32_t i = global_thread();
  if (i >= n) return;
  below[i] = x[i].is_canonical();
  out[2 * i] = x[i].from_canonical();
  out[2 * i + 1] = x[i].from_canonical().to_canonical();
}
extern "C" __global__ void __launch_bounds__(128)
    g1_laws(const Xyzz<Fq>* p, const Affine<Fq>* q, const Xyzz<Fq>* r, uint32_t n, Xyzz<Fq>* out) {
  curve_laws(p, q, r, n, out);
}
extern "C" __global__ void __launch_bounds__(128)
    g2_laws(const Xyzz<Fq2>* p, const Affine<Fq2>* q, const Xyzz<Fq2>* r, uint32_t n, Xyzz<Fq2>* out) {
  curve_laws(p, q, r, n, out);
}
