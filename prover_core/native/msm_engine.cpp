#include "msm_engine.hpp"

#include "cpu.hpp"
#include "msm.hpp"
#if defined(HP_IFMA)
#include "ifma/engine.hpp"
#endif

namespace hp {

template <class F>
std::unique_ptr<MsmEngine<F>> make_msm(const unsigned char* bases, size_t n, unsigned threads, Isa isa) {
#if defined(HP_IFMA)
  // Below some thousand bases rounds are too small to fill eight lanes and share an inversion.
  constexpr size_t fewest = 2048;
  if (isa == Isa::best && n >= fewest && cpu::has_ifma) return ifma::make_msm<F>(bases, n, threads);
#endif
  (void)isa;
  return std::make_unique<Msm<F>>(bases, n, threads);
}
template std::unique_ptr<MsmEngine<Fq>> make_msm<Fq>(const unsigned char*, size_t, unsigned, Isa);
template std::unique_ptr<MsmEngine<Fq2>> make_msm<Fq2>(const unsigned char*, size_t, unsigned, Isa);

}  // namespace hp
