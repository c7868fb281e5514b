"""`image`: the deployable artefact of a commit."""

from dataclasses import replace

import dagster as dg

from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileChange
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.gates import image_gate
from agentci_dagster.domain.image import (
    DockerfileReview,
    Image,
    ImageKind,
    nothing_to_build,
    review_dockerfile,
)
from agentci_dagster.domain.plain_text import clean_markdown, clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import TestReport
from agentci_dagster.journeys import Journeys
from agentci_dagster.partitions import commit_asset
from agentci_dagster.ports import AssetValues, ImageBuilder, Mirror, Mirrors, SchemaProbe

_MAX_VERSIONS = 50
_EARLIER_COMMITS = 200
"""Commits that tell how often another order of the Dockerfile's lines would have helped."""


@commit_asset(group_name="build_agent", kinds={"docker", "python"})
def image(
    commit_diff: CommitDiff,
    risk_score: RiskScore,
    test_report: TestReport,  # noqa: ARG001 - the wire: nothing is built before the tests' gate
    builder: dg.ResourceParam[ImageBuilder],
    schema_probe: dg.ResourceParam[SchemaProbe],
    mirrors: dg.ResourceParam[Mirrors],
    journeys: dg.ResourceParam[Journeys],
) -> dg.MaterializeResult[Image]:
    """What will be deployed: layers reused or rebuilt, and whether the schema answers the code's
    queries.
    """
    if risk_score.route is Route.SKIP:
        built = nothing_to_build("nothing that ships has changed")
    else:
        built = builder.build(commit_diff.key, commit_diff)
        mirror = mirrors.of(commit_diff.key.repository)
        asked = _since_the_last_that_passed(commit_diff, mirror, journeys.values)
        findings = schema_probe.findings(commit_diff.key, asked)
        review = _review(mirror, built, commit_diff)
        built = replace(built, schema_findings=findings, review=review)
    return dg.MaterializeResult(
        value=built,
        metadata={
            "kind": built.kind.value,
            "reference": built.reference,
            "digest": built.digest,
            "seconds": built.seconds,
            "seconds_saved": built.seconds_saved,
            "note": clean_text(built.note, 500),
            "failure": clean_text(built.failure, 500) or "none",
            **_told(built.review),
            "schema_findings": dg.MetadataValue.md(
                "\n".join(
                    f"- {clean_markdown(f'{f.path}:{f.line}: {f.problem}', 300)}"
                    for f in built.schema_findings
                )
                or "none"
            ),
            "layers": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "layer": layer.name,
                            "reused": layer.is_reused,
                            "why": clean_text(layer.why, 200),
                            "seconds": layer.seconds,
                            "saved_s": layer.saved_s,
                            "size_bytes": layer.size_bytes,
                            "digest": layer.digest[:19],
                        }
                    )
                    for layer in built.layers
                ],
                schema=_LAYERS,
            ),
        },
    )


def _review(mirror: Mirror, built: Image, diff: CommitDiff) -> DockerfileReview | None:
    sha = diff.key.sha
    text = mirror.read(sha, "Dockerfile")
    if text is None:
        return None
    costs = [(layer.name, layer.last_cost_s) for layer in built.layers]
    earlier = mirror.recent_paths(sha, _EARLIER_COMMITS)
    return review_dockerfile(text.decode(errors="replace"), mirror.files(sha), earlier, costs)


def _told(review: DockerfileReview | None) -> dict[str, dg.MetadataValue | str]:
    if review is None:
        return {}
    advice = "\n".join(
        f"- line {a.line}: {clean_markdown(a.words, 300)} Next: {clean_markdown(a.next_step, 200)}"
        for a in review.advice
    )
    patch = clean_text(review.proposal.patch, 8_000).replace("```", "'''")
    return {
        "dockerfile_advice": dg.MetadataValue.md(advice or "none"),
        "dockerfile_proposal": dg.MetadataValue.md(
            f"```diff\n{patch}\n```" if patch else clean_markdown(review.proposal.why_none, 300)
        ),
        "dockerfile_gain": clean_text(review.gain.in_words, 300),
    }


def _since_the_last_that_passed(
    diff: CommitDiff, mirror: Mirror, values: AssetValues
) -> CommitDiff:
    """The diff with what the versions before it changed since one passed this gate: what withheld
    them is in this version too.
    """
    parents = diff.commit.parents
    waiting: list[FileChange] = []
    ridden: list[FileChange] = []
    is_capped = diff.is_capped
    for _ in range(_MAX_VERSIONS):
        if not parents:
            break
        key = CommitKey(diff.key.repository, parents[0])
        before = values.find("image", Image, key)
        is_built = before is not None and before.kind is not ImageKind.NONE
        try:
            if is_built and before is not None and image_gate(before).is_open:
                ridden += waiting
                break
            earlier = mirror.diff(key.sha)
        except GitError:
            break
        waiting += earlier.files
        is_capped = is_capped or (earlier.is_capped and before is not None)
        if before is not None:
            ridden, waiting = [*ridden, *waiting], []
        parents = earlier.commit.parents
    return replace(diff, files=(*diff.files, *ridden), is_capped=is_capped)


_LAYERS = dg.TableSchema(
    columns=[
        dg.TableColumn("layer", "string"),
        dg.TableColumn("reused", "bool"),
        dg.TableColumn("why", "string"),
        dg.TableColumn("seconds", "float"),
        dg.TableColumn("saved_s", "float"),
        dg.TableColumn("size_bytes", "int"),
        dg.TableColumn("digest", "string"),
    ]
)
