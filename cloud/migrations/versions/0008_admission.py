"""Priorities and deadlines of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds two columns to each job."""
    op.add_column("jobs", sa.Column("priority", sa.Integer, nullable=False, server_default="2"))
    op.add_column("jobs", sa.Column("deadline_nanos", sa.BigInteger, nullable=False, server_default="0"))
