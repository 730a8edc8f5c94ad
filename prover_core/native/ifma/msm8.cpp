// The streaming MSM on AVX-512 IFMA, behind the interface of msm_engine.hpp.
#include <bit>

#include "ifma/digits8.hpp"
#include "ifma/engine.hpp"
#include "ifma/reduce8.hpp"
#include "ifma/scratch.hpp"
#include "pages.hpp"
#include "pool.hpp"
#include "windows.hpp"

HP_WIDE_BEGIN
namespace hp::ifma {
namespace {

template <class F>
class WideMsm final : public MsmEngine<F> {
  using E = typename CoordinateOf<F>::type;

 public:
  WideMsm(const unsigned char* bases, size_t n, unsigned threads)
      : bases_(bases),
        n_(n),
        threads_(threads ? threads : default_threads()),
        ones_(one_lists, Stored<E>{}),
        rest_(Xyzz<F>::infinity()) {
    shape(n);
  }

  void add(size_t start, const unsigned char* scalars, size_t n) override {
    this->check_open(start, n, n_);
    const bool whole = !begun_ && n == n_ && n <= at_once;
    if (whole) block_ = std::max(block_, n);
    begun_ = true;
    const auto opened = this->close_while_busy();
    for (size_t done = 0; done < n;) {
      if (pending_ == block_) flush();
      const size_t size = std::min({n - done, block_ - pending_, mapped_ ? stripe() : n});
      take(start + done, scalars + 32 * done, size);
      if (mapped_) release_file_pages(bases_ + (start + done) * E::base_bytes, size * E::base_bytes);
      done += size;
      if (pending_ == block_ && !whole) flush();
    }
    opened.again();
  }

  void bases_are_mapped() override { mapped_ = true; }

  void add_point(const Affine<F>& p) override {
    this->check_open(0, 0, n_);
    rest_.add(p);
  }

  void settle(size_t missing) override {
    this->check_open(0, 0, n_);
    missing = std::min(missing, n_);
    const auto opened = this->close_while_busy();
    flush();
    if (cost(windows_, missing) > worthwhile * cost(windows_for(missing), missing)) {
      reduce_all();
      shape(missing);
    }
    opened.again();
  }

  Affine<F> finish() override {
    this->check_open(0, 0, n_);
    this->finished_ = true;
    if (pending_ > 0 && !buckets_[0].get()) {
      sum_at_once();
    } else {
      flush();
      reduce_all();
    }
    for (const Stored<E>& s : ones_) rest_.add(unscaled<F>(s));
    return rest_.to_affine();
  }

 private:
  // The reduction is two affine additions a bucket, each somewhat dearer than one of the many into a bucket.
  static constexpr double bucket_cost = 2.6;
  static constexpr unsigned max_bits = DigitSorter::max_bits;
  static constexpr size_t piece = 2048;
  static constexpr size_t small = size_t(1) << 16;
  // Scalars that are summed window by window if they come together. More take as long as in blocks, and more memory.
  static constexpr size_t at_once = size_t(1) << 19;
  static constexpr unsigned side_by_side = 3;         // windows a thread that are open together then
  static constexpr size_t one_lists = 8;
  static constexpr size_t longest_block = size_t(1) << DigitSorter::place_bits;
  static constexpr size_t fewest = 1024;     // scalars that windows are chosen for
  static constexpr double worthwhile = 1.2;  // what a settled sum's windows may cost against those chosen afresh

  /// What one thread needs to fill and reduce buckets; kept from window to window.
  struct Desk {
    Desk(size_t points, size_t buckets) : sorter(points, buckets) {}
    BucketSummer<E> summer;
    DigitSorter sorter;
  };

  const unsigned char* bases_;
  size_t n_;
  unsigned threads_;
  SignedWindows windows_{max_bits};
  size_t slices_ = 1, block_ = 1;
  bool begun_ = false, mapped_ = false;
  std::vector<Scratch<Stored<E>>> buckets_;
  std::vector<std::vector<std::uint8_t>> used_;  // per window and bucket: whether it was ever added to
  std::vector<Stored<E>> ones_;
  Xyzz<F> rest_;
  // What is waiting for the next flush: for every scalar that needs buckets a reference to its base and, window by window,
  // its digits; and references to the bases of scalars 1 and -1.
  std::vector<std::uint32_t> references_, one_references_;
  Scratch<std::int16_t> digits_;
  size_t stride_ = 0;   // of digits_, window to window
  size_t pending_ = 0;  // how many
  std::vector<std::unique_ptr<Desk>> desks_;

  /// Mapped bases that are looked at before their pages are given back.
  size_t stripe() const { return piece * threads_; }

  static SignedWindows windows_for(size_t n) { return SignedWindows::cheapest(std::max(n, fewest), bucket_cost, max_bits); }

  /// What n more scalars and the reduction cost, in additions.
  static double cost(const SignedWindows& windows, size_t n) { return windows.cost(n, bucket_cost); }

  /// Windows and blank buckets for n scalars to come; nothing may be pending.
  void shape(size_t n) {
    windows_ = windows_for(n);
    slices_ = std::bit_floor(std::clamp<size_t>(2 * threads_ / windows_.count, 1, std::max<size_t>(1, windows_.buckets() / 256)));
    // few enough points are better summed at once; more wait only until every bucket gets some eight of them
    block_ = n <= small ? std::max(n, fewest) : std::clamp<size_t>(windows_.buckets() * 8, small / 2, longest_block);
    buckets_.clear();
    buckets_.resize(windows_.count);
    used_.assign(windows_.count, {});
    references_.clear();
    digits_ = {};
  }

  /// Recodes scalars of bases start .. start + n.
  void take(size_t start, const unsigned char* scalars, size_t n) {
    if (references_.empty()) {
      references_.resize(block_);
      // not a multiple of a page, or the windows' digits of one scalar would compete for one set of the cache
      stride_ = references_.size() + 32 * 3;
      digits_ = Scratch<std::int16_t>(windows_.count * stride_);
    }
    const size_t pieces = (n + piece - 1) / piece, first = pending_;
    std::vector<std::uint32_t> general(pieces), ones(pieces);
    std::vector<std::uint32_t> one_of(n);
    const size_t stride = stride_;
    const unsigned top = windows_.count - 1;
    const u64 mask = (u64(1) << windows_.bits) - 1;
    const std::int64_t half = std::int64_t(1) << (windows_.bits - 1);
    parallel_for(pieces, n < 2 * piece ? 1 : threads_, [&](size_t p) {
      const size_t begin = p * piece, end = std::min(n, begin + piece);
      std::uint32_t g = 0, o = 0;
      for (size_t i = begin; i < end; i++) {
        u64 k[4], shifted[5];
        shifted[4] = 0;
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
        const unsigned char* bytes = reinterpret_cast<const unsigned char*>(shifted);
        std::int16_t* digit = digits_.get() + at;
        for (unsigned w = 0, bit = 0; w < top; w++, bit += windows_.bits, digit += stride) {
          u64 x;
          std::memcpy(&x, bytes + bit / 8, 8);
          *digit = std::int16_t(std::int64_t(x >> (bit % 8) & mask) - half);
        }
        *digit = std::int16_t(windows_.digit(shifted, top));
      }
      general[p] = g;
      ones[p] = o;
    });
    // close the gaps that pieces left behind themselves
    for (size_t p = 0; p < pieces; p++) {
      const size_t from = first + p * piece;
      if (from != pending_ && general[p]) {
        std::copy_n(references_.begin() + ptrdiff_t(from), general[p], references_.begin() + ptrdiff_t(pending_));
        for (unsigned w = 0; w < windows_.count; w++)
          std::copy_n(digits_.get() + w * stride + from, general[p], digits_.get() + w * stride + pending_);
      }
      pending_ += general[p];
      one_references_.insert(one_references_.end(), one_of.begin() + ptrdiff_t(p * piece),
                             one_of.begin() + ptrdiff_t(p * piece + ones[p]));
    }
    if (one_references_.size() >= block_) sum_ones();
  }

  /// The bases referred to, in the form that BucketSummer wants, signs applied.
  Scratch<std::uint8_t> prepared(const std::uint32_t* references, size_t n) const {
    Scratch<std::uint8_t> points((n + 7) / 8 * 8 * E::base_bytes);
    for (size_t done = 0; done < n;) {
      const size_t size = mapped_ ? std::min(stripe(), n - done) : n;
      prepare(references + done, size, points.get() + done * E::base_bytes);
      const size_t first = references[done] & ~negative_bit, last = references[done + size - 1] & ~negative_bit;
      if (mapped_ && first < last) release_file_pages(bases_ + first * E::base_bytes, (last - first) * E::base_bytes);
      done += size;
    }
    return points;
  }

  void prepare(const std::uint32_t* references, size_t n, std::uint8_t* points) const {
    parallel_ranges((n + 7) / 8, piece / 8, threads_, [&](size_t begin, size_t end) {
      for (size_t i = 8 * begin; i < 8 * end; i += 8) {
        const std::uint8_t* p[8];
        unsigned negative = 0;
        for (size_t k = 0; k < 8; k++) {
          const std::uint32_t reference = references[std::min(i + k, n - 1)];
          p[k] = bases_ + size_t(reference & ~negative_bit) * E::base_bytes;
          negative |= (reference >> 31) << k;
        }
        E::prepare(points + i * E::base_bytes, p, __mmask8(negative));
      }
    });
  }

  /// Adds what waits to buckets and lists.
  void flush() {
    const Scratch<std::uint8_t> points = prepared(references_.data(), pending_);
    fill_windows(points.get(), 0, pending_ ? windows_.count : 0);
    desks_.clear();
    pending_ = 0;
  }

  /// As `flush` and `reduce_all` where nothing was flushed before, with the buckets of a few windows at a time.
  void sum_at_once() {
    const Scratch<std::uint8_t> points = prepared(references_.data(), pending_);
    std::vector<Xyzz<F>> sums(windows_.count * slices_, Xyzz<F>::infinity());
    const size_t groups = (windows_.count + side_by_side * threads_ - 1) / (side_by_side * threads_);
    for (size_t g = 0; g < groups; g++) {
      const size_t first = windows_.count * g / groups, last = windows_.count * (g + 1) / groups;
      fill_windows(points.get(), first, last);
      reduce_windows(sums, first, last);
      for (size_t w = first; w < last; w++) buckets_[w] = {};
    }
    desks_.clear();
    pending_ = 0;
    rest_.add(weighted(sums));
  }

  /// Adds what waits to the buckets of windows first .. last - 1; with the first of them the ones.
  void fill_windows(const std::uint8_t* points, size_t first, size_t last) {
    const size_t extra = first == 0, fills = (last - first) * slices_;
    const unsigned threads = pending_ + one_references_.size() < 64 ? 1 : threads_;
    parallel_for(fills + extra, threads, [&](size_t i) {
      if (i < extra) return sum_ones();
      i -= extra;
      at_desk([&](Desk& desk) { fill(points, first + i / slices_, i % slices_, desk); });
    });
  }

  /// Desks are for what is pending when the first is used: to be cleared before more is.
  template <class Use>
  void at_desk(const Use& use) {
    std::unique_ptr<Desk> desk;
    {
      std::lock_guard lock(this->mutex_);
      if (!desks_.empty()) {
        desk = std::move(desks_.back());
        desks_.pop_back();
      }
    }
    if (!desk) desk = std::make_unique<Desk>(pending_, windows_.buckets());
    use(*desk);
    std::lock_guard lock(this->mutex_);
    desks_.push_back(std::move(desk));
  }

  std::pair<size_t, size_t> slice(size_t s) const {
    return {windows_.buckets() * s / slices_, windows_.buckets() * (s + 1) / slices_};
  }

  /// Adds the pending points whose digit of window w falls into slice s to their buckets.
  void fill(const std::uint8_t* points, size_t w, size_t s, Desk& desk) {
    const auto [low, high] = slice(s);
    Stored<E>* buckets = open(w) + low;
    desk.sorter.sort(digits_.get() + w * stride_, pending_, low, high, used_[w].data() + low);
    desk.summer.sum(points, desk.sorter.references(), desk.sorter.lists(), buckets, buckets);
  }

  /// Adds the bases of scalars 1 and -1 that wait to their lists.
  void sum_ones() {
    if (one_references_.empty()) return;
    const size_t n = one_references_.size();
    const Scratch<std::uint8_t> points = prepared(one_references_.data(), n);
    std::vector<std::uint32_t> references;
    std::vector<List> lists;
    references.reserve(n + one_lists);
    for (size_t l = 0; l < one_lists; l++) {
      const std::uint32_t first = std::uint32_t(references.size());
      if (!ones_[l].is_blank()) references.push_back(stored_bit | std::uint32_t(l));
      for (size_t i = n * l / one_lists; i < n * (l + 1) / one_lists; i++) references.push_back(std::uint32_t(i));
      if (references.size() > first) lists.push_back({std::uint32_t(l), first, std::uint32_t(references.size()) - first});
    }
    BucketSummer<E>().sum(points.get(), references.data(), lists, ones_.data(), ones_.data());
    one_references_.clear();
  }

  /// Adds what the buckets hold to the rest and frees them.
  void reduce_all() {
    if (!buckets_[0].get()) return;  // all windows are opened by the first flush
    std::vector<Xyzz<F>> sums(windows_.count * slices_, Xyzz<F>::infinity());
    reduce_windows(sums, 0, windows_.count);
    desks_.clear();
    rest_.add(weighted(sums));
    buckets_.clear();
  }

  void reduce_windows(std::vector<Xyzz<F>>& sums, size_t first, size_t last) {
    const size_t begin = first * slices_, n = (last - first) * slices_, tasks = std::min<size_t>(threads_, n);
    parallel_for(tasks, threads_, [&](size_t i) {
      at_desk([&](Desk& desk) { reduce(sums, begin + n * i / tasks, begin + n * (i + 1) / tasks, desk.summer); });
    });
  }

  /// Sum of 2^(bits w) times the slices' sums of window w.
  Xyzz<F> weighted(const std::vector<Xyzz<F>>& sums) const {
    Xyzz<F> total = Xyzz<F>::infinity();
    for (size_t w = windows_.count; w-- > 0;) {
      for (unsigned k = 0; k < windows_.bits; k++) total = total.twice();
      for (size_t s = 0; s < slices_; s++) total.add(sums[w * slices_ + s]);
    }
    return total;
  }

  /// sums[i], begin <= i < end: over slice i % slices_ of window i / slices_, of (b + 1) bucket[b].
  void reduce(std::vector<Xyzz<F>>& sums, size_t begin, size_t end, BucketSummer<E>& summer) {
    std::vector<const Stored<E>*> buckets;
    for (size_t i = begin; i < end; i++) buckets.push_back(buckets_[i / slices_].get() + slice(i % slices_).first);
    const auto windows = Reducer<E>(summer).reduce(buckets, std::uint32_t(windows_.buckets() / slices_));
    for (size_t i = begin; i < end; i++) {
      const auto& window = windows[i - begin];
      for (const auto& part : window.parts) {
        auto p = Xyzz<F>::from(unscaled<F>(part.point));
        for (unsigned k = 0; k < part.shift; k++) p = p.twice();
        sums[i].add(p);
      }
      if (const u64 low = slice(i % slices_).first)
        sums[i].add(Xyzz<F>::from(unscaled<F>(window.plain)).times_vartime(&low, windows_.bits));
    }
  }

  /// The buckets of window w, all blank when first opened.
  Stored<E>* open(size_t w) {
    std::lock_guard lock(this->mutex_);
    if (!buckets_[w].get()) {
      used_[w].resize(windows_.buckets());
      buckets_[w] = Scratch<Stored<E>>(windows_.buckets());
      std::memset(static_cast<void*>(buckets_[w].get()), 0, windows_.buckets() * sizeof(Stored<E>));
    }
    return buckets_[w].get();
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
