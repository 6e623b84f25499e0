"""Revisions of the database (Alembic)."""
