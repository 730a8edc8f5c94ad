"""The rollup's executor on plain integers: what operations do, and what is refused by name with the state untouched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from examples.rollup.errors import (
    LimitError,
    MalformedOperationError,
    OperationError,
    OverdraftError,
    SignatureError,
    SlippageError,
    StaleNonceError,
    UnknownAccountError,
    UnknownPoolError,
)
from examples.rollup.executor import execute
from examples.rollup.generator import UNIT, Wallet, block
from examples.rollup.operations import Action, Kind, MultiStep, Operation, Swap, TokenTransfer, Transfer
from examples.rollup.parameters import ACCOUNT_DEPTH, AMOUNT_BITS, FEE_SCALE, NATIVE, TOKEN_DEPTH
from examples.rollup.state import Pool, State
from examples.rollup.tree import MerkleTree, empty_root
from prover_core.errors import InvalidInputError
from prover_core.reference.eddsa import PrivateKey
from prover_core.reference.poseidon import poseidon

ALICE, BOB, STRANGER = 3, 40_000, 77
POOL, POOL_2 = 5, 1000
KEYS = {ALICE: PrivateKey.from_seed(b"alice"), BOB: PrivateKey.from_seed(b"bob")}


def fresh() -> State:
    state = State(chain_id=9)
    state.add_account(ALICE, KEYS[ALICE].public, {NATIVE: 1000, 1: 500, 2: 7})
    state.add_account(BOB, KEYS[BOB].public, {1: 2})
    state.add_pool(POOL, Pool(NATIVE, 1, 10_000, 40_000, fee=30))
    state.add_pool(POOL_2, Pool(1, 2, 90_000, 80_000, fee=100))
    return state


@pytest.fixture
def state() -> State:
    return fresh()


def apply(state: State, action: Action, sender: int = ALICE) -> None:
    execute(state, Operation(sender, state.nonce(sender), action).sign(state.chain_id, KEYS[sender]))


def test_transfer_moves_native_tokens_and_the_nonce(state: State) -> None:
    apply(state, Transfer(BOB, 300))
    assert (state.balance(ALICE, NATIVE), state.balance(BOB, NATIVE)) == (700, 300)
    assert (state.nonce(ALICE), state.nonce(BOB)) == (1, 0)
    apply(state, Transfer(ALICE, 300), sender=BOB)
    assert (state.balance(ALICE, NATIVE), state.balance(BOB, NATIVE)) == (1000, 0)


def test_token_transfer_moves_that_token_only(state: State) -> None:
    apply(state, TokenTransfer(1, BOB, 500))
    assert (state.balance(ALICE, 1), state.balance(BOB, 1)) == (0, 502)
    assert state.balance(ALICE, NATIVE) == 1000


def test_swap_pays_by_the_constant_product_with_fee(state: State) -> None:
    apply(state, Swap(NATIVE, 1000, (POOL,), 3626))
    # 1000 * 0.997 * 40000 / (10000 + 1000 * 0.997) = 3626.4...
    assert (state.balance(ALICE, NATIVE), state.balance(ALICE, 1)) == (0, 500 + 3626)
    pool = state.pool(POOL)
    assert (pool.reserve_a, pool.reserve_b) == (11_000, 40_000 - 3626)
    assert pool.reserve_a * pool.reserve_b > 10_000 * 40_000


def test_routed_swap_backwards(state: State) -> None:
    before = state.totals()
    expected = Pool(NATIVE, 1, 10_000, 40_000, 30).quote(1, Pool(1, 2, 90_000, 80_000, 100).quote(2, 7))
    apply(state, Swap(2, 7, (POOL_2, POOL), expected))
    assert (state.balance(ALICE, 2), state.balance(ALICE, NATIVE)) == (0, 1000 + expected)
    assert state.totals() == before


@pytest.mark.parametrize("fee", [0, 30, 9_999])
@pytest.mark.parametrize("amount", [1, 999, 2**40, 2**90])
def test_no_swap_shrinks_the_product(fee: int, amount: int) -> None:
    pool = Pool(1, 2, 123_456_789 * UNIT, 987 * UNIT, fee)
    for token in (1, 2):
        after = pool.swapped(token, amount)
        assert after.reserve_a * after.reserve_b >= pool.reserve_a * pool.reserve_b
        assert after.reserve_a > 0
        assert after.reserve_b > 0
        # a round trip never gains
        out = pool.quote(token, amount)
        assert after.quote(pool.other(token), out) <= amount
    assert pool.fee < FEE_SCALE


def test_multi_step_succeeds_or_fails_as_one(state: State) -> None:
    good = (Swap(NATIVE, 400, (POOL,), 1), TokenTransfer(1, BOB, 1500), Transfer(BOB, 600))
    apply(state, MultiStep(good))
    assert state.balance(ALICE, NATIVE) == 0
    assert state.balance(BOB, 1) == 1502

    state = fresh()
    root = state.root
    with pytest.raises(OverdraftError):  # only the last step fails; the swap before it is undone
        apply(state, MultiStep((*good[:2], Transfer(BOB, 601))))
    assert state.root == root
    assert (state.nonce(ALICE), state.pool(POOL).reserve_a, state.balance(BOB, 1)) == (0, 10_000, 2)
    assert state.totals() == fresh().totals()


REFUSED: list[tuple[Action, type[OperationError], str]] = [
    (Transfer(BOB, 1001), OverdraftError, "amount"),
    (TokenTransfer(3, BOB, 1), OverdraftError, "amount"),
    (Transfer(STRANGER, 1), UnknownAccountError, "account"),
    (Swap(NATIVE, 1000, (POOL,), 3627), SlippageError, "minimum_out"),
    (Swap(2, 1, (POOL_2, POOL), 1), SlippageError, "minimum_out"),  # nothing comes out of so little
    (Swap(NATIVE, 1, (6,), 1), UnknownPoolError, "pool"),
    (Swap(2, 1, (POOL,), 1), UnknownPoolError, "route"),
]


@pytest.mark.parametrize(("action", "error", "field"), REFUSED, ids=lambda v: getattr(v, "__name__", None))
def test_refused_with_the_state_untouched(
    state: State, action: Action, error: type[OperationError], field: str
) -> None:
    root = state.root
    with pytest.raises(error) as caught:
        apply(state, action)
    assert caught.value.field == field
    assert state.root == root
    apply(state, Transfer(BOB, 1))  # and life goes on


@pytest.mark.parametrize("nonce", [1, 7, 2**64 - 1])
def test_wrong_nonce(state: State, nonce: int) -> None:
    with pytest.raises(StaleNonceError, match="nonce 0"):
        execute(state, Operation(ALICE, nonce, Transfer(BOB, 1)).sign(state.chain_id, KEYS[ALICE]))


def test_replay_is_stale(state: State) -> None:
    signed = Operation(ALICE, 0, Transfer(BOB, 1)).sign(state.chain_id, KEYS[ALICE])
    execute(state, signed)
    with pytest.raises(StaleNonceError):
        execute(state, signed)


def test_signatures_bind_everything(state: State) -> None:
    operation = Operation(ALICE, 0, MultiStep((Transfer(BOB, 10), Transfer(BOB, 20))))
    signed = operation.sign(state.chain_id, KEYS[ALICE])
    forgeries = [
        replace(signed, operation=replace(operation, action=MultiStep((Transfer(BOB, 20), Transfer(BOB, 10))))),
        replace(signed, operation=replace(operation, action=MultiStep((Transfer(BOB, 10), Transfer(BOB, 21))))),
        replace(signed, operation=replace(operation, nonce=1)),
        replace(signed, operation=Operation(ALICE, 0, Transfer(BOB, 10))),
        operation.sign(state.chain_id + 1, KEYS[ALICE]),
        operation.sign(state.chain_id, KEYS[BOB]),
        replace(signed, signature=replace(signed.signature, s=signed.signature.s + 1)),
    ]
    for forged in forgeries:
        with pytest.raises(SignatureError, match="account 3's"):
            execute(state, forged)
    execute(state, signed)


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (Transfer(BOB, 0), "amount"),
        (Transfer(BOB, -1), "amount"),
        (Transfer(BOB, 1 << AMOUNT_BITS), "amount"),
        (Transfer(ALICE, 1), "recipient"),
        (Transfer(1 << ACCOUNT_DEPTH, 1), "recipient"),
        (TokenTransfer(NATIVE, BOB, 1), "token"),
        (TokenTransfer(1 << TOKEN_DEPTH, BOB, 1), "token"),
        (Swap(NATIVE, 0, (POOL,), 1), "amount_in"),
        (Swap(NATIVE, 1, (POOL,), 0), "minimum_out"),
        (Swap(NATIVE, 1, (), 1), "route"),
        (Swap(NATIVE, 1, (POOL,) * 4, 1), "route"),
        (MultiStep((Transfer(BOB, 1),)), "steps"),
        (MultiStep((Transfer(BOB, 1),) * 8), "steps"),
    ],
)
def test_malformed_operations_cannot_be_made(action: Action, field: str) -> None:
    with pytest.raises(MalformedOperationError) as caught:
        Operation(ALICE, 0, action)
    assert caught.value.field == field


def test_no_balance_or_reserve_passes_its_range(state: State) -> None:
    top = (1 << AMOUNT_BITS) - 1
    state.add_account(1, KEYS[BOB].public, {NATIVE: top, 2: top})
    with pytest.raises(LimitError, match="balance"):
        apply(state, Transfer(1, 1))
    state.add_pool(9, Pool(NATIVE, 1, top, top, fee=0))
    with pytest.raises(LimitError, match="reserve_a"):
        apply(state, Swap(NATIVE, 1000, (9,), 1))
    assert state.balance(ALICE, NATIVE) == 1000


@pytest.mark.parametrize(
    "fields", [{"token_b": 0}, {"fee": FEE_SCALE}, {"reserve_a": 0}, {"token_a": 1 << TOKEN_DEPTH}]
)
def test_pools_are_checked(fields: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace(Pool(0, 1, 5, 5, 30), **fields)
    assert caught.value.field in fields


def test_tree_root_is_the_fold_of_its_path() -> None:
    tree = MerkleTree(5)
    assert tree.root == empty_root(5)
    for index, leaf in ((0, 11), (21, 12), (31, 13), (21, 14)):
        tree.set(index, leaf)
        node = leaf
        for level, sibling in enumerate(tree.path(index)):
            node = poseidon([sibling, node] if index >> level & 1 else [node, sibling])
        assert node == tree.root
    copy = tree.copy()
    copy.set(0, 0)
    assert copy.root != tree.root
    for index in (21, 31):
        copy.set(index, 0)
    assert copy.root == empty_root(5)
    with pytest.raises(InvalidInputError):
        tree.set(32, 1)


def test_generator_is_deterministic_and_conserves_every_token() -> None:
    counts = dict.fromkeys(Kind, 2)
    first, second = block(11, counts), block(11, counts)
    assert first.claim == second.claim
    assert sorted(o.operation.kind for o in first.operations) == sorted(k for k in Kind for _ in range(2))
    assert block(12, {Kind.TRANSFER: 1}).state_before != first.state_before
    state = first.genesis.copy()
    for signed in first.operations:
        execute(state, signed)
    assert state.root == first.state_after != first.state_before
    assert state.totals() == first.genesis.totals()


def test_wallet_actions_are_allowed_in_any_number() -> None:
    wallet = Wallet(4, accounts=3)
    sender = wallet.state.account_indices[0]
    for kind in (*Kind, Kind.SWAP, Kind.SWAP):
        execute(wallet.state, wallet.sign(sender, wallet.action(kind, sender)))
    assert wallet.state.nonce(sender) == 6
