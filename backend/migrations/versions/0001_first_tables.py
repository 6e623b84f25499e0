"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "bundle",
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("time_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station", "counter"),
    )
    op.create_table(
        "certificate",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("officer", sa.BigInteger(), nullable=False),
        sa.Column("effective", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificate_station"), ["station"], unique=False)

    op.create_table(
        "decision",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("new_card", sa.LargeBinary(), nullable=True),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount >= 0", name="decision_amount"),
        sa.PrimaryKeyConstraint("hash"),
    )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decision_card_id"), ["card_id"], unique=False)

    op.create_table(
        "decree_row",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("decree", sa.LargeBinary(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("family", sa.LargeBinary(), nullable=False),
        sa.Column("programme", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("value_minor", sa.BigInteger(), nullable=False),
        sa.Column("funded", sa.Boolean(), nullable=False),
        sa.Column("entitlement", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("amount > 0 AND value_minor >= 0", name="decree_row_amount"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("decree", "row", name="decree_row_once"),
    )
    with op.batch_alter_table("decree_row", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decree_row_family"), ["family"], unique=False)
        batch_op.create_index(batch_op.f("ix_decree_row_programme"), ["programme"], unique=False)

    op.create_table(
        "entitlement",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("programme", sa.Integer(), nullable=False),
        sa.Column("loaded", sa.BigInteger(), nullable=False),
        sa.Column("forfeited_through", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.LargeBinary(), nullable=True),
        sa.Column("cause_row", sa.BigInteger(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("loaded >= 0 AND forfeited_through >= 0", name="entitlement_amounts"),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("card_id", "wallet", "sequence", name="entitlement_once"),
    )
    with op.batch_alter_table("entitlement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_entitlement_card_id"), ["card_id"], unique=False)

    op.create_table(
        "family",
        sa.Column("family", sa.LargeBinary(), nullable=False),
        sa.Column("no_kk", sa.String(), nullable=False),
        sa.Column("nik", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sex", sa.String(), nullable=False),
        sa.Column("birth_date", sa.String(), nullable=False),
        sa.Column("village_code", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("decile", sa.Integer(), nullable=False),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("visited", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("family"),
        sa.UniqueConstraint("nik"),
        sa.UniqueConstraint("no_kk"),
    )
    with op.batch_alter_table("family", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_family_village_code"), ["village_code"], unique=False)

    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("invariant", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("opened_s", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("invariant BETWEEN 1 AND 19", name="finding_invariant"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_table(
        "fund",
        sa.Column("programme", sa.Integer(), nullable=False),
        sa.Column("released_minor", sa.BigInteger(), nullable=False),
        sa.Column("allocated_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("allocated_minor <= released_minor", name="fund_never_exceeded"),
        sa.CheckConstraint(
            "released_minor >= 0 AND allocated_minor >= 0", name="fund_not_negative"
        ),
        sa.PrimaryKeyConstraint("programme"),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("receipt", "why", name="hold_once"),
    )
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hold_receipt"), ["receipt"], unique=False)

    op.create_table(
        "intent",
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("void_of", sa.BigInteger(), nullable=True),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("basket_version", sa.Integer(), nullable=False),
        sa.Column("on_counter", sa.Boolean(), nullable=False),
        sa.Column("hotlist_version", sa.BigInteger(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.Column("aborted", sa.Boolean(), nullable=False),
        sa.Column("delivered", sa.LargeBinary(), nullable=True),
        sa.Column("returned", sa.LargeBinary(), nullable=True),
        sa.Column("given_back", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("station", "sequence"),
    )
    with op.batch_alter_table("intent", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_intent_card_id"), ["card_id"], unique=False)

    op.create_table(
        "issuance",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("key"),
    )
    with op.batch_alter_table("issuance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_issuance_kind"), ["kind"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_evidence"), ["evidence"], unique=False)

    op.create_table(
        "object",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    with op.batch_alter_table("object", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_object_kind"), ["kind"], unique=False)
        batch_op.create_index(batch_op.f("ix_object_name"), ["name"], unique=False)

    op.create_table(
        "payable",
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("programme", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("ledger_sequence", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.LargeBinary(), nullable=True),
        sa.Column("undone_sequence", sa.BigInteger(), nullable=True),
        sa.Column("undone_evidence", sa.LargeBinary(), nullable=True),
        sa.Column("undone_settlement", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name="payable_amount"),
        sa.PrimaryKeyConstraint("receipt"),
    )
    with op.batch_alter_table("payable", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_payable_provider"), ["provider"], unique=False)

    op.create_table(
        "plan",
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("ident", sa.String(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
        sa.UniqueConstraint("ident"),
        sa.UniqueConstraint("wallet"),
    )
    op.create_table(
        "posting",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("good", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_posting_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_posting_sequence"), ["sequence"], unique=False)

    op.create_table(
        "record",
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("time_s", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("station", "sequence"),
    )
    op.create_table(
        "reject",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_hash", sa.LargeBinary(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("column", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("reject", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reject_file_hash"), ["file_hash"], unique=False)

    op.create_table(
        "script",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("card_id", "number", name="script_once"),
    )
    with op.batch_alter_table("script", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_script_card_id"), ["card_id"], unique=False)

    op.create_table(
        "statement",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    with op.batch_alter_table("statement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_statement_card_id"), ["card_id"], unique=False)

    op.create_table(
        "upload",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("ack", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upload_station"), ["station"], unique=False)

    op.create_table(
        "wallet_state",
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("loaded", sa.BigInteger(), nullable=False),
        sa.Column("debited", sa.BigInteger(), nullable=False),
        sa.Column("forfeited", sa.BigInteger(), nullable=False),
        sa.Column("reversed", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "loaded >= 0 AND debited >= 0 AND forfeited >= 0 AND reversed >= 0",
            name="wallet_state_amounts",
        ),
        sa.PrimaryKeyConstraint("card_id", "wallet"),
    )
    op.create_table(
        "world",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.CheckConstraint("environment IN (1, 2, 129, 130)", name="world_environment"),
        sa.CheckConstraint("id = 1", name="world_one"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("environment"),
    )
    op.create_table(
        "card",
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("environment", sa.Integer(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("receipt_key", sa.LargeBinary(), nullable=False),
        sa.Column("family", sa.LargeBinary(), nullable=False),
        sa.Column("predecessor", sa.LargeBinary(), nullable=True),
        sa.Column("order_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issued_s", sa.BigInteger(), nullable=False),
        sa.Column("scrapped", sa.Boolean(), nullable=False),
        sa.Column("blocked_version", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("card_date", sa.Integer(), nullable=False),
        sa.Column("script_count", sa.Integer(), nullable=False),
        sa.Column("pin_set_count", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("acknowledged >= 0", name="card_acknowledged"),
        sa.CheckConstraint("environment IN (1, 2, 129, 130)", name="card_environment"),
        sa.ForeignKeyConstraint(["environment"], ["world.environment"]),
        sa.PrimaryKeyConstraint("card_id"),
    )
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_card_family"), ["family"], unique=False)
        batch_op.create_index(batch_op.f("ix_card_order_hash"), ["order_hash"], unique=False)

    op.create_table(
        "receipt",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("environment", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("wallet", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("basket_version", sa.Integer(), nullable=False),
        sa.Column("loaded", sa.BigInteger(), nullable=False),
        sa.Column("debited", sa.BigInteger(), nullable=False),
        sa.Column("forfeited", sa.BigInteger(), nullable=False),
        sa.Column("reversed", sa.BigInteger(), nullable=False),
        sa.Column("terminal", sa.LargeBinary(), nullable=False),
        sa.Column("terminal_sequence", sa.BigInteger(), nullable=False),
        sa.Column("terminal_time_s", sa.BigInteger(), nullable=False),
        sa.Column("intent_hash", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_s", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Boolean(), nullable=False),
        sa.Column("held", sa.String(), nullable=False),
        sa.CheckConstraint(
            "amount > 0 AND loaded >= 0 AND debited >= 0 AND forfeited >= 0 AND reversed >= 0",
            name="receipt_amounts",
        ),
        sa.CheckConstraint("environment IN (1, 2, 129, 130)", name="receipt_environment"),
        sa.ForeignKeyConstraint(["environment"], ["world.environment"]),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("card_id", "sequence", name="receipt_once"),
    )
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_receipt_terminal"), ["terminal"], unique=False)

    op.create_table(
        "station",
        sa.Column("station", sa.LargeBinary(), nullable=False),
        sa.Column("environment", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("log_key", sa.LargeBinary(), nullable=False),
        sa.Column("area", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("enrolment", sa.LargeBinary(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("last_time_s", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.LargeBinary(), nullable=True),
        sa.Column("lost_last", sa.BigInteger(), nullable=False),
        sa.Column("hotlist_version", sa.BigInteger(), nullable=False),
        sa.Column("synced_s", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.LargeBinary(), nullable=False),
        sa.Column("bundle_counter", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["environment"], ["world.environment"]),
        sa.PrimaryKeyConstraint("station"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("station")
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_receipt_terminal"))

    op.drop_table("receipt")
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_card_order_hash"))
        batch_op.drop_index(batch_op.f("ix_card_family"))

    op.drop_table("card")
    op.drop_table("world")
    op.drop_table("wallet_state")
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upload_station"))

    op.drop_table("upload")
    with op.batch_alter_table("statement", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_statement_card_id"))

    op.drop_table("statement")
    with op.batch_alter_table("script", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_script_card_id"))

    op.drop_table("script")
    with op.batch_alter_table("reject", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reject_file_hash"))

    op.drop_table("reject")
    op.drop_table("record")
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_posting_sequence"))
        batch_op.drop_index(batch_op.f("ix_posting_account"))

    op.drop_table("posting")
    op.drop_table("plan")
    with op.batch_alter_table("payable", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_payable_provider"))

    op.drop_table("payable")
    with op.batch_alter_table("object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_object_name"))
        batch_op.drop_index(batch_op.f("ix_object_kind"))

    op.drop_table("object")
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_evidence"))

    op.drop_table("ledger")
    with op.batch_alter_table("issuance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_issuance_kind"))

    op.drop_table("issuance")
    with op.batch_alter_table("intent", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_intent_card_id"))

    op.drop_table("intent")
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hold_receipt"))

    op.drop_table("hold")
    op.drop_table("head")
    op.drop_table("fund")
    op.drop_table("finding")
    with op.batch_alter_table("family", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_family_village_code"))

    op.drop_table("family")
    with op.batch_alter_table("entitlement", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_entitlement_card_id"))

    op.drop_table("entitlement")
    with op.batch_alter_table("decree_row", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_decree_row_programme"))
        batch_op.drop_index(batch_op.f("ix_decree_row_family"))

    op.drop_table("decree_row")
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_decision_card_id"))

    op.drop_table("decision")
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificate_station"))

    op.drop_table("certificate")
    op.drop_table("bundle")
