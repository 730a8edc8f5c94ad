"""Whose jobs are whose: what edges and clients may see, and what one edge may do to a job that another wants. Pure."""

from __future__ import annotations

from hybrid_prover.security.principal import Principal

from .model import Job
from .sessions import Session


def edge_of(session: Session) -> str:
    """Who speaks on a session: the identity in its certificate, or where there is none the session itself."""
    return session.identity or f"session:{session.session_id.hex()}"


def wanted_by_others(job: Job, session: Session) -> bool:
    """Whether another edge has opened the job and not withdrawn: then this one cannot end it."""
    return bool(job.edges - {edge_of(session)})


def visible(job: Job, caller: Principal) -> bool:
    """Whether a caller may know of a job: operators of all, clients of their own, edges of those that they opened."""
    return caller.owns({job.client}) or (bool(caller.edge) and caller.edge in job.edges)
