"""The tables of version 0.1.0.

Files of that version are SQLite's, have these tables already and know no migrations: what is there is taken over, and
what an opening that was killed has left out is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes every table that is not there."""
    adopt = op.get_context().dialect.name == "sqlite"
    op.create_table(
        "circuits",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        if_not_exists=adopt,
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("placement", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("error", sa.LargeBinary),
        sa.Column("accepted_nanos", sa.BigInteger, nullable=False),
        sa.Column("ended_nanos", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        if_not_exists=adopt,
    )
    op.create_index("jobs_by_time", "jobs", ["accepted_nanos"], if_not_exists=adopt)
    op.create_index("jobs_by_state", "jobs", ["state"], if_not_exists=adopt)
    op.create_table(
        "links",
        sa.Column("job_id", sa.LargeBinary, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("from_segment", sa.Integer, nullable=False),
        sa.Column("from_signal", sa.Integer, nullable=False),
        sa.Column("to_segment", sa.Integer, nullable=False),
        sa.Column("to_signal", sa.Integer, nullable=False),
        if_not_exists=adopt,
    )
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.LargeBinary, primary_key=True),
        sa.Column("verification_key", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("closed_nanos", sa.BigInteger, nullable=False),
        if_not_exists=adopt,
    )
    op.create_table(
        "segments",
        sa.Column("job_id", sa.LargeBinary, sa.ForeignKey("jobs.job_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("circuit", sa.LargeBinary, nullable=False),
        sa.Column("wires", sa.BigInteger, nullable=False),
        sa.Column("n_public", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("chunks", sa.BigInteger, nullable=False),
        sa.Column("wires_acked", sa.BigInteger, nullable=False),
        sa.Column("error", sa.LargeBinary),
        sa.Column("batch_id", sa.LargeBinary, sa.ForeignKey("batches.batch_id")),
        if_not_exists=adopt,
    )
    op.create_table(
        "proofs",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("a", sa.LargeBinary, nullable=False),
        sa.Column("b", sa.LargeBinary, nullable=False),
        sa.Column("c", sa.LargeBinary, nullable=False),
        sa.Column("public_signals", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
        if_not_exists=adopt,
    )
    op.create_table(
        "timings",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("start_unix_nanos", sa.BigInteger, nullable=False),
        sa.Column("duration_nanos", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
        if_not_exists=adopt,
    )
