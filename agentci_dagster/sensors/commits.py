"""One sensor per repository: new commits become partitions and runs in the same tick."""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.watching import COMMITS_PER_TICK, WatchCursor
from agentci_dagster.jobs import EVERY_LOOP_S, deliver_commit
from agentci_dagster.partitions import COMMITS, commits
from agentci_dagster.ports import Mirror, Mirrors, Refreshed


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
        except GitError as error:
            # The cursor stays: what was pushed meanwhile is found when the remote answers again.
            return dg.SkipReason(f"{clean_text(str(error), 500)} Nothing is lost; trying again.")
        return _requested(context, repository, mirror, seen)

    return watch


def _requested(
    context: dg.SensorEvaluationContext, repository: str, mirror: Mirror, seen: Refreshed
) -> dg.SensorResult | dg.SkipReason:
    cursor, shas, n_left = _look(WatchCursor.parse(context.cursor), mirror, seen)
    if not shas:
        missing = ", ".join(clean_text(branch, 100) for branch in seen.missing)
        note = f" No such branch yet: {missing}." if missing else ""
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"No new commits.{note}"), cursor=cursor.dump()
        )
    if n_left:
        context.log.info(f"{n_left} more commits wait for the next ticks.")
    keys = [str(CommitKey(repository, sha)) for sha in shas]
    live = set(context.instance.get_dynamic_partitions(COMMITS))
    fresh = [key for key in keys if key not in live]
    return dg.SensorResult(
        run_requests=[_request(mirror, CommitKey.parse(key)) for key in keys],
        dynamic_partitions_requests=[commits.build_add_request(fresh)] if fresh else [],
        cursor=cursor.dump(),
    )


def _look(
    cursor: WatchCursor | None, mirror: Mirror, seen: Refreshed
) -> tuple[WatchCursor, tuple[str, ...], int]:
    tips = tuple(tip.sha for tip in seen.tips)
    if cursor is None or cursor.identity != seen.identity:
        # First sight starts at the tip: history is for backfills of `analyse_commit`.
        first = WatchCursor(seen.identity, ())
        return first.after((), tips, 0), tips[:1], 0
    shas, n_left = mirror.new_commits(tips, cursor.known, COMMITS_PER_TICK)
    return cursor.after(shas, tips, n_left), shas, n_left


def _request(mirror: Mirror, key: CommitKey) -> dg.RunRequest:
    commit = mirror.commit(key.sha)
    branches = mirror.branches_of(key.sha)
    return dg.RunRequest(
        run_key=str(key),
        partition_key=str(key),
        tags={
            "agentci/repository": key.repository,
            "agentci/branch": clean_text(branches[0], 200) if branches else "unknown",
            "agentci/title": clean_text(commit.subject, 200) or "untitled",
            "agentci/author": clean_text(commit.author_name, 100) or "unknown",
        },
    )
