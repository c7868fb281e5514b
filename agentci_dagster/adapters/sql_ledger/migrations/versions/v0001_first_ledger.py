"""The first ledger: events with their chain's head, outcomes, leases, rollouts, live releases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INSTANT = sa.String(40)


def upgrade() -> None:
    head = op.create_table(
        "agentci_chain_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "position": 0, "hash": "0" * 64}])
    op.create_table(
        "agentci_events",
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("id", name="agentci_events_id"),
    )
    op.create_index("agentci_events_kind", "agentci_events", ["kind", "position"])
    op.create_index("agentci_events_commit", "agentci_events", ["repository", "sha", "position"])
    op.create_table(
        "agentci_outcomes",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("sha", sa.Text, primary_key=True),
        sa.Column("settled_at", _INSTANT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("agentci_outcomes_settled_at", "agentci_outcomes", ["settled_at"])
    op.create_table(
        "agentci_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("is_held", sa.Boolean, nullable=False),
    )
    op.create_table(
        "agentci_rollouts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("agentci_rollouts_opened_at", "agentci_rollouts", ["environment", "opened_at"])
    # The database itself refuses a second open rollout, whatever the code above it does.
    op.create_index(
        "agentci_rollouts_one_open",
        "agentci_rollouts",
        ["environment"],
        unique=True,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "agentci_live_releases",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only; restore a copy instead")
