"""The ledger's tables as queries see them. Keys, indexes and history are in `migrations/`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA_VERSION = "0001"
"""The newest migration; a test holds it equal to Alembic's head."""

# Names carry a prefix: a PostgreSQL database may be shared with Dagster, which has its own
# `alembic_version`.
VERSION_TABLE = "agentci_schema_version"

metadata = MetaData()

chain_head = Table(
    "agentci_chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

events = Table(
    "agentci_events",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("repository", Text, nullable=False),
    Column("sha", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

outcomes = Table(
    "agentci_outcomes",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("settled_at", String(40), nullable=False),
    Column("body", Text, nullable=False),
)

leases = Table(
    "agentci_leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("expires_at", String(40), nullable=False),
    Column("subject", Text, nullable=False),
    Column("is_held", Boolean, nullable=False),
)

rollouts = Table(
    "agentci_rollouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("sha", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("opened_at", String(40), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

live_releases = Table(
    "agentci_live_releases",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("since", String(40), nullable=False),
    Column("body", Text, nullable=False),
)
