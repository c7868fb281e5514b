"""A score's reasons in plain words: features that belong together become one sentence with their
values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.risk.values import Contribution

_LEAST_LOG_ODDS = 0.1
"""A reason that moves the odds by less than a tenth is not worth a reader's time."""

_MOST_REASONS = 4


def reasons_in_words(
    contributions: Iterable[Contribution], features: CommitFeatures
) -> tuple[str, ...]:
    """At most four reasons, strongest first, each with its value and its direction against a usual
    commit.

    Only numbers enter the words, never text of the commit.
    """
    moved: dict[_Sentence, float] = {}
    usual: dict[_Sentence, str] = {}
    for contribution in contributions:
        sentence = _SENTENCE_OF.get(contribution.feature)
        if sentence is not None:
            moved[sentence] = moved.get(sentence, 0.0) + contribution.log_odds
            # A sentence speaks of its first measure first, and so does its range.
            if contribution.feature == sentence.features[0]:
                usual[sentence] = _range(contribution)
    told = sorted(moved.items(), key=lambda item: -abs(item[1]))
    return tuple(
        f"{sentence.say(features)}{usual.get(sentence, '')}"
        f" ({'raises' if log_odds > 0 else 'lowers'} the risk)"
        for sentence, log_odds in told[:_MOST_REASONS]
        if abs(log_odds) >= _LEAST_LOG_ODDS
    )


def _range(contribution: Contribution) -> str:
    """The usual range of a count; a yes or no has none."""
    low, high = contribution.usual_low, contribution.usual_high
    if low is None or high is None or contribution.feature in _YES_OR_NO:
        return ""
    between = f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"
    return f"; {between} {'is' if round(low) == round(high) else 'are'} usual"


_YES_OR_NO = ("is_fix", "is_capped")


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What is said for a group of features."""

    features: tuple[str, ...]
    say: Callable[[CommitFeatures], str]


def _count(value: float | None, noun: str, plural: str = "") -> str:
    if value is None:
        return f"an unknown number of {plural or noun + 's'}"
    return f"{value:,.0f} {noun if round(value) == 1 else plural or noun + 's'}"


def _age(days: float | None) -> str:
    if days is None:
        return "touches only new files"
    if days < 1:
        return "the touched files changed within the last day"
    return f"the touched files last changed {_count(days, 'day')} ago on average"


def _kind(name: str, noun: str) -> _Sentence:
    return _Sentence((name,), lambda f: f"changes {_count(getattr(f, name), noun)}")


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.0%}"


def _content(side: str) -> tuple[str, ...]:
    return tuple(n for n in CommitFeatures.__dataclass_fields__ if n.startswith(f"{side}_"))


_SENTENCES = (
    _Sentence(
        ("lines_added", "lines_deleted"),
        lambda f: f"adds {_count(f.lines_added, 'line')} and deletes {f.lines_deleted:,.0f}",
    ),
    _Sentence(
        ("files", "directories", "subsystems", "entropy"),
        lambda f: f"touches {_count(f.files, 'file')} in {_count(f.directories, 'folder')}",
    ),
    _Sentence(
        ("lines_before",),
        lambda f: f"the touched files had {_count(f.lines_before, 'line')} on average",
    ),
    _Sentence(
        ("developers",),
        lambda f: f"{_count(f.developers, 'person', 'people')} changed the touched files before",
    ),
    _Sentence(
        ("unique_changes",),
        lambda f: f"the touched files last changed in {_count(f.unique_changes, 'commit')}",
    ),
    _Sentence(("age_days",), lambda f: _age(f.age_days)),
    _Sentence(
        ("experience", "recent_experience", "subsystem_experience"),
        lambda f: f"author has {_count(f.experience, 'earlier change')} here",
    ),
    _Sentence(
        ("is_fix",),
        lambda f: "the message speaks of a fix" if f.is_fix else "the message speaks of no fix",
    ),
    _Sentence(
        ("earlier_fixes",),
        lambda f: f"{_count(f.earlier_fixes, 'earlier fix', 'earlier fixes')} in the touched files",
    ),
    _kind("source_files", "source file"),
    _kind("test_files", "test file"),
    _kind("docs_files", "document"),
    _kind("dependency_files", "dependency file"),
    _kind("migration_files", "migration"),
    _kind("configuration_files", "configuration file"),
    _kind("ci_files", "file of continuous integration"),
    _kind("container_files", "container file"),
    _Sentence(("is_capped",), lambda _: "the change is larger than was read"),
    _Sentence(
        ("earlier_reverts",),
        lambda f: f"{_count(f.earlier_reverts, 'earlier revert')} in the touched files",
    ),
    _Sentence(
        ("earlier_changes",),
        lambda f: f"{_count(f.earlier_changes, 'earlier change')} of a touched file on average",
    ),
    _Sentence(
        ("file_defect_rate", "project_defect_rate"),
        lambda f: f"{_share(f.file_defect_rate)} of the touched files' changes mended something",
    ),
    _Sentence(
        ("author_ownership", "top_ownership"),
        lambda f: f"the author made {_share(f.author_ownership)} of the touched files' changes",
    ),
    _Sentence(
        ("pace", "days_since_parent"),
        lambda f: f"{_count(f.pace, 'recent commit')} before it",
    ),
    _Sentence(
        ("days_since_author", "author_week"),
        lambda f: f"{_count(f.author_week, 'commit')} of the author in the week before",
    ),
    _Sentence(
        ("is_revert",),
        lambda f: f"takes {'something' if f.is_revert else 'nothing'} back",
    ),
    _Sentence(
        ("new_files", "deleted_files", "renamed_files", "binary_files"),
        lambda f: f"adds {_count(f.new_files, 'file')}, deletes {f.deleted_files or 0:,.0f}",
    ),
    _Sentence(("hunks",), lambda f: f"changes {_count(f.hunks, 'place')}"),
    _Sentence(_content("added"), lambda f: f"adds code of {_count(f.added_words, 'word')}"),
    _Sentence(_content("removed"), lambda f: f"removes code of {_count(f.removed_words, 'word')}"),
)


def _plain(feature: str) -> _Sentence:
    """A feature without a sentence of its own: its name and its value."""

    def say(features: CommitFeatures) -> str:
        value = getattr(features, feature)
        return f"{feature.replace('_', ' ')}: {'unknown' if value is None else f'{value:,.4g}'}"

    return _Sentence((feature,), say)


_SENTENCE_OF = {name: _plain(name) for name in CommitFeatures.__dataclass_fields__} | {
    name: sentence for sentence in _SENTENCES for name in sentence.features
}
