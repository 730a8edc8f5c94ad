"""What is proved while things break: three circuits and an endless, seeded stream of jobs, some poisonous."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid_prover import Link, Placement, ProverClient, Segment
from prover_core.backend import Backend
from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.tape import write_tape
from prover_core.formats.zkey import write_zkey
from prover_core.groth16 import ProvingKey, setup
from prover_core.types import Digest

CHAIN_STEPS = 6_000


def _squares(c: Circuit) -> None:
    """500 rows."""
    a, x = c.public("a"), c.private("x")
    for _ in range(500):
        x = x * x + a
    c.output("out", x)


def _chain(c: Circuit) -> None:
    """Full-size wires: 200 KB of witness, many chunks."""
    a, x = c.public("a"), c.private("x")
    for _ in range(CHAIN_STEPS):
        x = x * x + a
    c.output("out", x)


def _factors(c: Circuit) -> None:
    """n = p q: has inputs that are wrong."""
    n = c.public("n")
    p, q = c.private("pq", 2)
    c.assert_equal(p * q, n, "the factors give the number")
    x = p
    for _ in range(200):
        x = x * x + q
    c.output("out", x)


DEFINITIONS: Mapping[str, Callable[[Circuit], None]] = {"squares": _squares, "chain": _chain, "factors": _factors}


@dataclass(frozen=True)
class Made:
    """One circuit with its development key, in memory and as files."""

    compiled: CompiledCircuit
    key: ProvingKey
    folder: Path

    @property
    def digest(self) -> Digest:
        return Digest(hashlib.sha256(self.zkey_path.read_bytes()).digest())

    @property
    def name(self) -> str:
        return self.compiled.name

    @property
    def zkey_path(self) -> Path:
        return self.folder / "zkey"

    @property
    def r1cs_path(self) -> Path:
        return self.folder / "r1cs"

    @property
    def tape_path(self) -> Path:
        return self.folder / "tape"

    async def register(self, client: ProverClient) -> None:
        await client.register_circuit(name=self.name, zkey=self.zkey_path, r1cs=self.r1cs_path, program=self.tape_path)


def make_circuits(folder: Path, backend: Backend) -> dict[str, Made]:
    """All circuits, with keys of fixed entropy: about a second."""
    made = {}
    for name, define in DEFINITIONS.items():
        place = folder / name
        place.mkdir(parents=True)
        compiled = compile_circuit(define, name=name)
        key = setup(compiled.r1cs, backend=backend, entropy=b"a key for the chaos and load runs")
        write_zkey(place / "zkey", key)
        write_r1cs(place / "r1cs", compiled.r1cs)
        write_tape(place / "tape", compiled.tape)
        made[name] = Made(compiled, key, place)
    return made


@dataclass(frozen=True)
class Work:
    """One job as a client submits it, and what must come of it."""

    name: str
    segments: tuple[Segment, ...]
    circuits: tuple[str, ...]
    publics: tuple[tuple[int, ...], ...]
    """Public signals that each proof must show."""
    placement: Placement
    links: tuple[Link, ...] = ()
    poison: str = ""
    """Words that the reason of its failure must have; empty for jobs that must succeed."""


class Stream:
    """Jobs that nobody has submitted before: their inputs are counted. The same seed gives the same jobs."""

    def __init__(
        self, circuits: Mapping[str, Made], seed: int, poison_share: float = 0.12, *, small: bool = False
    ) -> None:
        """`poison_share` of them are poisonous; with `small`, every job is one small segment."""
        self._circuits = circuits
        self._random = random.Random(seed)
        self._poison_share = poison_share
        self._kinds = ["one"] if small else ["one", "one", "long", "linked", "mixed"]
        self._digests = {name: made.digest for name, made in circuits.items()}
        self._number = 0

    def __iter__(self) -> Iterator[Work]:
        return self

    def __next__(self) -> Work:
        self._number += 1
        placement = self._random.choice(list(Placement))
        if self._random.random() < self._poison_share:
            return self._poisonous(placement)
        kind = self._random.choice(self._kinds)
        n = 1000 * self._number
        match kind:
            case "one":
                parts = [("squares", {"a": n, "x": 3})]
            case "long":
                parts = [("chain", {"a": n, "x": k}) for k in range(2)]
            case "linked":
                return self._linked(n, placement)
            case _:
                parts = [("squares", {"a": n, "x": 5}), ("factors", {"n": 7 * n, "pq": [7, n]})]
        return self._work(kind, parts, placement)

    def _evaluate(self, circuit: str, inputs: dict[str, object]) -> tuple[int, ...]:
        made = self._circuits[circuit]
        return tuple(made.compiled.evaluate(inputs)[1 : 1 + made.key.n_public])  # type: ignore[arg-type]

    def _work(
        self,
        kind: str,
        parts: list[tuple[str, dict[str, object]]],
        placement: Placement,
        *,
        links: tuple[Link, ...] = (),
        poison: str = "",
    ) -> Work:
        segments = tuple(Segment(self._digests[circuit], inputs) for circuit, inputs in parts)  # type: ignore[arg-type]
        publics = () if poison else tuple(self._evaluate(circuit, inputs) for circuit, inputs in parts)
        names = tuple(circuit for circuit, _ in parts)
        return Work(f"{kind}-{self._number}", segments, names, publics, placement, links, poison)

    def _linked(self, n: int, placement: Placement, *, broken: bool = False) -> Work:
        """Three segments, each one's output the next one's input."""
        parts: list[tuple[str, dict[str, object]]] = []
        a, made = n, self._circuits["squares"]
        for k in range(3):
            inputs: dict[str, object] = {"a": a + (broken and k == 2), "x": 2}
            parts.append(("squares", inputs))
            a = self._evaluate("squares", inputs)[self.OUT]
        assert made.key.n_public == 2
        links = tuple(Link(k, self.OUT, k + 1, 1 - self.OUT) for k in range(2))
        return self._work("linked", parts, placement, links=links, poison="links[1]" if broken else "")

    OUT = 0
    """Where the output stands among the public signals: before the inputs, as iden3's formats have it."""

    def _poisonous(self, placement: Placement) -> Work:
        """A witness that breaks a constraint, alone or among good segments, or a link that does not hold."""
        n = 1000 * self._number
        wrong: tuple[str, dict[str, object]] = ("factors", {"n": 7 * n + 1, "pq": [7, n]})
        match self._random.choice(["alone", "among", "link"]):
            case "alone":
                return self._work("poison", [wrong], placement, poison="the factors give the number")
            case "among":
                good: tuple[str, dict[str, object]] = ("squares", {"a": n, "x": 1})
                return self._work("poison", [good, wrong, good], placement, poison="the factors give the number")
            case _:
                return self._linked(n, placement, broken=True)
