// The columns and cells of one group of the assembly's table: a leaf proof's Miller loop with its residue witness, and a
// point's multiplication by a digit word. Layout and meaning: prover_core/assembly/layout.py and constraints.py.
#pragma once
#include <cstdint>
#include <vector>

#include "../subgroup.hpp"
#include "../tower.hpp"

namespace hp::assembly {

inline constexpr size_t loop_rows = 87, lane_rows = 64, width = 96, columns = 16, vectors = 17;
inline constexpr size_t cell_row = 87, point_row = 89, used_rows = 91, blind_row = 95;
inline constexpr size_t miller_columns = 12;
/// First columns of the lane, and places (column in row 88) of its cells.
inline constexpr size_t slope1 = 12, slope2 = 13, lane_y = 14, lane_digit = 15;
inline constexpr char steps[loop_rows + 1] =
    "D+DD+DDDD-DD-DDDD-DD+DD-DDD-DDDDDD+DDD-DD+DDD-DDDDD-DD+DDDD-DD-DDD+DDDD-DDD-DD+DD+DDD12";

/// (-x / y, 1 / y), and (0, 0) for infinity.
inline G1Affine chart(const G1Affine& p) {
  if (p.is_infinity()) return p;
  const Fq i = p.y.inverse_vartime();
  return {-(p.x * i), i};
}

/// The line y = slope x - intercept of a step.
struct StepLine {
  Fq2 x, slope, intercept;
};

/// The affine chain T = B, then the steps; lines[s] has T's x before step s. One inversion in Fq a step.
inline void lines_of(const G2Affine& b, StepLine lines[loop_rows]) {
  const G2Affine minus = -b, q1 = psi(b), q2 = -psi2(b);
  G2Affine t = b;
  for (size_t s = 0; s < loop_rows; s++) {
    const G2Affine& q = steps[s] == '+' ? b : steps[s] == '-' ? minus : steps[s] == '1' ? q1 : q2;
    Fq2 slope, x_other;
    if (steps[s] == 'D') {
      const Fq2 xx = t.x.square();
      slope = (xx.twice() + xx) * t.y.twice().inverse_vartime();
      x_other = t.x;
    } else {
      slope = (q.y - t.y) * (q.x - t.x).inverse_vartime();
      x_other = q.x;
    }
    lines[s] = {t.x, slope, slope * t.x - t.y};
    const Fq2 x = slope.square() - t.x - x_other;
    t = {x, slope * (t.x - x) - t.y};
  }
}

/// The square of an element of Fq6: 2M 3S (Chung and Hasan's second method).
inline Fq6 square6(const Fq6& a) {
  const Fq2 s0 = a.c0.square(), s1 = (a.c0 * a.c1).twice(), s2 = (a.c0 - a.c1 + a.c2).square();
  const Fq2 s3 = (a.c1 * a.c2).twice(), s4 = a.c2.square();
  return {s0 + s3.mul_by_xi(), s1 + s4.mul_by_xi(), s1 + s2 + s3 - s0 - s4};
}

/// x^2 for x = a + b w of norm a^2 - v b^2 = 1: 2 a^2 - 1 and (a + b)^2 - a^2 - (a^2 - 1) / v; two squares in Fq6.
inline Fq12 unitary_square(const Fq12& x) {
  static const Fq2 xi_inverse = Fq2::one().mul_by_xi().inverse_vartime();
  const Fq6 aa = square6(x.c0), both = square6(x.c0 + x.c1);
  const Fq6 less = {aa.c0 - Fq2::one(), aa.c1, aa.c2};
  const Fq6 bb = {less.c1, less.c2, less.c0 * xi_inverse};
  return {aa + less, both - aa - bb};
}

/// x^e for unitary x, whose inverse is its conjugate: signed windows of width 5, `digits` least significant first, odd or 0.
inline Fq12 unitary_power(const Fq12& x, const int8_t* digits, size_t n) {
  Fq12 odd[8] = {x};
  const Fq12 square = unitary_square(x);
  for (int i = 1; i < 8; i++) odd[i] = odd[i - 1] * square;
  Fq12 r = Fq12::one();
  bool begun = false;
  for (size_t i = n; i-- > 0;) {
    if (begun) r = unitary_square(r);
    if (digits[i] == 0) continue;
    const Fq12 factor = digits[i] > 0 ? odd[digits[i] / 2] : odd[-digits[i] / 2].conjugate();
    r = begun ? r * factor : factor;
    begun = true;
  }
  return r;
}

/// What a leaf's trace needs of its verification key.
struct LeafKey {
  StepLine gamma[loop_rows], delta[loop_rows];
  Fq6 mu;             // mu0 = 1 + mu w
  Fq12 mu_power;      // mu0^(2^64)
  std::vector<int8_t> exponent;  // 1 / lambda mod (q^6 + 1) / r, signed windows
};

/// The group's rows: value(v, s) for vector v < 17 and row s < 96.
struct Group {
  Fq* base;
  size_t vector_stride;
  Fq& operator()(size_t v, size_t s) const { return base[v * vector_stride + s]; }
  /// Cell i of the layout's CELLS.
  Fq& cell(size_t i) const { return (*this)(i % columns, cell_row + i / columns); }
  void put(size_t v, size_t s, const Fq2& x) const { (*this)(v, s) = x.c0, (*this)(v + 1, s) = x.c1; }
  void put6(size_t v, size_t s, const Fq6& x) const { put(v, s, x.c0), put(v + 2, s, x.c1), put(v + 4, s, x.c2); }
  void put_cells(size_t i, const Fq2& x) const { cell(i) = x.c0, cell(i + 1) = x.c1; }
};

/// (1 + c w)^-1 up to Fq6*
inline Fq12 torus(const Fq6& c) { return {Fq6::one(), c}; }

/// Fills the Miller columns and cells of a leaf proof (a, b, c) whose publics sum to x; a, x finite, b on the twist.
/// False if the leaf does not verify (the columns are then worthless). About 90000 products.
inline bool trace_leaf(const Group& out, const LeafKey& key, const G1Affine& a, const G2Affine& b, const G1Affine& c,
                       const G1Affine& x) {
  const G1Affine pa = chart(-a), pc = chart(c), px = chart(x);
  const Fq a2 = pa.x.square(), a3 = a2 * pa.x;
  StepLine lines[loop_rows];
  lines_of(b, lines);
  std::vector<Fq12> product(loop_rows);
  Fq12 f = Fq12::one();
  for (size_t s = 0; s < loop_rows; s++) {
    const Fq2 slope = lines[s].slope * pa.x, intercept = lines[s].intercept * pa.y;
    out.put(6, s, lines[s].x * a2);
    out.put(8, s, slope);
    out.put(10, s, intercept);
    const auto at = [](const StepLine& line, const G1Affine& p) { return Fq6{line.slope * p.x, line.intercept * p.y, Fq2::zero()}; };
    Fq12 l = torus({slope, intercept, Fq2::zero()});
    const Fq6 lx = at(key.gamma[s], px), lc = at(key.delta[s], pc);
    l = l.mul_by_two_lines(Fq2::one(), lx.c0, lx.c1, Fq2::one(), lc.c0, lc.c1);
    product[s] = l;
    if (steps[s] == 'D') f = f.square();
    f *= l;
  }
  f *= key.mu_power;
  // t = f^(q^6 - 1) is unitary; its root of degree lambda is (1 - c w) / (1 + c w).
  const Fq12 t = unitary_power(f.conjugate() * f.inverse_vartime(), key.exponent.data(), key.exponent.size());
  const Fq12 one = Fq12::one();
  const Fq12 difference = {one.c0 - t.c0, -t.c1}, sum = {one.c0 + t.c0, t.c1};
  const Fq6 witness = (difference * sum.inverse_vartime()).c1;
  const Fq12 plus = torus(witness), minus = torus(-witness);
  const Fq12 minus1 = minus.frobenius1(), plus2 = plus.frobenius2();
  Fq12 value = torus(key.mu) * minus;
  bool valid = false;
  for (size_t s = 0;; s++) {
    const Fq6 coordinate = value.c1 * value.c0.inverse_vartime();
    out.put6(0, s, coordinate);
    if (s == loop_rows) {
      valid = coordinate == plus.frobenius3().c1;
      break;
    }
    const Fq12 current = torus(coordinate);
    switch (steps[s]) {
      case 'D': value = current.square(); break;
      case '+': value = current * minus; break;
      case '-': value = current * plus; break;
      case '1': value = current * minus1; break;
      default: value = current * plus2;
    }
    value *= product[s];
  }
  // Row 87 of f is where the cells `end` lie.
  out.put_cells(6, witness.c0), out.put_cells(8, witness.c1), out.put_cells(10, witness.c2);
  out.put_cells(12, b.x * a2), out.put_cells(14, b.y * a3);
  const Fq pyy = pa.y.square();
  out.cell(16) = pa.x, out.cell(17) = pa.y, out.cell(18) = -a.y;
  out.cell(19) = pyy.twice() + pyy - Fq::one();
  out.cell(20) = pc.x, out.cell(21) = pc.y, out.cell(22) = px.x, out.cell(23) = px.y;
  return valid;
}

/// Constants of the lane: the cube root of unity of Fq and small inverses.
struct LaneConstants {
  Fq root, root2, eighth, third, one_less_inverse;
  explicit LaneConstants(const Fq& cube_root)
      : root(cube_root),
        root2(cube_root.square()),
        eighth(Fq::from_u64(8).inverse_vartime()),
        third(Fq::from_u64(3).inverse_vartime()),
        one_less_inverse((Fq::one() - cube_root).inverse_vartime()) {}
};

/// Fills the lane columns and the cells lm, lyd, lt of a group with point p and 64 base-4 digits `word`; returns the
/// product. Two inversions a row.
inline G1Affine trace_lane(const Group& out, const LaneConstants& k, const G1Affine& p, const uint64_t word[2]) {
  const Fq m = p.y.twice() * k.one_less_inverse * p.x.inverse_vartime(), mm = m.square();
  const Fq x_one = mm + k.root2 * p.x, y_one = m * (p.x - x_one) - p.y;  // (1 - lambda) p
  const Fq xx = p.x.square(), tangent = (xx.twice() + xx) * p.y.twice().inverse_vartime();
  const Fq x_three = k.root2 * p.x, y_three = -p.y;  // (1 + lambda) p
  out.cell(24) = m, out.cell(25) = y_one, out.cell(26) = tangent;
  const Fq x2 = tangent.square() - p.x.twice();
  G1Affine acc = {x2, tangent * (p.x - x2) - p.y};
  for (size_t row = lane_rows; row-- > 0;) {
    const int digit = 2 * int(word[row / 32] >> (2 * (row % 32)) & 3) - 3;
    const bool three = digit == 3 || digit == -3;
    const Fq xq = three ? x_three : x_one, yq = (three ? y_three : y_one).negated_if(digit < 0);
    const Fq l1 = (yq - acc.y) * (xq - acc.x).inverse_vartime();
    const Fq xr = l1.square() - acc.x - xq;
    const Fq l2 = -l1 - acc.y.twice() * (xr - acc.x).inverse_vartime();
    const Fq x = l2.square() - acc.x - xr;
    acc = {x, l2 * (acc.x - x) - acc.y};
    out(slope1, row) = l1, out(slope2, row) = l2, out(lane_y, row) = acc.y;
    const Fq size = Fq::from_u64(three ? 3 : 1);
    out(lane_digit, row) = size.negated_if(digit < 0);
  }
  return acc;
}

/// Fills the cells of the running sum, which `sum` is before and after.
inline void trace_sum(const Group& out, const G1Affine& product, G1Affine& sum) {
  const Fq inverse = (product.x - sum.x).inverse_vartime(), slope = (product.y - sum.y) * inverse;
  out.cell(27) = slope, out.cell(28) = sum.x, out.cell(29) = sum.y, out.cell(30) = inverse;
  const Fq x = slope.square() - sum.x - product.x;
  sum = {x, slope * (sum.x - x) - sum.y};
}

}  // namespace hp::assembly
