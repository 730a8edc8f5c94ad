"""Partials of chunks: how many came with each segment, and the edges that are not trusted with them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds two counts to each segment, and the table."""
    op.add_column("segments", sa.Column("partials", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("segments", sa.Column("partials_wrong", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "distrusted_edges",
        sa.Column("session_id", sa.LargeBinary, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("edge_name", sa.Text, nullable=False),
        sa.Column("job_id", sa.LargeBinary, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("sequences", sa.Text, nullable=False),
        sa.Column("since_nanos", sa.BigInteger, nullable=False),
        sa.Column("forgiven_nanos", sa.BigInteger, nullable=False),
    )
