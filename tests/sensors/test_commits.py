"""The sensor as a plain function: cursor in, bounded commits out, run key = partition key."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from agentci_dagster.partitions import COMMITS
from agentci_dagster.sensors.commits import commit_sensor
from tests.fakes.git import FakeMirror, FakeMirrors


class Daemon:
    """Ticks the sensor as the daemon does: hands the cursor on and adds the partitions."""

    def __init__(self, mirror: FakeMirror, instance: dg.DagsterInstance) -> None:
        self.mirror = mirror
        self.instance = instance
        self.cursor: str | None = None
        self._sensor = commit_sensor("shop")
        self._n_pushed = 0

    def push(self, branch: str, message: str) -> str:
        self._n_pushed += 1
        files: dict[str, bytes | None] = {"n.txt": str(self._n_pushed).encode()}
        if branch not in self.mirror.remote and self.mirror.remote:
            self.mirror.force(branch, self.mirror.remote["main"])
        return self.mirror.push(files, message, branch=branch)

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"mirrors": FakeMirrors(self.mirror)},
        )
        result = self._sensor(context)
        if isinstance(result, dg.SensorResult):
            self.cursor = result.cursor or self.cursor
            for request in result.dynamic_partitions_requests or ():
                self.instance.add_dynamic_partitions(COMMITS, list(request.partition_keys))
        return result

    def delivered(self) -> list[str]:
        result = self.tick()
        assert isinstance(result, dg.SensorResult)
        return [request.partition_key.split("@")[1] for request in result.run_requests or ()]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(FakeMirror("shop", ("main", "team/*")), instance)


def test_first_sight_starts_at_the_tip(daemon: Daemon) -> None:
    daemon.push("main", "one")
    tip = daemon.push("main", "two")

    assert daemon.delivered() == [tip]
    assert daemon.delivered() == []


def test_unborn_branch_is_said_and_its_first_commit_is_delivered(daemon: Daemon) -> None:
    result = daemon.tick()

    assert isinstance(result, dg.SensorResult)
    assert "No such branch yet: main" in str(result.skip_reason)
    first = daemon.push("main", "one")
    assert daemon.delivered() == [first]


def test_new_commits_come_oldest_first_with_partition_and_run_key_in_one_tick(
    daemon: Daemon,
) -> None:
    daemon.push("main", "zero")
    daemon.tick()
    shas = [daemon.push("main", f"change {n}") for n in range(3)]

    result = daemon.tick()

    assert isinstance(result, dg.SensorResult)
    keys = [f"shop@{sha}" for sha in shas]
    assert [r.run_key for r in result.run_requests] == keys
    assert [r.partition_key for r in result.run_requests] == keys
    assert list(result.dynamic_partitions_requests[0].partition_keys) == keys
    assert result.run_requests[0].tags["agentci/title"] == "change 0"
    assert result.run_requests[0].tags["agentci/branch"] == "main"


def test_a_tick_takes_at_most_25_commits_and_the_rest_follows(daemon: Daemon) -> None:
    daemon.push("main", "zero")
    daemon.tick()
    shas = [daemon.push("main", f"change {n}") for n in range(60)]

    batches = [daemon.delivered() for _ in range(4)]

    assert [len(batch) for batch in batches] == [25, 25, 10, 0]
    assert [sha for batch in batches for sha in batch] == shas


def test_forced_branch_delivers_only_what_is_new(daemon: Daemon) -> None:
    base = daemon.push("main", "base")
    daemon.tick()
    daemon.push("main", "bad")
    daemon.tick()
    daemon.mirror.force("main", base)
    better = daemon.push("main", "better")

    assert daemon.delivered() == [better]


def test_rewound_commit_that_comes_back_is_not_delivered_again(daemon: Daemon) -> None:
    base = daemon.push("main", "base")
    daemon.tick()
    bad = daemon.push("main", "bad")
    daemon.tick()
    daemon.mirror.force("main", base)
    assert daemon.delivered() == []
    daemon.mirror.force("main", bad)

    assert daemon.delivered() == []


def test_deleted_branch_loses_nothing(daemon: Daemon) -> None:
    daemon.push("main", "base")
    daemon.tick()
    on_team = daemon.push("team/x", "on a branch")
    assert on_team in daemon.delivered()
    daemon.mirror.delete("team/x")

    assert daemon.delivered() == []
    after = daemon.push("main", "after")
    assert daemon.delivered() == [after]


def test_commit_that_cannot_be_read_stops_no_other(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.push("main", "base")
    daemon.tick()
    shas = [daemon.push("main", f"change {n}") for n in range(3)]
    daemon.mirror.unreadable = {shas[1]}

    result = daemon.tick()

    assert isinstance(result, dg.SensorResult)
    assert [r.run_key for r in result.run_requests or ()] == [f"shop@{sha}" for sha in shas]
    assert f"shop@{shas[1]} cannot be read" in capsys.readouterr().err


def test_correcting_a_branch_name_starts_at_the_tip(daemon: Daemon) -> None:
    for n in range(60):
        daemon.push("master", f"change {n}")
    result = daemon.tick()
    daemon.mirror.branches = ("master",)

    assert isinstance(result, dg.SensorResult)
    assert "No such branch yet: main" in str(result.skip_reason)
    assert daemon.delivered() == [daemon.mirror.remote["master"]]
    after = daemon.push("master", "after")
    assert daemon.delivered() == [after]


def test_branch_that_appears_beside_unwatched_ones_starts_at_the_tip(daemon: Daemon) -> None:
    for n in range(60):
        daemon.push("master", f"change {n}")
    daemon.tick()
    daemon.mirror.force("main", daemon.mirror.remote["master"])

    assert daemon.delivered() == [daemon.mirror.remote["main"]]


def test_branch_added_to_the_settings_starts_at_its_tip(daemon: Daemon) -> None:
    daemon.push("main", "base")
    daemon.tick()
    for n in range(40):
        daemon.push("old-release", f"old {n}")
    daemon.mirror.branches = ("main", "old-release")
    on_main = daemon.push("main", "at the same time")

    assert daemon.delivered() == [on_main, daemon.mirror.remote["old-release"]]
    assert daemon.delivered() == []
    after = daemon.push("old-release", "after")
    assert daemon.delivered() == [after]


def test_branch_added_to_the_settings_hides_nothing_that_is_still_to_be_delivered(
    daemon: Daemon,
) -> None:
    daemon.push("main", "base")
    daemon.tick()
    shas = [daemon.push("main", f"change {n}") for n in range(50)]
    daemon.mirror.force("develop", shas[-1])
    tip = daemon.push("develop", "ahead")
    daemon.mirror.branches = ("main", "develop")

    batches = [daemon.delivered() for _ in range(4)]

    assert [sha for batch in batches for sha in batch] == [*shas, tip]
    assert max(len(batch) for batch in batches) <= 25


def test_branch_that_a_wider_pattern_meant_before_goes_on(daemon: Daemon) -> None:
    daemon.push("main", "base")
    daemon.push("team/x", "mine")
    daemon.tick()
    later = [daemon.push("team/x", f"change {n}") for n in range(2)]
    daemon.mirror.branches = ("team/x",)

    assert daemon.delivered() == later


def test_history_pushed_to_an_empty_repository_is_delivered(daemon: Daemon) -> None:
    daemon.tick()
    shas = [daemon.push("main", f"change {n}") for n in range(3)]

    assert daemon.delivered() == shas


def test_cursor_of_the_first_version_goes_on(daemon: Daemon) -> None:
    tip = daemon.push("main", "base")
    daemon.cursor = json.dumps({"identity": daemon.mirror.identity, "known": [tip]})
    later = daemon.push("main", "later")

    assert daemon.delivered() == [later]


def test_first_sight_takes_the_tip_of_the_first_configured_branch(daemon: Daemon) -> None:
    daemon.mirror.branches = ("main", "develop")
    tip = daemon.push("main", "base")
    daemon.push("develop", "ahead")

    assert daemon.delivered() == [tip]


def said(result: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(result, dg.SensorResult)
    return str(result.skip_reason)


def test_force_push_back_is_said(daemon: Daemon) -> None:
    base = daemon.push("main", "base")
    bad = daemon.push("main", "bad")
    daemon.tick()
    daemon.mirror.force("main", base)

    assert f"main was force-pushed from {bad[:10]} to {base[:10]}" in said(daemon.tick())
    assert "force-pushed" not in said(daemon.tick())


def test_force_push_and_deletion_are_said_beside_new_commits(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    base = daemon.push("main", "base")
    daemon.push("team/x", "gone soon")
    daemon.push("main", "bad")
    daemon.tick()
    daemon.mirror.force("main", base)
    daemon.mirror.delete("team/x")
    better = daemon.push("main", "better")

    assert daemon.delivered() == [better]
    told = capsys.readouterr().err
    assert "main was force-pushed" in told
    assert "Deleted at the remote: team/x" in told


def test_deletion_is_said_where_only_a_pattern_means_the_branch(daemon: Daemon) -> None:
    daemon.push("main", "base")
    daemon.push("team/x", "x")
    daemon.push("team/y", "y")
    daemon.tick()
    daemon.mirror.delete("team/x")

    assert "Deleted at the remote: team/x" in said(daemon.tick())


def test_many_branches_are_counted_not_listed(daemon: Daemon) -> None:
    base = daemon.push("main", "base")
    for n in range(40):
        daemon.push(f"team/{n}", "x")
    daemon.tick()
    for n in range(20):
        daemon.mirror.delete(f"team/{n}")
        daemon.mirror.force(f"team/{n + 20}", base)

    text = said(daemon.tick())

    assert "and 10 more; what it had is kept" in text
    assert "10 more branches were force-pushed" in text


def test_unreachable_remote_is_said_and_heals(daemon: Daemon) -> None:
    daemon.push("main", "base")
    daemon.tick()
    cursor = daemon.cursor
    daemon.mirror.is_reachable = False
    result = daemon.tick()
    daemon.mirror.is_reachable = True
    later = daemon.push("main", "pushed meanwhile")

    assert isinstance(result, dg.SkipReason)
    assert "cannot be fetched" in (result.skip_message or "")
    assert daemon.cursor == cursor
    assert daemon.delivered() == [later]


def test_cursor_of_another_repository_is_not_used(daemon: Daemon) -> None:
    tip = daemon.push("main", "base")
    daemon.cursor = json.dumps({"identity": "another", "known": []})

    assert daemon.delivered() == [tip]


def test_broken_cursor_counts_as_first_sight(daemon: Daemon) -> None:
    tip = daemon.push("main", "base")
    daemon.cursor = "{"

    assert daemon.delivered() == [tip]
