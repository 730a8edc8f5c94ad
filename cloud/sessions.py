"""Sessions: which connection speaks for which edge, and how many payload bytes each may still send. Sans-I/O.

For every session, at every moment: outstanding (granted, not used) + in flight (received, not durable) + owed (durable
or dropped, not yet granted again) = window. The windows of all sessions together stay below the ingest's memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.rpc import status_pb2

from hybrid_prover.v1 import uplink_pb2

from .errors import (
    ABORTED,
    FAILED_PRECONDITION,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    WireError,
    make_status,
    refuse,
)
from .messages import Close, Instruction, Send
from .policy import credit_to_grant, session_window
from .validation import ENCODINGS, check_bytes, check_name

PROTOCOL_VERSION: Final = 1
SESSION_BYTES: Final = 16
SESSIONS_PER_EDGE: Final = 4
"""An edge has one. More are those of connections that have broken unnoticed, or are meant to crowd others out."""


@dataclass(slots=True)
class Session:
    """One edge's resumable state; outlives its connections while chunks of it are in flight."""

    session_id: bytes
    window: int
    connection: int | None = None
    outstanding: int = 0
    in_flight: int = 0
    owed: int = 0
    edge_name: str = ""
    identity: str = ""
    """As the edge's certificate names it; empty without one."""


class Sessions:
    """All sessions. Methods that answer the edge give instructions."""

    def __init__(self, wanted_window: int, max_chunk_bytes: int, memory_limit: int, retry_after_ms: int) -> None:
        self._wanted = wanted_window
        self._max_chunk = max_chunk_bytes
        self._limit = memory_limit
        self._retry_after_ms = retry_after_ms
        self._by_id: dict[bytes, Session] = {}
        self._by_connection: dict[int, Session] = {}

    def of(self, connection: int) -> Session | None:
        """The session that speaks on a connection."""
        return self._by_connection.get(connection)

    def connection_of(self, session_id: bytes) -> int | None:
        """Where a session can be reached now."""
        session = self._by_id.get(session_id)
        return session.connection if session else None

    def known(self, session_id: bytes) -> Session | None:
        """The session, if it is connected or has chunks in flight."""
        return self._by_id.get(session_id)

    def connections(self) -> list[int]:
        """All connections that said Hello."""
        return list(self._by_connection)

    def all(self) -> list[Session]:
        """Every session, in the order of their first Hello."""
        return list(self._by_id.values())

    def knows(self, session_id: bytes) -> bool:
        """Whether the session is connected or has chunks in flight."""
        return session_id in self._by_id

    @property
    def reserved(self) -> int:
        """Bytes that all windows together may take."""
        return sum(s.window for s in self._by_id.values())

    def hello(
        self, connection: int, hello: uplink_pb2.Hello, *, takes_partials: bool = False, identity: str = ""
    ) -> list[Instruction]:
        """Welcomes a connection, ending an older one of its session. `WireError` if it cannot be welcomed.

        `identity`: as its certificate names the edge; `takes_partials`: whether the edge is trusted with partials.
        """
        if connection in self._by_connection:
            raise refuse(FAILED_PRECONDITION, "this connection has said Hello already", reason="HELLO_TWICE")
        if hello.protocol_version != PROTOCOL_VERSION:
            raise refuse(
                FAILED_PRECONDITION,
                f"this cloud speaks protocol version {PROTOCOL_VERSION}, not {hello.protocol_version}",
                reason="PROTOCOL_VERSION",
                field="protocol_version",
            )
        check_bytes(hello.session_id, SESSION_BYTES, "session_id")
        check_name(hello.edge_name, "edge_name")
        out: list[Instruction] = []
        session = self._by_id.get(hello.session_id)
        if session is None:
            of_edge = sum(bool(identity) and s.identity == identity for s in self._by_id.values())
            if of_edge >= SESSIONS_PER_EDGE:
                raise refuse(
                    RESOURCE_EXHAUSTED,
                    f"this edge has {of_edge} sessions open, which is as many as it may",
                    reason="EDGE_SESSIONS",
                    retry_after_ms=self._retry_after_ms,
                )
            window = session_window(self._wanted, self._max_chunk, self.reserved, self._limit)
            if not window:
                raise refuse(
                    RESOURCE_EXHAUSTED,
                    "this cloud has no memory left for another edge",
                    reason="TOO_MANY_SESSIONS",
                    retry_after_ms=self._retry_after_ms,
                )
            session = Session(hello.session_id, window)
            self._by_id[hello.session_id] = session
        elif session.identity != identity:
            raise session_bound()
        elif session.connection is not None:
            del self._by_connection[session.connection]
            out.append(Close(session.connection, superseded()))
        session.connection = connection
        session.edge_name, session.identity = hello.edge_name, identity
        session.owed = 0
        session.outstanding = session.window - session.in_flight
        self._by_connection[connection] = session
        welcome = uplink_pb2.Welcome(
            credit_bytes=session.outstanding,
            max_chunk_bytes=self._max_chunk,
            encodings=ENCODINGS,
            takes_partials=takes_partials,
        )
        out.append(Send(connection, uplink_pb2.UplinkResponse(welcome=welcome)))
        return out

    def disconnected(self, connection: int) -> bytes | None:
        """Forgets a connection; gives the session's id if nothing of it remains."""
        session = self._by_connection.pop(connection, None)
        if session is None:
            return None
        session.connection = None
        return self._forget_if_idle(session)

    def spend(self, session: Session, payload_bytes: int) -> None:
        """The edge used credit. RESOURCE_EXHAUSTED if it had none: that breaks the protocol, nothing is taken."""
        if payload_bytes > session.outstanding:
            raise refuse(
                RESOURCE_EXHAUSTED,
                f"{payload_bytes} payload bytes with {session.outstanding} bytes of credit left",
                reason="CREDIT_EXCEEDED",
            )
        session.outstanding -= payload_bytes
        session.in_flight += payload_bytes

    def release(self, session_id: bytes, payload_bytes: int) -> list[Instruction]:
        """Received bytes need no memory any more; grants credit when the policy says so."""
        session = self._by_id.get(session_id)
        if session is None:
            return []
        session.in_flight -= payload_bytes
        if session.connection is None:
            self._forget_if_idle(session)
            return []
        session.owed += payload_bytes
        grant = credit_to_grant(session.window, session.owed, session.outstanding, self._max_chunk)
        if not grant:
            return []
        session.owed -= grant
        session.outstanding += grant
        credit = uplink_pb2.Credit(bytes=grant)
        return [Send(session.connection, uplink_pb2.UplinkResponse(credit=credit))]

    def _forget_if_idle(self, session: Session) -> bytes | None:
        if session.connection is None and session.in_flight == 0:
            del self._by_id[session.session_id]
            return session.session_id
        return None


def session_bound() -> WireError:
    """Why a session is refused to whoever is not the edge that began it."""
    return refuse(
        PERMISSION_DENIED,
        "this session belongs to another edge; an edge whose folder was copied needs a new, empty one",
        reason="SESSION_BOUND",
        field="session_id",
    )


def superseded() -> status_pb2.Status:
    """Why an older connection is ended."""
    return make_status(ABORTED, "a newer connection of this session took over", reason="SUPERSEDED")


def draining(retry_after_ms: int) -> status_pb2.Status:
    """Why nothing new is taken."""
    return make_status(
        UNAVAILABLE, "this cloud is about to stop; reconnect later", reason="DRAINING", retry_after_ms=retry_after_ms
    )
