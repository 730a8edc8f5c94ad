// The assembly's table as it grows: groups' values, and the open sums of their commitments.
#pragma once
#include <memory>

#include "commit.hpp"
#include "trace.hpp"

namespace hp::assembly {

using grumpkin::BucketAdder;
using grumpkin::Buckets;
using grumpkin::Generators;

/// `groups` groups of 17 vectors of 96 values. Group g is part g mod chunk of block g / chunk; a vector's commitment to a
/// block is the sum of value * generator[96 part + row]. Not for several threads at once; each call uses `threads`.
class Table {
 public:
  Table(const Generators& generators, size_t groups, size_t chunk, const Fq& cube_root, unsigned threads)
      : generators_(generators),
        groups_(groups),
        chunk_(chunk),
        blocks_((groups + chunk - 1) / chunk),
        threads_(threads),
        lane_(cube_root),
        values_(vectors * groups * width, Fq::zero()),
        buckets_(vectors * blocks_) {}

  size_t blocks() const { return blocks_; }
  size_t groups() const { return groups_; }
  const Fq* values() const { return values_.data(); }

  /// The group's point, which its lane multiplies.
  void set_point(size_t g, const G1Affine& p) {
    const Group out = group(g);
    out(vectors - 1, point_row) = p.x, out(vectors - 1, point_row + 1) = p.y;
    commit({{vectors - 1, point_row, used_rows}}, g, 1);
  }

  struct Leaf {
    G1Affine a;
    G2Affine b;
    G1Affine c, x;
  };

  /// Traces n leaves into groups first, ...; where all verify, commits to what does not depend on challenges and returns
  /// an empty list; else leaves the groups empty and returns the positions of those that do not.
  std::vector<size_t> add_leaves(size_t first, const Leaf* leaves, size_t n, const LeafKey& key) {
    std::vector<uint8_t> valid(n);
    parallel_for(n, threads_, [&](size_t i) {
      valid[i] = trace_leaf(group(first + i), key, leaves[i].a, leaves[i].b, leaves[i].c, leaves[i].x);
    });
    std::vector<size_t> bad;
    for (size_t i = 0; i < n; i++)
      if (!valid[i]) bad.push_back(i);
    if (!bad.empty()) {
      for (size_t v = 0; v < vectors; v++)
        std::fill_n(&values_[(v * groups_ + first) * width], n * width, Fq::zero());
      return bad;
    }
    for (size_t i = 0; i < n; i++) {
      const Group out = group(first + i);
      out(vectors - 1, point_row) = leaves[i].x.x, out(vectors - 1, point_row + 1) = leaves[i].x.y;
    }
    std::vector<Range> ranges;
    for (size_t v = 0; v < miller_columns; v++) ranges.push_back({v, 0, v < lane_cell_column ? point_row : lane_cell_row});
    ranges.push_back({vectors - 1, point_row, used_rows});
    commit(ranges, first, n);
    return bad;
  }

  /// Lanes of groups 0 .. n - 1 with their digit words, and the running sum from `start`; commits to all that is left.
  /// Returns the running sum's end.
  G1Affine run_lanes(const uint64_t (*words)[2], size_t n, G1Affine start) {
    std::vector<G1Affine> products(n);
    parallel_for(n, threads_, [&](size_t g) {
      const Group out = group(g);
      const G1Affine p = {out(vectors - 1, point_row), out(vectors - 1, point_row + 1)};
      products[g] = trace_lane(out, lane_, p, words[g]);
    });
    for (size_t g = 0; g < n; g++) trace_sum(group(g), products[g], start);
    std::vector<Range> ranges;
    for (size_t v = lane_cell_column; v < columns; v++)
      ranges.push_back({v, v < miller_columns ? lane_cell_row : 0, point_row});
    commit(ranges, 0, n);
    return start;
  }

  /// Closes the sums of vectors begin .. end - 1 with their blinding scalars, [vector][block].
  std::vector<grumpkin::Point> finish(size_t begin, size_t end, const Fq* blinds) {
    std::vector<grumpkin::Point> out((end - begin) * blocks_);
    parallel_for(out.size(), threads_, [&](size_t i) {
      const size_t v = begin + i / blocks_, block = i % blocks_;
      group(block * chunk_)(v, blind_row) = blinds[i];
      BucketAdder adder(generators_);
      Buckets& buckets = buckets_[v * blocks_ + block];
      adder.add(buckets, &blinds[i], blind_row, 1);
      out[i] = BucketAdder::reduce(buckets).to_affine();
      buckets = {};
    });
    return out;
  }

  /// u[part][row] = sum_v weight_v sum_block eq_block value(v, block chunk + part, row).
  std::vector<Fq> fold(const Fq* weights, const Fq* eq_blocks) const {
    std::vector<Fq> out(chunk_ * width, Fq::zero());
    parallel_for(chunk_, threads_, [&](size_t part) {
      for (size_t v = 0; v < vectors; v++)
        for (size_t b = 0; b < blocks_ && b * chunk_ + part < groups_; b++) {
          const Fq factor = weights[v] * eq_blocks[b];
          const Fq* source = &values_[(v * groups_ + b * chunk_ + part) * width];
          for (size_t s = 0; s < width; s++)
            if (!source[s].is_zero()) out[part * width + s] += factor * source[s];
        }
    });
    return out;
  }

  /// Changes a value and, before `finish`, the commitment to it: how the tests' provers cheat.
  void set_value(size_t v, size_t g, size_t row, const Fq& value) {
    Fq& place = group(g)(v, row);
    const Fq difference = value - place;
    place = value;
    BucketAdder adder(generators_);
    adder.add(buckets_[v * blocks_ + g / chunk_], &difference, (g % chunk_) * width + row, 1);
  }

 private:
  /// The lane's cells lie in this row from this column on; the first four of them in Miller columns.
  static constexpr size_t lane_cell_column = 24 % columns, lane_cell_row = cell_row + 1;

  struct Range {
    size_t vector, begin, end;
  };

  Group group(size_t g) { return {&values_[g * width], groups_ * width}; }

  void commit(const std::vector<Range>& ranges, size_t first, size_t n) {
    parallel_for(ranges.size(), threads_, [&](size_t i) {
      const auto [v, begin, end] = ranges[i];
      BucketAdder adder(generators_);
      for (size_t g = first; g < first + n; g++)
        adder.add(buckets_[v * blocks_ + g / chunk_], &values_[(v * groups_ + g) * width + begin],
                  (g % chunk_) * width + begin, end - begin);
    });
  }

  const Generators& generators_;
  size_t groups_, chunk_, blocks_;
  unsigned threads_;
  LaneConstants lane_;
  std::vector<Fq> values_;
  std::vector<Buckets> buckets_;
};

}  // namespace hp::assembly
