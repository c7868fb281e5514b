"""The memory of everything, on a SQL database: SQLite by default, PostgreSQL by address.

`ledger.py` answers the ports, `database.py` holds connections, transactions and migrations,
`chain.py` the hash chain.
"""

from __future__ import annotations

from agentci_dagster.adapters.sql_ledger.ledger import SqlLedger

__all__ = ["SqlLedger"]
