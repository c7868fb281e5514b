"""The risk score: values, the embedded prior's arithmetic and the reasons in plain words.

Routes belong to `routing.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.risk.judgement import assess, band_of
from agentci_dagster.domain.risk.prior import LogisticPrior, probability_of, strongest_first
from agentci_dagster.domain.risk.values import Advice, Contribution, RiskBand, RiskScore, Scored
from agentci_dagster.domain.risk.words import reasons_in_words

__all__ = [
    "Advice",
    "Contribution",
    "LogisticPrior",
    "RiskBand",
    "RiskScore",
    "Scored",
    "assess",
    "band_of",
    "probability_of",
    "reasons_in_words",
    "strongest_first",
]
