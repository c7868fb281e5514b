"""What is known about one commit so far, and what it amounts to.

Used by assets, sensors and the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agentci_dagster.domain.diff import CommitDiff, CommitKey
from agentci_dagster.domain.gates import Approval
from agentci_dagster.domain.generated_tests import GeneratedTests
from agentci_dagster.domain.health import HealthReport
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.outcome import DeployOutcome, Known, conclude
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.rollout import Deployment
from agentci_dagster.domain.savings import Audit
from agentci_dagster.domain.selection import TestReport, TestVerdict
from agentci_dagster.ports import AssetValues, EventLog, RolloutJournal

APPROVAL = "approval"
"""Kind of the ledger event in which a person approves or rejects one commit."""


AUDIT = "audit"
"""Kind of the ledger event that says what all tests said of a delivered fast commit."""


def audits(log: EventLog) -> tuple[Audit, ...]:
    """The audits that the ledger holds, in the order of writing."""
    return tuple(
        Audit(CommitKey(event.repository, event.sha), TestVerdict(event.body["verdict"]))
        for event in log.events(kind=AUDIT)
    )


@dataclass(frozen=True, slots=True)
class Journeys:
    """Reads the stored values of a commit, whichever there are."""

    values: AssetValues
    log: EventLog
    journal: RolloutJournal

    def known(
        self,
        key: CommitKey,
        *,
        run_id: str = "",
        error: str = "",
        branch: str = "",
        as_of: datetime | None = None,
    ) -> Known:
        """Everything that the stages have left behind for this commit, and what people had said of
        it by then.
        """
        return Known(
            key=key,
            diff=self.values.find("commit_diff", CommitDiff, key),
            risk=self.values.find("risk_score", RiskScore, key),
            generated=self.values.find("generated_tests", GeneratedTests, key),
            tests=self.values.find("test_report", TestReport, key),
            image=self.values.find("image", Image, key),
            deployment=self.values.find("deployment", Deployment, key),
            health=self.values.find("health_report", HealthReport, key),
            approval=self.approval(key, as_of),
            rollout=next(reversed(self.journal.rollouts(key=key)), None),
            run_id=run_id,
            error=error,
            branch=branch,
        )

    def conclude(
        self, key: CommitKey, now: datetime, *, run_id: str = "", error: str = "", branch: str = ""
    ) -> DeployOutcome:
        """The outcome of the commit by the first stage that stopped it."""
        return conclude(self.known(key, run_id=run_id, error=error, branch=branch), now)

    def approval(self, key: CommitKey, as_of: datetime | None = None) -> Approval | None:
        """The newest word of a person on exactly this commit."""
        every = self.log.events(kind=APPROVAL, repository=key.repository, sha=key.sha)
        said = [event for event in every if as_of is None or event.at <= as_of]
        if not said:
            return None
        body = said[-1].body
        return Approval(bool(body["is_approved"]), str(body["by"]), str(body["reason"]))
