// What this processor can do, asked once, and how many of it we may use.
#pragma once
#include <string>

namespace hp::cpu {

/// True where mulx (BMI2) and adcx/adox (ADX) exist. False until the library's static initialisers have run: code that
/// runs before them takes the portable path and is right, only slower. False also if HYBRID_PROVER_ISA is `portable`.
extern const bool has_adx;

/// True where AVX-512 with the 52-bit multiply-adds (IFMA) and VBMI2 exists, and the system saves its registers. False
/// if HYBRID_PROVER_ISA is `scalar` or `portable`. The caution about static initialisers holds here too.
extern const bool has_ifma;

/// The processor's own name, or the architecture where it has none.
std::string model();

/// The instruction set the field arithmetic uses: "avx512-ifma", "adx" or "portable".
const char* isa();

/// Cores this process may run on (its affinity mask), at least 1.
unsigned available_cores();

}  // namespace hp::cpu
