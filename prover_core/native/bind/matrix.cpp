#include "bind.hpp"
#include "matrix.hpp"

#include <memory>

namespace hp {
namespace {

class Matrix {
 public:
  Matrix(size_t rows, size_t cols, nb::object row_start, nb::object col, nb::object value_index, nb::object values)
      : row_start_(row_start, 8, {}, "row_start"), col_(col, 4, {}, "col"), value_index_(value_index, 4, {}, "value_index") {
    const Buffer table(values, 8, {4}, "values");
    if (row_start_.rows() == 0 || row_start_.rows() - 1 != rows) throw std::invalid_argument("row_start needs rows + 1 items");
    if (col_.rows() != value_index_.rows()) throw std::invalid_argument("col and value_index differ in length");
    nb::gil_scoped_release unlocked;
    matrix_ = std::make_unique<SparseMatrix>(rows, cols, row_start_.as<uint64_t>("row_start"), col_.as<uint32_t>("col"),
                                             value_index_.as<uint32_t>("value_index"), col_.rows(), table.data(), table.rows());
  }

  void product(nb::handle witness, size_t first, nb::handle out, unsigned threads) const {
    const Buffer w(witness, 8, {4}, "witness"), target(out, 8, {4}, "result", true);
    if (w.rows() != matrix_->cols())
      throw std::invalid_argument("the witness has " + std::to_string(w.rows()) + " values where the matrix has " +
                                  std::to_string(matrix_->cols()) + " columns");
    if (first > matrix_->rows() || target.rows() > matrix_->rows() - first)
      throw std::invalid_argument("the rows asked for leave the matrix");
    Fr* to = target.as_writable<Fr>("result");
    nb::gil_scoped_release unlocked;
    matrix_->product(w.data(), first, target.rows(), to, threads);
  }

 private:
  Buffer row_start_, col_, value_index_;
  std::unique_ptr<SparseMatrix> matrix_;
};

}  // namespace

void bind_matrix(nb::module_& m) {
  nb::class_<Matrix>(m, "Matrix")
      .def(nb::init<size_t, size_t, nb::object, nb::object, nb::object, nb::object>())
      .def("product", &Matrix::product);
}

}  // namespace hp
