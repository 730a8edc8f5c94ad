"""Assemblies: of jobs, as their last stage, and those that were asked for by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds a table."""
    op.create_table(
        "assemblies",
        sa.Column("assembly_id", sa.LargeBinary, primary_key=True),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("starts", sa.Integer, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
    )
    op.create_index("assemblies_by_owner", "assemblies", ["owner"])
    op.create_index("assemblies_by_state", "assemblies", ["state"])
