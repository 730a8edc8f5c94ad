"""What the verifier of a block checks beside the leaf proofs themselves; README.md argues why this is enough.

The verifier holds the operations (public data), the root before the block and, for each leaf proof that verified under
the key of the circuit it names, its public signals. It needs neither the state nor any secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prover_core.types import R

from .commitments import Opcode
from .errors import ChainError
from .executor import AUTHORIZE, CIRCUIT_OF, Publics, closed_context
from .operations import SignedOperation


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf proof that verified: the circuit whose key it verified under, and its public signals."""

    circuit_name: str
    publics: Sequence[int]


@dataclass(frozen=True, slots=True)
class BlockClaim:
    """What a block claims: that these operations, in this order, take the one state root to the other."""

    chain_id: int
    state_before: int
    state_after: int
    operations: tuple[SignedOperation, ...]


def circuits_of(signed: SignedOperation) -> list[str]:
    """The circuits an operation's segments must be instances of, in order; O(instructions), no hashing."""
    return [AUTHORIZE, *(CIRCUIT_OF[Opcode(i.opcode)] for i in signed.operation.program())]


def _signals(leaf: Leaf, where: str) -> Publics:
    if len(leaf.publics) != 4:
        raise ChainError(f"{where} has {len(leaf.publics)} public signals, not 4", field="publics")
    for name, value in zip(Publics._fields, leaf.publics, strict=True):
        if not 0 <= value < R:  # else one statement would have several encodings
            raise ChainError(f"{where}: {name} is not a canonical scalar", field=name)
    return Publics(*leaf.publics)


def check_operation(chain_id: int, signed: SignedOperation, leaves: Sequence[Leaf], state_before: int) -> int:
    """Checks one operation's chain of leaves and returns the state root it ends in.

    The circuits are those its program asks for; the first segment starts at `state_before` and opens with the digest
    of this very operation; each segment starts in the state and context the one before ended in; the last context is
    closed. `ChainError` names segment and signal. Costs one hash an instruction and three more.
    """
    kind = signed.operation.kind.name.lower()
    expected = circuits_of(signed)
    if len(leaves) != len(expected):
        raise ChainError(f"{kind}: {len(leaves)} segments, not {len(expected)}", field="segments")
    state, context = state_before, signed.operation.digest(chain_id)
    for i, (leaf, circuit) in enumerate(zip(leaves, expected, strict=True)):
        where = f"{kind}, segment {i}"
        if leaf.circuit_name != circuit:
            raise ChainError(f"{where} is an instance of {leaf.circuit_name!r}, not {circuit!r}", field="circuit_name")
        publics = _signals(leaf, where)
        if publics.state_before != state:
            raise ChainError(f"{where} does not start in the state before it", field="state_before")
        if publics.context_before != context:
            raise ChainError(f"{where} does not continue the context before it", field="context_before")
        state, context = publics.state_after, publics.context_after
    if context != closed_context(chain_id, signed):
        raise ChainError(f"{kind}: the context is not closed after the last segment", field="context_after")
    return state


def check_chain(block: BlockClaim, leaves: Sequence[Sequence[Leaf]]) -> None:
    """None if the leaves, by operation and segment, prove the block's claim; else `ChainError`.

    The caller has verified every leaf proof against the verification key of the circuit it names.
    """
    if len(leaves) != len(block.operations):
        raise ChainError(f"proofs of {len(leaves)} operations, not {len(block.operations)}", field="operations")
    state = block.state_before
    for number, (signed, chain) in enumerate(zip(block.operations, leaves, strict=True)):
        try:
            state = check_operation(block.chain_id, signed, chain, state)
        except ChainError as e:
            raise ChainError(f"operation {number}: {e}", field=e.field) from e
    if state != block.state_after:
        raise ChainError("the last segment does not end in the block's state root", field="state_after")
