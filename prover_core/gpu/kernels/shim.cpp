// Fibers and launches of the host shim. A build includes one .cu file, defines HP_KERNELS(X) as X(kernel) for each of its
// kernels, and includes this: a library for ctypes.
#include "shim.hpp"

#include <ucontext.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace hp::shim {

Dim block_index, block_size, grid_size, thread_index;

namespace {

enum class Order : uint32_t { ascending, descending, shuffled };

constexpr size_t stack_bytes = 1 << 18;

/// Runs one block's threads. A fiber takes threads from the list one after another and only stops at a barrier, so that a
/// kernel without barriers needs one fiber.
class Block {
 public:
  Block(void (*body)(void**), void** arguments) : body_(body), arguments_(arguments) {}

  /// False if threads of the block waited at different barriers.
  bool run(const std::vector<uint32_t>& order) {
    order_ = &order;
    next_ = 0;
    line_ = 0;
    agreed_ = true;
    waiting_.clear();
    while (next_ < order.size() && agreed_) resume(take_fiber());
    while (!waiting_.empty() && agreed_) {
      std::vector<Fiber*> ready;
      ready.swap(waiting_);
      line_ = 0;
      for (Fiber* fiber : ready) resume(fiber);
    }
    return agreed_;
  }

  void wait(int line) {
    if (line_ != 0 && line_ != line) agreed_ = false;
    line_ = line;
    Fiber* self = current_;
    self->thread = thread_index.x;
    waiting_.push_back(self);
    swapcontext(&self->context, &scheduler_);
    thread_index.x = self->thread;
  }

 private:
  struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[stack_bytes]};
    uint32_t thread = 0;
  };

  static void enter(uint32_t low, uint32_t high) {
    reinterpret_cast<Block*>(uintptr_t(low) | uintptr_t(high) << 32)->work();
  }

  void work() {
    // A fiber released from a barrier may find threads left that never started only while the list is being handed out.
    while (next_ < order_->size()) {
      thread_index.x = (*order_)[next_++];
      body_(arguments_);
    }
    idle_.push_back(current_);
  }

  Fiber* take_fiber() {
    if (idle_.empty()) {
      all_.push_back(std::make_unique<Fiber>());
      idle_.push_back(all_.back().get());
    }
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = stack_bytes;
    fiber->context.uc_link = &scheduler_;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Block::enter), 2, uint32_t(self), uint32_t(self >> 32));
    return fiber;
  }

  void resume(Fiber* fiber) {
    current_ = fiber;
    swapcontext(&scheduler_, &fiber->context);
  }

  void (*body_)(void**);
  void** arguments_;
  const std::vector<uint32_t>* order_ = nullptr;
  size_t next_ = 0;
  int line_ = 0;
  bool agreed_ = true;
  Fiber* current_ = nullptr;
  ucontext_t scheduler_{};
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> idle_, waiting_;
};

Block* running = nullptr;
std::mutex one_launch;

}  // namespace

void barrier(int line) { running->wait(line); }

/// Calls a kernel with arguments as cuLaunchKernel takes them: an array of pointers to each.
template <auto kernel>
struct Invoke;
template <class... A, void (*kernel)(A...)>
struct Invoke<kernel> {
  template <size_t... i>
  static void spread(void** arguments, std::index_sequence<i...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[i])...);
  }
  static void call(void** arguments) { spread(arguments, std::index_sequence_for<A...>{}); }
  static constexpr uint32_t sizes[sizeof...(A) + 1] = {uint32_t(sizeof(A))..., 0};
};

struct Kernel {
  const char* name;
  void (*call)(void**);
  const uint32_t* sizes;
};

namespace {
#define HP_ENTRY(kernel) {#kernel, &Invoke<kernel>::call, Invoke<kernel>::sizes},
const Kernel kernels[] = {HP_KERNELS(HP_ENTRY)};
#undef HP_ENTRY
}  // namespace

}  // namespace hp::shim

extern "C" {

/// Bytes of each argument of a kernel, ended by 0; null for an unknown name.
__attribute__((visibility("default"))) const uint32_t* shim_arguments(const char* name) {
  for (const auto& kernel : hp::shim::kernels)
    if (!std::strcmp(kernel.name, name)) return kernel.sizes;
  return nullptr;
}

/// 0, or 1 for an unknown kernel, 2 for a block whose threads waited at different barriers.
__attribute__((visibility("default"))) int shim_launch(const char* name, uint32_t grid, uint32_t block, void** arguments, uint32_t order) {
  using namespace hp::shim;
  std::lock_guard lock(one_launch);
  const Kernel* kernel = nullptr;
  for (const auto& k : kernels)
    if (!std::strcmp(k.name, name)) kernel = &k;
  if (!kernel) return 1;
  std::vector<uint32_t> threads(block);
  for (uint32_t i = 0; i < block; i++) threads[i] = Order(order) == Order::descending ? block - 1 - i : i;
  if (Order(order) == Order::shuffled)
    for (uint32_t i = block; i > 1; i--) std::swap(threads[i - 1], threads[(uint64_t(i) * 2654435761u >> 7) % i]);
  block_size = {block, 1, 1};
  grid_size = {grid, 1, 1};
  Block one(kernel->call, arguments);
  running = &one;
  for (uint32_t i = 0; i < grid; i++) {
    block_index = {Order(order) == Order::descending ? grid - 1 - i : i, 0, 0};
    thread_index = {0, 0, 0};
    if (!one.run(threads)) return 2;
  }
  return 0;
}
}
