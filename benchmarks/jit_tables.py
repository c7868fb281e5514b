"""Public change-level data as tables to learn from; only what was known when each change arrived.

Reading and measures belong here; models and figures belong to `risk.py`. The data is not shipped.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

KAMEI = [
    "la",
    "ld",
    "nf",
    "nd",
    "ns",
    "ent",
    "lt",
    "fix",
    "ndev",
    "age",
    "nuc",
    "exp",
    "rexp",
    "sexp",
]
DAY = 86_400
NEVER_LOWER = {"la", "ld", "churn", "fix"}
"""Churn, and the word "fix". The product holds spread too, which costs up to 0.002 of AUC here."""

_KINDS = {
    "test": re.compile(
        r"(^|/)(tests?|specs?|testing)(/|$)|(_|\.|-)(test|spec)s?\.|Tests?\.", re.IGNORECASE
    ),
    "document": re.compile(
        r"\.(md|rst|txt|adoc|markdown|html?)$|(^|/)(docs?|changelog|readme|license)", re.IGNORECASE
    ),
    "source": re.compile(
        r"\.(py|jsx?|tsx?|java|go|rs|c|cc|cpp|h|hpp|rb|php|cs|swift|mm?|scala|kt|groovy|clj|coffee|lua|pl|sh)$",
        re.IGNORECASE,
    ),
    "configuration": re.compile(
        r"\.(json|ya?ml|xml|toml|ini|cfg|conf|gradle|properties|lock|gemspec|podspec|sbt)$"
        r"|(^|/)(Gemfile|Makefile|Dockerfile|requirements)",
        re.IGNORECASE,
    ),
}


# How often a defect is traced to a file depends on its language: some are hardly ever blamed.
_LANGUAGES = {
    suffix: name
    for name, suffixes in {
        "javascript": "js jsx ts tsx coffee", "python": "py", "java": "java", "ruby": "rb erb rake",
        "c": "c h cc cpp hpp cxx m mm", "php": "php", "csharp": "cs", "go": "go",
        "jvm": "scala kt groovy clj", "swift": "swift", "web": "html htm css scss less sass",
        "text": "md rst txt adoc markdown", "data": "json yml yaml xml toml ini properties svg csv",
        "shell": "sh bat ps1", "build": "gradle cmake mk lock gemspec sln csproj",
        "binary": "png jpg gif ico jar dll zip ttf woff",
    }.items()
    for suffix in suffixes.split()
}  # fmt: skip
_GROUPS = (*sorted(set(_LANGUAGES.values())), "unknown")


def issta(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The recent period of ISSTA'21, its 14 measures, and what follows from them and the time."""
    rows = pd.read_parquet(folder / "issta21_kamei.parquet")
    rows = rows[rows.period == "recent"].sort_values(["project", "ts"], kind="stable")
    rows = with_ratios(rows.reset_index(drop=True))
    rows["tempo7"] = rows.groupby("project").ts.transform(lambda ts: _tempo(ts.to_numpy(), 7))
    rows["gap"] = rows.groupby("project").ts.diff().fillna(0)
    return rows, [*KAMEI, *_RATIOS, "tempo7", "gap"]


def commitguru(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """113 projects without merges, with each commit's file kinds and its files' and authors' record.

    A defect counts in a record from the moment of its first fix on, never earlier.
    """
    rows = pd.read_parquet(folder / "commitguru113.parquet")
    rows = rows[rows.is_merge == 0].sort_values(["project", "ts"], kind="stable")
    rows = with_ratios(rows.reset_index(drop=True))
    paths = pd.read_parquet(folder / "commitguru113_paths.parquet")
    kinds = {
        (project, file): (_kind(path), _language(path))
        for project, file, path in zip(
            paths.project.astype(str), paths.file_id, paths.path, strict=True
        )
    }
    records = [
        _records(part, kinds, str(name)) for name, part in rows.groupby("project", observed=True)
    ]
    record = pd.concat(records).sort_index()
    return rows.join(record), [*KAMEI, *_RATIOS, *record.columns]


def with_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    files = rows.nf.clip(lower=1)
    return rows.assign(
        churn=rows.la + rows.ld,
        la_per_lt=rows.la / (rows["lt"] + 1),
        ld_per_lt=rows.ld / (rows["lt"] + 1),
        lt_per_file=rows["lt"] / files,
        la_per_file=rows.la / files,
        evenness=np.where(rows.nf > 1, rows.ent / np.log2(rows.nf.clip(lower=2)), 0),
        sexp_share=rows.sexp / (rows.exp + 1),
        rexp_share=rows.rexp / (rows.exp + 1),
        nuc_per_file=rows.nuc / files,
        ndev_per_file=rows.ndev / files,
    )


_RATIOS = [
    "churn",
    "la_per_lt",
    "ld_per_lt",
    "lt_per_file",
    "la_per_file",
    "evenness",
    "sexp_share",
    "rexp_share",
    "nuc_per_file",
    "ndev_per_file",
]


def _tempo(ts: np.ndarray, days: int) -> np.ndarray:
    return np.arange(len(ts)) - np.searchsorted(ts, ts - days * DAY)


def _kind(path: str) -> str:
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(path)), "other")


def _language(path: str) -> str:
    return _LANGUAGES.get(path.rpartition(".")[2].lower(), "unknown")


def _records(part: pd.DataFrame, kinds: dict, project: str) -> pd.DataFrame:
    """One pass over a project in time order, with the running counts of its files and authors."""
    n_file, bad_file, fix_file = (defaultdict(float) for _ in range(3))
    n_author, bad_author, own = (defaultdict(float) for _ in range(3))
    last, first, last_bad, last_author, recent = {}, {}, {}, {}, defaultdict(list)
    learnt, n_bad, found, before = [], 0, [], None
    start = part.ts.iloc[0] if len(part) else 0
    ts = part.ts.to_numpy()
    tempo7, tempo30 = _tempo(ts, 7), _tempo(ts, 30)
    columns = zip(ts, part.y, part.first_fix_ts, part["files"], part.fix, part.author, strict=True)
    for i, (now, y, fixed_at, all_files, fix, author) in enumerate(columns):
        while learnt and learnt[0][0] <= now:
            at, who, touched = heapq.heappop(learnt)
            n_bad += 1
            bad_author[who] += 1
            for file in touched:
                bad_file[file] += 1
                last_bad[file] = at
        files = tuple(int(f) for f in all_files[:200])
        rate = (n_bad + 1) / (i + 4)
        row = {
            "project_rate": rate,
            "project_defects": n_bad,
            "project_commits": i,
            "project_days": (now - start) / DAY,
            "author_commits": n_author[author],
            "author_rate": (bad_author[author] + 5 * rate) / (n_author[author] + 5),
            "author_gap_h": (now - last_author[author]) / 3600 if author in last_author else None,
            "gap_h": (now - ts[i - 1]) / 3600 if i else None,
            "is_same_author": float(before == author),
            "tempo7": tempo7[i],
            "tempo30": tempo30[i],
        }
        if files:
            rates = [(bad_file[f] + 3 * rate) / (n_file[f] + 3) for f in files]
            ages = [now - last[f] for f in files if f in last]
            row |= {
                "file_rate": np.mean(rates),
                "file_rate_max": max(rates),
                "file_defects": sum(bad_file[f] for f in files),
                "file_commits": np.mean([n_file[f] for f in files]),
                "file_fixes": sum(fix_file[f] for f in files),
                "file_fix_rate": np.mean([(fix_file[f] + 1) / (n_file[f] + 4) for f in files]),
                "new_share": np.mean([f not in last for f in files]),
                "newest_days": min(ages) / DAY if ages else None,
                "born_days": np.mean([now - first[f] for f in files if f in first]) / DAY
                if ages
                else None,
                "busy": np.mean([sum(now - t < 30 * DAY for t in recent[f][-10:]) for f in files]),
                "owned": np.mean([own[f, author] / max(n_file[f], 1) for f in files]),
                "last_defect_days": min(
                    ((now - last_bad[f]) / DAY for f in files if f in last_bad), default=None
                ),
            }
            named = [kinds.get((project, f), ("other", "unknown")) for f in files]
            of_kind, of_group = [n[0] for n in named], [n[1] for n in named]
            row |= {f"n_{kind}": of_kind.count(kind) for kind in (*_KINDS, "other")}
            row |= {f"share_{g}": of_group.count(g) / len(files) for g in _GROUPS}
        found.append(row)
        for file in files:
            n_file[file] += 1
            own[file, author] += 1
            fix_file[file] += fix
            first.setdefault(file, now)
            last[file] = now
            recent[file].append(now)
        n_author[author] += 1
        last_author[author], before = now, author
        if y and not pd.isna(fixed_at):
            heapq.heappush(learnt, (max(float(fixed_at), now + 1), author, files))
    return pd.DataFrame(found, index=part.index).astype(float)
