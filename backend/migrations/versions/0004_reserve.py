"""Reserved losses, booked with the decision that moved them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "reserve",
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("programme", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("holders", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("amount >= 0", name="reserve_amount"),
        sa.PrimaryKeyConstraint("card_id", "wallet"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("reserve")
