#include "bind.hpp"
#include "fixed_base.hpp"
#include "msm_engine.hpp"
#include "pool.hpp"

#include <memory>

namespace hp {
namespace {

template <class F>
Buffer points(nb::handle object, const char* what, bool writable = false);
template <>
Buffer points<Fq>(nb::handle object, const char* what, bool writable) {
  return Buffer(object, 8, {2, 4}, what, writable);
}
template <>
Buffer points<Fq2>(nb::handle object, const char* what, bool writable) {
  return Buffer(object, 8, {2, 2, 4}, what, writable);
}

/// The single point of a vector of one.
template <class F>
Affine<F> one_point(nb::handle object, const char* what) {
  const Buffer buffer = points<F>(object, what);
  if (buffer.rows() != 1) throw std::invalid_argument(std::string(what) + " needs exactly one point");
  return Affine<F>::load(buffer.data());
}

/// An open MSM and its hold on the bases.
template <class F>
class Accumulator {
 public:
  Accumulator(nb::object bases, unsigned threads, bool scalar)
      : bases_(points<F>(bases, "bases")),
        msm_(make_msm<F>(bases_.data(), bases_.rows(), threads, scalar ? Isa::scalar : Isa::best)) {}

  void add(size_t start, nb::handle scalars) {
    const Buffer buffer(scalars, 8, {4}, "scalars");
    nb::gil_scoped_release unlocked;
    msm_->add(start, buffer.data(), buffer.rows());
  }

  void add_point(nb::handle point) { msm_->add_point(one_point<F>(point, "point")); }

  void settle(size_t missing) {
    nb::gil_scoped_release unlocked;
    msm_->settle(missing);
  }

  void finish(nb::handle out) {
    const Buffer target = points<F>(out, "result", true);
    if (target.rows() != 1) throw std::invalid_argument("result needs exactly one point");
    nb::gil_scoped_release unlocked;
    const Affine<F> sum = msm_->finish();
    std::memcpy(target.writable(), &sum, sizeof sum);
  }

 private:
  Buffer bases_;
  std::unique_ptr<MsmEngine<F>> msm_;
};

template <class F>
void multiples(nb::handle base, nb::handle scalars, nb::handle out, unsigned threads, bool scalar) {
  const Affine<F> b = one_point<F>(base, "base");
  const Buffer k(scalars, 8, {4}, "scalars"), target = points<F>(out, "result", true);
  if (k.rows() != target.rows()) throw std::invalid_argument("result and scalars differ in length");
  nb::gil_scoped_release unlocked;
  fixed_base<F>(b, k.data(), k.rows(), target.writable(), threads, scalar ? Isa::scalar : Isa::best);
}

/// out[i] = canonical coordinates and on the curve, or infinity.
void g1_valid(nb::handle vector, nb::handle out, unsigned threads) {
  const Buffer source = points<Fq>(vector, "points");
  const Buffer target(out, 1, {}, "result", true);
  if (source.rows() != target.rows()) throw std::invalid_argument("result and points differ in length");
  nb::gil_scoped_release unlocked;
  parallel_ranges(source.rows(), 1024, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const auto p = G1Affine::load(source.data() + i * sizeof(G1Affine));
      using P = Fq::Params;
      target.writable()[i] = is_canonical<P>(p.x.v) && is_canonical<P>(p.y.v) && on_curve(p);
    }
  });
}

template <class F>
void bind_group(nb::module_& m, const char* accumulator, const char* fixed) {
  nb::class_<Accumulator<F>>(m, accumulator)
      .def(nb::init<nb::object, unsigned, bool>())
      .def("add", &Accumulator<F>::add)
      .def("add_point", &Accumulator<F>::add_point)
      .def("settle", &Accumulator<F>::settle)
      .def("finish", &Accumulator<F>::finish);
  m.def(fixed, &multiples<F>);
}

}  // namespace

void bind_curve(nb::module_& m) {
  bind_group<Fq>(m, "G1Accumulator", "g1_fixed_base");
  bind_group<Fq2>(m, "G2Accumulator", "g2_fixed_base");
  m.def("g1_valid", &g1_valid);
}

}  // namespace hp
