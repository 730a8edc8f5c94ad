"""The segment circuits: honest inputs give the executor's public signals; forged ones, made past the executor, fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from examples.rollup.circuits import build_circuit, build_circuits
from examples.rollup.commitments import Context, Instruction, Opcode, program_hashes
from examples.rollup.decompose import decompose_block, stringify
from examples.rollup.executor import AUTHORIZE, CREDIT, DEBIT, SWAP, Values, account_inputs, execute, pool_inputs
from examples.rollup.generator import block
from examples.rollup.operations import Kind, Operation, Transfer
from examples.rollup.parameters import AMOUNT_BITS, NATIVE, TOKEN_DEPTH
from examples.rollup.state import Pool, State
from prover_core.errors import UnsatisfiedError
from prover_core.reference.babyjubjub import SUBGROUP_ORDER
from prover_core.reference.eddsa import PrivateKey
from prover_core.reference.poseidon import poseidon
from prover_core.types import R

ALICE, BOB, NOBODY = 3, 40_000, 77
POOL, OTHER_POOL = 5, 1000
TOP = (1 << AMOUNT_BITS) - 1
KEYS = {ALICE: PrivateKey.from_seed(b"alice"), BOB: PrivateKey.from_seed(b"bob")}
REST = 123456789  # an operation's further program, of which a segment sees only the hash


@pytest.fixture
def state() -> State:
    state = State(chain_id=9)
    state.add_account(ALICE, KEYS[ALICE].public, {NATIVE: 1000, 1: 500})
    state.add_account(BOB, KEYS[BOB].public, {NATIVE: TOP, 1: 2})
    state.add_pool(POOL, Pool(NATIVE, 1, 10_000, 40_000, fee=30))
    state.add_pool(OTHER_POOL, Pool(1, 2, TOP, TOP, fee=100))
    return state


def prove(circuit: str, inputs: Values) -> list[int]:
    """The public signals of a witness that satisfies every row, or `UnsatisfiedError`."""
    return build_circuit(circuit).evaluate(stringify(inputs))[1:5]


def refused(circuit: str, inputs: Values, reason: str) -> None:
    with pytest.raises(UnsatisfiedError, match=reason):
        prove(circuit, inputs)


def running(state: State, instruction: Instruction, token: int = 0, amount: int = 0, sender: int = ALICE) -> Values:
    """The inputs of a segment in the middle of an operation, consistent with whatever is asked for."""
    remaining = poseidon([instruction.opcode, instruction.first % R, instruction.second % R, REST])
    context = Context(111, 4, 2, remaining, sender, token, amount)
    return {
        "state_before": state.root,
        "context_before": context.commitment(),
        "digest": 111,
        "operation_nonce": 4,
        "index": 2,
        "rest": REST,
        "sender": sender,
    }


def debit(state: State, amount: int, token: int = NATIVE) -> Values:
    opened = running(state, Instruction(Opcode.DEBIT, token, amount))
    return opened | {"token": token, "amount": amount} | account_inputs(state, ALICE, token)


def credit(state: State, amount: int, recipient: int = BOB, token: int = 1) -> Values:
    opened = running(state, Instruction(Opcode.CREDIT, recipient, 0), token, amount)
    given: Values = {"token": token, "amount": amount, "recipient": recipient}
    return opened | given | account_inputs(state, recipient, token)


def swap(state: State, amount: int, minimum: int, pool: int = POOL, token: int = NATIVE) -> Values:
    opened = running(state, Instruction(Opcode.SWAP, pool, minimum), token, amount)
    return opened | {"token": token, "amount": amount, "minimum_out": minimum} | pool_inputs(state, pool, token)


def authorize(state: State, nonce: int = 0, sender: int = ALICE) -> Values:
    """An honest authorization of whatever nonce; the account's is 0."""
    fresh = state.copy()
    signed = Operation(sender, 0, Transfer(NOBODY, 10)).sign(state.chain_id, KEYS[sender])
    fresh.add_account(NOBODY, KEYS[BOB].public, {})
    inputs = dict(execute(fresh, signed)[0].inputs)
    inputs |= {
        "state_before": state.root,
        "account_path": state.account_path(sender),
    }
    if nonce:
        signed = Operation(sender, nonce, Transfer(NOBODY, 10)).sign(state.chain_id, KEYS[sender])
        inputs |= {
            "nonce": nonce,
            "context_before": signed.operation.digest(state.chain_id),
            "signature": [*signed.signature.r8, signed.signature.s],
        }
    return inputs


def test_circuits_are_few_and_small() -> None:
    circuits = build_circuits()
    assert list(circuits) == [AUTHORIZE, DEBIT, SWAP, CREDIT]
    for name, circuit in circuits.items():
        # outputs, then public inputs: what Link indices count on
        assert circuit.public_names == ("state_after", "context_after", "state_before", "context_before")
        assert circuit.r1cs.n_constraints + circuit.r1cs.n_public + 1 <= (1 << 14 if name == SWAP else 1 << 15)


def test_honest_segments_show_what_the_executor_foresaw() -> None:
    for job in decompose_block(block(3, {Kind.SWAP: 1, Kind.TRANSFER: 1})):
        for segment, publics in zip(job.segments, job.publics, strict=True):
            witness = build_circuit(segment.circuit_name).evaluate(segment.inputs)
            assert tuple(witness[1:5]) == publics


@pytest.mark.parametrize("amount", [1, 1000])
def test_debit_to_the_last_unit(state: State, amount: int) -> None:
    inputs = debit(state, amount)
    after = state.copy()
    after.set_balance(ALICE, NATIVE, 1000 - amount)
    context = Context(111, 4, 3, REST, ALICE, NATIVE, amount)
    expected = [after.root, context.commitment(), inputs["state_before"], inputs["context_before"]]
    assert prove(DEBIT, inputs) == expected


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (1001, "overdraft"),
        (TOP, "overdraft"),
        (0, "amount: is zero"),
        (R - 1, "amount: is out of range"),  # minus one: would mint
        (TOP + 1, "amount: is out of range"),
    ],
)
def test_debit_refuses_amounts(state: State, amount: int, reason: str) -> None:
    refused(DEBIT, debit(state, amount), reason)


def test_debit_refuses_a_balance_that_is_not_in_the_state(state: State) -> None:
    refused(DEBIT, debit(state, 5000) | {"balance": 6000}, "state")
    refused(DEBIT, debit(state, 5) | {"account_nonce": 1}, "state")
    refused(DEBIT, debit(state, 5) | {"pools_root": 1}, "state")


def test_debit_takes_from_the_sender_only(state: State) -> None:
    inputs = debit(state, 5) | account_inputs(state, BOB, NATIVE)
    refused(DEBIT, inputs, "state")  # Bob's leaf under Alice's index
    refused(DEBIT, inputs | {"sender": BOB}, "context")


def test_debit_needs_nothing_outstanding(state: State) -> None:
    opened = running(state, Instruction(Opcode.DEBIT, NATIVE, 5), token=1, amount=7)
    refused(DEBIT, debit(state, 5) | opened, "context")


def test_no_token_beyond_the_tree(state: State) -> None:
    beyond = 1 << TOKEN_DEPTH
    lie = running(state, Instruction(Opcode.DEBIT, beyond, 5)) | {"token": beyond}
    refused(DEBIT, debit(state, 5, NATIVE) | lie, "token")


@pytest.mark.parametrize("name", ["digest", "operation_nonce", "index", "rest", "sender", "amount", "context_before"])
@pytest.mark.parametrize("circuit", [DEBIT, SWAP, CREDIT])
def test_every_link_of_the_context_holds(state: State, circuit: str, name: str) -> None:
    """Another operation, nonce, place in it, program, sender or amount than the segment before said."""
    inputs = {DEBIT: debit(state, 5), SWAP: swap(state, 100, 1), CREDIT: credit(state, 5)}[circuit]
    value = inputs[name]
    assert isinstance(value, int)
    refused(circuit, inputs | {name: value + 1}, "context")


@pytest.mark.parametrize("circuit", [DEBIT, SWAP, CREDIT])
def test_the_link_of_the_state_holds(state: State, circuit: str) -> None:
    inputs = {DEBIT: debit(state, 5), SWAP: swap(state, 100, 1), CREDIT: credit(state, 5)}[circuit]
    refused(circuit, inputs | {"state_before": state.root + 1}, "state")


def test_credit_pays_whom_the_sender_named(state: State) -> None:
    after = state.copy()
    after.set_balance(BOB, 1, 7)
    assert prove(CREDIT, credit(state, 5))[0] == after.root
    diverted = credit(state, 5) | account_inputs(state, ALICE, 1) | {"recipient": ALICE}
    refused(CREDIT, diverted, "context")
    refused(CREDIT, credit(state, 5) | account_inputs(state, ALICE, 1), "state")
    refused(CREDIT, credit(state, 5) | {"token": 2}, "context")


def test_credit_refuses_overflow_nothing_and_nobody(state: State) -> None:
    refused(CREDIT, credit(state, 1, BOB, NATIVE), "limit")
    refused(CREDIT, credit(state, 0), "amount: is zero")
    unknown = credit(state, 5) | running(state, Instruction(Opcode.CREDIT, NOBODY, 0), 1, 5)
    refused(CREDIT, unknown | {"recipient": NOBODY, "account_path": state.account_path(NOBODY)}, "state")


@pytest.mark.parametrize("token", [NATIVE, 1])
def test_swap_by_the_formula_both_ways(state: State, token: int) -> None:
    pool = state.pool(POOL)
    out = pool.quote(token, 777)
    publics = prove(SWAP, swap(state, 777, out, token=token))
    after = state.copy()
    after.set_pool(POOL, pool.swapped(token, 777))
    assert publics[:2] == [after.root, Context(111, 4, 3, REST, ALICE, 1 - token, out).commitment()]


def test_swap_refuses_slippage(state: State) -> None:
    out = state.pool(POOL).quote(NATIVE, 777)
    refused(SWAP, swap(state, 777, out + 1), "slippage: less than the minimum")
    refused(SWAP, swap(state, 777, R - 1), "slippage: minimum is out of range")
    dust = state.pool(POOL).quote(1, 1)
    assert dust == 0
    refused(SWAP, swap(state, 1, 0, token=1), "slippage: nothing comes out")


def test_swap_refuses_other_pools_tokens_fees_and_reserves(state: State) -> None:
    refused(SWAP, swap(state, 777, 1) | {"backwards": 1}, "pool: does not trade")
    refused(SWAP, swap(state, 777, 1) | {"backwards": 2}, "pool: direction")
    refused(SWAP, swap(state, 777, 1, OTHER_POOL), "pool: does not trade")
    refused(SWAP, swap(state, 777, 1) | {"tokens": [0, 2]}, "state")
    refused(SWAP, swap(state, 777, 1) | {"fee": 0}, "state")
    refused(SWAP, swap(state, 777, 1) | {"fee": R - 1}, "pool: fee")
    refused(SWAP, swap(state, 777, 1) | {"fee": 10_001}, "pool: fee")
    refused(SWAP, swap(state, 777, 1) | {"reserves": [10_000, 50_000]}, "state")
    refused(SWAP, swap(state, 777, 1) | {"reserves": [R - 1, 50_000]}, "pool: reserve")
    refused(SWAP, swap(state, 777, 1) | {"pool": OTHER_POOL}, "context")


def test_swap_refuses_a_reserve_beyond_its_range(state: State) -> None:
    refused(SWAP, swap(state, 777, 1, OTHER_POOL, token=2), "limit")


@pytest.mark.parametrize("gain", [1, -1, 2**80])
def test_swap_refuses_another_quotient(state: State, gain: int) -> None:
    """A prover that lies in its hints: out + gain, with the remainder that keeps the product equation true."""
    pool, amount = state.pool(POOL), 777
    effective = amount * (10_000 - pool.fee)
    dividend, divisor = effective * pool.reserve_b, pool.reserve_a * 10_000 + effective
    out, rest = divmod(dividend, divisor)
    circuit, inputs = build_circuit(SWAP), stringify(swap(state, amount, 1))
    honest = circuit.evaluate(inputs)
    lies = {honest.index(out): (out + gain) % R, honest.index(rest): (rest - gain * divisor) % R}
    with pytest.raises(UnsatisfiedError, match=r"constant product: (remainder|quotient)"):
        circuit.evaluate(inputs, overrides=lies)


def test_authorize_opens_the_context_and_moves_the_nonce(state: State) -> None:
    inputs = authorize(state)
    after = state.copy()
    after.set_nonce(ALICE, 1)
    digest, program = inputs["context_before"], inputs["program"]
    assert isinstance(digest, int)
    assert isinstance(program, int)
    opened = Context(digest, 0, 0, program, ALICE).commitment()
    assert prove(AUTHORIZE, inputs) == [after.root, opened, state.root, digest]


def test_authorize_refuses_wrong_signatures(state: State) -> None:
    inputs = authorize(state)
    digest, signature = inputs["context_before"], inputs["signature"]
    assert isinstance(digest, int)
    assert isinstance(signature, list)
    x, y, s = signature
    by_bob = KEYS[BOB].sign(digest)
    other = KEYS[ALICE].sign(digest + 1)
    for forged in (
        [x, y, (s + 1) % SUBGROUP_ORDER],
        [x, y, s + SUBGROUP_ORDER],  # the same signature, were S not bounded
        [x, (y + 1) % R, s],  # off the curve
        [*by_bob.r8, by_bob.s],
        [*other.r8, other.s],
    ):
        refused(AUTHORIZE, inputs | {"signature": forged}, "signature")
    # Bob's valid signature under Bob's key: the key is not the one in Alice's leaf
    forged_key: Values = {"signature": [*by_bob.r8, by_bob.s], "key": list(KEYS[BOB].public)}
    refused(AUTHORIZE, inputs | forged_key, "state")


def test_authorize_refuses_stale_and_early_nonces(state: State) -> None:
    refused(AUTHORIZE, authorize(state, nonce=1), "nonce: is not the account's next")
    refused(AUTHORIZE, authorize(state, nonce=1) | {"account_nonce": 1}, "state")
    state.set_nonce(ALICE, 1)
    replayed = authorize(replace_nonce(state, 0)) | {"state_before": state.root, "account_nonce": 1}
    refused(AUTHORIZE, replayed, "nonce: is not the account's next")


def replace_nonce(state: State, nonce: int) -> State:
    copy = state.copy()
    copy.set_nonce(ALICE, nonce)
    return copy


@pytest.mark.parametrize("name", ["chain_id", "kind", "program", "sender", "context_before"])
def test_authorize_signs_nothing_else(state: State, name: str) -> None:
    inputs = authorize(state)
    value = inputs[name]
    assert isinstance(value, int)
    refused(AUTHORIZE, inputs | {name: value + 1}, "context")


def test_authorize_refuses_unknown_accounts(state: State) -> None:
    """A key of one's own at an empty index: the empty leaf has no preimage."""
    inputs = authorize(state)
    operation = replace(Operation(ALICE, 0, Transfer(BOB, 10)), sender=NOBODY)
    signed = operation.sign(state.chain_id, KEYS[ALICE])
    inputs |= {
        "sender": NOBODY,
        "program": program_hashes(operation.program())[0],
        "context_before": operation.digest(state.chain_id),
        "signature": [*signed.signature.r8, signed.signature.s],
        "account_path": state.account_path(NOBODY),
    }
    refused(AUTHORIZE, inputs, "state")
