"""Proving, as Groth (eprint 2016/260, section 3.2) writes it, in a form that grows while the witness arrives.

    A = α + Σ a_i u_i(τ) + r δ
    B = β + Σ a_i v_i(τ) + s δ
    C = (Σ_{i>l} a_i (β u_i(τ) + α v_i(τ) + w_i(τ)) + h(τ) t(τ)) / δ + A s + B r - r s δ

All sums over wires a_i are linear, so each chunk of the witness adds its share the moment it comes; only h(τ) t(τ)
needs the whole witness.
"""

from __future__ import annotations

import logging
import time

import numpy as np

from ..backend import Backend
from ..blinding import blinding
from ..errors import (
    BackendError,
    InvalidInputError,
    StoppedError,
    StreamOrderError,
    UnsatisfiedError,
    VerificationError,
)
from ..r1cs import R1cs
from ..types import FrVector, G1Point, G2Point, R, g1_vector, g2_vector
from ..witness.rows import first_broken_row, label_of
from .keys import Proof, ProvingKey
from .partials import Partial, partial_of
from .sums import MakesProofSums, Sums, open_sums
from .verify import verify

log = logging.getLogger(__name__)


class _Stop:
    """Whether a proof is to be given up; apart from the prover, so that its sums do not keep it in memory."""

    told = False

    def __init__(self) -> None:
        self.marks: list[int] = []
        """When each step of `finish` began (the quotient, the sum over it, the other sums), where it has such steps."""

    def check(self) -> None:
        self.marks.append(time.perf_counter_ns())
        if self.told:
            raise StoppedError("the proof was given up before it was finished")


class StreamingProver:
    """One proof under construction. Not thread-safe; many may run at once over one key.

    Memory: the witness (32 bytes a wire) and the open buckets of four sums. The key's matrices are prepared once a
    backend and shared.
    """

    def __init__(self, key: ProvingKey, backend: Backend, *, r1cs: R1cs | None = None, whole: bool = False) -> None:
        """With `r1cs`, a proof that fails its check is blamed on the row that the witness breaks, or on the device.

        `whole`: the witness will come at once, so nothing is gained by opening all sums together, and memory is lost.
        """
        if key.insecure:
            log.warning("proving with an insecure key (single-party setup): not for production")
        self._key = key
        self._backend = backend
        self._r1cs = r1cs
        self._witness = np.zeros((key.n_vars, 4), dtype=np.uint64)
        self._covered = np.zeros(key.n_vars, dtype=np.bool_)
        self._finished = False
        self._stop = _Stop()
        self._sums = open_sums(key, backend, whole=whole, between=self._stop.check)
        self._partials: dict[tuple[int, int], Partial] = {}
        self.wrong_partials: tuple[int, ...] = ()
        """Offsets of the chunks whose partials were wrong: `finish` made a proof without them, which verifies."""

    @property
    def missing(self) -> int:
        """How many wires have not come yet."""
        return int(self._key.n_vars - np.count_nonzero(self._covered))

    def add(self, offset: int, wires: FrVector, partial: Partial | None = None) -> None:
        """Takes wires offset .. offset + len(wires), in any order of chunks; four MSMs of that length.

        A `partial` of these wires, made elsewhere from the same key, saves them; it is believed until `finish` verifies
        the proof. Sums that a device makes of its own copy of the witness have no use for it.

        `StreamOrderError` for a wire that already came or lies outside the circuit, `InvalidInputError` for a value
        that is not below r, `UnsatisfiedError` if wire 0 is not one; nothing is changed by a chunk
        refused so. An error of the device ends the proof.
        """
        end = offset + len(wires)
        if self._finished:
            raise StreamOrderError("the proof is already finished")
        if not 0 <= offset <= end <= self._key.n_vars:
            raise StreamOrderError(f"wires {offset} to {end} leave the circuit's {self._key.n_vars}", field="offset")
        if self._covered[offset:end].any():
            again = offset + int(np.argmax(self._covered[offset:end]))
            raise StreamOrderError(f"wire {again} came twice", field="offset")
        if (bad := wires.first_non_canonical()) is not None:
            raise InvalidInputError(f"wire {offset + bad} is not a canonical scalar", field=f"[{bad}]")
        if offset == 0 < end and wires.limbs[0].tolist() != [1, 0, 0, 0]:
            raise UnsatisfiedError("wire 0 of the witness is not one", field="wires")
        self._covered[offset:end] = True
        self._witness[offset:end] = wires.limbs
        if partial is not None and self._sums.partials:
            self._partials[offset, end] = partial
            return
        try:
            self._sums.add(offset, wires)
        except BaseException:
            self._finished = True  # the sums no longer agree with each other; a new prover must start over
            raise

    def settle(self) -> bool:
        """For idle times between chunks: does a part of what `finish` would have to do; False if nothing is left.

        A part is one sum: some milliseconds to a tenth of a second. The proof is the same and comes sooner after the
        last chunk, at the price of some more work in all. `StreamOrderError` once the proof is finished.
        """
        if self._finished:
            raise StreamOrderError("the proof is already finished")
        try:
            return self._sums.settle(self.missing)
        except BaseException:
            self._finished = True
            raise

    @property
    def publics(self) -> list[int]:
        """The public signals, wires 1 .. l. `StreamOrderError` before they have all come."""
        head = slice(1, self._key.n_public + 1)
        if not self._covered[head].all():
            raise StreamOrderError("the public signals have not all come yet")
        return FrVector(np.ascontiguousarray(self._witness[head])).to_ints()

    def finish(self, entropy: bytes | None = None) -> Proof:
        """The proof, verified; once every wire has come. Two sparse products, six NTTs, one MSM of size n, one check.

        `entropy`, at least 32 bytes, makes r and s reproducible (they also depend on the key and the whole witness, so
        that using it twice reveals nothing); None draws them from the operating system.

        `StreamOrderError` for missing wires; `UnsatisfiedError` if the witness breaks a constraint; `BackendError` if
        the device is known to have erred; `StoppedError` after `cancel`.
        """
        if self._finished:
            raise StreamOrderError("the proof is already finished")
        if not self._covered.all():
            raise StreamOrderError(f"wire {int(np.argmin(self._covered))} is missing", field="offset")
        self._finished = True
        self._stop.check()
        witness = FrVector(self._witness)
        content = witness.limbs.reshape(-1).view(np.uint8).data
        r, s = blinding(entropy, lambda: self._key.verification_key.digest.raw, content)
        sums = self._sums.finish(witness)
        proof = self._put_together(sums, r, s)
        try:
            self._verify(proof)
        except VerificationError as e:
            wrong = self._replace_wrong_partials(witness)
            if not wrong:
                return self._second_proof(witness, r, s, self._blame(witness), e)
            proof = self._put_together(sums, r, s)
            try:
                self._verify(proof)
            except VerificationError as again:
                # The witness or the device may be at fault too: nobody is blamed for partials on a device's word.
                return self._second_proof(witness, r, s, self._blame(witness), again)
            self.wrong_partials = wrong
            log.warning("%d of %d partials were wrong and were made again", len(wrong), len(self._partials))
        return proof

    @property
    def quotient_nanos(self) -> int:
        """How much of `finish` went into the quotient; 0 where the backend sums a proof as a whole."""
        marks = self._stop.marks
        return marks[1] - marks[0] if len(marks) > 1 else 0

    def cancel(self) -> None:
        """Nobody wants the proof any more: `finish` stops before its next long step. From any thread."""
        self._stop.told = True

    def _replace_wrong_partials(self, witness: FrVector) -> tuple[int, ...]:
        """Makes every partial again from the witness, which costs what they had saved; offsets of those that differ."""
        wrong = []
        for (offset, end), given in self._partials.items():
            right = partial_of(self._key, offset, witness[offset:end], self._backend)
            if right != given:
                self._partials[offset, end] = right
                wrong.append(offset)
        return tuple(wrong)

    def _put_together(self, sums: Sums, r: int, s: int) -> Proof:
        key, backend, given = self._key, self._backend, self._partials.values()
        a = _g1_sum(backend, (1, key.alpha1), (1, sums.a), (r, key.delta1), *[(1, p.a) for p in given])
        b = _g2_sum(backend, (1, key.beta2), (1, sums.b2), (s, key.delta2), *[(1, p.b2) for p in given])
        b1 = _g1_sum(backend, (1, key.beta1), (1, sums.b1), (s, key.delta1), *[(1, p.b1) for p in given])
        c = _g1_sum(
            backend, (1, sums.l), (1, sums.h), (s, a), (r, b1), (-r * s % R, key.delta1), *[(1, p.l) for p in given]
        )
        return Proof(a, b, c)

    def _verify(self, proof: Proof) -> None:
        verify(self._key.verification_key, proof, self.publics, self._backend)

    def _second_proof(
        self, witness: FrVector, r: int, s: int, blame: UnsatisfiedError | BackendError, cause: VerificationError
    ) -> Proof:
        """Asks the backend to sum elsewhere, unless the witness is known to be at fault; raises the blame otherwise."""
        sums = None if isinstance(blame, UnsatisfiedError) and blame.row >= 0 else self._sums.again(witness)
        if sums is None:
            raise blame from cause
        proof = self._put_together(sums, r, s)
        try:
            self._verify(proof)
        except VerificationError as e:
            raise blame from e
        log.warning("%s made a proof that does not verify; the second one does", self._backend.name)
        return proof

    def _blame(self, witness: FrVector) -> UnsatisfiedError | BackendError:
        if self._r1cs is None:
            return UnsatisfiedError(
                "the proof does not verify: the witness breaks a constraint, or the device erred "
                "(give the R1CS to learn which)"
            )
        referee = self._backend.cpu if isinstance(self._backend, MakesProofSums) else self._backend
        row = first_broken_row(self._r1cs, witness, referee)
        if row is None:
            return BackendError(
                f"the witness satisfies the circuit, but the proof made by {self._backend.name} does not verify: "
                "the device erred, or the key is not this circuit's"
            )
        label = label_of(self._r1cs, row)
        return UnsatisfiedError(
            f"the witness breaks constraint {row}" + (f" ({label})" if label else ""), row=row, label=label
        )


def prove(
    key: ProvingKey, witness: FrVector, backend: Backend, entropy: bytes | None = None, *, r1cs: R1cs | None = None
) -> Proof:
    """One proof of a complete witness (wire 0 first), verified; `StreamingProver` with a single chunk.

    `InvalidInputError` if the witness is not of the circuit's length, otherwise as `StreamingProver`.
    """
    if len(witness) != key.n_vars:
        raise InvalidInputError(f"the witness has {len(witness)} wires, the key {key.n_vars}", field="witness")
    prover = StreamingProver(key, backend, r1cs=r1cs, whole=True)
    prover.add(0, witness)
    return prover.finish(entropy)


def _g1_sum(backend: Backend, *terms: tuple[int, G1Point]) -> G1Point:
    return backend.g1_msm(g1_vector([p for _, p in terms]), FrVector.from_ints([k for k, _ in terms]))


def _g2_sum(backend: Backend, *terms: tuple[int, G2Point]) -> G2Point:
    return backend.g2_msm(g2_vector([p for _, p in terms]), FrVector.from_ints([k for k, _ in terms]))
