"""Signed records of leaf proofs and batches, and who made each proof."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds a column to each segment, and two tables."""
    maker = sa.Column("maker", sa.Text, nullable=False, server_default=sa.text("''"))
    op.add_column("segments", maker)
    op.create_table(
        "records",
        sa.Column("job_id", sa.LargeBinary, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "position"], ["segments.job_id", "segments.position"]),
    )
    op.create_table(
        "batch_records",
        sa.Column("batch_id", sa.LargeBinary, sa.ForeignKey("batches.batch_id"), primary_key=True),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )
