#include "pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cpu.hpp"
#include "per_process.hpp"

namespace hp {
namespace {

/// One parallel_for: lives on its caller's stack, and is in the pool's list while it wants helpers.
struct Job {
  Job(size_t count, unsigned wanted, const std::function<void(size_t)>& work) : n(count), helpers_wanted(wanted), body(work) {}

  const size_t n;
  unsigned helpers_wanted;  // guarded by Pool::mutex
  unsigned helpers = 0;     // guarded by Pool::mutex
  const std::function<void(size_t)>& body;
  std::atomic<size_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void work() {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
      try {
        body(i);
      } catch (...) {
        next.store(n, std::memory_order_relaxed);
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
};

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(&job);
      try {
        for (; workers_ < std::min(job.helpers_wanted, max_workers); workers_++) std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        // no more threads are to be had: those there are, and the caller, do the work
      }
    }
    wake_.notify_all();
    job.work();
    std::unique_lock lock(mutex_);
    std::erase(jobs_, &job);
    done_.wait(lock, [&] { return job.helpers == 0; });
  }

 private:
  static constexpr unsigned max_workers = 1024;

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] { return (job = open_job()) != nullptr; });
      job->helpers_wanted--;
      job->helpers++;
      lock.unlock();
      job->work();
      lock.lock();
      job->helpers_wanted = 0;  // its indices are all handed out
      if (--job->helpers == 0) done_.notify_all();
    }
  }

  Job* open_job() {
    for (Job* job : jobs_)
      if (job->helpers_wanted > 0 && job->next.load(std::memory_order_relaxed) < job->n) return job;
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Job*> jobs_;  // oldest first
  unsigned workers_ = 0;
};

}  // namespace

unsigned default_threads() {
  static const unsigned n = [] {
    if (const char* text = std::getenv("HYBRID_PROVER_THREADS")) {
      char* end = nullptr;
      long value = std::strtol(text, &end, 10);
      if (end != text && *end == 0 && value > 0) return unsigned(std::min(value, 1024L));
    }
    return cpu::available_cores();
  }();
  return n;
}

void parallel_for(size_t n, unsigned threads, const std::function<void(size_t)>& body) {
  if (threads == 0) threads = default_threads();
  if (n < 2 || threads < 2) {
    for (size_t i = 0; i < n; i++) body(i);
    return;
  }
  Job job(n, unsigned(std::min<size_t>(threads, n)) - 1, body);
  per_process<Pool>().run(job);
  if (job.error) std::rethrow_exception(job.error);
}

void parallel_ranges(size_t n, size_t grain, unsigned threads, const std::function<void(size_t, size_t)>& body) {
  if (n == 0) return;
  if (threads == 0) threads = default_threads();
  const size_t wanted = threads == 1 ? 1 : size_t(threads) * 4;
  const size_t pieces = std::max<size_t>(1, std::min(wanted, n / std::max<size_t>(grain, 1)));
  parallel_for(pieces, threads, [&](size_t i) {
    const size_t begin = n / pieces * i + std::min(i, n % pieces);
    const size_t end = begin + n / pieces + (i < n % pieces ? 1 : 0);
    body(begin, end);
  });
}

}  // namespace hp
