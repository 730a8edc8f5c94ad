"""The entropy that blinds leaf proofs, so that the node that made one can make the same bytes again.

    seed(job, segment) = HMAC-SHA256(secret, "hybrid-prover blinding seed 1" | job id | segment)

The secret is 32 bytes from the operating system, made once a node. A seed never blinds two witnesses alike: the prover
mixes key and whole witness into it. Who has a seed and a guess of the witness can test the guess against the proof, as
its maker can; so seeds are handed to operators only, and records hold a commitment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final, Self

from hybrid_prover.security.tokens import replace_file
from prover_core.errors import FormatError

FILE: Final = "blinding.key"
_BYTES: Final = 32
_SEED: Final = b"hybrid-prover blinding seed 1"
_COMMITMENT: Final = b"hybrid-prover blinding commitment 1"


class BlindingSeeds:
    """The seeds of one node; two nodes with the same secret make the same proofs."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def open(cls, folder: Path) -> Self:
        """From `blinding.key` in a folder that is its owner's, made if missing. `FormatError` if it is damaged."""
        path = folder / FILE
        if not path.exists():
            replace_file(path, os.urandom(_BYTES))
        secret = path.read_bytes()
        if len(secret) != _BYTES:
            raise FormatError(f"{path} has {len(secret)} bytes instead of {_BYTES}", field=str(path))
        return cls(secret)

    def seed(self, job_id: bytes, segment: int) -> bytes:
        """32 bytes for one segment, the same at every attempt."""
        return hmac.digest(self._secret, _SEED + job_id + segment.to_bytes(8, "little"), "sha256")


def commitment(seed: bytes) -> bytes:
    """SHA-256 that binds the seed and, for all who do not know the node's secret, hides it."""
    return hashlib.sha256(_COMMITMENT + seed).digest()
