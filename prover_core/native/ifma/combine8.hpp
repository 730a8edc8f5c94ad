// Sums of points of G1 times scalars (2k + 1) + (2l + 1) lambda, eight lanes wide (Straus, with the tables of scale8.hpp).
//
// Only the sums are doubled: for each of sixteen digits the chosen multiples of all points are added, in a tree that shares
// one inversion a level, and the seventeen sums are put together by Horner's rule. 32 additions a point and 8 for its table.
#pragma once
#include "ifma/affine8.hpp"
#include "ifma/scale8.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {

class Combiner8 {
 public:
  /// Rows as `Scaler8::tabulate` leaves them; lanes outside `present` do not count.
  G1 sum(const ScaleRow* rows, const __mmask8* present, size_t n) {
    const size_t each = 2 * n;
    points_.resize(sums * each);
    for (size_t s = 0; s < sums; s++)
      for (size_t r = 0; r < n; r++)
        for (size_t image = 0; image < 2; image++) {
          Row<FqE8>& p = points_[s * each + 2 * r + image];
          if (s < digits) {
            rows[r].choose(image ? rows[r].l : rows[r].k, int(s), image, p.x.c, p.y.c);
          } else {
            p.x.c = image ? rows[r].odd[0].beta_x : rows[r].odd[0].x;
            p.y.c = rows[r].odd[0].y;
          }
          p.y.c = Fq8::select(present[r], Fq8::zero(), p.y.c);
        }
    bool ragged = false;
    for (size_t r = 0; r < n; r++) ragged |= present[r] != 0xff;
    for (size_t stride = 1; stride < each; stride *= 2) {
      round_.clear();
      for (size_t s = 0; s < sums; s++)
        for (size_t i = s * each; i + stride < (s + 1) * each; i += 2 * stride)
          round_.push({std::uint32_t(i), std::uint32_t(i + stride), std::uint32_t(i), ragged});
      ragged |= round_.add(points_.data());
    }
    G1 total = G1::infinity();
    for (size_t s = sums; s-- > 0;) {
      if (s < digits)
        for (int k = 0; k < 4; k++) total = total.twice();
      for (int i = 0; i < 8; i++) total.add(lane(points_[s * each], i));
    }
    return total;
  }

 private:
  static constexpr size_t digits = 16, sums = digits + 1;

  Round<FqE8> round_;
  std::vector<Row<FqE8>> points_;

  /// Montgomery 2^260 read as 2^256 is 16 times too much.
  static G1Affine lane(const Row<FqE8>& row, int i) {
    static const Fq sixteenth = Fq::from_u64(16).inverse_vartime();
    if (row.y.blank() >> i & 1) return G1Affine::infinity();
    return {row.x.lane(i) * sixteenth, row.y.lane(i) * sixteenth};
  }
};

}  // namespace hp::ifma
HP_WIDE_END
