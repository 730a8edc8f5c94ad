"""Leaf proofs from the cloud, verified off the event loop against the public signals of the edge's own witness."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from hybrid_prover.v1 import common_pb2
from hybrid_prover.wire import leaf_to_wire, proof_from_wire, publics_from_wire
from prover_core.backend import Backend, select
from prover_core.errors import ProverError, VerificationError
from prover_core.formats.zkey import read_zkey_verification_key
from prover_core.groth16 import BatchItem, VerificationKey, verify_batch

MAX_BATCH = 64
"""Leaf proofs verified in one go."""
KEYS_KEPT = 64


@dataclass(eq=False, slots=True)
class _Claim:
    circuit: bytes
    zkey: Path
    leaf: bytes
    publics: bytes
    future: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class LeafChecker:
    """One thread that verifies; claims that wait together and are of one circuit share a batch.

    About 1 to 2 ms for a lone proof, less for each in a batch. Used from one event loop.
    """

    def __init__(self, backend: str) -> None:
        """`backend` as in `EdgeConfig.backend`; proofs are verified on the processor in any case."""
        self._name = "reference" if backend == "reference" else "cpu"
        self._backend: Backend | None = None
        self._keys: OrderedDict[bytes, VerificationKey] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "leaf-check")
        self._waiting: list[_Claim] = []
        self._serving: asyncio.Task[None] | None = None

    async def check(self, circuit: bytes, zkey: Path, leaf: bytes, publics: bytes) -> bytes:
        """The canonical encoding of a serialized `LeafProof` that holds for exactly these public signals.

        `publics` are 32 big-endian bytes each. `VerificationError` says why it is not such a proof; another
        `ProverError` or `OSError` means that the circuit's key cannot be read.
        """
        claim = _Claim(circuit, zkey, leaf, publics)
        self._waiting.append(claim)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await claim.future

    async def warm(self, circuit: bytes, zkey: Path) -> None:
        """Reads and checks a circuit's key ahead of its first proof; failures show when it is used."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ProverError, OSError):
            await loop.run_in_executor(self._thread, self._verify, circuit, zkey, [])

    async def close(self) -> None:
        """Gives up what waits, and lets the thread end."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            circuit = self._waiting[0].circuit
            batch = [claim for claim in self._waiting if claim.circuit == circuit][:MAX_BATCH]
            taken = set(batch)
            self._waiting = [claim for claim in self._waiting if claim not in taken]
            outcomes: list[bytes | Exception]
            try:
                outcomes = await loop.run_in_executor(self._thread, self._verify, circuit, batch[0].zkey, batch)
            except Exception as e:
                outcomes = [e] * len(batch)
            for claim, outcome in zip(batch, outcomes, strict=True):
                if claim.future.done():
                    continue
                if isinstance(outcome, bytes):
                    claim.future.set_result(outcome)
                else:
                    claim.future.set_exception(outcome)

    # On the thread

    def _verify(self, circuit: bytes, zkey: Path, claims: list[_Claim]) -> list[bytes | Exception]:
        """The canonical leaf of each claim, or what is wrong with it."""
        if self._backend is None:
            self._backend = select(self._name, 1).backend
        key = self._key(circuit, zkey, self._backend)
        outcomes: list[bytes | Exception] = []
        items: dict[int, BatchItem] = {}
        for at, claim in enumerate(claims):
            try:
                items[at] = item = _item(claim)
                outcomes.append(leaf_to_wire(item[0], list(item[1])).SerializeToString())
            except VerificationError as e:
                outcomes.append(e)
        places = list(items)
        for bad in verify_batch(key, list(items.values()), self._backend):
            outcomes[places[bad]] = VerificationError("the pairing equation does not hold", field="proof")
        return outcomes

    def _key(self, circuit: bytes, zkey: Path, backend: Backend) -> VerificationKey:
        key = self._keys.pop(circuit, None)
        if key is None:
            key = read_zkey_verification_key(zkey)
            verify_batch(key, [], backend)
        self._keys[circuit] = key
        while len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        return key


def _item(claim: _Claim) -> BatchItem:
    """The proof and its public signals, if those are the witness's; else `VerificationError`."""
    try:
        message = common_pb2.LeafProof.FromString(claim.leaf)
        proof, publics = proof_from_wire(message.proof), publics_from_wire(message)
    except (DecodeError, ProverError, ValueError) as e:
        why = "is not a message" if isinstance(e, DecodeError) else str(e)
        raise VerificationError(f"malformed: {why}", field="proof") from e
    if b"".join(message.public_signals) != claim.publics:
        raise VerificationError("its public signals are not those of the witness", field="publics")
    return proof, publics
