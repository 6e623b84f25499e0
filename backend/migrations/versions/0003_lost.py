"""A receipt says how much of it is a recorded loss, not only that it is one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; until now a loss was the whole receipt."""
    op.add_column("receipt", sa.Column("lost", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE receipt SET lost = amount WHERE loss")
    with op.batch_alter_table("receipt") as table:
        table.alter_column("lost", server_default=None)
        table.drop_column("loss")


def downgrade() -> None:
    """Take back."""
    op.add_column(
        "receipt", sa.Column("loss", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE receipt SET loss = (lost > 0)")
    with op.batch_alter_table("receipt") as table:
        table.alter_column("loss", server_default=None)
        table.drop_column("lost")
