// One pool of threads for the whole process.
#pragma once
#include <cstddef>
#include <functional>

namespace hp {

/// HYBRID_PROVER_THREADS where it is a positive number, else the cores this process may run on. Read once.
unsigned default_threads();

/// Runs body(i) for every i < n, on at most `threads` threads (0: default_threads()), and returns when all are done.
///
/// The caller takes part, so the work proceeds even if every other thread is busy: calls may nest and may come from many
/// threads at once without deadlock. Indices are handed out in ascending order, one at a time: make pieces of at least
/// some microseconds. The first exception of a body is rethrown here after the running bodies have ended; indices not yet
/// begun are then skipped. In a forked child the pool starts afresh.
void parallel_for(size_t n, unsigned threads, const std::function<void(size_t)>& body);

/// parallel_for over [0, n) cut into ranges of at least `grain`, at most four for each thread: body(begin, end).
void parallel_ranges(size_t n, size_t grain, unsigned threads, const std::function<void(size_t, size_t)>& body);

}  // namespace hp
