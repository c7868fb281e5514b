"""What BuildKit's plain progress output says about the steps of a build: text in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"#(\d+) (.*)")
_STEP = re.compile(r"\[(?:(?P<stage>\S+) )?\s*(?P<number>\d+)/(?P<of>\d+)\] (?P<instruction>.+)")
_DONE = re.compile(r"DONE (\d+(?:\.\d+)?)s")
_OUTPUT = re.compile(r"\d+\.\d+ (.*)")
_UNREACHABLE = re.compile(
    r"cannot connect to the docker daemon|error during connect|no space left on device"
    r"|no such host|i/o timeout|connection (?:refused|reset)|tls handshake|network is unreachable"
    r"|context deadline exceeded|temporary failure|toomanyrequests|\b50[0234] "
    r"|input/output error|read-only file system|permission denied while trying to connect",
    re.IGNORECASE,
)
_RAN = re.compile(r"executor failed running|did not complete successfully", re.IGNORECASE)


@dataclass(slots=True)
class BuildStep:
    """One instruction of the Dockerfile that makes a layer; `stage` is empty for the only one."""

    stage: str
    number: int
    of: int
    instruction: str
    is_cached: bool = False
    seconds: float = 0.0
    error: str = ""
    output: list[str] = field(default_factory=list)


def parse_progress(text: str) -> tuple[BuildStep, ...]:
    """The steps in the order in which BuildKit first named them; its own chores are left out."""
    steps: dict[str, BuildStep] = {}
    for line in text.splitlines():
        matched = _LINE.fullmatch(line)
        if not matched:
            continue
        vertex, said = matched.groups()
        named = _STEP.fullmatch(said)
        if named and vertex not in steps:
            steps[vertex] = BuildStep(
                stage=named["stage"] or "",
                number=int(named["number"]),
                of=int(named["of"]),
                instruction=named["instruction"].strip(),
                # A base that is not fetched was there; BuildKit does not call it cached.
                is_cached=named["instruction"].startswith("FROM "),
            )
        elif vertex in steps:
            _add(steps[vertex], said)
    return tuple(sorted(steps.values(), key=lambda step: (step.stage, step.number)))


def failed_step(steps: tuple[BuildStep, ...]) -> BuildStep | None:
    """The step that failed, if one did."""
    return next((step for step in steps if step.error), None)


def is_machine_fault(text: str) -> bool:
    """Whether the build failed for a reason of ours: no daemon, no network, no disk.

    A program of the commit that ran and failed is the commit's, whatever it complained about,
    except for a full disk.
    """
    end = text[-4000:]
    if _RAN.search(end):
        return "no space left on device" in end.lower()
    return bool(_UNREACHABLE.search(end))


def _add(step: BuildStep, said: str) -> None:
    done = _DONE.fullmatch(said)
    output = _OUTPUT.fullmatch(said)
    if said == "CACHED":
        step.is_cached = True
    elif said.startswith("extracting "):
        step.is_cached = False
    elif done:
        step.seconds = float(done[1])
    elif said.startswith("ERROR"):
        step.error = said.removeprefix("ERROR").lstrip(": ")
    elif output:
        step.output.append(output[1])
