"""`commit_diff`: what a commit changes. Reading it is the mirror's work."""

import dagster as dg

from agentci_dagster.domain.diff import ChangedSymbol, CommitDiff, FileChange, SymbolStatus
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.ports import Mirrors

_ROWS = 200


@commit_asset(group_name="orchestrator", kinds={"git"})
def commit_diff(
    context: dg.AssetExecutionContext, mirrors: dg.ResourceParam[Mirrors]
) -> dg.MaterializeResult[CommitDiff]:
    """What the commit changes against its first parent: files, hunks, functions and classes."""
    key = key_of(context)
    diff = mirrors.of(key.repository).diff(key.sha)
    return dg.MaterializeResult(
        value=diff,
        metadata={
            "subject": clean_text(diff.commit.subject, 200),
            "author": clean_text(diff.commit.author_name, 100),
            "n_files": len(diff.files),
            "lines_added": diff.lines_added,
            "lines_deleted": diff.lines_deleted,
            "is_capped": diff.is_capped,
            "notes": "; ".join(diff.notes) or "none",
            "files": dg.MetadataValue.table([_row(f) for f in diff.files[:_ROWS]], schema=_FILES),
        },
    )


_FILES = dg.TableSchema(
    columns=[
        dg.TableColumn("path", "string"),
        dg.TableColumn("status", "string"),
        dg.TableColumn("kind", "string"),
        dg.TableColumn("lines_added", "int"),
        dg.TableColumn("lines_deleted", "int"),
        dg.TableColumn("functions", "string"),
    ]
)


def _row(change: FileChange) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "path": clean_text(change.path, 200),
            "status": change.status.value,
            "kind": change.kind.value,
            "lines_added": change.lines_added,
            "lines_deleted": change.lines_deleted,
            "functions": clean_text(", ".join(map(_told, change.symbols)), 300),
        }
    )


def _told(symbol: ChangedSymbol) -> str:
    return _SIGNS[symbol.status] + symbol.qualified_name


_SIGNS = {SymbolStatus.ADDED: "+", SymbolStatus.CHANGED: "", SymbolStatus.REMOVED: "-"}
