from __future__ import annotations

import pytest

from agentci_dagster.adapters.builders.buildkit_output import (
    failed_step,
    is_machine_fault,
    parse_progress,
)

BUILT = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:e31518b6376b58992ded40bf063cefb9bba510d00a2ded4a4744dbb4474e6a72
#1 transferring dockerfile: 31B 0.0s done
#1 DONE 0.0s

#3 [internal] load build context
#3 sha256:32abc0b23a934f6e887fb18aadc2bf64538d7ad8e879282bb5e784e8f10a5fc2
#3 transferring context: 62B done
#3 DONE 0.0s

#4 [1/2] COPY a.txt /a.txt
#4 sha256:f88be4e5a1ea34b2b95bd93194e72d17bfec12abb1b883df1ec610f8cf8e44f0
#4 CACHED

#5 [2/2] COPY b.txt /b.txt
#5 sha256:ac0275b415577765d4442c4ee22cceecfb475a943565c404d425e63e3b9fcd0d
#5 DONE 1.5s

#6 exporting to image
#6 sha256:e8c613e07b0b7ff33893b694f7759a10d42e180f2b4dc349fb57dc6b71dcab00
#6 exporting layers 0.1s done
#6 writing image sha256:11715bea1515c1392a0317ef1498d1599053c0fe2a1be3ecd54bb45c9041922d done
#6 DONE 0.1s
"""

FAILED = """\
#4 [1/2] COPY a.txt /a.txt
#4 sha256:d541baa071ff0b82aaea7e1bdbb1fcb18b0643131046d50e1876dd0fcfe37253
#4 CACHED

#5 [2/2] RUN ["/nope"]
#5 sha256:5354c63864eae19b963fb43f867e0ab934cf45f50109eff1cd39da27773bdc50
#5 0.389 runc run failed: unable to start container process: exec: "/nope": no such file
#5 ERROR: executor failed running [/nope]: exit code: 1
------
 > [2/2] RUN ["/nope"]:
------
executor failed running [/nope]: exit code: 1
"""

NEWER = """\
#7 [stage-1 2/3] RUN pip install -r requirements.txt
#6 [build 1/1] WORKDIR /src
#6 DONE 0.2s

#7 0.512 Collecting nothing
#7 2.101 ERROR: Connection refused
#7 ERROR: process "/bin/sh -c pip install" did not complete successfully: exit code: 1
"""

UNREACHABLE = """\
#3 [internal] load metadata for nosuch.invalid/x:1
#3 ERROR: failed to do request: Head "https://nosuch.invalid/v2/": dial tcp: no such host
------
failed to solve with frontend dockerfile.v0: dial tcp: lookup nosuch.invalid: no such host
"""


def test_steps_are_cached_or_took_seconds():
    first, second = parse_progress(BUILT)

    assert (first.number, first.of, first.instruction) == (1, 2, "COPY a.txt /a.txt")
    assert (first.is_cached, first.seconds) == (True, 0.0)
    assert (second.is_cached, second.seconds) == (False, 1.5)
    assert failed_step((first, second)) is None


def test_a_failed_step_keeps_its_output():
    step = failed_step(parse_progress(FAILED))

    assert step is not None
    assert step.instruction == 'RUN ["/nope"]'
    assert step.error == "executor failed running [/nope]: exit code: 1"
    assert step.output[0].startswith("runc run failed")


def test_steps_of_several_stages_are_told_apart():
    build, final = parse_progress(NEWER)

    assert (build.stage, build.seconds) == ("build", 0.2)
    assert (final.stage, final.number) == ("stage-1", 2)
    assert final.output == ["Collecting nothing", "ERROR: Connection refused"]
    assert final.error.startswith("process")


@pytest.mark.parametrize(
    ("said", "is_cached"), [("resolve x done", True), ("extracting sha256:00 0.1s done", False)]
)
def test_a_base_is_reused_unless_it_was_fetched(said, is_cached):
    text = f"#3 [1/2] FROM docker.io/library/x:1\n#3 sha256:0\n#3 {said}\n#3 DONE 0.1s\n"

    (step,) = parse_progress(text)

    assert (step.is_cached, step.seconds) == (is_cached, 0.1)


@pytest.mark.parametrize("text", ["", "nonsense\n#x y\n", "#1 DONE 0.1s", "#1 [1/x] COPY a"])
def test_anything_else_has_no_steps(text):
    assert parse_progress(text) == ()


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        (UNREACHABLE, True),
        ("Cannot connect to the Docker daemon at unix:///nope.sock.", True),
        ("failed to copy: write /x: no space left on device", True),
        (FAILED, False),
        (NEWER, False),
        ("dockerfile parse error line 1: unknown instruction: FRM", False),
        ("executor failed running [cp]: No space left on device", True),
    ],
)
def test_the_machine_s_fault_is_told_from_the_commit_s(text, is_ours):
    assert is_machine_fault(text) is is_ours
