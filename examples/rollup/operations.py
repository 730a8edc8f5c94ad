"""What users sign: four kinds of operation, each a short program of debits, swaps and credits.

Policies, checked when an operation is made: amounts and minima are at least 1, a transfer goes to somebody else, a
transfer moves the native token and a token transfer any other, a swap passes 1 to 3 pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from prover_core.errors import VerificationError
from prover_core.reference.babyjubjub import Point
from prover_core.reference.eddsa import PrivateKey, Signature, verify_vartime

from .commitments import Instruction, Opcode, operation_digest, program_hashes
from .errors import MalformedOperationError, SignatureError
from .parameters import ACCOUNT_DEPTH, AMOUNT_BITS, MAX_INSTRUCTIONS, NATIVE, NONCE_BITS, POOL_DEPTH, TOKEN_DEPTH


class Kind(IntEnum):
    """Part of what is signed."""

    TRANSFER = 1
    TOKEN_TRANSFER = 2
    SWAP = 3
    MULTI_STEP = 4


def _in_range(value: int, low: int, bits: int, field: str) -> None:
    if not low <= value < 1 << bits:
        raise MalformedOperationError(f"{field} {value} is not in [{low}, 2^{bits})", field=field)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Native tokens to another account."""

    recipient: int
    amount: int

    def instructions(self, sender: int) -> list[Instruction]:
        """The program of this action for this sender; `MalformedOperationError` if it breaks a policy."""
        return _transfer(sender, NATIVE, self.recipient, self.amount)


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """Tokens other than the native one to another account, as ERC-20's `transfer`."""

    token: int
    recipient: int
    amount: int

    def instructions(self, sender: int) -> list[Instruction]:
        """The program of this action for this sender; `MalformedOperationError` if it breaks a policy."""
        if self.token == NATIVE:
            raise MalformedOperationError("a token transfer cannot move the native token", field="token")
        return _transfer(sender, self.token, self.recipient, self.amount)


@dataclass(frozen=True, slots=True)
class Swap:
    """`amount_in` of `token_in` through the pools of `route` in order; what comes out goes back to the sender.

    Fails if less than `minimum_out` comes out of the last pool (the slippage limit).
    """

    token_in: int
    amount_in: int
    route: tuple[int, ...]
    minimum_out: int

    def instructions(self, sender: int) -> list[Instruction]:
        """The program of this action for this sender; `MalformedOperationError` if it breaks a policy."""
        _in_range(self.token_in, 0, TOKEN_DEPTH, "token_in")
        _in_range(self.amount_in, 1, AMOUNT_BITS, "amount_in")
        _in_range(self.minimum_out, 1, AMOUNT_BITS, "minimum_out")
        if not 1 <= len(self.route) <= 3:
            raise MalformedOperationError(f"a swap passes 1 to 3 pools, not {len(self.route)}", field="route")
        for pool in self.route:
            _in_range(pool, 0, POOL_DEPTH, "route")
        minima = [1] * (len(self.route) - 1) + [self.minimum_out]
        return [
            Instruction(Opcode.DEBIT, self.token_in, self.amount_in),
            *(Instruction(Opcode.SWAP, p, m) for p, m in zip(self.route, minima, strict=True)),
            Instruction(Opcode.CREDIT, sender, 0),
        ]


Step = Transfer | TokenTransfer | Swap


@dataclass(frozen=True, slots=True)
class MultiStep:
    """Steps that succeed or fail as one."""

    steps: tuple[Step, ...]

    def instructions(self, sender: int) -> list[Instruction]:
        """The program of this action for this sender; `MalformedOperationError` if it breaks a policy."""
        if len(self.steps) < 2:
            raise MalformedOperationError("a multi-step call has at least two steps", field="steps")
        program = [i for step in self.steps for i in step.instructions(sender)]
        if len(program) > MAX_INSTRUCTIONS:
            raise MalformedOperationError(
                f"a call has at most {MAX_INSTRUCTIONS} instructions, not {len(program)}", field="steps"
            )
        return program


Action = Transfer | TokenTransfer | Swap | MultiStep

KIND_OF: dict[type, Kind] = {
    Transfer: Kind.TRANSFER,
    TokenTransfer: Kind.TOKEN_TRANSFER,
    Swap: Kind.SWAP,
    MultiStep: Kind.MULTI_STEP,
}


def _transfer(sender: int, token: int, recipient: int, amount: int) -> list[Instruction]:
    _in_range(token, 0, TOKEN_DEPTH, "token")
    _in_range(recipient, 0, ACCOUNT_DEPTH, "recipient")
    _in_range(amount, 1, AMOUNT_BITS, "amount")
    if recipient == sender:
        raise MalformedOperationError("a transfer goes to somebody else", field="recipient")
    return [Instruction(Opcode.DEBIT, token, amount), Instruction(Opcode.CREDIT, recipient, 0)]


@dataclass(frozen=True, slots=True)
class Operation:
    """One action of one account. `MalformedOperationError` names the field that breaks a policy."""

    sender: int
    nonce: int
    action: Action

    def __post_init__(self) -> None:
        _in_range(self.sender, 0, ACCOUNT_DEPTH, "sender")
        _in_range(self.nonce, 0, NONCE_BITS, "nonce")
        self.program()

    @property
    def kind(self) -> Kind:
        """Which of the four kinds it is."""
        return KIND_OF[type(self.action)]

    def program(self) -> list[Instruction]:
        """The instructions in order; one segment each, after the one that authorizes them."""
        return self.action.instructions(self.sender)

    def digest(self, chain_id: int) -> int:
        """The scalar that is signed; binds chain, kind, sender, nonce and every instruction."""
        return operation_digest(chain_id, self.kind, self.sender, self.nonce, program_hashes(self.program())[0])

    def sign(self, chain_id: int, key: PrivateKey) -> SignedOperation:
        """Signs the digest; deterministic."""
        return SignedOperation(self, key.sign(self.digest(chain_id)))


@dataclass(frozen=True, slots=True)
class SignedOperation:
    """An operation and its EdDSA-Poseidon signature."""

    operation: Operation
    signature: Signature

    def check_signature(self, chain_id: int, key: Point) -> None:
        """`SignatureError` naming the sender unless `key` signed this operation for this chain."""
        try:
            verify_vartime(key, self.operation.digest(chain_id), self.signature)
        except VerificationError as e:
            raise SignatureError(
                f"the signature is not account {self.operation.sender}'s over this operation: {e}", field="signature"
            ) from e


def steps_of(action: Action) -> Sequence[Step]:
    """The steps of a multi-step call, or the action itself as the only one."""
    return action.steps if isinstance(action, MultiStep) else (action,)
