// Large temporary memory.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace hp::ifma {

/// Mapped blocks for reuse: mapping afresh costs a page fault and the clearing of every page. Holds at most `limit` bytes
/// that nobody uses.
class BlockPool {
 public:
  struct Block {
    void* mapped = nullptr;  // what to unmap, `huge` longer than `bytes`
    void* data = nullptr;    // aligned to `huge`
    size_t bytes = 0;
  };
  static constexpr size_t huge = size_t(1) << 21;

  static BlockPool& shared() {
    static BlockPool* pool = new BlockPool;  // never destroyed: threads may outlive static objects
    return *pool;
  }

  /// At least `bytes`, at most twice as much; a multiple of `huge`. std::bad_alloc.
  Block take(size_t bytes) {
    bytes = (bytes + huge - 1) / huge * huge;
    {
      std::lock_guard lock(mutex_);
      size_t best = idle_.size();
      for (size_t i = 0; i < idle_.size(); i++)
        if (idle_[i].bytes >= bytes && idle_[i].bytes <= 2 * bytes && (best == idle_.size() || idle_[i].bytes < idle_[best].bytes))
          best = i;
      if (best < idle_.size()) {
        const Block block = idle_[best];
        idle_[best] = idle_.back();
        idle_.pop_back();
        idle_bytes_ -= block.bytes;
        return block;
      }
    }
    // one huge page more than wanted, so that an aligned range lies within; the rest is never touched
    void* p = mmap(nullptr, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    void* data = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(p) + huge - 1) / huge * huge);
    madvise(data, bytes, MADV_HUGEPAGE);
    return {p, data, bytes};
  }

  void give(const Block& block) {
    {
      std::lock_guard lock(mutex_);
      if (idle_bytes_ + block.bytes <= limit) {
        idle_bytes_ += block.bytes;
        idle_.push_back(block);
        return;
      }
    }
    munmap(block.mapped, block.bytes + huge);
  }

 private:
  static constexpr size_t limit = size_t(48) << 20;
  std::mutex mutex_;
  std::vector<Block> idle_;
  size_t idle_bytes_ = 0;
};

/// Uninitialised memory for n elements; from 1 MiB on out of the pool, in huge pages where the system grants them, so that
/// random access needs few page walks.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t n) {
    const size_t bytes = n * sizeof(T);
    if (bytes >= BlockPool::huge / 2) {
      block_ = BlockPool::shared().take(bytes);
      data_ = static_cast<T*>(block_.data);
      return;
    }
    data_ = static_cast<T*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64));
    if (!data_) throw std::bad_alloc();
  }
  ~Scratch() {
    if (block_.mapped)
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
