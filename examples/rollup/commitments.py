"""Every hash of the rollup in one place, on plain integers; circuits.py constrains the same formulas.

    node        Poseidon(left, right)
    account     Poseidon(key.x, key.y, nonce, balances root)
    pool        Poseidon(token a, token b, reserve a, reserve b, fee)
    state       Poseidon(accounts root, pools root)
    program     Poseidon(opcode, first, second, hash of the rest), 0 at the end
    digest      Poseidon(DOMAIN, chain id, kind, sender, nonce, program)
    context     Poseidon(digest, nonce, index, remaining program, sender, token, amount)

The number of inputs differs wherever two of these could meet in one place, and an empty leaf is 0, which has no known
preimage; trees have fixed depths, so that a node never passes for a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from prover_core.reference.babyjubjub import Point
from prover_core.reference.poseidon import poseidon

from .parameters import DOMAIN


class Opcode(IntEnum):
    """What one instruction does. DEBIT (token, amount), SWAP (pool, minimum out), CREDIT (recipient, 0)."""

    DEBIT = 1
    SWAP = 2
    CREDIT = 3


class Instruction(NamedTuple):
    """One step of a signed program; one instruction is one segment."""

    opcode: Opcode
    first: int
    second: int


def account_leaf(key: Point, nonce: int, balances_root: int) -> int:
    """Poseidon(key.x, key.y, nonce, balances root)."""
    return poseidon([key.x, key.y, nonce, balances_root])


def pool_leaf(token_a: int, token_b: int, reserve_a: int, reserve_b: int, fee: int) -> int:
    """Poseidon(token a, token b, reserve a, reserve b, fee)."""
    return poseidon([token_a, token_b, reserve_a, reserve_b, fee])


def state_root(accounts_root: int, pools_root: int) -> int:
    """Poseidon(accounts root, pools root)."""
    return poseidon([accounts_root, pools_root])


def program_hashes(program: Sequence[Instruction]) -> list[int]:
    """[hash of program[i:] for i in 0 .. len(program)]; the last is 0. Each binds all that is left to do, in order."""
    hashes = [0]
    for instruction in reversed(program):
        hashes.append(poseidon([instruction.opcode, instruction.first, instruction.second, hashes[-1]]))
    return hashes[::-1]


def operation_digest(chain_id: int, kind: int, sender: int, nonce: int, program: int) -> int:
    """What the sender signs, and the public value that opens an operation's chain of segments."""
    return poseidon([DOMAIN, chain_id, kind, sender, nonce, program])


@dataclass(frozen=True, slots=True)
class Context:
    """What runs along the segments of one operation beside the state root.

    `index` counts instructions done, `remaining` commits to those left, `token` and `amount` are outstanding: taken
    from the sender or a pool and not yet given to anyone.
    """

    digest: int
    nonce: int
    index: int
    remaining: int
    sender: int
    token: int = 0
    amount: int = 0

    def commitment(self) -> int:
        """The public signal: Poseidon of the seven fields in order."""
        return poseidon([self.digest, self.nonce, self.index, self.remaining, self.sender, self.token, self.amount])
