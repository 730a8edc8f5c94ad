// What each room adds to the module, and how buffers cross the border.
#pragma once
#include <nanobind/nanobind.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace nb = nanobind;

namespace hp {

void bind_field(nb::module_& m);
void bind_curve(nb::module_& m);
void bind_matrix(nb::module_& m);
void bind_pairing(nb::module_& m);
void bind_tape(nb::module_& m);
void bind_assembly(nb::module_& m);
void bind_whole(nb::module_& m);

/// A borrowed C-contiguous buffer of n rows of `row_bytes` each; the owner lives, and is not resized, while this does.
/// Bytes may have any alignment (a section of a memory-mapped file), so elements are read with memcpy or `load`.
/// Create and destroy with the GIL held; read without it.
class Buffer {
 public:
  /// Throws std::invalid_argument, naming `what`, if the object has no such buffer.
  Buffer(nb::handle object, size_t item_bytes, std::initializer_list<size_t> tail, const char* what,
         bool writable = false) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)) != 0) {
      PyErr_Clear();
      throw std::invalid_argument(std::string(what) + " is not a contiguous" + (writable ? " writable" : "") + " array");
    }
    bool fits = view_.itemsize == Py_ssize_t(item_bytes) && view_.ndim == int(tail.size()) + 1;
    row_bytes_ = item_bytes;
    int axis = 1;
    for (size_t n : tail) {
      fits = fits && view_.shape[axis++] == Py_ssize_t(n);
      row_bytes_ *= n;
    }
    if (!fits) {
      PyBuffer_Release(&view_);
      std::string shape = "(n";
      for (size_t n : tail) shape += ", " + std::to_string(n);
      throw std::invalid_argument(std::string(what) + " needs shape " + shape + ") of " +
                                  std::to_string(8 * item_bytes) + "-bit items");
    }
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  size_t rows() const { return size_t(view_.shape[0]); }
  const unsigned char* data() const { return static_cast<const unsigned char*>(view_.buf); }
  unsigned char* writable() const { return static_cast<unsigned char*>(view_.buf); }
  /// The buffer as T, of which a row is one; throws if it is not aligned for T.
  template <class T>
  const T* as(const char* what) const {
    check_aligned<T>(what);
    return reinterpret_cast<const T*>(data());
  }
  template <class T>
  T* as_writable(const char* what) const {
    check_aligned<T>(what);
    return reinterpret_cast<T*>(writable());
  }

 private:
  template <class T>
  void check_aligned(const char* what) const {
    if (rows() != 0 && sizeof(T) != row_bytes_) throw std::logic_error(std::string(what) + ": row size");
    if (reinterpret_cast<uintptr_t>(data()) % alignof(T) != 0)
      throw std::invalid_argument(std::string(what) + " is not aligned to " + std::to_string(alignof(T)) + " bytes");
  }
  Py_buffer view_;
  size_t row_bytes_;
};

}  // namespace hp
