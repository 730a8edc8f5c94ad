// What there is one of in a process.
#pragma once
#include <pthread.h>

#include <atomic>

namespace hp {

/// The process's T, made at first use and never destroyed: threads may outlive static objects. A forked child has none of the
/// parent's threads, and perhaps a mutex that one of them had locked, so it gets a T of its own.
template <class T>
T& per_process() {
  static std::atomic<T*> current{nullptr};
  T* p = current.load(std::memory_order_acquire);
  if (p) return *p;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current.store(nullptr, std::memory_order_release); });
  (void)registered;
  auto fresh = new T;
  if (current.compare_exchange_strong(p, fresh)) return *fresh;
  delete fresh;
  return *p;
}

}  // namespace hp
