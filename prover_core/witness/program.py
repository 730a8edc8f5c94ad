"""What a witness program is, whoever wrote it: the DSL's tape or circom's wasm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import InvalidInputError
from ..types import FrVector, R

Inputs = Mapping[str, object]
"""Signal name → integer, decimal or 0x string, or nested sequences of those, as in circom's input.json."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One named input signal; `size` field elements in row-major order."""

    name: str
    size: int
    public: bool


@dataclass(frozen=True, slots=True)
class WireSlice:
    """Wires offset .. offset + len(values), final. A program emits every wire exactly once.

    The body (wires after the public ones) comes first and in order; the head (wire 0 and the public signals, whose
    outputs are often computed last) may come last.
    """

    offset: int
    values: FrVector


class WitnessProgram(Protocol):
    """Computes the witness of one circuit; immutable, so that several runs may go on at once."""

    @property
    def n_wires(self) -> int: ...

    @property
    def inputs(self) -> tuple[InputSpec, ...]: ...

    def run(self, inputs: Inputs, *, slice_wires: int = 1 << 14) -> Iterator[WireSlice]:
        """Computes the witness, yielding each slice as soon as its wires are final.

        Errors: `InvalidInputError` (field = the signal) for wrong names, counts or values; `UnsatisfiedError` where the
        program itself finds the inputs inconsistent; `WitnessProgramError` where it fails.
        """


def flatten_input(name: str, value: object) -> list[int]:
    """Row-major integers in [0, r) of one input; negative numbers down to -(r-1) mean their residue, as in circom.

    `InvalidInputError` names the signal if anything is not an integer or out of range.
    """
    out: list[int] = []
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, bool):
            out.append(int(item))
        elif isinstance(item, int):
            if not -R < item < R:
                raise InvalidInputError(f"input {name!r} has a value outside the field", field=name)
            out.append(item % R)
        elif isinstance(item, str):
            try:
                stack.append(int(item, 16) if item.lower().startswith("0x") else int(item, 10))
            except ValueError:
                raise InvalidInputError(f"input {name!r} has a value that is not an integer", field=name) from None
        elif isinstance(item, Sequence):
            stack.extend(reversed(item))
        else:
            raise InvalidInputError(f"input {name!r} has a value that is not an integer", field=name)
    return out
