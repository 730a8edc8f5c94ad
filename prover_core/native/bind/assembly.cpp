// Stage 1 of the assembly for Python. Numbers cross as canonical uint64[n, 4], points of Grumpkin as uint64[n, 2, 4] with
// the identity all zero; points of G1 and G2 as everywhere else, Montgomery. Values are checked by the caller.
#include <array>
#include <memory>

#include "assembly/sumcheck.hpp"
#include "assembly/table.hpp"
#include "bind.hpp"

#include <nanobind/stl/vector.h>

namespace hp {
namespace {

using assembly::LeafKey;
using assembly::Programs;
using assembly::StepLine;
using grumpkin::BucketAdder;
using grumpkin::Generators;
using grumpkin::Point;
using grumpkin::Sum;

template <class F>
F canonical(const unsigned char* bytes) {
  uint64_t limbs[4];
  std::memcpy(limbs, bytes, sizeof limbs);
  if (!is_canonical<typename F::Params>(limbs)) throw std::invalid_argument("a number is not below its modulus");
  return F::from_canonical(limbs);
}

std::vector<Fq> scalars(nb::handle object, const char* what) {
  const Buffer buffer(object, 8, {4}, what);
  std::vector<Fq> out(buffer.rows());
  for (size_t i = 0; i < out.size(); i++) out[i] = canonical<Fq>(buffer.data() + 32 * i);
  return out;
}

std::vector<Point> grumpkin_points(nb::handle object, const char* what) {
  const Buffer buffer(object, 8, {2, 4}, what);
  std::vector<Point> out(buffer.rows());
  for (size_t i = 0; i < out.size(); i++)
    out[i] = {canonical<Fr>(buffer.data() + 64 * i), canonical<Fr>(buffer.data() + 64 * i + 32)};
  return out;
}

void put(unsigned char* bytes, const uint64_t limbs[4]) { std::memcpy(bytes, limbs, 32); }

template <class F>
void put_element(unsigned char* bytes, const F& x) {
  uint64_t limbs[4];
  x.to_canonical(limbs);
  put(bytes, limbs);
}

void put_points(nb::handle out, const std::vector<Point>& points) {
  const Buffer target(out, 8, {2, 4}, "result", true);
  if (target.rows() != points.size()) throw std::invalid_argument("result has the wrong length");
  for (size_t i = 0; i < points.size(); i++) {
    put_element(target.writable() + 64 * i, points[i].x);
    put_element(target.writable() + 64 * i + 32, points[i].y);
  }
}

void put_elements(nb::handle out, const Fq* values, size_t n) {
  const Buffer target(out, 8, {4}, "result", true);
  if (target.rows() != n) throw std::invalid_argument("result has the wrong length");
  for (size_t i = 0; i < n; i++) put_element(target.writable() + 32 * i, values[i]);
}

template <class T>
std::vector<T> raw(nb::handle object, std::initializer_list<size_t> tail, const char* what) {
  const Buffer buffer(object, 8, tail, what);
  std::vector<T> out(buffer.rows());
  if (!out.empty()) std::memcpy(static_cast<void*>(out.data()), buffer.data(), out.size() * sizeof(T));
  return out;
}

/// out[i] = the point with x[i] and the smaller y, or the identity where there is none.
void grumpkin_lift(nb::handle x, nb::handle out) {
  const Buffer source(x, 8, {4}, "x");
  std::vector<Point> points(source.rows());
  for (size_t i = 0; i < points.size(); i++)
    points[i] = grumpkin::lift(canonical<Fr>(source.data() + 32 * i)).value_or(Point::infinity());
  put_points(out, points);
}

/// sum_i scalars[i] points[i]
void grumpkin_sum(nb::handle points, nb::handle factors, nb::handle out) {
  const auto p = grumpkin_points(points, "points");
  const auto k = scalars(factors, "scalars");
  if (p.size() != k.size()) throw std::invalid_argument("points and scalars differ in length");
  Sum sum;
  {
    nb::gil_scoped_release unlocked;
    sum = grumpkin::straus(p.data(), k.data(), p.size());
  }
  put_points(out, {sum.to_affine()});
}

/// Constants of one width and the permutation itself.
class Poseidon {
 public:
  Poseidon(nb::handle constants, nb::handle matrix, size_t full, size_t partial) : full_(full), partial_(partial) {
    const Buffer c(constants, 8, {4}, "constants"), m(matrix, 8, {4}, "matrix");
    for (size_t i = 0; i < c.rows(); i++) constants_.push_back(canonical<Fr>(c.data() + 32 * i));
    for (size_t i = 0; i < m.rows(); i++) matrix_.push_back(canonical<Fr>(m.data() + 32 * i));
    while (width_ * width_ < matrix_.size()) width_++;
    if (width_ * width_ != matrix_.size() || constants_.size() != (full + partial) * width_)
      throw std::invalid_argument("the constants do not fit the matrix");
  }

  void permute(nb::handle object) const {
    const Buffer buffer(object, 8, {4}, "state", true);
    if (buffer.rows() != width_) throw std::invalid_argument("state has the wrong length");
    std::vector<Fr> state(width_), next(width_);
    for (size_t i = 0; i < width_; i++) state[i] = canonical<Fr>(buffer.data() + 32 * i);
    for (size_t round = 0; round < full_ + partial_; round++) {
      for (size_t i = 0; i < width_; i++) state[i] += constants_[round * width_ + i];
      const bool partial = round >= full_ / 2 && round < full_ / 2 + partial_;
      for (size_t i = 0; i < (partial ? 1 : width_); i++) state[i] *= state[i].square().square();
      for (size_t i = 0; i < width_; i++) {
        Fr sum = Fr::zero();
        for (size_t j = 0; j < width_; j++) sum += matrix_[i * width_ + j] * state[j];
        next[i] = sum;
      }
      state.swap(next);
    }
    for (size_t i = 0; i < width_; i++) put_element(buffer.writable() + 32 * i, state[i]);
  }

 private:
  size_t full_, partial_, width_ = 0;
  std::vector<Fr> constants_, matrix_;
};

/// Fixed generators and sums over them.
class BoundGenerators {
 public:
  BoundGenerators(nb::handle points, unsigned threads) : threads_(threads) {
    const auto p = grumpkin_points(points, "points");
    nb::gil_scoped_release unlocked;
    generators_ = std::make_unique<Generators>(p.data(), p.size(), threads);
  }

  /// out[i] = sum_j scalars[i n + j] G_{first[i] + j stride}, n scalars a sum.
  void sums(nb::handle factors, const std::vector<size_t>& first, size_t stride, nb::handle out) const {
    const auto k = scalars(factors, "scalars");
    const size_t n = first.empty() ? 0 : k.size() / first.size();
    if (n * first.size() != k.size()) throw std::invalid_argument("scalars do not divide into sums");
    for (size_t f : first)
      if (n != 0 && (f >= generators_->size() || (n - 1) * stride > generators_->size() - 1 - f))
        throw std::invalid_argument("a sum leaves the generators");
    std::vector<Point> points(first.size());
    {
      nb::gil_scoped_release unlocked;
      parallel_for(first.size(), threads_, [&](size_t i) {
        BucketAdder adder(*generators_);
        grumpkin::Buckets buckets;
        adder.add_strided(buckets, k.data() + i * n, first[i], stride, n);
        points[i] = BucketAdder::reduce(buckets).to_affine();
      });
    }
    put_points(out, points);
  }

  const Generators& operator*() const { return *generators_; }
  unsigned threads() const { return threads_; }

 private:
  std::unique_ptr<Generators> generators_;
  unsigned threads_;
};

/// A leaf's key prepared for traces.
class BoundKey {
 public:
  /// gamma, delta: one point of G2 each; mu: 6, mu_power: 12 elements; exponent: signed windows.
  BoundKey(nb::handle gamma, nb::handle delta, nb::handle mu, nb::handle mu_power, const std::vector<int>& exponent) {
    const auto g = raw<G2Affine>(gamma, {2, 2, 4}, "gamma"), d = raw<G2Affine>(delta, {2, 2, 4}, "delta");
    const auto m = scalars(mu, "mu"), p = scalars(mu_power, "mu_power");
    if (g.size() != 1 || d.size() != 1 || m.size() != 6 || p.size() != 12) throw std::invalid_argument("not a leaf key");
    lines_of(g[0], key_.gamma);
    lines_of(d[0], key_.delta);
    std::memcpy(static_cast<void*>(&key_.mu), m.data(), sizeof key_.mu);
    std::memcpy(static_cast<void*>(&key_.mu_power), p.data(), sizeof key_.mu_power);
    key_.exponent.assign(exponent.begin(), exponent.end());
  }

  /// Slopes and intercepts: 8 columns of 87.
  void columns(nb::handle out) const {
    std::vector<Fq> values;
    for (const StepLine* lines : {key_.gamma, key_.delta})
      for (int part = 0; part < 4; part++)
        for (size_t s = 0; s < assembly::loop_rows; s++) {
          const Fq2& x = part < 2 ? lines[s].slope : lines[s].intercept;
          values.push_back(part % 2 ? x.c1 : x.c0);
        }
    put_elements(out, values.data(), values.size());
  }

  const LeafKey& operator*() const { return key_; }

 private:
  LeafKey key_;
};

/// The trace of any leaf at all, [17][96], whether or not it verifies; returns whether it does. For tests.
bool assembly_trace(const BoundKey& key, nb::handle a, nb::handle b, nb::handle c, nb::handle x, nb::handle out) {
  const auto as = raw<G1Affine>(a, {2, 4}, "a"), cs = raw<G1Affine>(c, {2, 4}, "c"), xs = raw<G1Affine>(x, {2, 4}, "x");
  const auto bs = raw<G2Affine>(b, {2, 2, 4}, "b");
  if (as.size() != 1 || bs.size() != 1 || cs.size() != 1 || xs.size() != 1)
    throw std::invalid_argument("a leaf has one point each");
  std::vector<Fq> values(assembly::vectors * assembly::width, Fq::zero());
  const bool valid = assembly::trace_leaf({values.data(), assembly::width}, *key, as[0], bs[0], cs[0], xs[0]);
  put_elements(out, values.data(), values.size());
  return valid;
}

class BoundTable {
 public:
  BoundTable(nb::object generators, size_t groups, size_t chunk, nb::handle cube_root)
      : owner_(generators),
        table_(*nb::cast<const BoundGenerators&>(generators), groups, chunk, scalars(cube_root, "cube_root").at(0),
               nb::cast<const BoundGenerators&>(generators).threads()) {
    if (chunk * assembly::width > (*nb::cast<const BoundGenerators&>(generators)).size())
      throw std::invalid_argument("too few generators for the chunk");
  }

  void set_points(size_t first, nb::handle points) {
    const auto p = raw<G1Affine>(points, {2, 4}, "points");
    check(first, p.size());
    for (size_t i = 0; i < p.size(); i++) table_.set_point(first + i, p[i]);
  }

  std::vector<size_t> add_leaves(size_t first, nb::handle a, nb::handle b, nb::handle c, nb::handle x, const BoundKey& key) {
    const auto as = raw<G1Affine>(a, {2, 4}, "a"), cs = raw<G1Affine>(c, {2, 4}, "c"), xs = raw<G1Affine>(x, {2, 4}, "x");
    const auto bs = raw<G2Affine>(b, {2, 2, 4}, "b");
    const size_t n = as.size();
    if (bs.size() != n || cs.size() != n || xs.size() != n) throw std::invalid_argument("points differ in number");
    check(first, n);
    std::vector<assembly::Table::Leaf> leaves(n);
    for (size_t i = 0; i < n; i++) leaves[i] = {as[i], bs[i], cs[i], xs[i]};
    nb::gil_scoped_release unlocked;
    return table_.add_leaves(first, leaves.data(), n, *key);
  }

  /// words: uint64[n, 2]; returns whether the running sum ends where it began.
  bool run_lanes(nb::handle words, nb::handle start) {
    const auto w = raw<std::array<uint64_t, 2>>(words, {2}, "words");
    const auto s = raw<G1Affine>(start, {2, 4}, "start");
    check(0, w.size());
    if (s.size() != 1) throw std::invalid_argument("start needs exactly one point");
    nb::gil_scoped_release unlocked;
    const G1Affine end = table_.run_lanes(reinterpret_cast<const uint64_t(*)[2]>(w.data()), w.size(), s[0]);
    return end == s[0];
  }

  void finish(size_t begin, size_t end, nb::handle blinds, nb::handle out) {
    const auto b = scalars(blinds, "blinds");
    if (begin > end || end > assembly::vectors || b.size() != (end - begin) * table_.blocks())
      throw std::invalid_argument("blinding scalars do not fit the vectors");
    std::vector<Point> points;
    {
      nb::gil_scoped_release unlocked;
      points = table_.finish(begin, end, b.data());
    }
    put_points(out, points);
  }

  void fold(nb::handle weights, nb::handle eq_blocks, nb::handle out) const {
    const auto w = scalars(weights, "weights"), e = scalars(eq_blocks, "eq_blocks");
    if (w.size() != assembly::vectors || e.size() < table_.blocks()) throw std::invalid_argument("weights do not fit");
    const auto u = table_.fold(w.data(), e.data());
    put_elements(out, u.data(), u.size());
  }

  /// All values, [17][groups][96].
  void values(nb::handle out) const {
    put_elements(out, table_.values(), assembly::vectors * table_.groups() * assembly::width);
  }

  void set_value(size_t vector, size_t group, size_t row, nb::handle value) {
    if (vector >= assembly::vectors || group >= table_.groups() || row >= assembly::width)
      throw std::invalid_argument("no such place in the table");
    table_.set_value(vector, group, row, scalars(value, "value").at(0));
  }

  const assembly::Table& operator*() const { return table_; }

 private:
  void check(size_t first, size_t n) const {
    if (first > table_.groups() || n > table_.groups() - first) throw std::invalid_argument("the groups leave the table");
  }
  nb::object owner_;
  assembly::Table table_;
};

/// programs: a list of uint32[n, 4], the prelude, the kinds, the general prelude, the general program.
class BoundSumcheck {
 public:
  BoundSumcheck(const BoundTable& table, nb::handle group_selectors, nb::handle rows, const std::vector<nb::object>& programs,
                size_t registers, nb::handle constants, const std::vector<uint32_t>& kind_of,
                const std::vector<uint32_t>& results, nb::handle kappa, unsigned threads) {
    using namespace assembly;
    const auto selectors = scalars(group_selectors, "group_selectors"), values = scalars(rows, "rows"),
               numbers = scalars(constants, "constants"), k = scalars(kappa, "kappa");
    constexpr size_t row_inputs = key_columns + 1 + row_selectors;
    const size_t groups = selectors.size() / group_inputs;
    if (groups == 0 || groups > (*table).groups() || selectors.size() != group_inputs * groups || values.size() != row_inputs * domain_rows || k.size() != 1)
      throw std::invalid_argument("selectors, rows or kappa have the wrong length");
    if (programs.size() < 4 || results.size() != programs.size() - 2 || kind_of.size() != loop_rows)
      throw std::invalid_argument("programs do not fit the rows");
    if (in_constants + numbers.size() > registers) throw std::invalid_argument("too few registers");
    std::vector<Program> compiled;
    for (const nb::object& p : programs) {
      const Buffer code(p, 4, {4}, "program");
      compiled.emplace_back(code.as<uint32_t[4]>("program")[0], code.rows(), registers);
    }
    for (uint32_t r : results)
      if (r >= registers) throw std::invalid_argument("a result is not a register");
    for (uint32_t kind : kind_of)
      if (kind + 3 >= programs.size()) throw std::invalid_argument("no such kind of row");
    RowTable row_values(row_inputs);
    for (size_t i = 0; i < row_inputs; i++)
      row_values[i].assign(values.begin() + ptrdiff_t(i * domain_rows), values.begin() + ptrdiff_t((i + 1) * domain_rows));
    const size_t kinds = programs.size() - 3;
    Programs set{registers,
                 numbers,
                 compiled[0],
                 {compiled.begin() + 1, compiled.begin() + 1 + ptrdiff_t(kinds)},
                 kind_of,
                 compiled[kinds + 1],
                 compiled[kinds + 2],
                 results};
    sumcheck_ = std::make_unique<Sumcheck>((*table).values(), (*table).groups(), groups, selectors.data(), std::move(row_values),
                                           std::move(set), k[0], threads);
  }

  void round(bool group, nb::handle out) {
    std::vector<Fq> values;
    {
      nb::gil_scoped_release unlocked;
      values = group ? sumcheck_->group_round() : sumcheck_->row_round();
    }
    put_elements(out, values.data(), values.size());
  }

  void fold(bool group, nb::handle x) {
    const Fq point = scalars(x, "x").at(0);
    nb::gil_scoped_release unlocked;
    if (group)
      sumcheck_->fold_groups(point);
    else
      sumcheck_->fold_rows(point);
  }

  /// 16 columns, 16 next, 33 cells, 8 key columns at the whole point.
  void claims(nb::handle out) const {
    const auto values = sumcheck_->claims();
    put_elements(out, values.data(), values.size());
  }

 private:
  std::unique_ptr<assembly::Sumcheck> sumcheck_;
};

}  // namespace

void bind_assembly(nb::module_& m) {
  m.def("grumpkin_lift", &grumpkin_lift);
  m.def("grumpkin_sum", &grumpkin_sum);
  m.def("assembly_trace", &assembly_trace);
  nb::class_<Poseidon>(m, "Poseidon")
      .def(nb::init<nb::handle, nb::handle, size_t, size_t>())
      .def("permute", &Poseidon::permute);
  nb::class_<BoundGenerators>(m, "Generators")
      .def(nb::init<nb::handle, unsigned>())
      .def("sums", &BoundGenerators::sums);
  nb::class_<BoundKey>(m, "AssemblyKey")
      .def(nb::init<nb::handle, nb::handle, nb::handle, nb::handle, std::vector<int>>())
      .def("columns", &BoundKey::columns);
  nb::class_<BoundTable>(m, "AssemblyTable")
      .def(nb::init<nb::object, size_t, size_t, nb::handle>())
      .def("set_points", &BoundTable::set_points)
      .def("add_leaves", &BoundTable::add_leaves)
      .def("run_lanes", &BoundTable::run_lanes)
      .def("finish", &BoundTable::finish)
      .def("fold", &BoundTable::fold)
      .def("values", &BoundTable::values)
      .def("set_value", &BoundTable::set_value);
  nb::class_<BoundSumcheck>(m, "AssemblySumcheck")
      .def(nb::init<const BoundTable&, nb::handle, nb::handle, std::vector<nb::object>, size_t, nb::handle,
                    std::vector<uint32_t>, std::vector<uint32_t>, nb::handle, unsigned>())
      .def("round", &BoundSumcheck::round)
      .def("fold", &BoundSumcheck::fold)
      .def("claims", &BoundSumcheck::claims);
}

}  // namespace hp
