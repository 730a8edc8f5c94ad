// Large temporary memory.
#pragma once
#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace hp::ifma {

/// Uninitialised memory for n elements, in huge pages where the system grants them: random access then needs few page walks.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t n) {
    constexpr size_t huge = size_t(1) << 21;
    const size_t wanted = n * sizeof(T), align = wanted < huge ? 64 : huge;
    data_ = static_cast<T*>(std::aligned_alloc(align, (wanted + align) / align * align));
    if (!data_) throw std::bad_alloc();
    if (align == huge) madvise(data_, wanted, MADV_HUGEPAGE);
  }
  ~Scratch() { std::free(data_); }
  Scratch(Scratch&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
};

}  // namespace hp::ifma
