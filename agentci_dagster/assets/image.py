"""`image`: the deployable artefact of a commit."""

from dataclasses import replace

import dagster as dg

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.image import Image, nothing_to_build
from agentci_dagster.domain.plain_text import clean_markdown, clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import TestReport
from agentci_dagster.partitions import commit_asset
from agentci_dagster.ports import ImageBuilder, SchemaProbe


@commit_asset(group_name="build_agent", kinds={"docker", "python"})
def image(
    commit_diff: CommitDiff,
    risk_score: RiskScore,
    test_report: TestReport,  # noqa: ARG001 - the wire: nothing is built before the tests' gate
    builder: dg.ResourceParam[ImageBuilder],
    schema_probe: dg.ResourceParam[SchemaProbe],
) -> dg.MaterializeResult[Image]:
    """What will be deployed: layers reused or rebuilt, and whether the schema answers the code's
    queries.
    """
    if risk_score.route is Route.SKIP:
        built = nothing_to_build("nothing that ships has changed")
    else:
        built = builder.build(commit_diff.key, commit_diff)
        findings = schema_probe.findings(commit_diff.key, commit_diff)
        built = replace(built, schema_findings=findings)
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
