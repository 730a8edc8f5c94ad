"""The four segment circuits on the DSL: authorize, debit, swap, credit.

All have the public signals [state_after, context_after, state_before, context_before] and constrain the formulas of
commitments.py and the rules of executor.py. Labels say what is wrong in the operation's terms, so that a witness that
cannot be made names its reason: "signature", "nonce", "overdraft", "slippage", "state", "context".
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from prover_core.circuit import Circuit, CompiledCircuit, Expr, Uint, compile_circuit
from prover_core.circuit.gadgets import eddsa, merkle
from prover_core.circuit.gadgets.boolean import assert_bit
from prover_core.circuit.gadgets.compare import assert_less_equal, assert_less_than, assert_nonzero
from prover_core.circuit.gadgets.poseidon import poseidon
from prover_core.circuit.gadgets.ranges import range_check, to_bits
from prover_core.circuit.gadgets.select import swap as swap_if

from .commitments import Opcode
from .executor import AUTHORIZE, CREDIT, DEBIT, SWAP
from .parameters import (
    ACCOUNT_DEPTH,
    AMOUNT_BITS,
    DOMAIN,
    FEE_BITS,
    FEE_SCALE,
    NONCE_BITS,
    POOL_DEPTH,
    TOKEN_DEPTH,
)


class _Step(NamedTuple):
    """What every segment but the first reads from the context, and the public signals it begins with."""

    state_before: Expr
    context_before: Expr
    digest: Expr
    nonce: Expr
    position: Expr
    rest: Expr
    sender: Expr
    token: Expr
    amount: Uint


def _begin(c: Circuit) -> _Step:
    """The inputs that debit, swap and credit share. The amount is positive and in range: 97 rows."""
    step = _Step(
        state_before=c.public("state_before"),
        context_before=c.public("context_before"),
        digest=c.private("digest"),
        nonce=c.private("operation_nonce"),
        position=c.private("index"),
        rest=c.private("rest"),
        sender=c.private("sender"),
        token=c.private("token"),
        amount=range_check(c, c.private("amount"), AMOUNT_BITS, "amount: is out of range"),
    )
    assert_nonzero(c, step.amount, "amount: is zero")
    return step


def _continue(
    c: Circuit, step: _Step, opcode: Opcode, first: Expr, second: Expr | int, token: Expr | int, amount: Expr | int
) -> None:
    """context_before holds a program that begins with (opcode, first, second), and (token, amount) outstanding."""
    remaining = poseidon(c, [opcode, first, second, step.rest])
    context = poseidon(c, [step.digest, step.nonce, step.position, remaining, step.sender, token, amount])
    c.assert_equal(context, step.context_before, "context: the operation does not continue with this step")


def _finish(
    c: Circuit, step: _Step, roots: tuple[Expr, Expr], state_after: Expr, token: Expr | int, amount: Expr | int
) -> None:
    """Ties the old (accounts root, pools root) to state_before and gives out the new state and context.

    The index counts one up a segment from 0, so it wraps nowhere.
    """
    c.assert_equal(poseidon(c, list(roots)), step.state_before, "state: does not hold what the step reads")
    c.output("state_after", state_after)
    fields = [step.digest, step.nonce, step.position + 1, step.rest, step.sender, token, amount]
    c.output("context_after", poseidon(c, fields))


def authorize(c: Circuit) -> None:
    """The sender signed the operation and its nonce is the account's next; the nonce moves on."""
    state_before, context_before = c.public("state_before"), c.public("context_before")
    chain_id, kind, program = c.private("chain_id"), c.private("kind"), c.private("program")
    sender, nonce, account_nonce = c.private("sender"), c.private("nonce"), c.private("account_nonce")
    key_x, key_y = c.private("key", 2)
    balances_root = c.private("balances_root")
    signature = eddsa.SignatureExpr(*c.private("signature", 3))
    path, pools_root = c.private("account_path", ACCOUNT_DEPTH), c.private("pools_root")

    digest = poseidon(c, [DOMAIN, chain_id, kind, sender, nonce, program])
    c.assert_equal(digest, context_before, "context: does not open with this operation")
    c.assert_equal(nonce, account_nonce, "nonce: is not the account's next")
    range_check(c, nonce, NONCE_BITS, "nonce: is out of range")
    with c.scope("signature"):
        eddsa.verify(c, key_x, key_y, signature, digest)
    accounts_root, accounts_after = merkle.update(
        c,
        poseidon(c, [key_x, key_y, account_nonce, balances_root]),
        poseidon(c, [key_x, key_y, account_nonce + 1, balances_root]),
        to_bits(c, sender, ACCOUNT_DEPTH, "sender"),
        path,
    )
    opened = poseidon(c, [accounts_root, pools_root])
    c.assert_equal(opened, state_before, "state: does not hold what the step reads")
    c.output("state_after", poseidon(c, [accounts_after, pools_root]))
    c.output("context_after", poseidon(c, [digest, nonce, 0, program, sender, 0, 0]))


def _move_balance(c: Circuit, step: _Step, account: Expr, change: Expr, reason: str) -> tuple[tuple[Expr, Expr], Expr]:
    """Adds `change` to the account's balance of the step's token; `reason` labels the proof that it stays in range.

    Returns ((accounts root, pools root) before, state root after). Balances in the tree are in range (genesis and this
    check), and |change| < 2^96, so neither sum nor difference wraps.
    """
    key_x, key_y = c.private("key", 2)
    nonce, balance = c.private("account_nonce"), c.private("balance")
    balance_path = c.private("balance_path", TOKEN_DEPTH)
    account_path = c.private("account_path", ACCOUNT_DEPTH)
    pools_root = c.private("pools_root")
    after = range_check(c, balance + change, AMOUNT_BITS, reason)
    token_bits = to_bits(c, step.token, TOKEN_DEPTH, "token")
    balances_before, balances_after = merkle.update(c, balance, after, token_bits, balance_path)
    accounts_before, accounts_after = merkle.update(
        c,
        poseidon(c, [key_x, key_y, nonce, balances_before]),
        poseidon(c, [key_x, key_y, nonce, balances_after]),
        to_bits(c, account, ACCOUNT_DEPTH, "account"),
        account_path,
    )
    return (accounts_before, pools_root), poseidon(c, [accounts_after, pools_root])


def debit(c: Circuit) -> None:
    """The amount leaves the sender's balance and becomes outstanding; nothing is outstanding before."""
    step = _begin(c)
    _continue(c, step, Opcode.DEBIT, step.token, step.amount, 0, 0)
    roots, state_after = _move_balance(c, step, step.sender, -step.amount, "overdraft: the balance is below the amount")
    _finish(c, step, roots, state_after, step.token, step.amount)


def credit(c: Circuit) -> None:
    """What is outstanding joins the recipient's balance; nothing is outstanding after."""
    step = _begin(c)
    recipient = c.private("recipient")
    _continue(c, step, Opcode.CREDIT, recipient, 0, step.token, step.amount)
    roots, state_after = _move_balance(c, step, recipient, step.amount, "limit: the balance would leave its range")
    _finish(c, step, roots, state_after, 0, 0)


def swap(c: Circuit) -> None:
    """What is outstanding is exchanged at a pool: out = floor(g y / (10000 x + g)), g = amount (10000 - fee)."""
    step = _begin(c)
    pool, minimum = c.private("pool"), c.private("minimum_out")
    token_a, token_b = c.private("tokens", 2)
    reserve_a, reserve_b = c.private("reserves", 2)
    fee = c.private("fee")
    backwards = assert_bit(c, c.private("backwards"), "pool: direction is 0 or 1")
    path, accounts_root = c.private("pool_path", POOL_DEPTH), c.private("accounts_root")

    _continue(c, step, Opcode.SWAP, pool, minimum, step.token, step.amount)
    token_in, token_out = swap_if(c, backwards, token_a, token_b)
    c.assert_equal(token_in, step.token, "pool: does not trade the token")
    raw_in, raw_out = swap_if(c, backwards, reserve_a, reserve_b)
    reserve_in = range_check(c, raw_in, AMOUNT_BITS, "pool: reserve is out of range")
    reserve_out = range_check(c, raw_out, AMOUNT_BITS, "pool: reserve is out of range")

    amount_out = _constant_product(c, step.amount, reserve_in, reserve_out, fee)
    assert_nonzero(c, amount_out, "slippage: nothing comes out")
    least = range_check(c, minimum, AMOUNT_BITS, "slippage: minimum is out of range")
    assert_less_equal(c, least, amount_out, "slippage: less than the minimum comes out")

    grown = range_check(c, reserve_in + step.amount, AMOUNT_BITS, "limit: the reserve would leave its range")
    shrunk = reserve_out - amount_out  # not negative: out <= y, as the divisor is at least g
    after_a, after_b = swap_if(c, backwards, grown, shrunk)
    pools_before, pools_after = merkle.update(
        c,
        poseidon(c, [token_a, token_b, reserve_a, reserve_b, fee]),
        poseidon(c, [token_a, token_b, after_a, after_b, fee]),
        to_bits(c, pool, POOL_DEPTH, "pool"),
        path,
    )
    _finish(c, step, (accounts_root, pools_before), poseidon(c, [accounts_root, pools_after]), token_out, amount_out)


def _constant_product(c: Circuit, amount: Uint, reserve_in: Uint, reserve_out: Uint, fee: Expr) -> Uint:
    """out = floor(g y / d), d = 10000 x + g: g y = out d + rest with rest < d.

    g < 2^110, d < 2^111, out < 2^96: both sides stay below 2^208, so that the pair is the only one. With g y < 2^206
    a generic division would have to allow for a quotient that fills the field; here y bounds it.
    """
    kept = range_check(c, FEE_SCALE - fee, FEE_BITS, "pool: fee is out of range")
    range_check(c, fee, FEE_BITS, "pool: fee is out of range")
    with c.scope("constant product"):
        effective = amount * kept
        dividend = effective * reserve_out
        bits = AMOUNT_BITS + FEE_BITS + 1
        divisor = Uint.trust(reserve_in * FEE_SCALE + effective, bits)
        quotient, remainder = c.hint.divmod(dividend, divisor)
        c.assert_product(quotient, divisor, dividend - remainder, "dividend is quotient * divisor + remainder")
        out = range_check(c, quotient, AMOUNT_BITS, "quotient")
        rest = range_check(c, remainder, bits, "remainder")
        assert_less_than(c, rest, divisor, "remainder is below the divisor")
    return out


DEFINITIONS = {AUTHORIZE: authorize, DEBIT: debit, SWAP: swap, CREDIT: credit}
"""Circuit name → definition, in the order in which an operation first needs them."""


@cache
def build_circuit(name: str) -> CompiledCircuit:
    """One of the four by name, compiled once a process; `KeyError` for other names."""
    return compile_circuit(DEFINITIONS[name], name=name)


def build_circuits() -> dict[str, CompiledCircuit]:
    """All four by name; compiled once a process, about a second."""
    return {name: build_circuit(name) for name in DEFINITIONS}
