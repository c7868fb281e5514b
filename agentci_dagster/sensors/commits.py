"""One sensor per repository: new commits become partitions and runs in the same tick."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.watching import COMMITS_PER_TICK, WatchCursor
from agentci_dagster.jobs import EVERY_LOOP_S, deliver_commit
from agentci_dagster.partitions import COMMITS, commits
from agentci_dagster.ports import Mirror, Mirrors, Refreshed

_NAMED = 10
"""Branches named in one tick; with a pattern there may be thousands."""


def commit_sensor(repository: str) -> dg.SensorDefinition:
    """The sensor that watches one configured repository."""

    @dg.sensor(
        name=f"watch_{repository.replace('-', '_')}",
        job=deliver_commit,
        minimum_interval_seconds=EVERY_LOOP_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Turns every new commit of {repository} into a partition and a run.",
    )
    def watch(
        context: dg.SensorEvaluationContext, mirrors: dg.ResourceParam[Mirrors]
    ) -> dg.SensorResult | dg.SkipReason:
        mirror = mirrors.of(repository)
        try:
            seen = mirror.refresh()
            look = _look(WatchCursor.parse(context.cursor), mirror, seen)
        except GitError as error:
            # The cursor stays: what was pushed meanwhile is found when the remote answers again.
            return dg.SkipReason(f"{clean_text(str(error), 500)} Nothing is lost; trying again.")
        return _requested(context, repository, mirror, look)

    return watch


@dataclass(frozen=True, slots=True)
class _Look:
    """What one tick found: the commits to deliver, oldest first, and what people are told."""

    cursor: WatchCursor
    shas: tuple[str, ...]
    notes: tuple[str, ...]


def _requested(
    context: dg.SensorEvaluationContext, repository: str, mirror: Mirror, look: _Look
) -> dg.SensorResult:
    for note in look.notes:
        context.log.info(note)
    cursor = look.cursor.dump()
    if not look.shas:
        reason = dg.SkipReason(" ".join(("No new commits.", *look.notes)))
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    keys = [CommitKey(repository, sha) for sha in look.shas]
    live = set(context.instance.get_dynamic_partitions(COMMITS))
    fresh = [str(key) for key in keys if str(key) not in live]
    return dg.SensorResult(
        run_requests=[_request(context, mirror, key) for key in keys],
        dynamic_partitions_requests=[commits.build_add_request(fresh)] if fresh else [],
        cursor=cursor,
    )


def _look(cursor: WatchCursor | None, mirror: Mirror, seen: Refreshed) -> _Look:
    tips = {tip.branch: tip.sha for tip in seen.tips}
    notes = tuple(_notes(seen))
    if cursor is None or cursor.identity != seen.identity or cursor.knows_nothing:
        # First sight starts at the tip: history is for backfills of `analyse_commit`.
        first = WatchCursor(seen.identity, (), seen.patterns, seen.is_empty)
        shas = tuple(tips.values())
        return _Look(first.after((), shas, 0), shas[:1], notes)
    begun = cursor.begun_by(tips)
    older = tuple(sha for branch, sha in tips.items() if branch not in begun)
    shas, n_left = mirror.new_commits(older, cursor.known, COMMITS_PER_TICK)
    if n_left or (begun and len(shas) == COMMITS_PER_TICK):
        # Branches that were not watched before wait: marked as known, their tips would hide what
        # is left of the others.
        notes = (*notes, f"{n_left} more commits wait for the next ticks.") if n_left else notes
        return _Look(cursor.after(shas, older, n_left), shas, notes)
    known = replace(cursor, patterns=seen.patterns, was_empty=cursor.was_empty and seen.is_empty)
    at_tip = tips[begun[0]] if begun else None
    if at_tip and mirror.new_commits([at_tip], [*cursor.known, *older], 1)[0]:
        shas = (*shas, at_tip)
    notes = (*notes, *(f"{_named([b])} is watched from its tip on." for b in begun[:_NAMED]))
    return _Look(known.after(shas, tuple(tips.values()), 0), shas, notes)


def _notes(seen: Refreshed) -> Iterator[str]:
    gone = [tip.branch for tip in seen.gone]
    now = {tip.branch: tip.sha for tip in seen.tips}
    for tip in seen.replaced[:_NAMED]:
        yield (
            f"{_named([tip.branch])} was force-pushed from {tip.sha[:10]} to "
            f"{now[tip.branch][:10]}; what it had before is kept."
        )
    if len(seen.replaced) > _NAMED:
        yield f"{len(seen.replaced) - _NAMED} more branches were force-pushed."
    if gone:
        yield f"Deleted at the remote: {_named(gone)}; what it had is kept."
    if missing := [branch for branch in seen.missing if branch not in gone]:
        yield f"No such branch yet: {_named(missing)}."


def _named(branches: Sequence[str]) -> str:
    """Branches for the eyes; names are untrusted and may be many."""
    names = ", ".join(clean_text(branch, 100) for branch in branches[:_NAMED])
    more = len(branches) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def _request(context: dg.SensorEvaluationContext, mirror: Mirror, key: CommitKey) -> dg.RunRequest:
    tags = {"agentci/repository": key.repository}
    try:
        tags |= _about(mirror, key)
    except GitError as error:
        # Requested all the same: its own run says what is wrong, and those beside it go on.
        context.log.warning(f"{key} cannot be read: {clean_text(str(error), 500)}")
    return dg.RunRequest(run_key=str(key), partition_key=str(key), tags=tags)


def _about(mirror: Mirror, key: CommitKey) -> dict[str, str]:
    commit = mirror.commit(key.sha)
    branches = mirror.branches_of(key.sha)
    return {
        "agentci/branch": clean_text(branches[0], 200) if branches else "unknown",
        "agentci/title": clean_text(commit.subject, 200) or "untitled",
        "agentci/author": clean_text(commit.author_name, 100) or "unknown",
    }
