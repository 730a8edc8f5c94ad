// The coefficients of A and B as a .zkey lists them, times a witness, without sorting or copying them first.
#pragma once
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "field.hpp"
#include "pool.hpp"

namespace hp {

/// Section 4 of a .zkey: terms of { matrix u32 (0: A, 1: B) · row u32 · wire u32 · c R^2 mod r }, R = 2^256, little-endian,
/// of any alignment. Borrowed.
class TermList {
 public:
  static constexpr size_t term_bytes = 44;

  TermList(const unsigned char* terms, size_t n) : terms_(terms), n_(n) {}

  const unsigned char* data() const { return terms_; }
  size_t bytes() const { return n_ * term_bytes; }

  /// out[0][row] = (A w)[row], out[1][row] = (B w)[row], Montgomery, for the canonical witness w of n_wires values; rows
  /// that no term names become zero. One product a term whose wire is not zero; one a row for terms of +-1. Terms may come in any
  /// order, but only ascending rows are shared among threads.
  ///
  /// std::invalid_argument for a matrix, row or wire that does not exist, or a coefficient that is not canonical: nothing
  /// may be read from `out` then.
  void product(const unsigned char* w, size_t n_wires, size_t rows, const std::array<Fr*, 2>& out, unsigned threads) const {
    for (Fr* matrix : out)
      parallel_ranges(rows, 1 << 14, threads, [&](size_t begin, size_t end) {
        std::fill(matrix + begin, matrix + end, Fr::zero());
      });
    const size_t pieces = ascending(threads) ? std::clamp<size_t>(n_ / 4096, 1, 4 * size_t(threads)) : 1;
    std::vector<Piece> done(pieces);
    parallel_for(pieces, threads, [&](size_t i) {
      done[i] = sum(n_ * i / pieces, n_ * (i + 1) / pieces, w, n_wires, rows, out, pieces > 1);
    });
    for (const Piece& piece : done)
      for (const Row& row : piece) out[row.matrix][row.row] += row.sum;
  }

 private:
  struct Row {
    uint32_t matrix, row;
    Fr sum;
  };
  /// The rows at a piece's borders, which its neighbours may have terms of too.
  using Piece = std::vector<Row>;
  /// The row of one matrix that is being summed.
  struct Open {
    uint32_t row = 0;
    bool any = false, first = true;
    Fr sum = Fr::zero(), plain = Fr::zero();  // Montgomery; canonical, from coefficients +-1
    Fr total() const { return plain.is_zero() ? sum : sum + Fr::from_canonical(plain.v); }
  };

  const unsigned char* terms_;
  size_t n_;

  uint32_t word(size_t term, size_t which) const {
    uint32_t x;
    std::memcpy(&x, terms_ + term * term_bytes + 4 * which, 4);
    return x;
  }

  /// Whether the rows of each matrix never descend.
  bool ascending(unsigned threads) const {
    if (threads < 2) return false;
    uint32_t last[2] = {0, 0};
    for (size_t i = 0; i < n_; i++) {
      const uint32_t matrix = word(i, 0) & 1, row = word(i, 1);
      if (row < last[matrix]) return false;
      last[matrix] = row;
    }
    return true;
  }

  Piece sum(size_t begin, size_t end, const unsigned char* w, size_t n_wires, size_t rows, const std::array<Fr*, 2>& out,
            bool shared) const {
    using P = Fr::Params;
    static const Fr one = Fr::raw(P::r2), minus_one = -Fr::raw(P::r2);
    Piece border;
    Open open[2];
    const auto close = [&](uint32_t matrix, bool last) {
      Open& o = open[matrix];
      if (!o.any) return;
      if (shared && (o.first || last))
        border.push_back({matrix, o.row, o.total()});
      else
        out[matrix][o.row] += o.total();
    };
    for (size_t i = begin; i < end; i++) {
      const uint32_t matrix = word(i, 0), row = word(i, 1), wire = word(i, 2);
      const Fr c = Fr::load(terms_ + i * term_bytes + 12);
      if (matrix > 1 || row >= rows || wire >= n_wires)
        throw std::invalid_argument("term " + std::to_string(i) + " names a matrix, row or wire that does not exist");
      if (!is_canonical<P>(c.v)) throw std::invalid_argument("term " + std::to_string(i) + " is not a canonical scalar");
      Open& o = open[matrix];
      if (!o.any || o.row != row) {
        close(matrix, false);
        o = Open{row, true, !o.any, Fr::zero(), Fr::zero()};
      }
      const Fr x = Fr::load(w + 32 * size_t(wire));
      if (x.is_zero()) continue;
      if (c == one)
        o.plain += x;
      else if (c == minus_one)
        o.plain -= x;
      else
        o.sum += c * x;
    }
    close(0, true);
    close(1, true);
    return border;
  }
};

}  // namespace hp
