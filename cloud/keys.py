"""Proving keys in memory: mapped once, shared by all segments of a circuit, the least recently used let go."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from prover_core.artifacts import Artifacts
from prover_core.errors import InvalidInputError, UnavailableError
from prover_core.formats.r1cs import read_r1cs
from prover_core.formats.zkey import read_zkey, read_zkey_verification_key
from prover_core.groth16 import ProvingKey, VerificationKey
from prover_core.r1cs import R1cs
from prover_core.types import Digest

PATIENCE_SECONDS = 60.0
"""How long a segment waits for artifacts that cannot be reached, before that counts as a failed attempt."""


class KeyCache:
    """Keys by circuit digest, which is the digest of the `.zkey` file. Safe to use from several threads.

    A key in use stays mapped even when the cache has let it go. Verification keys are small and all kept.
    """

    def __init__(self, artifacts: Artifacts, limit: int) -> None:
        self._artifacts = artifacts
        self._limit = limit
        self._lock = threading.Lock()
        self._keys: OrderedDict[bytes, ProvingKey] = OrderedDict()
        self._loading: dict[bytes, threading.Lock] = {}
        self._verification: dict[bytes, VerificationKey] = {}
        self._r1cs_digests: dict[bytes, Digest] = {}

    @property
    def loaded(self) -> int:
        """Proving keys that are mapped."""
        return len(self._keys)

    def know_r1cs(self, circuit: bytes, r1cs: Digest) -> None:
        """Where the constraints of a circuit are, for naming the broken one."""
        with self._lock:
            self._r1cs_digests[circuit] = r1cs

    def proving_key(self, circuit: bytes) -> ProvingKey:
        """The key, read if it is not in memory (about 1 s per million coefficients); one thread reads, others wait."""
        with self._lock:
            key = self._keys.get(circuit)
            if key is not None:
                self._keys.move_to_end(circuit)
                return key
            loading = self._loading.setdefault(circuit, threading.Lock())
        with loading:
            with self._lock:
                key = self._keys.get(circuit)
            if key is None:
                key = read_zkey(self._path(Digest(circuit)))
                with self._lock:
                    self._keys[circuit] = key
                    while len(self._keys) > self._limit:
                        self._keys.popitem(last=False)
        return key

    def verification_key(self, circuit: bytes) -> VerificationKey:
        """The public part; O(public signals) the first time."""
        with self._lock:
            found = self._verification.get(circuit)
        if found is None:
            found = read_zkey_verification_key(self._path(Digest(circuit)))
            with self._lock:
                self._verification[circuit] = found
        return found

    def r1cs(self, circuit: bytes) -> R1cs | None:
        """The constraints, read anew each time (only failures need them); None where none were registered."""
        with self._lock:
            digest = self._r1cs_digests.get(circuit)
        return read_r1cs(self._path(digest)) if digest is not None else None

    def _path(self, digest: Digest) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                path = self._artifacts.path(digest)
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
                continue
            if path is None:
                raise InvalidInputError(f"artifact {digest} is not stored here", field="circuit")
            return str(path)
