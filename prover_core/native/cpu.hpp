// What this processor can do, asked once, and how many of it we may use.
#pragma once
#include <string>

namespace hp::cpu {

/// True where mulx (BMI2) and adcx/adox (ADX) exist. False until the library's static initialisers have run: code that
/// runs before them takes the portable path and is right, only slower.
extern const bool has_adx;

/// The processor's own name, or the architecture where it has none.
std::string model();

/// The instruction set the field arithmetic uses: "adx" or "portable".
const char* isa();

/// Cores this process may run on (its affinity mask), at least 1.
unsigned available_cores();

}  // namespace hp::cpu
