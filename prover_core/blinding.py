"""The prover's two secrets r and s. Imports next to nothing: see `direct`."""

from __future__ import annotations

import os

from .errors import InvalidInputError
from .moduli import R

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_LABEL: Final = b"hybrid-prover groth16 blinding v1"


def blinding(entropy: bytes | None, key: Callable[[], bytes], witness: memoryview) -> tuple[int, int]:
    """(r, s), uniform modulo r to within 2^-250.

    From the operating system, or, reproducibly, from `entropy` of at least 32 bytes, the digest of the verification key
    (`key` is called then only) and the whole witness: binding the witness keeps (r, s) apart where one seed serves two
    statements, as RFC 6979 does for nonces. `InvalidInputError` for less entropy.
    """
    if entropy is None:
        raw = os.urandom(128)
    elif len(entropy) < 32:
        raise InvalidInputError("entropy for blinding needs at least 32 bytes", field="entropy")
    else:
        import hashlib

        seed = hashlib.sha256()
        for part in (entropy, key(), witness):
            seed.update(len(part).to_bytes(8, "little"))
            seed.update(part)
        raw = hashlib.shake_256(_LABEL + seed.digest()).digest(128)
    return int.from_bytes(raw[:64], "little") % R, int.from_bytes(raw[64:], "little") % R
