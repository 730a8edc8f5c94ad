"""A node's key and the envelopes it signs: DSSE with Ed25519 (secure-systems-lab/dsse, protocol.md).

Keys and envelopes are securesystemslib's, so that in-toto's own tools verify what is signed here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error
from securesystemslib.signer import CryptoSigner, SSlibKey

from hybrid_prover.security.tokens import replace_file
from prover_core.errors import FormatError, VerificationError

FILE: Final = "node.key"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_ENVELOPE: Final = 1 << 20
"""A larger envelope is refused unparsed."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """Signs the records of one node. About 0.1 ms a signature."""

    _signer: CryptoSigner
    public_pem: bytes
    """What verifiers need."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """From `node.key` (PEM, PKCS #8) in a folder that is its owner's, made if missing. `FormatError` if damaged."""
        path = folder / FILE
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            replace_file(
                path,
                made.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
            )
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as e:
            raise FormatError(f"{path} is not a private key", field=str(path)) from e
        if not isinstance(key, Ed25519PrivateKey):
            raise FormatError(f"{path} is not an Ed25519 key", field=str(path))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(CryptoSigner(key), public)

    def sign(self, statement: dict[str, Any]) -> bytes:
        """The JSON of a DSSE envelope around a statement."""
        payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(self._signer)
        return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()


def open_envelope(raw: bytes, public_pem: bytes) -> dict[str, Any]:
    """The statement in an envelope that the node with this public key signed.

    `FormatError` for what is no such envelope, `VerificationError` if the signature is not the node's.
    """
    if len(raw) > MAX_ENVELOPE:
        raise FormatError(f"an envelope of over {MAX_ENVELOPE} bytes", field="record")
    try:
        public = serialization.load_pem_public_key(public_pem)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise FormatError("the public key is not PEM", field="public_key") from e
    if not isinstance(public, Ed25519PublicKey):
        raise FormatError("the public key is not an Ed25519 key", field="public_key")
    try:
        envelope = Envelope.from_dict(json.loads(raw))
        statement = json.loads(envelope.payload)
        kind = envelope.payload_type
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Error) as e:
        raise FormatError(f"the record is not a DSSE envelope: {e}", field="record") from e
    if kind != PAYLOAD_TYPE or not isinstance(statement, dict):
        raise FormatError("the envelope does not hold an in-toto statement", field="record")
    try:
        envelope.verify([SSlibKey.from_crypto(public)], 1)
    except Error as e:
        raise VerificationError("the record is not signed by this node", field="record") from e
    return statement
