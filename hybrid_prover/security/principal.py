"""Who makes a call: the one value that servicers, quotas and logs know of a caller."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """What a caller may do. OPERATE includes READ and SUBMIT; EDGE and WORK come from certificates only."""

    READ = "read"
    """See its own jobs, their proofs, and circuits."""
    SUBMIT = "submit"
    """Submit jobs, cancel its own, store artifacts, register circuits."""
    OPERATE = "operate"
    """See and cancel everybody's jobs, and everything else an operator does."""
    EDGE = "edge"
    """Speak on the uplink."""
    WORK = "work"
    """Take leases, and so see the witnesses under them."""


GRANTABLE: Final = (Right.READ, Right.SUBMIT, Right.OPERATE)
"""What a token can grant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Hashable, holds no secret, may be logged."""

    client: str = ""
    """Name of the token's client: whom quotas and fair share count. Empty for an edge that calls for itself."""
    rights: frozenset[Right] = frozenset()
    edge: str = ""
    """Identity of the edge, as its certificate names it (a SPIFFE id); empty for everybody else."""
    worker: str = ""
    """Identity of the worker, in the same way."""

    @property
    def name(self) -> str:
        """Whom limits count: the client, or who calls for itself."""
        return self.client or self.edge or self.worker

    def may(self, right: Right) -> bool:
        """Whether the caller has a right."""
        return right in self.rights or (Right.OPERATE in self.rights and right in GRANTABLE)

    @property
    def operates(self) -> bool:
        """Whether the caller may see and change what belongs to others."""
        return Right.OPERATE in self.rights

    def owns(self, clients: Collection[str]) -> bool:
        """Whether something that belongs to these clients is the caller's to see and to cancel."""
        return self.operates or (bool(self.client) and self.client in clients)


LOCAL: Final = Principal(client="local", rights=frozenset(Right))
"""Everybody, where a server speaks plain text on loopback and has no tokens: all of this machine's users are one."""

_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def is_client_name(name: str) -> bool:
    """1 to 64 letters, digits and `._@-`: what labels of metrics and lines of logs can hold."""
    return _CLIENT.fullmatch(name) is not None


_current: ContextVar[Principal] = ContextVar("hybrid_prover_principal")


def current() -> Principal:
    """The caller of the call that is being served; `LookupError` outside of one. Tasks made in a call inherit it."""
    return _current.get()


def serve_as(principal: Principal) -> None:
    """Sets the caller for the rest of this call; the interceptor does it before any servicer runs."""
    _current.set(principal)
