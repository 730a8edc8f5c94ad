"""Who a certificate says its holder is: one URI name, `spiffe://TRUST-DOMAIN/ROLE/NAME`, a SPIFFE id.

TLS has checked chain, dates and possession of the key before anything here is asked. The common name means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a certificate is for."""

    CLOUD = "cloud"
    EDGE = "edge"
    WORKER = "worker"
    CLIENT = "client"


TRUST_DOMAIN: Final = "hybrid-prover"
"""Of certificates made by `hybrid-prover certs`; other authorities may use their own."""

_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})/(cloud|edge|worker|client)/([A-Za-z0-9._-]{1,64})")


def identity(role: Role, name: str) -> str:
    """The SPIFFE id of a holder."""
    return f"spiffe://{TRUST_DOMAIN}/{role}/{name}"


def read_identity(uri: str) -> tuple[Role, str] | None:
    """(role, name) of a SPIFFE id of ours; None for any other URI."""
    found = _ID.fullmatch(uri)
    return (Role(found[2]), found[3]) if found else None


def peer_identity(peer: Mapping[str, Iterable[bytes]]) -> tuple[Role, str] | None:
    """(role, SPIFFE id) of whom gRPC's auth context speaks; None without a certificate of ours.

    A certificate with several names of ours names nobody.
    """
    names = [raw.decode("utf-8", "replace") for raw in peer.get("x509_subject_alternative_name", ())]
    ours = {name: found[0] for name in names if (found := read_identity(name)) is not None}
    if len(ours) != 1:
        return None
    (name, role), *_ = ours.items()
    return role, name
