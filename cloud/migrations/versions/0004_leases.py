"""Attempts at segments, leases of remote workers, and jobs that go again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds two columns to each job, and two tables."""
    op.add_column("jobs", sa.Column("run", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("submission", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("worker", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("error", sa.LargeBinary),
        sa.Column("unix_nanos", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
    )
    op.create_table(
        "leases",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("worker", sa.LargeBinary, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
    )
