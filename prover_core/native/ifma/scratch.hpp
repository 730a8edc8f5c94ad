// Large temporary memory.
#pragma once
#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace hp::ifma {

/// Uninitialised memory for n elements. From 2 MiB on it is mapped and unmapped, so that it is given back at once, and lies in
/// huge pages where the system grants them, so that random access needs few page walks.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t n) : bytes_(n * sizeof(T)) {
    if (bytes_ < huge) {
      data_ = static_cast<T*>(std::aligned_alloc(64, (bytes_ + 64) / 64 * 64));
      if (!data_) throw std::bad_alloc();
      return;
    }
    bytes_ = (bytes_ + huge - 1) / huge * huge;
    // one huge page more than wanted, so that an aligned range lies within; the rest is never touched
    void* p = mmap(nullptr, bytes_ + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mapped_ = p;
    data_ = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(p) + huge - 1) / huge * huge);
    madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  ~Scratch() {
    if (mapped_)
      munmap(mapped_, bytes_ + huge);
    else
      std::free(data_);
  }
  Scratch(Scratch&& other) noexcept { *this = std::move(other); }
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  T* get() const { return data_; }

 private:
  static constexpr size_t huge = size_t(1) << 21;
  T* data_ = nullptr;
  void* mapped_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace hp::ifma
