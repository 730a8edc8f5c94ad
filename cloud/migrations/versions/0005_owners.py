"""To whom jobs and sessions belong."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds client and edges to each job, and the edge of each session."""
    op.add_column("jobs", sa.Column("client", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("jobs", sa.Column("edges", sa.Text, nullable=False, server_default="[]"))
    op.create_index("jobs_by_client", "jobs", ["client", "accepted_nanos"])
    op.create_table(
        "session_owners",
        sa.Column("session_id", sa.LargeBinary, primary_key=True),
        sa.Column("edge", sa.Text, nullable=False),
        sa.Column("since_nanos", sa.BigInteger, nullable=False),
        sa.Index("sessions_by_edge", "edge", "since_nanos"),
    )
