"""Alembic migrations of the ledger, run by `database.py` on the first write."""
