"""Spans of a job, as plain values: both daemons derive the same ids from the job's id, so that they write one trace.

    job (edge) ─ segment (edge) ─ edge_queue · witness · upload · prove
               │      └─ segment (cloud) ─ upload · queue · accumulate · quotient · finish · batch · verify
               └─ job (cloud)

Ids are hashes, so that a span told twice (after a restart) is the same span. Times are those that the stages measured,
each on the clock of the machine that did the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .stages import SUMMED, kind_of

Attributes = Mapping[str, str | int | float | bool]
Timed = tuple[str, int, int]
"""A stage: its name, its start in nanoseconds since the Unix epoch, its duration in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span, ended. Times are nanoseconds since the Unix epoch; `error` is empty unless it failed."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    start: int
    end: int
    attributes: Attributes = field(default_factory=dict)
    error: str = ""


class SpanSink(Protocol):
    """Where ended spans go. Never blocks, never raises."""

    def put(self, spans: Iterable[Span]) -> None:
        """Takes spans of one trace."""

    async def close(self) -> None:
        """Sends what is left, within a few seconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment for `segment_spans`."""

    job_id: bytes
    index: int
    circuit: bytes
    placement: str
    state: str
    start: int
    end: int
    stages: Sequence[Timed]
    error: str = ""


def trace_id(job_id: bytes) -> int:
    """The first 16 bytes of the job's id (1 should they all be zero, which no trace id may be)."""
    return int.from_bytes(job_id[:16]) or 1


def trace_hex(job_id: bytes) -> str:
    """The trace id as tracing tools write it."""
    return f"{trace_id(job_id):032x}"


def span_id(job_id: bytes, *path: str | int) -> int:
    """Eight bytes of a hash over the job and the span's place in it."""
    raw = hashlib.sha256(b"/".join([b"hybrid-prover span", job_id, *(str(p).encode() for p in path)])).digest()
    return int.from_bytes(raw[:8]) or 1


def job_span(
    tier: str, job_id: bytes, placement: str, state: str, segments: int, start: int, end: int, error: str = ""
) -> Span:
    """The job at one tier; the edge's is the root of the trace."""
    attributes: Attributes = {
        "hybrid_prover.job_id": job_id.hex(),
        "hybrid_prover.placement": placement,
        "hybrid_prover.state": state,
        "hybrid_prover.segments": segments,
    }
    parent = None if tier == "edge" else span_id(job_id, "edge", "job")
    return Span("job", trace_id(job_id), span_id(job_id, tier, "job"), parent, start, end, attributes, error)


def segment_spans(tier: str, piece: Piece) -> list[Span]:
    """A segment at one tier and its stages. A stage that is a sum of intervals says so (`hybrid_prover.summed`)."""
    job_id, trace = piece.job_id, trace_id(piece.job_id)
    own = span_id(job_id, tier, "segment", piece.index)
    parent = span_id(job_id, "edge", "job") if tier == "edge" else span_id(job_id, "edge", "segment", piece.index)
    common: dict[str, str | int | float | bool] = {
        "hybrid_prover.job_id": job_id.hex(),
        "hybrid_prover.segment": piece.index,
        "hybrid_prover.placement": piece.placement,
    }
    whole = common | {"hybrid_prover.circuit": piece.circuit.hex(), "hybrid_prover.state": piece.state}
    starts = [start for _, start, _ in piece.stages if start]
    begin = min([piece.start, *starts]) if piece.start else min(starts, default=piece.end)
    out = [Span("segment", trace, own, parent, begin, max(begin, piece.end), whole, piece.error)]
    for stage, start, duration in piece.stages:
        attributes = common | {"hybrid_prover.kind": kind_of(stage).name.lower()}
        if stage in SUMMED:
            attributes["hybrid_prover.summed"] = True
        number = span_id(job_id, tier, "segment", piece.index, stage)
        out.append(Span(stage, trace, number, own, start, start + duration, attributes))
    return out
