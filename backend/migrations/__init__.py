"""Revisions of the database (Alembic), applied by :func:`backend.db.migrate`."""
