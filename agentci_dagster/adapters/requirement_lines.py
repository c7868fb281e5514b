"""Requirements as a commit writes them, made into lines that can name a package of an index and
nothing else.

uv takes options from the lines of a requirements file, and they outweigh its own command line:
`--no-binary` or `-e` behind a line break would build, and so run, code of the commit outside the
sandbox. No line reaches a file unless it has come through here.
"""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement

_HASH = re.compile(r"--hash[=\s]\s*([a-z0-9]{3,10}:[0-9A-Fa-f]{2,256})(?=\s|$)")
_MEANS_MORE = re.compile(r"[\\$#]")
"""What a requirements file continues, replaces or cuts off; packages and versions have none."""
_MAX_SHOWN = 80


class NoPlainRequirementError(ValueError):
    """A line that is not written; the message says which and why."""


def plain_requirement(line: str) -> str:
    """A requirement written anew from its parsed parts, with its hashes.

    Raises:
        NoPlainRequirementError: it holds anything that is not a package of an index.
    """
    text = line.strip().replace("\t", " ")
    if not text.isprintable():
        raise _refused(line, "has a line break or another control character")
    hashes = _HASH.findall(text)
    text = _HASH.sub("", text).strip()
    if _MEANS_MORE.search(text) or re.search(r"(?:^|\s)-", text):
        raise _refused(line, "has an option or a sign that a requirements file reads as more")
    try:
        parsed = Requirement(text)
        written = str(parsed)
        is_stable = str(Requirement(written)) == written
    except InvalidRequirement as e:
        raise _refused(line, "is no requirement") from e
    if parsed.url is not None:
        raise _refused(line, "is no package of an index")
    # An exact match takes any text as a version; a marker may quote any.
    if not is_stable or not written.isprintable() or re.search(r"(?:^|\s|=)-", written):
        raise _refused(line, "has an option where a version belongs")
    return " ".join([written, *(f"--hash={digest}" for digest in hashes)])


def plain_requirements(lines: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that are plain, each once and in their order; and what is said of the others."""
    kept: dict[str, None] = {}
    refusals: dict[str, None] = {}
    for line in lines:
        try:
            kept[plain_requirement(line)] = None
        except NoPlainRequirementError as e:
            refusals[str(e)] = None
    return tuple(kept), tuple(refusals)


def _refused(line: str, why: str) -> NoPlainRequirementError:
    return NoPlainRequirementError(f"{line[:_MAX_SHOWN]!r} {why}; left out.")
