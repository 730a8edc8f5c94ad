"""Where the tests of the cloud's stores get stores, and what they put in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from cloud.errors import make_status
from cloud.model import FAILED, VERIFIED, CircuitInfo, Job, Segment
from cloud.store import Store, open_store
from hybrid_prover.v1 import common_pb2

CIRCUIT = CircuitInfo(b"c" * 32, 40, 2)


@dataclass(frozen=True)
class Place:
    """A place for one database, empty at first."""

    folder: Path
    database: str = ""
    """The setting: a URL, or empty for SQLite in the folder."""

    def open(self, outage_seconds: float = 20.0) -> Store:
        return open_store(self.database, self.folder, outage_seconds)

    def engine(self) -> sa.Engine:
        """The database without our store: to look behind its back."""
        if self.database:
            url = sa.engine.make_url(self.database).set(drivername="postgresql+psycopg")
            return sa.create_engine(url, poolclass=sa.NullPool)
        return sa.create_engine(f"sqlite:///{self.folder / 'cloud.sqlite'}", poolclass=sa.NullPool)

    def execute(self, statement: str) -> list[sa.Row]:
        engine = self.engine()
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result.all()) if result.returns_rows else []

    def tables(self) -> set[str]:
        return set(sa.inspect(self.engine()).get_table_names())


def make_job(name: bytes, segments: int = 2, accepted: int = 7, **changes: object) -> Job:
    """A running job whose id is `name` repeated."""
    return Job(
        (name * 32)[:32],
        name.decode(),
        common_pb2.PLACEMENT_CLOUD,
        [common_pb2.Link(from_segment=i, to_segment=i + 1, to_signal=1) for i in range(segments - 1)],
        [Segment(i, CIRCUIT) for i in range(segments)],
        accepted_nanos=accepted,
        **changes,
    )


def prove(segment: Segment, batch_id: bytes = b"") -> None:
    """The segment as it is when its proof has been verified."""
    segment.state, segment.batch_id = VERIFIED, batch_id
    segment.acked = segment.received = 3
    segment.wires_acked = segment.circuit.wires
    segment.leaf = common_pb2.LeafProof(
        proof=common_pb2.Groth16Proof(a=bytes(range(64)), b=b"\0" * 128, c=b"\xff" * 64),
        public_signals=[b"p" * 32, bytes(32)],
    )
    segment.timings = [
        common_pb2.PhaseTiming(phase=phase, start_unix_nanos=2**62 + i, duration_nanos=i)
        for i, phase in enumerate(("upload", "finish", "verify"))
    ]


def fail(segment: Segment) -> None:
    """The segment as it is when it has failed."""
    segment.state = FAILED
    segment.error = make_status(9, "broken", reason="R", field=f"segments[{segment.index}]")
