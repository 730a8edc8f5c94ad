"""Executes a signed operation on the state, all or nothing, and yields what each segment's circuit takes as inputs.

All roots and contexts are known when this returns, so that the segments can be witnessed and proved in any order, in
parallel. Whatever is refused here cannot be proved either: circuits.py constrains every rule again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .commitments import Context, Instruction, Opcode, program_hashes
from .errors import OverdraftError, SlippageError, StaleNonceError, UnknownPoolError
from .operations import SignedOperation
from .state import State, check_amount

AUTHORIZE, DEBIT, SWAP, CREDIT = "authorize", "debit", "swap", "credit"
CIRCUITS = (AUTHORIZE, DEBIT, SWAP, CREDIT)

CIRCUIT_OF = {Opcode.DEBIT: DEBIT, Opcode.SWAP: SWAP, Opcode.CREDIT: CREDIT}

Values = dict[str, int | list[int]]


class Publics(NamedTuple):
    """The public signals of every segment in the order of public.json: outputs, then public inputs."""

    state_after: int
    context_after: int
    state_before: int
    context_before: int


@dataclass(frozen=True, slots=True)
class SegmentTrace:
    """One segment: which circuit, its inputs by name (public ones too), and the public signals it must yield."""

    circuit: str
    inputs: Values
    publics: Publics


def execute(state: State, signed: SignedOperation) -> list[SegmentTrace]:
    """Applies the operation and returns its segments in order. Costs about 80 hashes a segment.

    `OperationError` of the kind that names what is wrong; the state is then as it was. Order of the checks: account,
    signature, nonce, then the instructions one by one.
    """
    with state.transaction():
        return list(_segments(state, signed))


def _segments(state: State, signed: SignedOperation) -> Iterator[SegmentTrace]:
    operation = signed.operation
    program = operation.program()
    rest = program_hashes(program)
    authorized = _authorize(state, signed, rest[0])
    yield authorized
    context = Context(operation.digest(state.chain_id), operation.nonce, 0, rest[0], operation.sender)
    for instruction, remaining in zip(program, rest[1:], strict=True):
        step = _STEPS[instruction.opcode]
        before = state.root
        following, inputs = step(state, context, instruction)
        following = replace(following, index=context.index + 1, remaining=remaining)
        publics = Publics(state.root, following.commitment(), before, context.commitment())
        common: Values = {
            "state_before": publics.state_before,
            "context_before": publics.context_before,
            "digest": context.digest,
            "operation_nonce": context.nonce,
            "index": context.index,
            "rest": remaining,
            "sender": context.sender,
        }
        yield SegmentTrace(CIRCUIT_OF[instruction.opcode], common | inputs, publics)
        context = following


def closed_context(chain_id: int, signed: SignedOperation) -> int:
    """The public value that ends an operation's chain: every instruction done, nothing outstanding."""
    operation = signed.operation
    steps = len(operation.program())
    return Context(operation.digest(chain_id), operation.nonce, steps, 0, operation.sender).commitment()


def _authorize(state: State, signed: SignedOperation, program: int) -> SegmentTrace:
    operation, sender = signed.operation, signed.operation.sender
    key = state.key(sender)
    signed.check_signature(state.chain_id, key)
    expected = state.nonce(sender)
    if operation.nonce != expected:
        raise StaleNonceError(f"account {sender} is at nonce {expected}, not {operation.nonce}", field="nonce")
    digest = operation.digest(state.chain_id)
    before = state.root
    inputs: Values = {
        "state_before": before,
        "context_before": digest,
        "chain_id": state.chain_id,
        "kind": int(operation.kind),
        "sender": sender,
        "nonce": operation.nonce,
        "account_nonce": expected,
        "program": program,
        "key": [key.x, key.y],
        "balances_root": state.balances_root(sender),
        "signature": [signed.signature.r8.x, signed.signature.r8.y, signed.signature.s],
        "account_path": state.account_path(sender),
        "pools_root": state.pools_root,
    }
    state.set_nonce(sender, expected + 1)
    context = Context(digest, operation.nonce, 0, program, sender)
    return SegmentTrace(AUTHORIZE, inputs, Publics(state.root, context.commitment(), before, digest))


def account_inputs(state: State, account: int, token: int) -> Values:
    """What debit and credit read of an account: its leaf and the paths to the balance of `token`."""
    key = state.key(account)
    return {
        "key": [key.x, key.y],
        "account_nonce": state.nonce(account),
        "balance": state.balance(account, token),
        "balance_path": state.balance_path(account, token),
        "account_path": state.account_path(account),
        "pools_root": state.pools_root,
    }


def pool_inputs(state: State, index: int, token_in: int) -> Values:
    """What swap reads of a pool: its leaf, the path to it, and which way the swap goes."""
    pool = state.pool(index)
    return {
        "pool": index,
        "tokens": [pool.token_a, pool.token_b],
        "reserves": [pool.reserve_a, pool.reserve_b],
        "fee": pool.fee,
        "backwards": int(token_in == pool.token_b),
        "pool_path": state.pool_path(index),
        "accounts_root": state.accounts_root,
    }


def _debit(state: State, context: Context, instruction: Instruction) -> tuple[Context, Values]:
    token, amount = instruction.first, instruction.second
    balance = state.balance(context.sender, token)
    if balance < amount:
        raise OverdraftError(
            f"account {context.sender} holds {balance} of token {token}, less than {amount}", field="amount"
        )
    inputs: Values = {"token": token, "amount": amount}
    inputs |= account_inputs(state, context.sender, token)
    state.set_balance(context.sender, token, balance - amount)
    return replace(context, token=token, amount=amount), inputs


def _credit(state: State, context: Context, instruction: Instruction) -> tuple[Context, Values]:
    recipient, token, amount = instruction.first, context.token, context.amount
    inputs: Values = {"token": token, "amount": amount, "recipient": recipient}
    inputs |= account_inputs(state, recipient, token)
    state.set_balance(recipient, token, state.balance(recipient, token) + amount)
    return replace(context, token=0, amount=0), inputs


def _swap(state: State, context: Context, instruction: Instruction) -> tuple[Context, Values]:
    index, minimum = instruction.first, instruction.second
    pool = state.pool(index)
    if not pool.trades(context.token):
        raise UnknownPoolError(f"pool {index} does not trade token {context.token}", field="route")
    amount_out = pool.quote(context.token, context.amount)
    if amount_out < minimum:
        raise SlippageError(f"pool {index} yields {amount_out}, less than {minimum}", field="minimum_out")
    after = pool.swapped(context.token, context.amount)
    check_amount(after.reserve_a, "reserve_a")
    check_amount(after.reserve_b, "reserve_b")
    inputs: Values = {"token": context.token, "amount": context.amount, "minimum_out": minimum}
    inputs |= pool_inputs(state, index, context.token)
    state.set_pool(index, after)
    return replace(context, token=pool.other(context.token), amount=amount_out), inputs


_STEPS = {Opcode.DEBIT: _debit, Opcode.SWAP: _swap, Opcode.CREDIT: _credit}


def execute_all(state: State, operations: Sequence[SignedOperation]) -> list[list[SegmentTrace]]:
    """Executes a block's operations in order, each on the state the one before left."""
    return [execute(state, signed) for signed in operations]
