// Large temporary memory.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "per_process.hpp"

namespace hp::ifma {

/// Mapped memory for reuse: a fresh page costs a fault and its clearing. Blocks are taken first fit from the lowest address on, so
/// that pages already touched serve again, whatever the sizes; neighbours that come back are joined. Holds at most `limit`
/// touched bytes that nobody uses (and less than a huge page more for each gap), but any number while someone holds it.
class BlockPool {
 public:
  struct Block {
    unsigned char* data = nullptr;  // aligned to `granule`
    size_t bytes = 0;
  };
  static constexpr size_t huge = size_t(1) << 21, granule = size_t(1) << 16, limit = size_t(64) << 20;
  /// So much at the beginning comes in small pages: what a small proof takes is not rounded up to huge ones.
  static constexpr size_t modest = size_t(8) << 20;

  static BlockPool& shared() { return per_process<BlockPool>(); }

  /// At least `bytes`. std::bad_alloc.
  Block take(size_t bytes) {
    bytes = (bytes + granule - 1) / granule * granule;
    std::lock_guard lock(mutex_);
    auto it = std::find_if(free_.begin(), free_.end(), [&](const auto& f) { return f.second.bytes >= bytes; });
    if (it == free_.end()) it = map(bytes);
    const auto [at, region] = *it;
    auto rest = free_.extract(it);  // its node serves for what is left: nothing here throws
    const size_t touched = std::min(region.touched, bytes);
    idle_ -= touched;
    if (region.bytes > bytes) {
      rest.key() = at + bytes;
      rest.mapped() = {region.bytes - bytes, region.touched - touched};
      free_.insert(std::move(rest));
    }
    return {reinterpret_cast<unsigned char*>(at), bytes};
  }

  void give(const Block& block) noexcept {
    std::lock_guard lock(mutex_);
    try {
      put(reinterpret_cast<std::uintptr_t>(block.data), {block.bytes, block.bytes});
    } catch (const std::bad_alloc&) {  // no memory to remember it
      munmap(block.data, block.bytes);
      return;
    }
    idle_ += block.bytes;
    if (holds_ == 0) trim();
  }

  /// While one lives nothing is given back to the system.
  class Hold {
   public:
    Hold() {
      std::lock_guard lock(shared().mutex_);
      shared().holds_++;
    }
    ~Hold() {
      BlockPool& pool = shared();
      std::lock_guard lock(pool.mutex_);
      if (pool.holds_ > 0 && --pool.holds_ == 0) pool.trim();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
  };

 private:
  /// Free memory. `touched`: how much of it, counted from its beginning, may be resident.
  struct Region {
    size_t bytes, touched;
  };
  using Regions = std::map<std::uintptr_t, Region>;
  static constexpr size_t segment = size_t(128) << 20;

  std::mutex mutex_;
  Regions free_;
  size_t idle_ = 0;  // the sum of what is touched
  unsigned holds_ = 0;

  /// Address space for more; a page of it costs nothing until it is touched.
  Regions::iterator map(size_t bytes) {
    const size_t least = (bytes + huge - 1) / huge * huge;
    for (const size_t size : {std::max(segment, least), least}) {
      // one huge page more than wanted, so that an aligned range lies within; the rest is never touched
      void* p = mmap(nullptr, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) continue;
      const std::uintptr_t at = (reinterpret_cast<std::uintptr_t>(p) + huge - 1) / huge * huge;
      if (size > modest) madvise(reinterpret_cast<void*>(at + modest), size - modest, MADV_HUGEPAGE);
      try {
        return free_.emplace(at, Region{size, 0}).first;
      } catch (...) {
        munmap(p, size + huge);
        throw;
      }
    }
    throw std::bad_alloc();
  }

  /// Adds a region, joined with its neighbours. std::bad_alloc, with nothing changed, only where it has none.
  void put(std::uintptr_t at, Region region) {
    auto next = free_.lower_bound(at);
    Regions::node_type node;
    if (next != free_.end() && at + region.bytes == next->first) {
      region = {region.bytes + next->second.bytes, region.bytes + next->second.touched};
      const auto after = std::next(next);
      node = free_.extract(next);
      next = after;
    }
    if (next != free_.begin()) {
      const auto previous = std::prev(next);
      Region& before = previous->second;
      if (previous->first + before.bytes == at) {
        // the gap between what is touched of both counts as touched from now on
        idle_ += before.bytes - before.touched;
        before = {before.bytes + region.bytes, before.bytes + region.touched};
        return;
      }
    }
    if (!node) {
      free_.emplace(at, region);
      return;
    }
    node.key() = at;
    node.mapped() = region;
    free_.insert(std::move(node));
  }

  /// Gives back huge pages that lie wholly in free regions, the highest first, until no more than `limit` is touched.
  void trim() {
    for (auto it = free_.rbegin(); it != free_.rend() && idle_ > limit; ++it) {
      const std::uintptr_t at = it->first;
      Region& region = it->second;
      const std::uintptr_t end = std::min((at + region.touched + huge - 1) / huge * huge, (at + region.bytes) / huge * huge);
      const std::uintptr_t kept = (end - std::min(end, idle_ - limit)) / huge * huge;
      const std::uintptr_t first = std::max((at + huge - 1) / huge * huge, kept);
      if (end <= first) continue;
      madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
      idle_ -= region.touched - (first - at);
      region.touched = first - at;
    }
  }
};

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool pooled = false;  // so that a sanitizer knows where each block ends
#else
inline constexpr bool pooled = true;
#endif

/// Uninitialised memory for n elements; from 256 KiB on out of the pool, in huge pages where the system grants them, so that
/// random access needs few page walks.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t n) {
    const size_t bytes = n * sizeof(T);
    if (pooled && bytes >= 4 * BlockPool::granule) {
      block_ = BlockPool::shared().take(bytes);
      data_ = reinterpret_cast<T*>(block_.data);
      return;
    }
    data_ = static_cast<T*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64));
    if (!data_) throw std::bad_alloc();
  }
  ~Scratch() {
    if (block_.data)
      BlockPool::shared().give(block_);
    else
      std::free(data_);
  }
  Scratch(Scratch&& other) noexcept { *this = std::move(other); }
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(block_, other.block_);
    return *this;
  }
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
  BlockPool::Block block_;
};

}  // namespace hp::ifma
