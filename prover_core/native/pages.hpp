// Memory maps of files.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace hp {

/// Gives back the resident pages that lie wholly within [p, p + bytes) of a read-only map of a file; they come back from the
/// page cache, or from disk, when touched again. Never for other memory: its content would be lost.
inline void release_file_pages(const unsigned char* p, size_t bytes) {
  static const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t at = reinterpret_cast<uintptr_t>(p), first = (at + page - 1) / page * page, end = (at + bytes) / page * page;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

}  // namespace hp
