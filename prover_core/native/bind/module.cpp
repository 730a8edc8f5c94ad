#include "bind.hpp"
#include "cpu.hpp"
#include "pool.hpp"

#include <nanobind/stl/string.h>

NB_MODULE(_native, m) {
  m.doc() = "BN254 on the CPU. Use prover_core.native, which checks types and converts errors.";
  m.def("cpu_model", &hp::cpu::model);
  m.def("cpu_isa", [] { return std::string(hp::cpu::isa()); });
  m.def("default_threads", &hp::default_threads);
  hp::bind_field(m);
  hp::bind_curve(m);
  hp::bind_matrix(m);
#ifdef HP_BIND_PAIRING
  hp::bind_pairing(m);
#endif
#ifdef HP_BIND_ASSEMBLY
  hp::bind_assembly(m);
#endif
#ifdef HP_BIND_WHOLE
  hp::bind_whole(m);
#endif
#ifdef HP_BIND_TAPE
  hp::bind_tape(m);
#endif
}
