"""Operation → ordered segments and links, in the plain form in which a job is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .executor import Publics, SegmentTrace, Values, execute
from .generator import Block
from .operations import Kind, SignedOperation
from .state import State

STATE_AFTER, CONTEXT_AFTER, STATE_BEFORE, CONTEXT_BEFORE = range(4)
"""Where each public signal stands in public.json."""


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """One segment to prove. `inputs` is an input.json: signal name → decimal string or list of those."""

    circuit_name: str
    inputs: dict[str, object]


@dataclass(frozen=True, slots=True)
class Link:
    """Public signal `from_signal` of segment `from_segment` must equal `to_signal` of `to_segment`; all from 0."""

    from_segment: int
    from_signal: int
    to_segment: int
    to_signal: int


@dataclass(frozen=True, slots=True)
class OperationJob:
    """One operation as a job. `publics` are what its leaf proofs will show, known before any is proved."""

    kind: Kind
    sender: int
    nonce: int
    segments: tuple[SegmentSpec, ...]
    links: tuple[Link, ...]
    publics: tuple[Publics, ...]

    @property
    def name(self) -> str:
        """For people: kind, sender and nonce."""
        return f"{self.kind.name.lower()} {self.sender}/{self.nonce}"


def stringify(values: Values | Mapping[str, object]) -> dict[str, object]:
    """The inputs as JSON carries them without loss: decimal strings."""
    return {
        name: [str(v) for v in value] if isinstance(value, list | tuple) else str(value)
        for name, value in values.items()
    }


def links_between(segments: int) -> tuple[Link, ...]:
    """State root and context of each segment to the next one's."""
    return tuple(
        Link(i, after, i + 1, before)
        for i in range(segments - 1)
        for after, before in ((STATE_AFTER, STATE_BEFORE), (CONTEXT_AFTER, CONTEXT_BEFORE))
    )


def job_of(signed: SignedOperation, traces: Sequence[SegmentTrace]) -> OperationJob:
    """Packs what the executor traced."""
    operation = signed.operation
    return OperationJob(
        kind=operation.kind,
        sender=operation.sender,
        nonce=operation.nonce,
        segments=tuple(SegmentSpec(t.circuit, stringify(t.inputs)) for t in traces),
        links=links_between(len(traces)),
        publics=tuple(t.publics for t in traces),
    )


def decompose(state: State, signed: SignedOperation) -> OperationJob:
    """Executes the operation on `state`, which moves on, and returns its job. Errors as `executor.execute`."""
    return job_of(signed, execute(state, signed))


def decompose_block(block: Block) -> list[OperationJob]:
    """The jobs of a block's operations in order; `block.genesis` is left as it is."""
    state = block.genesis.copy()
    return [decompose(state, signed) for signed in block.operations]
