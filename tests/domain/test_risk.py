from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import FileKind
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.risk import (
    Advice,
    Contribution,
    LogisticPrior,
    RiskBand,
    Scored,
    assess,
    band_of,
    probability_of,
    reasons_in_words,
    strongest_first,
)
from agentci_dagster.domain.risk.words import _plain
from agentci_dagster.domain.routing import RiskPolicy, Route
from tests.builders import diff, features, file_change

untimed = settings(deadline=None)
"""A busy machine is no failure."""

DOCUMENT = json.loads(
    resources.files("agentci_dagster.adapters").joinpath("embedded_prior.json").read_text("utf-8")
)
PRIOR = LogisticPrior(DOCUMENT)
POLICY = RiskPolicy()

YOUNG = {
    "lines_before": 120.0,
    "files": 1.0,
    "directories": 1.0,
    "subsystems": 1.0,
    "developers": 1.0,
    "age_days": 0.01,
    "unique_changes": 2.0,
    "experience": 3.0,
    "recent_experience": 3.0,
    "subsystem_experience": 3.0,
}
"""A file of a repository that is a few minutes old."""


def shape(**changes):
    facts = {
        "name": "lines_added",
        "scale": "log1p",
        "knots": [0.0, 1.0, 3.0],
        "log_odds": [0.0, 1.0, 1.5],
        "median": math.e - 1,
    }
    return facts | changes


def prior(*shapes, intercept=-2.0):
    return LogisticPrior({"version": "p", "intercept": intercept, "shapes": list(shapes)})


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_a_shape_is_linear_between_its_knots_and_flat_outside():
    model = prior(shape(scale="linear"))

    values = [model.log_odds(features(lines_added=x)) for x in (0.0, 0.5, 1.0, 2.0, 3.0, 99.0)]

    assert values == pytest.approx([-2.0, -1.5, -1.0, -0.75, -0.5, -0.5])


def test_a_log_shape_reads_the_logarithm_of_one_more():
    model = prior(shape())

    assert model.log_odds(features(lines_added=math.e**2 - 1)) == pytest.approx(-0.75)
    assert model.log_odds(features(lines_added=-5.0)) == pytest.approx(-2.0)


def test_an_unknown_value_counts_as_the_median():
    model = prior(shape(name="developers", median=2.0))

    unknown = model.score(features(developers=None))

    assert unknown.probability == model.score(features(developers=2.0)).probability
    assert unknown.contributions == (Contribution("developers", None, 0.0),)


def test_contributions_are_told_strongest_first_whatever_their_sign():
    weak, strong = Contribution("a", 1.0, 0.2), Contribution("b", 1.0, -0.9)

    assert strongest_first([weak, strong]) == (strong, weak)
    assert strongest_first([Contribution("z", 1.0, 0.2), weak])[0] is weak


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({}, "not a prior"),
        ({"version": "p", "intercept": None, "shapes": []}, "not a prior"),
        ({"version": "p", "intercept": 0, "shapes": [{"name": "lines_added"}]}, "scale"),
        ({"version": "p", "intercept": 0, "shapes": [shape(name="age")]}, "no feature is named"),
        ({"version": "p", "intercept": 0, "shapes": [shape(knots=[0.0])]}, "one log-odds value"),
        (
            {"version": "p", "intercept": 0, "shapes": [shape(knots=[], log_odds=[])]},
            "one log-odds",
        ),
        ({"version": "p", "intercept": 0, "shapes": [shape(knots=[0.0, 3.0, 1.0])]}, "do not rise"),
        ({"version": "p", "intercept": 0, "shapes": [shape(log_odds=[0, 2, 1])]}, "lower the risk"),
    ],
)
def test_a_document_that_is_no_prior_is_refused_with_its_reason(broken, why):
    with pytest.raises(ValueError, match=why):
        LogisticPrior(broken)


@pytest.mark.parametrize("z", [-800.0, -1.0, 0.0, 1.0, 800.0])
def test_the_logistic_function_is_safe_at_any_size(z):
    assert 0 <= probability_of(z) <= 1
    assert probability_of(z) + probability_of(-z) == pytest.approx(1)


# ------------------------------------------------------------------ the embedded prior itself

COUNTS = st.floats(0, 1e7)
ANY_FEATURES = st.builds(
    lambda known, unknown: features(**(known | dict.fromkeys(unknown, None))),
    known=st.fixed_dictionaries(dict.fromkeys(PRIOR.features, COUNTS)),
    unknown=st.sets(st.sampled_from(["lines_before", "developers", "age_days"])),
)


def test_the_embedded_prior_names_its_origin_and_licence():
    assert "ISSTA" in DOCUMENT["origin"]
    assert DOCUMENT["licence"].startswith("MIT")
    assert DOCUMENT["base_rate_source"]
    assert PRIOR.version == DOCUMENT["version"]


@untimed
@given(ANY_FEATURES)
def test_the_priors_contributions_sum_to_the_distance_from_the_median_commit(commit):
    scored = PRIOR.score(commit)

    total = PRIOR.median_log_odds + sum(c.log_odds for c in scored.contributions)

    assert scored.probability == pytest.approx(probability_of(total), abs=1e-12)
    assert {c.feature for c in scored.contributions} == set(PRIOR.features)


@untimed
@given(ANY_FEATURES, COUNTS, COUNTS)
def test_more_churn_never_lowers_the_priors_risk(commit, more_added, more_deleted):
    larger = replace(
        commit,
        lines_added=commit.lines_added + more_added,
        lines_deleted=commit.lines_deleted + more_deleted,
    )

    assert PRIOR.score(larger).probability >= PRIOR.score(commit).probability - 1e-12


@untimed
@given(ANY_FEATURES)
def test_a_message_that_speaks_of_a_fix_never_lowers_the_priors_risk(commit):
    plain, fix = replace(commit, is_fix=0.0), replace(commit, is_fix=1.0)

    assert PRIOR.score(fix).probability >= PRIOR.score(plain).probability


@pytest.mark.parametrize(
    ("added", "deleted", "files", "entropy"),
    [(2, 1, 1, 0), (6, 4, 1, 0), (15, 10, 1, 0), (18, 12, 2, 0.97), (20, 10, 2, 1.0)],
)
def test_a_small_refactoring_of_a_young_repository_is_low_risk(added, deleted, files, entropy):
    commit = features(
        **YOUNG
        | {"lines_added": added, "lines_deleted": deleted, "files": files, "entropy": entropy}
    )

    assert band_of(PRIOR.score(commit).probability, POLICY) is RiskBand.LOW


@pytest.mark.parametrize(
    "history", [{}, {"lines_before": None, "developers": None, "age_days": None}]
)
def test_a_wide_change_is_not_low_risk(history):
    commit = features(
        **YOUNG
        | {"lines_added": 300, "lines_deleted": 100, "files": 15, "directories": 6, "entropy": 0.9}
        | history
    )

    assert band_of(PRIOR.score(commit).probability, POLICY) is not RiskBand.LOW


# ------------------------------------------------------------------ words and judgement


def test_reasons_say_values_in_plain_words_strongest_first():
    commit = features(
        lines_added=1240.0, lines_deleted=3.0, files=14.0, directories=6.0, experience=2.0
    )
    moved = [
        Contribution("files", 14.0, 0.5),
        Contribution("directories", 6.0, 0.3),
        Contribution("experience", 2.0, -0.2),
        Contribution("lines_added", 1240.0, 1.9),
    ]

    assert reasons_in_words(moved, commit) == (
        "adds 1,240 lines and deletes 3 (raises the risk)",
        "touches 14 files in 6 folders (raises the risk)",
        "author has 2 earlier changes here (lowers the risk)",
    )


def test_a_reason_tells_the_usual_range_where_the_model_knows_it():
    commit = features(lines_added=900.0, lines_deleted=0.0, developers=2.0, is_fix=1.0)
    moved = [
        Contribution("lines_added", 900.0, 1.9, 2.0, 130.0),
        Contribution("lines_deleted", 0.0, 0.1, 1.0, 40.0),
        Contribution("developers", 2.0, 0.5, 2.0, 2.0),
        Contribution("is_fix", 1.0, 0.4, 0.0, 1.0),
    ]

    assert reasons_in_words(moved, commit) == (
        "adds 900 lines and deletes 0; 2 to 130 are usual (raises the risk)",
        "2 people changed the touched files before; 2 is usual (raises the risk)",
        "the message speaks of a fix (raises the risk)",
    )


def test_a_feature_without_a_sentence_says_its_name_and_value():
    sentence = _plain("lines_before")

    assert sentence.say(features(lines_before=1234.0)) == "lines before: 1,234"
    assert sentence.say(features(lines_before=None)) == "lines before: unknown"


def test_one_of_anything_is_singular():
    commit = features(
        lines_added=1.0, files=1.0, directories=1.0, developers=1.0, unique_changes=1.0
    )
    moved = [Contribution("files", 1.0, -0.5), Contribution("developers", 1.0, -0.4)]

    assert reasons_in_words(moved, commit) == (
        "touches 1 file in 1 folder (lowers the risk)",
        "1 person changed the touched files before (lowers the risk)",
    )


def test_reasons_too_weak_or_too_many_are_left_out():
    names = ("lines_added", "files", "experience", "is_fix", "lines_before", "earlier_fixes")
    strong = [Contribution(name, 1.0, 1.0) for name in names]

    assert len(reasons_in_words(strong, features())) == 4
    assert reasons_in_words([Contribution("files", 1.0, 0.05)], features()) == ()
    assert reasons_in_words([Contribution("moon_phase", 1.0, 5.0)], features()) == ()


@pytest.mark.parametrize("name", CommitFeatures.__dataclass_fields__)
def test_every_feature_has_words_for_known_and_unknown_values(name):
    moved = [Contribution(name, 3.0, 1.0)]

    for value in (0.0, 3.0):
        (reason,) = reasons_in_words(moved, features(**{name: value}))
        assert reason.endswith(" (raises the risk)")
        assert "None" not in reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"age_days": None}, "touches only new files"),
        ({"age_days": 0.4}, "the touched files changed within the last day"),
        ({"age_days": 12.3}, "the touched files last changed 12 days ago on average"),
        ({"lines_before": None}, "the touched files had an unknown number of lines on average"),
        ({"is_fix": 1.0}, "the message speaks of a fix"),
        ({"is_fix": 0.0}, "the message speaks of no fix"),
        ({"earlier_fixes": 2.0}, "2 earlier fixes in the touched files"),
        ({"test_files": 1.0}, "changes 1 test file"),
    ],
)
def test_the_words_fit_the_value(changes, words):
    ((name, value),) = changes.items()

    (reason,) = reasons_in_words([Contribution(name, value, -1.0)], features(**changes))

    assert reason == f"{words} (lowers the risk)"


def test_the_bands_meet_where_the_routes_do():
    bands = [band_of(p, POLICY) for p in (0.0, 0.1, 0.3, 0.6)]

    assert bands == [RiskBand.LOW, RiskBand.MEDIUM, RiskBand.HIGH, RiskBand.CRITICAL]


def test_an_assessment_keeps_the_score_and_takes_the_stricter_route():
    commit = features()
    scored = Scored(0.02, (Contribution("files", 1.0, -0.5),))
    migration = diff(file_change(kind=FileKind.MIGRATION), n=2)

    score = assess(migration, commit, scored, Advice(), POLICY, "prior-x")

    assert (score.probability, score.band, score.route) == (0.02, RiskBand.LOW, Route.GUARDED)
    assert score.key == migration.key
    assert score.features is commit
    assert score.contributions == scored.contributions
    assert score.model_version == "prior-x"
    assert score.reasons == ("touches 1 file in 0 folders (lowers the risk)",)
    assert score.guard_rules[0].startswith("changes a migration")


def test_the_embedded_priors_base_rate_is_the_stated_one():
    """The median commit lies below the base rate, as in any skewed population, and above a tenth of it."""
    usual = probability_of(PRIOR.median_log_odds)

    assert DOCUMENT["assumed_base_rate"] / 10 < usual < DOCUMENT["assumed_base_rate"]
    assert log_odds(usual) == pytest.approx(PRIOR.median_log_odds)
