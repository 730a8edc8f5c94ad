// The witness tape's machine. Instruction set and rules: prover_core/witness/opcodes.py and tape.py, which this mirrors.
//
// A tape comes from outside, so `Program` proves it safe before anything runs: every operand names a value that exists
// by then, calls go downwards only (so every tape ends), and wires, temporaries and steps have static totals under fixed
// limits. Execution then needs no checks.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "field.hpp"

namespace hp::tape {

enum Op : uint32_t {
  LINEAR, PRODUCT, INVERSE, QUOTIENT, BITS, DIVMOD, LESS, SELECT, CHECK_ZERO, CHECK_PRODUCT, CALL, OUTPUT, OP_COUNT
};
enum Kind : uint32_t { CONSTANT, INPUT, WIRE, TEMP };

constexpr uint32_t kind_shift = 30, index_mask = (1u << kind_shift) - 1, to_wires = 1u << 8;
constexpr uint64_t max_temps = uint64_t(1) << 26, max_steps = uint64_t(1) << 36, max_routines = 1u << 20;
constexpr uint32_t max_bits = 254;

struct Invalid : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// What one instruction looks like: words after the opcode, where its operands begin and how far apart they are.
struct Layout {
  size_t length, first_operand, operand_step;
};

struct Routine {
  size_t begin, end;
  uint32_t inputs;
  uint64_t wires = 0, temps = 0, steps = 0;  // calls included; temps along the deepest chain
};

/// A tape proven safe to run. Immutable; machines in several threads may share one.
class Program {
 public:
  std::vector<uint32_t> code;
  std::vector<Fr> constants;
  std::vector<Routine> routines;
  uint64_t n_outputs = 0;

  /// Throws Invalid, naming the routine, if the tape breaks a rule. O(words).
  Program(std::vector<uint32_t> words, std::vector<Fr> table, const std::vector<uint32_t>& inputs,
          const std::vector<uint64_t>& starts, uint64_t outputs, uint64_t max_wires)
      : code(std::move(words)), constants(std::move(table)), n_outputs(outputs) {
    if (inputs.empty() || inputs.size() > max_routines || starts.size() != inputs.size() + 1 || starts[0] != 0 ||
        starts.back() != code.size())
      throw Invalid("the routines do not partition the code");
    if (constants.size() < 3 || !constants[0].is_zero() || !constants[1].is_one() || constants[2] != -Fr::one())
      throw Invalid("the constants do not start 0, 1, -1");
    routines.reserve(inputs.size());
    for (size_t i = 0; i < inputs.size(); i++) {
      if (starts[i + 1] < starts[i] || starts[i + 1] > code.size() || inputs[i] > index_mask)
        throw Invalid("the routines do not partition the code");
      routines.push_back(check(i, starts[i], starts[i + 1], inputs[i], i + 1 == inputs.size(), max_wires));
    }
  }

  const Routine& main() const { return routines.back(); }

  /// Layout of the instruction at `at`, which lies below `end`; false if it is none or is cut short.
  bool layout(size_t at, size_t end, size_t routine, Layout& out) const {
    static constexpr uint8_t fixed[OP_COUNT] = {0, 2, 1, 2, 2, 2, 2, 3, 2, 4, 0, 1};
    static constexpr uint8_t skip[OP_COUNT] = {2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 0};
    const uint32_t op = code[at] & 0xFF;
    if (op >= OP_COUNT || (code[at] >> 8) > 1) return false;
    out = {fixed[op], skip[op], 1};
    if (op == LINEAR || op == CALL) {
      if (at + 1 >= end) return false;
      const uint64_t n = code[at + 1];
      if (op == CALL && n >= routine) return false;
      out.length = 2 + (op == LINEAR ? 2 * n : uint64_t(routines[n].inputs));
      if (op == LINEAR) out.operand_step = 2;
    }
    return out.length <= end - at - 1;
  }

 private:
  friend class Machine;

  static uint64_t results(uint32_t op, uint32_t first) {
    return op == BITS ? first : op == DIVMOD ? 2 : op >= CHECK_ZERO ? 0 : 1;
  }

  /// See `opcodes.steps`.
  static uint64_t steps(uint32_t op, size_t length, uint32_t first) {
    const uint64_t extra = op == BITS ? first : op == INVERSE || op == QUOTIENT ? 96 : op == DIVMOD ? 64 : 0;
    return 1 + length + extra;
  }

  Routine check(size_t index, size_t begin, size_t end, uint32_t inputs, bool is_main, uint64_t max_wires) const {
    Routine r{begin, end, inputs};
    const std::string name = "routine " + std::to_string(index);
    uint64_t temps = 0, deepest = 0, outputs = 0;
    Layout shape;
    for (size_t at = begin; at < end; at += 1 + shape.length) {
      if (!layout(at, end, index, shape)) throw Invalid(name + " has a word that is not an instruction");
      const uint32_t op = code[at] & 0xFF;
      const uint32_t* words = &code[at] + 1;  // never read beyond shape.length
      const uint64_t known[4] = {constants.size(), inputs, r.wires, temps};
      for (size_t k = shape.first_operand; k < shape.length; k += shape.operand_step)
        if ((words[k] & index_mask) >= known[words[k] >> kind_shift])
          throw Invalid(name + " reads a value that is not there yet");
      if (op == LINEAR)
        for (size_t k = 1; k < shape.length; k += 2)
          if (words[k] >= constants.size()) throw Invalid(name + " names an unknown constant");
      if (op == BITS && (words[0] < 1 || words[0] > max_bits)) throw Invalid(name + " takes an impossible number of bits");
      const bool wires = code[at] & to_wires;
      if (wires && op >= CHECK_ZERO) throw Invalid(name + " asks for wires from an instruction without results");
      r.steps += steps(op, shape.length, words[0]);
      if (op == CALL) {
        const Routine& callee = routines[words[0]];
        r.wires += callee.wires;
        r.steps += callee.steps;
        deepest = std::max<uint64_t>(deepest, callee.temps + callee.inputs);
      } else if (op == OUTPUT) {
        outputs++;
      } else {
        (wires ? r.wires : temps) += results(op, words[0]);
      }
      if (r.wires > max_wires || r.steps > max_steps || temps + deepest > max_temps)
        throw Invalid(name + " exceeds the limits on wires, steps or memory");
    }
    if (outputs != (is_main ? n_outputs : 0)) throw Invalid(name + " sets a wrong number of outputs");
    r.temps = temps + deepest;
    return r;
  }
};

namespace integer {

inline bool less(const uint64_t a[4], const uint64_t b[4]) {
  for (int i = 3; i >= 0; i--)
    if (a[i] != b[i]) return a[i] < b[i];
  return false;
}

inline int bit_length(const uint64_t a[4]) {
  for (int i = 3; i >= 0; i--)
    if (a[i]) return 64 * i + 64 - __builtin_clzll(a[i]);
  return 0;
}

/// a = q b + r with r < b; (0, a) where b = 0. Word division where b is one word, else one shift and subtraction a bit.
inline void divmod(uint64_t q[4], uint64_t r[4], const uint64_t a[4], const uint64_t b[4]) {
  for (int i = 0; i < 4; i++) q[i] = 0, r[i] = a[i];
  const int bits = bit_length(b);
  if (bits == 0 || less(a, b)) return;
  if (bits <= 64) {
    unsigned __int128 rest = 0;
    for (int i = 3; i >= 0; i--) {
      rest = rest << 64 | a[i];
      q[i] = uint64_t(rest / b[0]);
      rest %= b[0];
    }
    r[0] = uint64_t(rest), r[1] = r[2] = r[3] = 0;
    return;
  }
  int shift = bit_length(a) - bits;  // b << shift stays below 2^254
  uint64_t d[4];
  for (int i = 3; i >= 0; i--) {
    const int from = i - shift / 64, low = shift % 64;
    d[i] = from >= 0 ? b[from] << low : 0;
    if (low && from >= 1) d[i] |= b[from - 1] >> (64 - low);
  }
  for (; shift >= 0; shift--) {
    if (!less(r, d)) {
      uint64_t borrow = 0;
      for (int i = 0; i < 4; i++) {
        const unsigned __int128 t = (unsigned __int128)r[i] - d[i] - borrow;
        r[i] = uint64_t(t);
        borrow = uint64_t(t >> 64) & 1;
      }
      q[shift / 64] |= uint64_t(1) << (shift % 64);
    }
    for (int i = 0; i < 3; i++) d[i] = d[i] >> 1 | d[i + 1] << 63;
    d[3] >>= 1;
  }
}

}  // namespace integer

enum class State { Running, Done, Failed };

/// One execution. Wires become final in order; `run` can stop after any of them and go on later. One thread at a time.
class Machine {
 public:
  /// `inputs`: as many as the main routine takes. Throws std::bad_alloc. Pages are touched only as they fill.
  Machine(const Program& program, std::vector<Fr> inputs) : p_(program), inputs_(std::move(inputs)) {
    const Routine& main = p_.main();
    if (inputs_.size() != main.inputs) throw std::invalid_argument("wrong number of inputs");
    wires_ = allocate(main.wires);
    temps_ = allocate(main.temps);
    frames_.push_back({&main, main.begin, 0, inputs_.data(), temps_.get(), temps_.get(), 0});
    outputs_.reserve(p_.n_outputs);
  }

  uint64_t wires_final() const { return done_; }
  State state() const { return state_; }
  uint64_t failed_row() const { return failed_row_; }
  const std::vector<Fr>& outputs() const { return outputs_; }
  const Fr* wires() const { return wires_.get(); }

  /// Runs until `until` wires are final, `budget` steps are spent, the tape ends or a check fails.
  State run(uint64_t until, uint64_t budget) {
    uint64_t spent = 0;
    while (state_ == State::Running && done_ < until && spent < budget) {
      Frame& f = frames_.back();
      if (f.at == f.routine->end) {
        frames_.pop_back();
        if (frames_.empty()) state_ = State::Done;
        continue;
      }
      spent += step(f);
    }
    return state_;
  }

 private:
  struct Frame {
    const Routine* routine;
    size_t at;
    uint64_t wire_base;
    const Fr* inputs;
    Fr* temps;
    Fr* next_temp;
    uint64_t row_base;
  };
  struct Free {
    void operator()(Fr* p) const { std::free(p); }
  };
  using Block = std::unique_ptr<Fr[], Free>;

  static Block allocate(uint64_t n) {
    Fr* p = static_cast<Fr*>(std::calloc(n ? n : 1, sizeof(Fr)));
    if (!p) throw std::bad_alloc();
    return Block(p);
  }

  /// Executes one instruction of the frame on top; returns its steps.
  size_t step(Frame& f) {
    const uint32_t* words = &p_.code[f.at];
    const uint32_t head = *words++;
    const Fr* const base[4] = {p_.constants.data(), f.inputs, wires_.get() + f.wire_base, f.temps};
    const auto get = [&](uint32_t operand) -> const Fr& { return base[operand >> kind_shift][operand & index_mask]; };
    const bool wire = head & to_wires;
    Fr* const out = wire ? wires_.get() + done_ : f.next_temp;
    size_t length = 0, results = 1;
    switch (head & 0xFF) {
      case LINEAR: {
        Fr sum = p_.constants[words[1]];
        const uint32_t n = words[0];
        for (uint32_t k = 0; k < n; k++) {
          const Fr& x = get(words[2 + 2 * k]);
          const uint32_t c = words[3 + 2 * k];
          if (c == 1) sum += x;
          else if (c == 2) sum -= x;
          else sum += x * p_.constants[c];
        }
        *out = sum;
        length = 2 + 2 * size_t(n);
        break;
      }
      case PRODUCT:
        *out = get(words[0]) * get(words[1]);
        length = 2;
        break;
      case INVERSE:
        *out = get(words[0]).inverse_vartime();
        length = 1;
        break;
      case QUOTIENT:
        *out = get(words[0]) * get(words[1]).inverse_vartime();
        length = 2;
        break;
      case BITS: {
        uint64_t x[4];
        get(words[1]).to_canonical(x);
        const Fr one = Fr::one(), zero = Fr::zero();
        for (uint32_t k = 0; k < words[0]; k++) out[k] = x[k / 64] >> (k % 64) & 1 ? one : zero;
        results = words[0];
        length = 2;
        break;
      }
      case DIVMOD: {
        uint64_t a[4], b[4], q[4], r[4];
        get(words[0]).to_canonical(a);
        get(words[1]).to_canonical(b);
        integer::divmod(q, r, a, b);
        out[0] = Fr::from_canonical(q);
        out[1] = Fr::from_canonical(r);
        results = 2;
        length = 2;
        break;
      }
      case LESS: {
        uint64_t a[4], b[4];
        get(words[0]).to_canonical(a);
        get(words[1]).to_canonical(b);
        *out = integer::less(a, b) ? Fr::one() : Fr::zero();
        length = 2;
        break;
      }
      case SELECT:
        *out = get(words[0]).is_zero() ? get(words[2]) : get(words[1]);
        length = 3;
        break;
      case CHECK_ZERO:
        if (!get(words[1]).is_zero()) fail(f.row_base + words[0]);
        results = 0;
        length = 2;
        break;
      case CHECK_PRODUCT:
        if (get(words[1]) * get(words[2]) != get(words[3])) fail(f.row_base + words[0]);
        results = 0;
        length = 4;
        break;
      case CALL: {
        const Routine& callee = p_.routines[words[0]];
        for (uint32_t k = 0; k < callee.inputs; k++) f.next_temp[k] = get(words[2 + k]);
        Fr* temps = f.next_temp + callee.inputs;
        const Frame next{&callee, callee.begin, done_, f.next_temp, temps, temps, f.row_base + words[1]};
        length = 2 + size_t(callee.inputs);
        f.at += 1 + length;
        frames_.push_back(next);  // f is dangling from here on
        return 1 + length;
      }
      default:  // OUTPUT; Program admits no other
        outputs_.push_back(get(words[0]));
        results = 0;
        length = 1;
    }
    if (wire) done_ += results;
    else f.next_temp += results;
    f.at += 1 + length;
    return Program::steps(head & 0xFF, length, words[0]);
  }

  void fail(uint64_t row) {
    state_ = State::Failed;
    failed_row_ = row;
  }

  const Program& p_;
  std::vector<Fr> inputs_;
  Block wires_, temps_;
  std::vector<Frame> frames_;
  std::vector<Fr> outputs_;
  uint64_t done_ = 0, failed_row_ = 0;
  State state_ = State::Running;
};

}  // namespace hp::tape
