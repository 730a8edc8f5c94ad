// The streaming MSM as the rest of the library sees it, whatever computes it.
#pragma once
#include <memory>
#include <mutex>
#include <stdexcept>

#include "curve.hpp"
#include "isa.hpp"

namespace hp {

/// sum_i k_i P_i over fixed bases, scalars arriving in ranges. One caller at a time.
template <class F>
class MsmEngine {
 public:
  virtual ~MsmEngine() = default;
  /// Adds sum_i scalars[i] * bases[start + i]: canonical scalars, 32 bytes each. std::invalid_argument if the range leaves
  /// the bases, with nothing added, or if a scalar is not below r. That, and whatever else is thrown halfway, leaves no sum:
  /// the accumulator is closed.
  virtual void add(size_t start, const unsigned char* scalars, size_t n) = 0;
  virtual void add_point(const Affine<F>& p) = 0;
  /// Does what can be done of `finish` before the rest of the scalars, about `missing` of them, is there; for idle times,
  /// since it does not make the whole cheaper. The sum is the same.
  virtual void settle(size_t missing) = 0;
  /// Says that the bases lie in a read-only map of a file: their pages are given back once they were read.
  virtual void bases_are_mapped() {}
  /// The sum; closes the accumulator and frees its buckets.
  virtual Affine<F> finish() = 0;

 protected:
  bool finished_ = false;
  std::mutex mutex_;

  /// Closed until it is opened again, which what throws in between does not come to.
  class Busy {
   public:
    explicit Busy(bool& finished) : finished_(finished) { finished = true; }
    void again() const { finished_ = false; }

   private:
    bool& finished_;
  };
  Busy close_while_busy() { return Busy(finished_); }

  void check_open(size_t start, size_t n, size_t bases) const {
    if (finished_) throw std::invalid_argument("the accumulator is finished, or failed halfway");
    if (start > bases || n > bases - start) throw std::invalid_argument("the range leaves the bases");
  }
};

/// The fastest engine for `n` borrowed affine bases (any alignment) on this processor; they must outlive it.
/// Threads: 0 for the default.
template <class F>
std::unique_ptr<MsmEngine<F>> make_msm(const unsigned char* bases, size_t n, unsigned threads, Isa isa = Isa::best);

}  // namespace hp
