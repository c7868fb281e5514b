from __future__ import annotations

import pytest

from agentci_dagster.domain.diff import FileKind
from agentci_dagster.domain.image import (
    Image,
    ImageKind,
    Layer,
    LayerKind,
    nothing_to_build,
    summary,
    touched_layers,
)
from tests.builders import diff, file_change


def layer(name="application", *, is_reused=False, seconds=0.2, last_cost_s=3.0):
    return Layer(name, "d", is_reused, "why", seconds, 10, last_cost_s)


def touched(*files, **changes):
    return {touch.kind for touch in touched_layers(diff(*files, **changes)) if touch.is_touched}


def test_code_touches_the_application_only():
    assert touched(file_change()) == {LayerKind.APPLICATION}


def test_a_lock_touches_the_environment_and_what_stands_on_it():
    lock = file_change("requirements.lock", kind=FileKind.DEPENDENCY)

    assert touched(lock) == {LayerKind.ENVIRONMENT, LayerKind.APPLICATION}


def test_a_container_file_touches_everything():
    container = file_change("Dockerfile", kind=FileKind.CONTAINER)

    assert touched(container) == set(LayerKind)
    assert touched_layers(diff(container))[2].why == "stands on the environment"


def test_a_capped_diff_touches_everything():
    assert touched(file_change(), is_capped=True) == set(LayerKind)


def test_reasons_name_the_first_paths():
    files = [file_change(f"shop/{n}.py") for n in range(5)]

    base, environment, application = touched_layers(diff(*files))

    assert base.why == environment.why == "nothing in it has changed"
    assert application.why == "changed: shop/0.py, shop/1.py, shop/2.py and 2 more"


def test_only_reused_layers_save_seconds():
    layers = (layer("environment", is_reused=True), layer())

    assert Image(ImageKind.BUNDLE, "r", "d", layers, 0.3, "").seconds_saved == 3.0


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (nothing_to_build("docs only"), "nothing was built: docs only."),
        (
            Image(ImageKind.DOCKER, "", "", (), 1.0, "", failure="step 2 failed"),
            "The Docker image could not be built: step 2 failed",
        ),
        (Image(ImageKind.BUNDLE, "r", "d", (), 0.04, ""), "A bundle in 0.0 s: no layers."),
        (
            Image(
                ImageKind.BUNDLE,
                "r",
                "d",
                (layer("environment", is_reused=True), layer()),
                0.24,
                "",
            ),
            "A bundle in 0.2 s: environment reused (saves 3.0 s), application built in 0.2 s.",
        ),
    ],
)
def test_the_summary_says_what_was_reused(image, sentence):
    assert summary(image) == sentence
