"""What an artefact is made of (CycloneDX 1.5) and how it came to be (in-toto statement, SLSA v1).

Texts are written so that the same build gives the same bytes. Storing and checking them belongs to
`adapters/builders/attestations.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentci_dagster.domain.diff import Commit

BUILDER = "https://agentci-dagster.invalid/builder"
"""Names this program; it is no address that can be asked (RFC 2606)."""
BUILD_TYPE = "https://agentci-dagster.invalid/build/v1"
_PINNED = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([\w.+!-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One dependency; `ecosystem` is that of its package address (`pypi`, `npm`)."""

    ecosystem: str
    name: str
    version: str

    @property
    def purl(self) -> str:
        name = self.name.replace("@", "%40")
        return f"pkg:{self.ecosystem}/{name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Material:
    """Something that a build has used, with its digests by algorithm."""

    name: str
    digest: Mapping[str, str]


def locked_components(texts: Mapping[str, str]) -> tuple[Component, ...]:
    """What the locks of a tree name; a lock that cannot be read names nothing."""
    found: set[Component] = set()
    for path, text in texts.items():
        try:
            if path in {"uv.lock", "poetry.lock", "pdm.lock"}:
                found |= _of_toml(text)
            elif path == "package-lock.json":
                found |= _of_npm(text)
            else:
                pins = _PINNED.findall(text)
                found |= {Component("pypi", _plain(name), version) for name, version in pins}
        except (ValueError, TypeError, AttributeError):
            continue
    return tuple(sorted(found))


def sbom_of(commit: Commit, artefact_digest: str, components: Sequence[Component]) -> str:
    """The bill of materials as CycloneDX JSON."""
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{commit.key}/{artefact_digest}")
    return _written(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{serial}",
            "version": 1,
            "metadata": {
                "timestamp": commit.committed_at.isoformat(),
                "component": {
                    "type": "application",
                    "bom-ref": "artefact",
                    "name": commit.key.repository,
                    "version": commit.key.sha,
                },
            },
            "components": [
                {
                    "type": "library",
                    "bom-ref": c.purl,
                    "name": c.name,
                    "version": c.version,
                    "purl": c.purl,
                }
                for c in components
            ],
        }
    )


def statement_of(
    commit: Commit,
    subjects: Sequence[Material],
    materials: Sequence[Material],
    parameters: Mapping[str, str],
) -> str:
    """The provenance: an in-toto statement about the subjects.

    Args:
        commit: what was built; with its tree the first material.
        subjects: the artefact and what lies beside it.
        materials: base, locks, environment.
        parameters: what else decided about the build.
    """
    source = Material(commit.key.repository, {"gitCommit": commit.key.sha, "gitTree": commit.tree})
    return _written(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [_resource(subject) for subject in subjects],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": dict(parameters),
                    "resolvedDependencies": [_resource(m) for m in (source, *materials)],
                },
                "runDetails": {"builder": {"id": BUILDER}},
            },
        }
    )


def subjects_of(statement: str) -> dict[str, str]:
    """The SHA-256 of each subject by its name.

    Raises:
        ValueError: the text is no such statement.
    """
    try:
        told: Any = json.loads(statement)
        return {str(s["name"]): str(s["digest"]["sha256"]) for s in told["subject"]}
    except (LookupError, TypeError) as error:
        raise ValueError(f"it is no in-toto statement ({error})") from error


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _of_toml(text: str) -> set[Component]:
    packages = tomllib.loads(text).get("package", [])
    return {
        Component("pypi", _plain(str(p["name"])), str(p["version"]))
        for p in packages
        if "version" in p and not {"virtual", "editable"} & set(p.get("source") or {})
    }


def _of_npm(text: str) -> set[Component]:
    packages = json.loads(text).get("packages", {})
    return {
        Component("npm", path.rpartition("node_modules/")[2], str(about["version"]))
        for path, about in packages.items()
        if path and "version" in about
    }


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _resource(material: Material) -> dict[str, Any]:
    return {"name": material.name, "digest": dict(material.digest)}


def _written(told: Mapping[str, Any]) -> str:
    return json.dumps(told, indent=1, sort_keys=True) + "\n"
