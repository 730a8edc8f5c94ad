"""Signed blocks from a seed: the same seed and counts give the same block, bit for bit, on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from prover_core.errors import InvalidInputError
from prover_core.reference.eddsa import PrivateKey

from .chain import BlockClaim
from .executor import execute
from .operations import Action, Kind, MultiStep, Operation, SignedOperation, Step, Swap, TokenTransfer, Transfer
from .parameters import ACCOUNT_DEPTH, NATIVE, POOL_DEPTH
from .state import Pool, State

UNIT = 10**18
"""Amounts are in 10^-18, as ether's."""
TOKENS = (NATIVE, 1, 2, 3)
DEFAULT_COUNTS: Mapping[Kind, int] = {Kind.TRANSFER: 1, Kind.TOKEN_TRANSFER: 1, Kind.SWAP: 1, Kind.MULTI_STEP: 1}


@dataclass(frozen=True, slots=True)
class Block:
    """Operations to be executed in order on `genesis` (the state before the block)."""

    genesis: State
    operations: tuple[SignedOperation, ...]
    state_after: int

    @property
    def chain_id(self) -> int:
        """Which rollup the signatures are for."""
        return self.genesis.chain_id

    @property
    def state_before(self) -> int:
        """Root of the genesis state."""
        return self.genesis.root

    @property
    def claim(self) -> BlockClaim:
        """What its proofs must show; all that a verifier needs to know of the block."""
        return BlockClaim(self.chain_id, self.state_before, self.state_after, self.operations)


class Wallet:
    """A made-up economy: accounts with keys and balances, and one pool for each neighbouring pair of tokens."""

    def __init__(self, seed: int, accounts: int = 8, chain_id: int = 1) -> None:
        if accounts < 2:
            raise InvalidInputError("an economy needs at least two accounts", field="accounts")
        self.random = Random(seed)
        self.state = State(chain_id)
        indices = sorted(self.random.sample(range(1 << ACCOUNT_DEPTH), accounts))
        self.keys = {i: PrivateKey.from_seed(f"rollup account {i} of seed {seed}".encode()) for i in indices}
        for index, key in self.keys.items():
            balances = {token: self.random.randrange(1_000, 1_000_000) * UNIT for token in TOKENS}
            self.state.add_account(index, key.public, balances)
        numbers = sorted(self.random.sample(range(1 << POOL_DEPTH), len(TOKENS) - 1))
        self.route = tuple(numbers)
        for number, token in zip(numbers, TOKENS, strict=False):
            reserve_a, reserve_b = (self.random.randrange(10**6, 10**8) * UNIT for _ in range(2))
            fee = self.random.choice((5, 30, 100))
            self.state.add_pool(number, Pool(token, token + 1, reserve_a, reserve_b, fee))

    def sign(self, sender: int, action: Action) -> SignedOperation:
        """Signs with the sender's key and its next nonce."""
        return Operation(sender, self.state.nonce(sender), action).sign(self.state.chain_id, self.keys[sender])

    def action(self, kind: Kind, sender: int) -> Action:
        """A random action of this kind that the present state allows."""
        return self._makers[kind](sender)

    @property
    def _makers(self) -> dict[Kind, Callable[[int], Action]]:
        return {
            Kind.TRANSFER: self._transfer,
            Kind.TOKEN_TRANSFER: self._token_transfer,
            Kind.SWAP: lambda sender: self._swap(sender, pools=2),
            Kind.MULTI_STEP: self._multi_step,
        }

    def _recipient(self, sender: int) -> int:
        return self.random.choice([i for i in self.keys if i != sender])

    def _share(self, sender: int, token: int) -> int:
        """Up to a hundredth of the balance, so that a multi-step call cannot run dry."""
        return self.random.randrange(1, max(2, self.state.balance(sender, token) // 100))

    def _transfer(self, sender: int) -> Transfer:
        return Transfer(self._recipient(sender), self._share(sender, NATIVE))

    def _token_transfer(self, sender: int) -> TokenTransfer:
        token = self.random.choice(TOKENS[1:])
        return TokenTransfer(token, self._recipient(sender), self._share(sender, token))

    def _swap(self, sender: int, pools: int = 1) -> Swap:
        """Through neighbouring pools, forwards or backwards, accepting half a per cent less than quoted now."""
        first = self.random.randrange(len(self.route) - pools + 1)
        route = self.route[first : first + pools]
        if self.random.random() < 0.5:
            route = route[::-1]
            token_in = self.state.pool(route[0]).token_b
        else:
            token_in = self.state.pool(route[0]).token_a
        amount_in = amount = self._share(sender, token_in)
        token = token_in
        for number in route:
            pool = self.state.pool(number)
            amount, token = pool.quote(token, amount), pool.other(token)
        return Swap(token_in, amount_in, route, max(1, amount * 995 // 1000))

    def _multi_step(self, sender: int) -> MultiStep:
        """A swap, then a token transfer, then a transfer: eight segments."""
        steps: list[Step] = [self._swap(sender), self._token_transfer(sender), self._transfer(sender)]
        return MultiStep(tuple(steps))


def block(seed: int, counts: Mapping[Kind, int] = DEFAULT_COUNTS, *, accounts: int = 8, chain_id: int = 1) -> Block:
    """A valid block with `counts[kind]` operations of each kind, shuffled. Costs about 0.1 s an operation.

    `InvalidInputError` for a negative count.
    """
    if any(n < 0 for n in counts.values()):
        raise InvalidInputError("a count is negative", field="counts")
    wallet = Wallet(seed, accounts, chain_id)
    genesis = wallet.state.copy()
    kinds = [kind for kind in Kind for _ in range(counts.get(kind, 0))]
    wallet.random.shuffle(kinds)
    operations = []
    for kind in kinds:
        sender = wallet.random.choice(list(wallet.keys))
        operation = wallet.sign(sender, wallet.action(kind, sender))
        execute(wallet.state, operation)
        operations.append(operation)
    return Block(genesis, tuple(operations), wallet.state.root)
