"""The rollup's state: accounts with a tree of balances each, constant-product pools, and one root over both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from prover_core.errors import InvalidInputError
from prover_core.reference.babyjubjub import Point, in_subgroup

from .commitments import account_leaf, pool_leaf, state_root
from .errors import LimitError, UnknownAccountError, UnknownPoolError
from .parameters import ACCOUNT_DEPTH, AMOUNT_BITS, FEE_SCALE, POOL_DEPTH, TOKEN_DEPTH
from .tree import MerkleTree


def check_amount(value: int, field: str) -> None:
    """`LimitError` naming `field` unless 0 <= value < 2^96."""
    if not 0 <= value < 1 << AMOUNT_BITS:
        raise LimitError(f"{field} would leave the range of {AMOUNT_BITS} bits", field=field)


@dataclass(frozen=True, slots=True)
class Pool:
    """Reserves of two tokens; a swap keeps the product from falling. `fee` is in basis points and stays in the pool."""

    token_a: int
    token_b: int
    reserve_a: int
    reserve_b: int
    fee: int

    def __post_init__(self) -> None:
        for field, token in (("token_a", self.token_a), ("token_b", self.token_b)):
            if not 0 <= token < 1 << TOKEN_DEPTH:
                raise InvalidInputError(f"there is no token {token}", field=field)
        if self.token_a == self.token_b:
            raise InvalidInputError("a pool trades two different tokens", field="token_b")
        if not 0 <= self.fee < FEE_SCALE:
            raise InvalidInputError(f"a fee is in [0, {FEE_SCALE}) basis points", field="fee")
        for field, reserve in (("reserve_a", self.reserve_a), ("reserve_b", self.reserve_b)):
            check_amount(reserve, field)
            if reserve == 0:
                raise InvalidInputError("a pool has reserves of both tokens", field=field)

    def trades(self, token: int) -> bool:
        """Whether `token` is one of the two."""
        return token in (self.token_a, self.token_b)

    def other(self, token: int) -> int:
        """The token that comes out where `token` goes in."""
        return self.token_b if token == self.token_a else self.token_a

    def quote(self, token_in: int, amount_in: int) -> int:
        """floor(g y / (x * 10000 + g)), g = amount_in * (10000 - fee), x and y the reserves in and out.

        The constant product with the fee taken on the way in, rounded down in favour of the pool; always below y.
        """
        reserve_in, reserve_out = self._directed(token_in)
        effective = amount_in * (FEE_SCALE - self.fee)
        return effective * reserve_out // (reserve_in * FEE_SCALE + effective)

    def swapped(self, token_in: int, amount_in: int) -> Pool:
        """The pool after the swap; `LimitError` if the reserve that grows would reach 2^96."""
        reserve_in, reserve_out = self._directed(token_in)
        grown, shrunk = reserve_in + amount_in, reserve_out - self.quote(token_in, amount_in)
        if token_in == self.token_a:
            return replace(self, reserve_a=grown, reserve_b=shrunk)
        return replace(self, reserve_b=grown, reserve_a=shrunk)

    def _directed(self, token_in: int) -> tuple[int, int]:
        return (self.reserve_a, self.reserve_b) if token_in == self.token_a else (self.reserve_b, self.reserve_a)

    def leaf(self) -> int:
        """The pool as a leaf of the tree of pools; one hash."""
        return pool_leaf(self.token_a, self.token_b, self.reserve_a, self.reserve_b, self.fee)


@dataclass(slots=True)
class _Account:
    key: Point
    nonce: int
    balances: MerkleTree


class State:
    """Accounts and pools by index. Changes inside `transaction()` are undone if it is left by an exception."""

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        self._accounts: dict[int, _Account] = {}
        self._pools: dict[int, Pool] = {}
        self._account_tree = MerkleTree(ACCOUNT_DEPTH)
        self._pool_tree = MerkleTree(POOL_DEPTH)
        self._undo: list[Callable[[], None]] | None = None

    def copy(self) -> State:
        """An independent state with the same root."""
        other = State(self.chain_id)
        other._accounts = {i: _Account(a.key, a.nonce, a.balances.copy()) for i, a in self._accounts.items()}
        other._pools = dict(self._pools)
        other._account_tree = self._account_tree.copy()
        other._pool_tree = self._pool_tree.copy()
        return other

    @property
    def root(self) -> int:
        """The state root: Poseidon(accounts root, pools root); one hash."""
        return state_root(self.accounts_root, self.pools_root)

    @property
    def accounts_root(self) -> int:
        """Root of the tree of accounts."""
        return self._account_tree.root

    @property
    def pools_root(self) -> int:
        """Root of the tree of pools."""
        return self._pool_tree.root

    def add_account(self, index: int, key: Point, balances: Mapping[int, int]) -> None:
        """Opens an account (genesis; there is no circuit for it). The key must be in the subgroup."""
        if index in self._accounts:
            raise InvalidInputError(f"account {index} exists", field="index")
        if not in_subgroup(key):
            raise InvalidInputError(f"the key of account {index} is not in the subgroup", field="key")
        tree = MerkleTree(TOKEN_DEPTH)
        for token, amount in balances.items():
            check_amount(amount, "balance")
            tree.set(token, amount)
        self._account_tree.set(index, account_leaf(key, 0, tree.root))
        self._accounts[index] = _Account(key, 0, tree)

    def add_pool(self, index: int, pool: Pool) -> None:
        """Opens a pool (genesis; there is no circuit for it)."""
        if index in self._pools:
            raise InvalidInputError(f"pool {index} exists", field="index")
        self._pool_tree.set(index, pool.leaf())
        self._pools[index] = pool

    @property
    def account_indices(self) -> list[int]:
        """Where there are accounts, ascending."""
        return sorted(self._accounts)

    @property
    def pools(self) -> dict[int, Pool]:
        """Pools by index; a copy."""
        return dict(self._pools)

    def _account(self, index: int) -> _Account:
        account = self._accounts.get(index)
        if account is None:
            raise UnknownAccountError(f"there is no account {index}", field="account")
        return account

    def key(self, account: int) -> Point:
        """The public key of an account; `UnknownAccountError` if there is none, as below."""
        return self._account(account).key

    def nonce(self, account: int) -> int:
        """The account's next nonce."""
        return self._account(account).nonce

    def balance(self, account: int, token: int) -> int:
        """What the account holds of a token, 0 if it never had any."""
        return self._account(account).balances.get(token)

    def balances_root(self, account: int) -> int:
        """Root of the account's tree of balances."""
        return self._account(account).balances.root

    def pool(self, index: int) -> Pool:
        """The pool at an index; `UnknownPoolError` if there is none."""
        pool = self._pools.get(index)
        if pool is None:
            raise UnknownPoolError(f"there is no pool {index}", field="pool")
        return pool

    def account_path(self, account: int) -> list[int]:
        """Siblings of the account's leaf, from below."""
        return self._account_tree.path(account)

    def balance_path(self, account: int, token: int) -> list[int]:
        """Siblings of the token's leaf in the account's tree of balances, from below."""
        return self._account(account).balances.path(token)

    def pool_path(self, pool: int) -> list[int]:
        """Siblings of the pool's leaf, from below."""
        return self._pool_tree.path(pool)

    def set_nonce(self, account: int, nonce: int) -> None:
        """One leaf and 16 nodes hashed anew."""
        record = self._account(account)
        old = record.nonce
        self._remember(lambda: self.set_nonce(account, old))
        record.nonce = nonce
        self._rehash(account)

    def set_balance(self, account: int, token: int, amount: int) -> None:
        """`LimitError` outside [0, 2^96)."""
        check_amount(amount, "balance")
        record = self._account(account)
        old = record.balances.get(token)
        self._remember(lambda: self.set_balance(account, token, old))
        record.balances.set(token, amount)
        self._rehash(account)

    def set_pool(self, index: int, pool: Pool) -> None:
        """Replaces a pool that exists; one leaf and 10 nodes hashed anew."""
        old = self.pool(index)
        self._remember(lambda: self.set_pool(index, old))
        self._pools[index] = pool
        self._pool_tree.set(index, pool.leaf())

    def _rehash(self, index: int) -> None:
        record = self._accounts[index]
        self._account_tree.set(index, account_leaf(record.key, record.nonce, record.balances.root))

    def _remember(self, undo: Callable[[], None]) -> None:
        if self._undo is not None:
            self._undo.append(undo)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: an exception inside undoes every change made inside, and passes on."""
        self._undo = []
        try:
            yield
        except BaseException:
            undo, self._undo = self._undo, None
            for step in reversed(undo):
                step()
            raise
        finally:
            self._undo = None

    def totals(self) -> dict[int, int]:
        """Token → what all accounts and pools hold together; no operation changes it."""
        total: Counter[int] = Counter()
        for account in self._accounts.values():
            for token in range(1 << TOKEN_DEPTH):
                total[token] += account.balances.get(token)
        for pool in self._pools.values():
            total[pool.token_a] += pool.reserve_a
            total[pool.token_b] += pool.reserve_b
        return {token: amount for token, amount in sorted(total.items()) if amount}
