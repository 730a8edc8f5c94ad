// The streaming MSM on AVX-512 IFMA, behind the interface of msm_engine.hpp.
#include <bit>

#include "ifma/engine.hpp"
#include "ifma/reduce8.hpp"
#include "pool.hpp"
#include "windows.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {
namespace {

template <class F>
struct CoordinateOf;
template <>
struct CoordinateOf<Fq> {
  using type = Prime8<params::FqParams>;
};
template <>
struct CoordinateOf<Fq2> {
  using type = Quadratic8<params::FqParams>;
};

template <class F>
class WideMsm final : public MsmEngine<F> {
  using E = typename CoordinateOf<F>::type;

 public:
  WideMsm(const unsigned char* bases, size_t n, unsigned threads)
      : bases_(bases),
        n_(n),
        threads_(threads ? threads : default_threads()),
        windows_(SignedWindows::cheapest(n, bucket_cost, max_bits)),
        slices_(std::bit_floor(std::clamp<size_t>(2 * threads_ / windows_.count, 1, std::max<size_t>(1, windows_.buckets() / 256)))),
        block_(std::clamp<size_t>(windows_.buckets() * 8, size_t(1) << 14, size_t(1) << 20)),
        buckets_(windows_.count),
        ones_(one_lists, blank()),
        rest_(Xyzz<F>::infinity()) {}

  void add(size_t start, const unsigned char* scalars, size_t n) override {
    this->check_open(start, n, n_);
    for (size_t done = 0; done < n;) {
      const size_t size = std::min(n - done, block_ - pending_);
      take(start + done, scalars + 32 * done, size);
      done += size;
      if (pending_ == block_) flush();
    }
  }

  void add_point(const Affine<F>& p) override {
    this->check_open(0, 0, n_);
    rest_.add(p);
  }

  Affine<F> finish() override {
    this->check_open(0, 0, n_);
    this->finished_ = true;
    flush();
    std::vector<Xyzz<F>> sums(windows_.count * slices_, Xyzz<F>::infinity());
    parallel_for(sums.size() + 1, threads_, [&](size_t i) {
      if (i == sums.size())
        sum_ones();
      else if (!buckets_[i / slices_].empty())
        sums[i] = reduce(i / slices_, i % slices_);
    });
    Xyzz<F> total = Xyzz<F>::infinity();
    for (size_t w = windows_.count; w-- > 0;) {
      for (unsigned k = 0; k < windows_.bits; k++) total = total.twice();
      for (size_t s = 0; s < slices_; s++) total.add(sums[w * slices_ + s]);
    }
    total.add(rest_);
    buckets_.clear();
    return total.to_affine();
  }

 private:
  // The reduction is two affine additions a bucket, each somewhat dearer than one of the many into a bucket.
  static constexpr double bucket_cost = 2.6;
  static constexpr unsigned max_bits = 16;  // so that a digit fits 16 signed bits
  static constexpr size_t piece = 4096;
  static constexpr size_t one_lists = 8;

  const unsigned char* bases_;
  size_t n_;
  unsigned threads_;
  SignedWindows windows_;
  size_t slices_, block_, pending_ = 0;
  std::vector<std::vector<Stored<E>>> buckets_;
  std::vector<Stored<E>> ones_;
  Xyzz<F> rest_;
  // What is waiting for the next flush: for every scalar that needs buckets a reference to its point and, window by window,
  // its digits; and references to the points of scalars 1 and -1.
  std::vector<std::uint32_t> references_, one_references_;
  std::vector<std::int16_t> digits_;
  size_t general_ = 0;

  static Stored<E> blank() { return Stored<E>{}; }

  /// Recodes scalars of bases start .. start + n.
  void take(size_t start, const unsigned char* scalars, size_t n) {
    if (digits_.empty()) {
      digits_.resize(windows_.count * std::min(block_, n_));
      references_.resize(std::min(block_, n_));
    }
    const size_t pieces = (n + piece - 1) / piece, first = general_;
    std::vector<std::uint32_t> general(pieces), ones(pieces);
    std::vector<std::uint32_t> one_of(n);
    const size_t stride = references_.size();
    parallel_for(pieces, n < 2 * piece ? 1 : threads_, [&](size_t p) {
      const size_t begin = p * piece, end = std::min(n, begin + piece);
      std::uint32_t g = 0, o = 0;
      for (size_t i = begin; i < end; i++) {
        u64 k[4], shifted[4];
        std::memcpy(k, scalars + 32 * i, 32);
        bool negative;
        const auto kind = windows_.recode(k, shifted, negative);
        if (kind == SignedWindows::Kind::zero) continue;
        if (Affine<F>::load(bases_ + (start + i) * sizeof(Affine<F>)).is_infinity()) continue;
        const std::uint32_t reference = std::uint32_t(start + i) | (negative ? negative_bit : 0);
        if (kind != SignedWindows::Kind::general) {
          one_of[begin + o++] = reference;
          continue;
        }
        const size_t at = first + begin + g++;
        references_[at] = reference;
        for (unsigned w = 0; w < windows_.count; w++) digits_[w * stride + at] = std::int16_t(windows_.digit(shifted, w));
      }
      general[p] = g;
      ones[p] = o;
    });
    // close the gaps that pieces left behind themselves
    for (size_t p = 0; p < pieces; p++) {
      const size_t from = first + p * piece;
      if (from != general_ && general[p]) {
        std::copy_n(references_.begin() + ptrdiff_t(from), general[p], references_.begin() + ptrdiff_t(general_));
        for (unsigned w = 0; w < windows_.count; w++)
          std::copy_n(digits_.begin() + ptrdiff_t(w * stride + from), general[p],
                      digits_.begin() + ptrdiff_t(w * stride + general_));
      }
      general_ += general[p];
      one_references_.insert(one_references_.end(), one_of.begin() + ptrdiff_t(p * piece),
                             one_of.begin() + ptrdiff_t(p * piece + ones[p]));
    }
    pending_ = general_;
    if (one_references_.size() >= block_) sum_ones();
  }

  void flush() {
    if (general_ > 0)
      parallel_for(windows_.count * slices_, general_ < 64 ? 1 : threads_, [&](size_t i) { fill(i / slices_, i % slices_); });
    general_ = pending_ = 0;
  }

  std::pair<size_t, size_t> slice(size_t s) const {
    return {windows_.buckets() * s / slices_, windows_.buckets() * (s + 1) / slices_};
  }

  /// Adds the pending points whose digit of window w falls into slice s to their buckets.
  void fill(size_t w, size_t s) {
    const auto [low, high] = slice(s);
    const std::int16_t* digits = digits_.data() + w * references_.size();
    const std::uint32_t width = std::uint32_t(high - low);
    std::vector<Stored<E>>& window = open(w);
    Stored<E>* buckets = window.data() + low;
    std::vector<std::uint32_t> position(width + 1, 0);
    for (size_t i = 0; i < general_; i++) {
      const std::uint32_t b = std::uint32_t(std::abs(int(digits[i]))) - 1 - std::uint32_t(low);
      position[std::min(b, width)]++;  // digit 0 and other slices' buckets are counted last, and dropped
    }
    std::vector<List> lists;
    lists.reserve(width);
    std::uint32_t used = 0;
    for (std::uint32_t b = 0; b < width; b++) {
      const std::uint32_t n = position[b];
      position[b] = used;
      if (n == 0) continue;
      const bool open = !is_blank(buckets[b]);
      lists.push_back({b, used, n + open});
      used += n + open;
    }
    std::vector<std::uint32_t> sorted(used + 1);
    for (const List& l : lists)
      if (!is_blank(buckets[l.bucket])) sorted[position[l.bucket]++] = stored_bit | l.bucket;
    position[width] = used;
    for (size_t i = 0; i < general_; i++) {
      const int d = digits[i];
      const std::uint32_t b = std::min(std::uint32_t(std::abs(d)) - 1 - std::uint32_t(low), width);
      sorted[position[b]] = references_[i] ^ (d < 0 ? negative_bit : 0);
      position[b] += b < width;
    }
    BucketSummer<E>(bases_).sum(sorted.data(), lists, buckets, buckets);
  }

  void sum_ones() {
    if (one_references_.empty()) return;
    std::vector<List> lists;
    const size_t n = one_references_.size();
    std::vector<std::uint32_t> references;
    references.reserve(n + one_lists);
    for (size_t l = 0; l < one_lists; l++) {
      const std::uint32_t first = std::uint32_t(references.size());
      if (!is_blank(ones_[l])) references.push_back(stored_bit | std::uint32_t(l));
      references.insert(references.end(), one_references_.begin() + ptrdiff_t(n * l / one_lists),
                        one_references_.begin() + ptrdiff_t(n * (l + 1) / one_lists));
      if (references.size() > first) lists.push_back({std::uint32_t(l), first, std::uint32_t(references.size()) - first});
    }
    BucketSummer<E>(bases_).sum(references.data(), lists, ones_.data(), ones_.data());
    one_references_.clear();
    if (!this->finished_) return;
    for (const Stored<E>& s : ones_) rest_.add(unscaled(s));
  }

  /// sum over slice s of window w of (b + 1) bucket[b].
  Xyzz<F> reduce(size_t w, size_t s) {
    const auto [low, high] = slice(s);
    std::vector<typename Reducer<E>::Part> parts;
    const Stored<E> all = Reducer<E>().reduce(buckets_[w].data() + low, std::uint32_t(high - low), true, 0, parts);
    Xyzz<F> sum = Xyzz<F>::infinity();
    for (const auto& part : parts) {
      auto p = Xyzz<F>::from(unscaled(part.point));
      for (unsigned k = 0; k < part.shift; k++) p = p.twice();
      sum.add(p);
    }
    if (low) {
      const u64 offset = low;
      sum.add(Xyzz<F>::from(unscaled(all)).times_vartime(&offset, windows_.bits));
    }
    return sum;
  }

  std::vector<Stored<E>>& open(size_t w) {
    std::lock_guard lock(this->mutex_);
    if (buckets_[w].empty()) buckets_[w].assign(windows_.buckets(), blank());
    return buckets_[w];
  }

  static bool is_blank(const Stored<E>& s) {
    u64 any = 0;
    for (u64 limb : s.y) any |= limb;
    return any == 0;
  }

  /// Back from the isomorphic curve: x as it lies, four times y (see coordinate8.hpp).
  static Affine<F> unscaled(const Stored<E>& s) {
    if (is_blank(s)) return Affine<F>::infinity();
    E x = E::zero(), y = E::zero();
    for (int j = 0; j < E::words; j++) x.limbs()[j] = word(s.x[j]), y.limbs()[j] = word(s.y[j]);
    return {x.lane(0), y.lane(0).twice().twice()};
  }
};

}  // namespace

template <class F>
std::unique_ptr<MsmEngine<F>> make_msm(const unsigned char* bases, size_t n, unsigned threads) {
  return std::make_unique<WideMsm<F>>(bases, n, threads);
}
template std::unique_ptr<MsmEngine<Fq>> make_msm<Fq>(const unsigned char*, size_t, unsigned);
template std::unique_ptr<MsmEngine<Fq2>> make_msm<Fq2>(const unsigned char*, size_t, unsigned);

}  // namespace hp::ifma
HP_WIDE_END
