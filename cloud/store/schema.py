"""The tables as they are now. How databases get here from older versions is in `cloud.migrations`.

Whoever changes a table adds a migration; a test compares the two on both databases.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

circuits = sa.Table(
    "circuits",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),  # hybrid_prover.v1.Circuit
)
jobs = sa.Table(
    "jobs",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("placement", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("error", sa.LargeBinary),  # google.rpc.Status
    sa.Column("accepted_nanos", sa.BigInteger, nullable=False),
    sa.Column("ended_nanos", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("run", sa.Integer, nullable=False, server_default="0"),
    sa.Column("submission", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("client", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("edges", sa.Text, nullable=False, server_default="[]"),  # JSON: identities
    sa.Column("priority", sa.Integer, nullable=False, server_default="2"),
    sa.Column("deadline_nanos", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("jobs_by_time", "accepted_nanos"),
    sa.Index("jobs_by_client", "client", "accepted_nanos"),
    sa.Index("jobs_by_state", "state"),
)
links = sa.Table(
    "links",
    METADATA,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("from_segment", sa.Integer, nullable=False),
    sa.Column("from_signal", sa.Integer, nullable=False),
    sa.Column("to_segment", sa.Integer, nullable=False),
    sa.Column("to_signal", sa.Integer, nullable=False),
)
batches = sa.Table(
    "batches",
    METADATA,
    sa.Column("batch_id", sa.LargeBinary, primary_key=True),
    sa.Column("verification_key", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("closed_nanos", sa.BigInteger, nullable=False),
)
segments = sa.Table(
    "segments",
    METADATA,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("circuit", sa.LargeBinary, nullable=False),
    sa.Column("wires", sa.BigInteger, nullable=False),
    sa.Column("n_public", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("chunks", sa.BigInteger, nullable=False),
    sa.Column("wires_acked", sa.BigInteger, nullable=False),
    sa.Column("error", sa.LargeBinary),
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id")),
    sa.Column("partials", sa.BigInteger, nullable=False, server_default="0"),  # chunks that came with a partial
    sa.Column("partials_wrong", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("maker", sa.Text, nullable=False, server_default=sa.text("''")),  # JSON: name, device, software
)
proofs = sa.Table(
    "proofs",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("a", sa.LargeBinary, nullable=False),
    sa.Column("b", sa.LargeBinary, nullable=False),
    sa.Column("c", sa.LargeBinary, nullable=False),
    sa.Column("public_signals", sa.LargeBinary, nullable=False),  # 32 bytes each, big-endian
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
timings = sa.Table(
    "timings",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("start_unix_nanos", sa.BigInteger, nullable=False),
    sa.Column("duration_nanos", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
records = sa.Table(
    "records",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),  # DSSE, as JSON
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
batch_records = sa.Table(
    "batch_records",
    METADATA,
    sa.Column("batch_id", sa.LargeBinary, sa.ForeignKey("batches.batch_id"), primary_key=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
)
attempts = sa.Table(
    "attempts",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("outcome", sa.Integer, nullable=False),  # cloud.attempts.Outcome
    sa.Column("worker", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("error", sa.LargeBinary),  # google.rpc.Status
    sa.Column("unix_nanos", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
leases = sa.Table(
    "leases",
    METADATA,
    sa.Column("job_id", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("worker", sa.LargeBinary, nullable=False),  # empty: no remote worker
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
)
ownership = sa.Table(
    "ownership",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row, 1
    sa.Column("epoch", sa.BigInteger, nullable=False),  # how often a cloud has opened this database
)
assemblies = sa.Table(
    "assemblies",
    METADATA,
    sa.Column("assembly_id", sa.LargeBinary, primary_key=True),
    sa.Column("owner", sa.LargeBinary, nullable=False),  # the job whose last stage it is, or empty
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),  # hybrid_prover.v1.Assembly
    sa.Column("result", sa.LargeBinary),  # hybrid_prover.v1.AssemblyResult
    sa.Index("assemblies_by_owner", "owner"),
    sa.Index("assemblies_by_state", "state"),
)
distrusted_edges = sa.Table(
    "distrusted_edges",
    METADATA,
    sa.Column("session_id", sa.LargeBinary, primary_key=True),
    sa.Column("identity", sa.Text, nullable=False),  # as the edge's certificate names it, or empty
    sa.Column("edge_name", sa.Text, nullable=False),
    sa.Column("job_id", sa.LargeBinary, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("sequences", sa.Text, nullable=False),  # chunks with wrong partials, decimal, by commas
    sa.Column("since_nanos", sa.BigInteger, nullable=False),
    sa.Column("forgiven_nanos", sa.BigInteger, nullable=False),  # when an operator forgave it, or 0
)
session_owners = sa.Table(
    "session_owners",
    METADATA,
    sa.Column("session_id", sa.LargeBinary, primary_key=True),
    sa.Column("edge", sa.Text, nullable=False),  # identity in the certificate that showed the session first
    sa.Column("since_nanos", sa.BigInteger, nullable=False),
    sa.Index("sessions_by_edge", "edge", "since_nanos"),
)
