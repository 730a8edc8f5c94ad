"""The five sums of a proof: Σ a_i [u_i], Σ a_i [v_i] in both groups, Σ a_i [l_i] and Σ h_i [h_i], as wires arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..backend import Accumulator, Backend
from ..memory import release_pages
from ..types import FrVector, G1Point, G2Point
from .keys import ProvingKey
from .quotient import Quotient


def _go_on() -> None:
    """Nobody wants the sums stopped."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the witness contributes to a proof; see `prove`."""

    a: G1Point
    b1: G1Point
    b2: G2Point
    l: G1Point  # noqa: E741 (the paper's name)
    h: G1Point


class ProofSums(Protocol):
    """The open sums of one proof. Not thread-safe."""

    partials: bool
    """Whether a chunk may be kept from `add` because its points are added to the result instead; if not, the sums are
    made of the whole witness all the same."""

    def add(self, offset: int, wires: FrVector) -> None:
        """Adds the share of wires offset .. offset + len(wires), each canonical, inside the circuit and added once."""

    def settle(self, missing: int) -> bool:
        """Some of what `finish` would have to do for the wires added, while `missing` more are awaited.

        False if nothing is left that is worth doing.
        """

    def finish(self, witness: FrVector) -> Sums:
        """The sums of the wires added, with h from the whole witness; all of them but where partials stand in."""

    def again(self, witness: FrVector) -> Sums | None:
        """The same from the witness alone, made elsewhere since the result was wrong; None if there is nowhere else."""


@runtime_checkable
class MakesProofSums(Protocol):
    """A backend with its own way to sum a whole proof, with the witness kept where it computes."""

    @property
    def cpu(self) -> Backend:
        """Whom to ask when its results are in doubt."""

    def proof_sums(self, key: ProvingKey) -> ProofSums | None:
        """None where accumulators serve this key better."""


class StreamedSums:
    """Four accumulators of any backend, and its quotient. Memory: the open buckets."""

    partials = True

    def __init__(self, key: ProvingKey, backend: Backend, between: Callable[[], None] = _go_on) -> None:
        """The key's matrices are prepared once a backend and shared. `between` is called between the steps of `finish`
        and may raise."""
        self._between = between
        self._key = key
        self._backend = backend
        self._quotient = Quotient.of(key, backend)
        self._a = backend.g1_accumulator(key.a)
        self._b1 = backend.g1_accumulator(key.b1)
        self._b2 = backend.g2_accumulator(key.b2)
        self._l = backend.g1_accumulator(key.l)
        self._unsettled: list[Accumulator[G1Point] | Accumulator[G2Point]] = []

    def add(self, offset: int, wires: FrVector) -> None:
        """Four partial MSMs of that length."""
        self._a.add(offset, wires)
        self._b1.add(offset, wires)
        self._b2.add(offset, wires)
        end, private = offset + len(wires), self._key.n_public + 1
        if end > private:
            first = max(offset, private)
            self._l.add(first - private, wires[first - offset :])
        self._unsettled = [self._a, self._b1, self._l, self._b2]

    def settle(self, missing: int) -> bool:
        """One sum, the dearest first, of those that grew since they were last settled."""
        if self._unsettled:
            self._unsettled.pop().settle(missing)
        return bool(self._unsettled)

    def finish(self, witness: FrVector) -> Sums:
        """Two sparse products, six NTTs, one MSM of the domain's size."""
        scalars = self._quotient.scalars(witness, self._backend)
        self._between()
        h = self._backend.g1_msm(self._key.h, scalars)
        self._between()
        return Sums(self._a.finish(), self._b1.finish(), self._b2.finish(), self._l.finish(), h)

    def again(self, witness: FrVector) -> Sums | None:
        """There is only this backend."""
        return None


class WholeSums:
    """The same for a witness that comes whole: one sum after another, so that one sum's buckets are open at a time."""

    partials = False

    def __init__(self, key: ProvingKey, backend: Backend) -> None:
        self._key = key
        self._backend = backend
        self._quotient = Quotient.of(key, backend)

    def add(self, offset: int, wires: FrVector) -> None:
        """Nothing yet: `finish` is given the whole witness."""

    def settle(self, missing: int) -> bool:
        """Nothing: one sum after another is the point."""
        return False

    def finish(self, witness: FrVector) -> Sums:
        """Two sparse products, six NTTs and five MSMs. Pages of a mapped key are given back after use."""
        key, backend = self._key, self._backend
        h = backend.g1_msm(key.h, self._quotient.scalars(witness, backend))
        release_pages(key.h.limbs)
        b2 = backend.g2_msm(key.b2, witness)
        release_pages(key.b2.limbs)
        a = backend.g1_msm(key.a, witness)
        release_pages(key.a.limbs)
        b1 = backend.g1_msm(key.b1, witness)
        release_pages(key.b1.limbs)
        l_ = backend.g1_msm(key.l, witness[key.n_public + 1 :])
        release_pages(key.l.limbs)
        return Sums(a, b1, b2, l_, h)

    def again(self, witness: FrVector) -> Sums | None:
        """There is only this backend."""
        return None


def open_sums(
    key: ProvingKey, backend: Backend, *, whole: bool = False, between: Callable[[], None] = _go_on
) -> ProofSums:
    """The backend's own sums if it has such, else accumulators, or single sums where the witness is there already.

    `between` is called between the long steps of accumulators' `finish`; what it raises ends the sums.
    """
    own = backend.proof_sums(key) if isinstance(backend, MakesProofSums) else None
    if own is not None:
        return own
    return WholeSums(key, backend) if whole else StreamedSums(key, backend, between)
