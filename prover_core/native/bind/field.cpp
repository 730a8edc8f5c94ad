#include "bind.hpp"
#include "ntt.hpp"
#include "pool.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include <nanobind/stl/string.h>

namespace hp {
namespace {

unsigned log2_of(size_t n, unsigned limit, const char* what) {
  if (!std::has_single_bit(n) || std::countr_zero(n) > int(limit))
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(n) +
                                " elements, which is not a power of two up to 2^" + std::to_string(limit));
  return unsigned(std::countr_zero(n));
}

void same_rows(const Buffer& a, const Buffer& b, const char* what) {
  if (a.rows() != b.rows())
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(b.rows()) + " elements where " +
                                std::to_string(a.rows()) + " are needed");
}

/// out[i] = f(in[i]) for vectors of Fr.
template <class Map>
void map_fr(nb::handle in, nb::handle out, unsigned threads, const Map& f) {
  const Buffer source(in, 8, {4}, "vector"), target(out, 8, {4}, "result", true);
  same_rows(source, target, "result");
  const unsigned char* from = source.data();
  Fr* to = target.as_writable<Fr>("result");
  nb::gil_scoped_release unlocked;
  parallel_ranges(source.rows(), 4096, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) to[i] = f(from + 32 * i);
  });
}

void to_montgomery(nb::handle in, nb::handle out, unsigned threads) {
  map_fr(in, out, threads, [](const unsigned char* p) { return Fr::from_canonical(Fr::load(p).v); });
}

void from_montgomery(nb::handle in, nb::handle out, unsigned threads) {
  map_fr(in, out, threads, [](const unsigned char* p) {
    Fr r;
    Fr::load(p).to_canonical(r.v);
    return r;
  });
}

void mul(nb::handle a, nb::handle b, nb::handle out, unsigned threads) {
  const Buffer left(a, 8, {4}, "a"), right(b, 8, {4}, "b"), target(out, 8, {4}, "result", true);
  same_rows(left, right, "b");
  same_rows(left, target, "result");
  Fr* to = target.as_writable<Fr>("result");
  nb::gil_scoped_release unlocked;
  parallel_ranges(left.rows(), 4096, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) to[i] = Fr::load(left.data() + 32 * i) * Fr::load(right.data() + 32 * i);
  });
}

void bind_ntt(nb::handle in, nb::handle out, bool inverse, unsigned threads, bool scalar) {
  const Buffer source(in, 8, {4}, "vector"), target(out, 8, {4}, "result", true);
  same_rows(source, target, "result");
  const unsigned log2 = log2_of(source.rows(), max_ntt_log2, "vector");
  Fr* to = target.as_writable<Fr>("result");
  nb::gil_scoped_release unlocked;
  std::memmove(static_cast<void*>(to), source.data(), 32 * source.rows());
  ntt(to, log2, inverse, threads, scalar ? Isa::scalar : Isa::best);
}

void bind_quotient(nb::handle a, nb::handle b, nb::handle c, nb::handle out, unsigned threads, bool scalar) {
  const Buffer left(a, 8, {4}, "a"), right(b, 8, {4}, "b"), target(out, 8, {4}, "result", true);
  const Buffer third(c.is_none() ? a : c, 8, {4}, "c");
  same_rows(left, right, "b");
  same_rows(left, third, "c");
  same_rows(left, target, "result");
  const unsigned log2 = log2_of(left.rows(), max_quotient_log2, "a");
  Fr* to = target.as_writable<Fr>("result");
  const unsigned char* c_data = c.is_none() ? nullptr : third.data();
  nb::gil_scoped_release unlocked;
  quotient(left.data(), right.data(), c_data, log2, to, threads, scalar ? Isa::scalar : Isa::best);
}

/// out[i] = a[i] op b[i] in Fr or Fq, Montgomery: one element at a time, for tests of the arithmetic itself.
template <class F>
void elementwise_in(const std::string& op, const Buffer& a, const Buffer& b, const Buffer& out) {
  using P = typename F::Params;
  F (*f)(const F&, const F&);
  if (op == "add")
    f = [](const F& x, const F& y) { return x + y; };
  else if (op == "sub")
    f = [](const F& x, const F& y) { return x - y; };
  else if (op == "mul")
    f = [](const F& x, const F& y) { return x * y; };
  else if (op == "mul_portable")
    f = [](const F& x, const F& y) {
      F r;
      limbs::mul_portable<P>(r.v, x.v, y.v);
      return r;
    };
  else if (op == "add_portable")
    f = [](const F& x, const F& y) {
      F r;
      limbs::add_portable<P>(r.v, x.v, y.v);
      return r;
    };
  else if (op == "sub_portable")
    f = [](const F& x, const F& y) {
      F r;
      limbs::sub_portable<P>(r.v, x.v, y.v);
      return r;
    };
  else if (op == "divide")
    f = [](const F& x, const F& y) { return x * y.inverse_vartime(); };
  else
    throw std::invalid_argument("no operation is called " + op);
  for (size_t i = 0; i < a.rows(); i++) {
    const F r = f(F::load(a.data() + 32 * i), F::load(b.data() + 32 * i));
    std::memcpy(out.writable() + 32 * i, r.v, 32);
  }
}

void elementwise(const std::string& field, const std::string& op, nb::handle a, nb::handle b, nb::handle out) {
  const Buffer left(a, 8, {4}, "a"), right(b, 8, {4}, "b"), target(out, 8, {4}, "result", true);
  same_rows(left, right, "b");
  same_rows(left, target, "result");
  nb::gil_scoped_release unlocked;
  if (field == "fr")
    elementwise_in<Fr>(op, left, right, target);
  else if (field == "fq")
    elementwise_in<Fq>(op, left, right, target);
  else
    throw std::invalid_argument("no field is called " + field);
}

}  // namespace

void bind_field(nb::module_& m) {
  m.def("fr_to_montgomery", &to_montgomery);
  m.def("fr_from_montgomery", &from_montgomery);
  m.def("fr_mul", &mul);
  m.def("elementwise", &elementwise);
  m.def("ntt", &bind_ntt);
  m.def("quotient", &bind_quotient, nb::arg("a"), nb::arg("b"), nb::arg("c").none(), nb::arg("out"), nb::arg("threads"),
        nb::arg("scalar"));
}

}  // namespace hp
