// Which of the engines a call uses.
#pragma once

namespace hp {

/// `best` is the fastest the processor has; `scalar` never the eight-wide one, for tests and for comparisons.
enum class Isa { best, scalar };

}  // namespace hp
