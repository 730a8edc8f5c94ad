// Straight-line programs over Fq, recorded from the constraints in Python and run on many points at a time.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../field.hpp"

namespace hp::assembly {

enum class Operation : uint32_t { add, sub, mul };

/// register[target] = register[a] operation register[b]
struct Instruction {
  Operation operation;
  uint32_t target, a, b;
};

/// Registers are arrays of `lanes` elements each, lane by lane independent.
class Program {
 public:
  /// From rows (operation, target, a, b); std::invalid_argument if one leaves the registers.
  Program(const uint32_t* rows, size_t n, size_t registers) {
    code_.reserve(n);
    for (size_t i = 0; i < n; i++) {
      const uint32_t* r = rows + 4 * i;
      if (r[0] > uint32_t(Operation::mul) || r[1] >= registers || r[2] >= registers || r[3] >= registers)
        throw std::invalid_argument("instruction " + std::to_string(i) + " is not valid");
      code_.push_back({Operation(r[0]), r[1], r[2], r[3]});
    }
  }

  void run(Fq* registers, size_t lanes) const {
    for (const Instruction& i : code_) {
      Fq* t = registers + i.target * lanes;
      const Fq *a = registers + i.a * lanes, *b = registers + i.b * lanes;
      switch (i.operation) {
        case Operation::add:
          for (size_t k = 0; k < lanes; k++) t[k] = a[k] + b[k];
          break;
        case Operation::sub:
          for (size_t k = 0; k < lanes; k++) t[k] = a[k] - b[k];
          break;
        case Operation::mul:
          for (size_t k = 0; k < lanes; k++) t[k] = a[k] * b[k];
          break;
      }
    }
  }

 private:
  std::vector<Instruction> code_;
};

}  // namespace hp::assembly
