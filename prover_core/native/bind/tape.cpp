// The witness machine as Python objects: `Tape` (checked program) and `TapeRun` (one execution). Front: witness/vm.py.
#include "tape.hpp"

#include <nanobind/stl/string.h>

#include <atomic>

#include "bind.hpp"

namespace hp {
namespace {

constexpr uint64_t steps_per_call = uint64_t(1) << 24;  // about 0.3 s; between calls Python sees signals

std::vector<Fr> elements(const Buffer& raw, const char* what) {
  std::vector<Fr> out(raw.rows());
  for (size_t i = 0; i < out.size(); i++) {
    uint64_t limbs[4];
    std::memcpy(limbs, raw.data() + 32 * i, 32);
    if (!is_canonical<Fr::Params>(limbs)) throw std::invalid_argument(std::string(what) + " are not canonical");
    out[i] = Fr::from_canonical(limbs);
  }
  return out;
}

template <class T>
std::vector<T> items(nb::handle array, const char* what) {
  Buffer raw(array, sizeof(T), {}, what);
  std::vector<T> out(raw.rows());
  if (!out.empty()) std::memcpy(out.data(), raw.data(), sizeof(T) * out.size());
  return out;
}

void write_canonical(const Fr* from, size_t n, unsigned char* to) {
  for (size_t i = 0; i < n; i++) {
    uint64_t limbs[4];
    from[i].to_canonical(limbs);
    std::memcpy(to + 32 * i, limbs, 32);
  }
}

struct Run {
  tape::Machine machine;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;

  Run(const tape::Program& program, std::vector<Fr> inputs) : machine(program, std::move(inputs)) {}
};

/// Two threads in one run would race; the second is refused.
class Exclusive {
 public:
  explicit Exclusive(Run& run) : run_(run) {
    if (run_.busy.test_and_set()) throw std::runtime_error("this run is in use by another thread");
  }
  ~Exclusive() { run_.busy.clear(); }

 private:
  Run& run_;
};

}  // namespace

void bind_tape(nb::module_& m) {
  nb::class_<tape::Program>(m, "Tape")
      .def(
          "__init__",
          [](tape::Program* self, nb::handle code, nb::handle constants, nb::handle inputs, nb::handle starts,
             uint64_t n_outputs, uint64_t max_wires) {
            Buffer table(constants, 8, {4}, "constants");
            new (self) tape::Program(items<uint32_t>(code, "code"), elements(table, "constants"),
                                     items<uint32_t>(inputs, "routine inputs"),
                                     items<uint64_t>(starts, "routine starts"), n_outputs, max_wires);
          },
          nb::arg("code"), nb::arg("constants"), nb::arg("routine_inputs"), nb::arg("routine_start"),
          nb::arg("n_outputs"), nb::arg("max_wires"))
      .def_prop_ro("n_wires", [](const tape::Program& p) { return p.main().wires; });

  nb::class_<Run>(m, "TapeRun")
      .def(
          "__init__",
          [](Run* self, const tape::Program& program, nb::handle inputs) {
            Buffer raw(inputs, 8, {4}, "inputs");
            new (self) Run(program, elements(raw, "inputs"));
          },
          nb::arg("tape"), nb::arg("inputs"), nb::keep_alive<1, 2>())
      .def(
          "run",
          [](Run& run, uint64_t until) {
            Exclusive own(run);
            nb::gil_scoped_release release;
            return int(run.machine.run(until, steps_per_call));
          },
          nb::arg("until"))
      .def(
          "read_wires",
          [](Run& run, uint64_t first, nb::handle out) {
            Buffer raw(out, 8, {4}, "out", true);
            Exclusive own(run);
            if (first > run.machine.wires_final() || raw.rows() > run.machine.wires_final() - first)
              throw std::invalid_argument("these wires are not final yet");
            nb::gil_scoped_release release;
            write_canonical(run.machine.wires() + first, raw.rows(), raw.writable());
          },
          nb::arg("first"), nb::arg("out"))
      .def(
          "read_outputs",
          [](Run& run, nb::handle out) {
            Buffer raw(out, 8, {4}, "out", true);
            Exclusive own(run);
            if (raw.rows() != run.machine.outputs().size()) throw std::invalid_argument("wrong number of outputs");
            write_canonical(run.machine.outputs().data(), raw.rows(), raw.writable());
          },
          nb::arg("out"))
      .def_prop_ro("wires_final", [](const Run& run) { return run.machine.wires_final(); })
      .def_prop_ro("failed_row", [](const Run& run) { return run.machine.failed_row(); });
}

}  // namespace hp
