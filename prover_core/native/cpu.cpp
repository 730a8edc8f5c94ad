#include "cpu.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace hp::cpu {

#if defined(__x86_64__)
static bool wished(const char* isa) {
  const char* wish = std::getenv("HYBRID_PROVER_ISA");
  return wish && std::strcmp(wish, isa) == 0;
}

static bool probe_adx() {
  __builtin_cpu_init();
  return !wished("portable") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("adx");
}
const bool has_adx = probe_adx();

static bool probe_ifma() {
  if (wished("scalar")) return false;
  return has_adx && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi2");
}
const bool has_ifma = probe_ifma();
#else
const bool has_adx = false;
const bool has_ifma = false;
#endif

std::string model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 < line.size()) return line.substr(colon + 2);
  }
#if defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown processor";
#endif
}

const char* isa() { return has_ifma ? "avx512-ifma" : has_adx ? "adx" : "portable"; }

unsigned available_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int n = CPU_COUNT(&set);
    if (n > 0) return unsigned(n);
  }
#endif
  unsigned n = std::thread::hardware_concurrency();
  return n ? n : 1;
}

}  // namespace hp::cpu
