// Sparse matrix times vector over Fr.
#pragma once
#include <vector>

#include "field.hpp"
#include "pool.hpp"

namespace hp {

/// Compressed sparse rows over a table of distinct values; borrows row_start, col and value_index.
class SparseMatrix {
 public:
  /// Checks every index once: std::invalid_argument unless row_start ascends from 0 to the number of entries, columns are
  /// below `cols`, and value indices and values are in range.
  SparseMatrix(size_t rows, size_t cols, const uint64_t* row_start, const uint32_t* col, const uint32_t* value_index,
               size_t entries, const unsigned char* values, size_t n_values)
      : rows_(rows), cols_(cols), row_start_(row_start), col_(col), value_index_(value_index) {
    if (row_start[0] != 0 || row_start[rows] != entries) throw std::invalid_argument("row_start does not span the entries");
    for (size_t i = 0; i < rows; i++)
      if (row_start[i] > row_start[i + 1]) throw std::invalid_argument("row_start descends at row " + std::to_string(i));
    for (size_t i = 0; i < entries; i++) {
      if (col[i] >= cols) throw std::invalid_argument("entry " + std::to_string(i) + " is right of the last column");
      if (value_index[i] >= n_values) throw std::invalid_argument("entry " + std::to_string(i) + " has no value");
    }
    for (size_t i = 0; i < n_values; i++) {
      const Fr canonical = Fr::load(values + 32 * i);
      if (!is_canonical<Fr::Params>(canonical.v))
        throw std::invalid_argument("value " + std::to_string(i) + " is not below r");
      const Fr value = Fr::from_canonical(canonical.v);
      values_.push_back(value);
      kinds_.push_back(value.is_one() ? Kind::one : (-value).is_one() ? Kind::minus_one : Kind::general);
    }
  }

  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }

  /// out[i] = (M w)[first + i], Montgomery, i < n, for canonical w. One product for each entry that is not +-1, and one for
  /// each row that is not zero.
  void product(const unsigned char* w, size_t first, size_t n, Fr* out, unsigned threads) const {
    parallel_ranges(n, 2048, threads, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        // A Montgomery value times a canonical one is canonical: the row is summed so, and converted once.
        Fr sum = Fr::zero();
        for (uint64_t e = row_start_[first + i]; e < row_start_[first + i + 1]; e++) {
          const Fr x = Fr::load(w + 32 * size_t(col_[e]));
          const uint32_t v = value_index_[e];
          if (kinds_[v] == Kind::one)
            sum += x;
          else if (kinds_[v] == Kind::minus_one)
            sum -= x;
          else
            sum += values_[v] * x;
        }
        out[i] = sum.is_zero() ? sum : Fr::from_canonical(sum.v);
      }
    });
  }

 private:
  enum class Kind : unsigned char { one, minus_one, general };
  size_t rows_, cols_;
  const uint64_t* row_start_;
  const uint32_t *col_, *value_index_;
  std::vector<Fr> values_;  // Montgomery
  std::vector<Kind> kinds_;
};

}  // namespace hp
