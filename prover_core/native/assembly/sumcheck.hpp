// The rounds of the assembly's sumcheck: sum over groups g and rows s of kappa^(128 g + s) P(g, s), the group's bits first.
//
// P comes as programs recorded from prover_core/assembly/constraints.py: one `prelude` of what depends on the group's
// cells alone, one program a kind of row with the row's selectors folded in, and one with selectors as inputs for the
// rounds over rows. Registers begin with the inputs:
//   16 columns, 16 next, 31 cells + X, Y, 5 group selectors | 8 key columns, weight | 10 row selectors | constants
#pragma once
#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "../pool.hpp"
#include "program.hpp"
#include "trace.hpp"

namespace hp::assembly {

inline constexpr size_t cell_inputs = 33, group_inputs = 5, key_columns = 8, row_selectors = 10;
inline constexpr size_t in_next = columns, in_cells = 2 * columns, in_groups = in_cells + cell_inputs,
                        in_key = in_groups + group_inputs, in_weight = in_key + key_columns, in_rows = in_weight + 1,
                        in_constants = in_rows + row_selectors;
inline constexpr size_t domain_rows = 128;

struct Programs {
  size_t registers;               // of all programs
  std::vector<Fq> constants;      // challenges and numbers, from register in_constants on
  Program prelude;
  std::vector<Program> kinds;     // of rows
  std::vector<uint32_t> kind_of;  // [87]
  Program general_prelude, general;
  std::vector<uint32_t> results;  // the register with P after each kind, then after `general`
};

/// Values by row: key columns, weights and selectors, 128 rows each.
using RowTable = std::vector<std::vector<Fq>>;

class Sumcheck {
 public:
  /// values: [17][stride][96], of which `groups` groups are used, the others being zero; group_selectors: [5][groups];
  /// rows: 8 key columns, the weight, 10 selectors.
  Sumcheck(const Fq* values, size_t stride, size_t groups, const Fq* group_selectors, RowTable rows, Programs programs,
           const Fq& kappa, unsigned threads)
      : programs_(std::move(programs)), rows_(std::move(rows)), kappa_(kappa), threads_(threads), groups_(groups) {
    columns_.resize(columns * groups * width);
    for (size_t v = 0; v < columns; v++) std::copy_n(values + v * stride * width, groups * width, at(v, 0));
    cells_.resize((cell_inputs + group_inputs) * groups);
    for (size_t g = 0; g < groups; g++) {
      for (size_t i = 0; i + 2 < cell_inputs; i++)
        cells_[i * groups + g] = at(i % columns, g)[cell_row + i / columns];
      for (size_t i = 0; i < 2; i++)
        cells_[(cell_inputs - 2 + i) * groups + g] = values[((vectors - 1) * stride + g) * width + point_row + i];
      for (size_t i = 0; i < group_inputs; i++)
        cells_[(cell_inputs + i) * groups + g] = group_selectors[i * groups + g];
    }
    for (size_t v = 0; v < columns; v++)
      for (size_t g = 0; g < groups; g++) std::fill(at(v, g) + used_rows, at(v, g) + width, Fq::zero());
    row_kernel_.push_back(Fq::one());
    for (size_t s = 1; s < domain_rows; s++) row_kernel_.push_back(row_kernel_.back() * kappa);
    kernel_ = row_kernel_.back() * kappa;
  }

  /// p(0), p(2), ..., p(5) of a round over a group bit. The pair (2 h, 2 h + 1) has the weight kernel^(2 h).
  std::vector<Fq> group_round() {
    const size_t pairs = (groups_ + 1) / 2, blocks = (pairs + block - 1) / block;
    const size_t slices = std::clamp<size_t>(4 / blocks, 1, 4);  // of rows, where there are few blocks
    std::vector<Fq> sums(group_points, Fq::zero());
    std::mutex mutex;
    parallel_for(blocks * slices, threads_, [&](size_t task) {
      const size_t b = task / slices, slice = task % slices;
      std::vector<Fq> part(group_points, Fq::zero());
      group_block(b * block, std::min(block, pairs - b * block), loop_rows * slice / slices,
                  loop_rows * (slice + 1) / slices, part);
      std::lock_guard lock(mutex);
      for (size_t i = 0; i < group_points; i++) sums[i] += part[i];
    });
    return sums;
  }

  /// Binds the least group bit to x.
  void fold_groups(const Fq& x) {
    const size_t pairs = (groups_ + 1) / 2;
    std::vector<Fq> folded(columns * pairs * width), cells((cell_inputs + group_inputs) * pairs);
    parallel_for(columns, threads_, [&](size_t v) {
      for (size_t h = 0; h < pairs; h++) {
        const Fq *low = at(v, 2 * h), *high = 2 * h + 1 < groups_ ? at(v, 2 * h + 1) : zeros_;
        Fq* out = &folded[(v * pairs + h) * width];
        for (size_t s = 0; s < used_rows; s++) out[s] = low[s] + x * (high[s] - low[s]);
        std::fill(out + used_rows, out + width, Fq::zero());
      }
    });
    for (size_t i = 0; i < cell_inputs + group_inputs; i++)
      for (size_t h = 0; h < pairs; h++) cells[i * pairs + h] = line(i, h, x);
    columns_ = std::move(folded);
    cells_ = std::move(cells);
    groups_ = pairs;
    kernel_ = kernel_.square();
  }

  /// p(0), p(2), ..., p(6) of a round over a row bit, after all group bits.
  std::vector<Fq> row_round() {
    if (row_values_.empty()) begin_rows();
    if (row_values_[0].size() < 2) throw std::logic_error("all row bits are bound");
    const size_t pairs = row_values_[0].size() / 2, blocks = (pairs + block - 1) / block;
    std::vector<Fq> sums(row_points, Fq::zero());
    std::mutex mutex;
    parallel_for(blocks, threads_, [&](size_t b) {
      std::vector<Fq> part(row_points, Fq::zero());
      row_block(b * block, std::min(block, pairs - b * block), part);
      std::lock_guard lock(mutex);
      for (size_t i = 0; i < row_points; i++) sums[i] += part[i];
    });
    return sums;
  }

  /// Binds the least row bit to x.
  void fold_rows(const Fq& x) {
    if (row_values_.empty() || row_values_[0].size() < 2) throw std::logic_error("no row bit is open");
    for (auto& v : row_values_) {
      for (size_t h = 0; 2 * h < v.size(); h++) v[h] = v[2 * h] + x * (v[2 * h + 1] - v[2 * h]);
      v.resize(v.size() / 2);
    }
    row_step_ = row_step_.square();
  }

  /// After the last round: 16 columns, 16 next, 33 cells, 8 key columns at the point.
  std::vector<Fq> claims() const {
    if (row_values_.empty() || row_values_[0].size() != 1) throw std::logic_error("row bits are not bound yet");
    std::vector<Fq> out;
    for (size_t i = 0; i < 2 * columns; i++) out.push_back(row_values_[i][0]);
    for (size_t i = 0; i < cell_inputs; i++) out.push_back(cells_[i * groups_]);
    for (size_t i = 0; i < key_columns; i++) out.push_back(row_values_[2 * columns + i][0]);
    return out;
  }

 private:
  static constexpr size_t group_points = 5, row_points = 6, block = 4;

  Fq* at(size_t v, size_t g) { return &columns_[(v * groups_ + g) * width]; }
  const Fq* row_of(size_t v, size_t g) { return g < groups_ ? at(v, g) : zeros_; }

  /// Cell or group selector i of pair h at x.
  Fq line(size_t i, size_t h, const Fq& x) const {
    const Fq low = cells_[i * groups_ + 2 * h];
    const Fq high = 2 * h + 1 < groups_ ? cells_[i * groups_ + 2 * h + 1] : Fq::zero();
    return low + x * (high - low);
  }

  /// Writes low + x (high - low) for x = 0, 2, 3, ... to `points` consecutive lanes.
  static void spread(Fq* out, const Fq& low, const Fq& high, size_t points) {
    const Fq d = high - low;
    Fq value = high;
    out[0] = low;
    for (size_t i = 1; i < points; i++) out[i] = value += d;
  }

  void fill_constants(std::vector<Fq>& registers, size_t lanes) const {
    for (size_t i = 0; i < programs_.constants.size(); i++)
      std::fill_n(&registers[(in_constants + i) * lanes], lanes, programs_.constants[i]);
  }

  void group_block(size_t first, size_t count, size_t begin, size_t end, std::vector<Fq>& sums) {
    const size_t lanes = count * group_points;
    std::vector<Fq> registers(programs_.registers * lanes), total(lanes, Fq::zero());
    fill_constants(registers, lanes);
    for (size_t i = 0; i < cell_inputs + group_inputs; i++)
      for (size_t k = 0; k < count; k++) {
        const size_t h = first + k;
        const Fq low = cells_[i * groups_ + 2 * h];
        const Fq high = 2 * h + 1 < groups_ ? cells_[i * groups_ + 2 * h + 1] : Fq::zero();
        spread(&registers[(in_cells + i) * lanes + k * group_points], low, high, group_points);
      }
    programs_.prelude.run(registers.data(), lanes);
    const auto load = [&](size_t s, size_t offset) {
      for (size_t v = 0; v < columns; v++)
        for (size_t k = 0; k < count; k++)
          spread(&registers[(offset + v) * lanes + k * group_points], row_of(v, 2 * (first + k))[s],
                 row_of(v, 2 * (first + k) + 1)[s], group_points);
    };
    load(begin, 0);
    for (size_t s = begin; s < end; s++) {
      load(s + 1, in_next);
      for (size_t i = 0; i <= key_columns; i++) std::fill_n(&registers[(in_key + i) * lanes], lanes, rows_[i][s]);
      const uint32_t kind = programs_.kind_of[s];
      programs_.kinds[kind].run(registers.data(), lanes);
      const Fq* result = &registers[programs_.results[kind] * lanes];
      for (size_t k = 0; k < lanes; k++) total[k] += row_kernel_[s] * result[k];
      std::copy_n(&registers[in_next * lanes], columns * lanes, registers.data());
    }
    const uint64_t exponent = 2 * first;
    Fq power = kernel_.pow_vartime(exponent);
    const Fq step = kernel_.square();
    for (size_t k = 0; k < count; k++) {
      for (size_t i = 0; i < group_points; i++) sums[i] += power * total[k * group_points + i];
      power *= step;
    }
  }

  /// [columns][next][key columns, weight, selectors], 128 rows each.
  void begin_rows() {
    if (groups_ != 1) throw std::logic_error("group bits are not bound yet");
    row_values_.assign(2 * columns + rows_.size(), std::vector<Fq>(domain_rows, Fq::zero()));
    for (size_t v = 0; v < columns; v++) {
      const Fq* source = at(v, 0);
      std::copy_n(source, used_rows, row_values_[v].begin());
      std::copy_n(source + 1, used_rows - 1, row_values_[columns + v].begin());
    }
    std::copy(rows_.begin(), rows_.end(), row_values_.begin() + ptrdiff_t(2 * columns));
    row_step_ = kappa_;
  }

  void row_block(size_t first, size_t count, std::vector<Fq>& sums) {
    const size_t lanes = count * row_points;
    std::vector<Fq> registers(programs_.registers * lanes);
    fill_constants(registers, lanes);
    for (size_t i = 0; i < cell_inputs + group_inputs; i++)
      std::fill_n(&registers[(in_cells + i) * lanes], lanes, cells_[i * groups_]);
    for (size_t i = 0; i < row_values_.size(); i++) {
      const size_t target = i < 2 * columns ? i : in_key + i - 2 * columns;
      for (size_t k = 0; k < count; k++)
        spread(&registers[target * lanes + k * row_points], row_values_[i][2 * (first + k)],
               row_values_[i][2 * (first + k) + 1], row_points);
    }
    programs_.general_prelude.run(registers.data(), lanes);
    programs_.general.run(registers.data(), lanes);
    const Fq* result = &registers[programs_.results.back() * lanes];
    const uint64_t exponent = 2 * first;
    Fq power = row_step_.pow_vartime(exponent);
    const Fq step = row_step_.square();
    for (size_t k = 0; k < count; k++) {
      for (size_t i = 0; i < row_points; i++) sums[i] += power * result[k * row_points + i];
      power *= step;
    }
  }

  Programs programs_;
  RowTable rows_;
  Fq kappa_, kernel_, row_step_ = Fq::one();
  unsigned threads_;
  size_t groups_;
  std::vector<Fq> columns_, cells_, row_kernel_;
  RowTable row_values_;
  Fq zeros_[width] = {};
};

}  // namespace hp::assembly
