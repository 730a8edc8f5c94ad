"""Which edges are trusted with partials: all but those that sent a wrong one. Pure; the store keeps the exceptions.

An edge is known by its session and, where edges have certificates, by the identity in that: a new session under the
same certificate is the same edge. Without certificates an edge can make itself a new session and be trusted again; what
it then costs the cloud is the work that its partials were to save, never a proof (`prover_core.groth16.partials`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distrust:
    """One edge that is not trusted with partials, and the first wrong ones that it was caught with."""

    session_id: bytes
    identity: str
    """As the edge's certificate names it; empty without certificates."""
    edge_name: str
    job_id: bytes
    segment: int
    sequences: tuple[int, ...]
    since_nanos: int
    forgiven_nanos: int = 0
    """When an operator forgave it; 0 while it is not trusted."""

    @property
    def fingerprint(self) -> str:
        """What people call the session by: its id lets one speak for its edge."""
        return fingerprint(self.session_id)


def fingerprint(session_id: bytes) -> str:
    """What logs and screens say of a session."""
    return hashlib.sha256(session_id).hexdigest()[:8]


class TrustBook:
    """The edges that are not trusted."""

    def __init__(self) -> None:
        self._by_session: dict[bytes, Distrust] = {}

    def load(self, records: Iterable[Distrust]) -> None:
        """Takes up what an earlier run found."""
        for record in records:
            self.add(record)

    def trusts(self, session_id: bytes, identity: str) -> bool:
        """Whether partials of this edge are taken."""
        if session_id in self._by_session:
            return False
        return not identity or all(record.identity != identity for record in self._by_session.values())

    def add(self, record: Distrust) -> bool:
        """The edge is not trusted any more; whether that is new."""
        if record.session_id in self._by_session:
            return False
        self._by_session[record.session_id] = record
        return True

    def called(self, name: str) -> list[Distrust]:
        """The edges of that fingerprint or identity."""
        return [record for record in self.records() if name and name in (record.fingerprint, record.identity)]

    def forgive(self, session_id: bytes) -> None:
        """The edge is trusted again."""
        self._by_session.pop(session_id, None)

    def records(self) -> list[Distrust]:
        """All of them, oldest first."""
        return sorted(self._by_session.values(), key=lambda r: (r.since_nanos, r.session_id))
