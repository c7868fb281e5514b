"""The address that a mirror fetches from: which kinds are allowed, and how the watched repository
is kept from running anything.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from agentci_dagster.domain.errors import ConfigurationError

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP_LIKE = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.-]*:(?!//)[^\s-]\S*")
_LOGIN = re.compile(r"((?!ssh:|file:)\b[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)
_SSH_PASSWORD = re.compile(r"(ssh://[^/@\s:]*:)\S*@", re.IGNORECASE)
_ALLOWED = "a folder, file://, https://, ssh:// or user@host:path"


@dataclass(frozen=True, slots=True)
class Source:
    """An allowed address; `protocol` is the only one that git may speak while it is fetched."""

    address: str
    protocol: str
    folder: Path | None = None
    """Set when the repository is on this machine."""


def parse_source(url: str, repository: str) -> Source:
    """Check the configured address of a repository.

    Raises:
        ConfigurationError: the address is empty, of a kind that runs programs, or travels without
        protection.
    """
    if not url or url.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in url):
        raise _refused(url, repository, "it is not an address")
    if _HELPER.match(url):
        raise _refused(url, repository, "addresses with `::` make git run a program")
    if scheme := _SCHEME.match(url):
        return _with_scheme(url, scheme[1].lower(), repository)
    if _SCP_LIKE.fullmatch(url) and "/" not in url.partition(":")[0] and not Path(url).exists():
        return Source(url, "ssh")
    folder = Path(url).expanduser().absolute()
    return Source(str(folder), "file", folder)


def _with_scheme(url: str, scheme: str, repository: str) -> Source:
    rest = url[len(scheme) + 3 :]
    if scheme == "file":
        if not rest.startswith("/"):
            raise _refused(url, repository, "file:// needs an absolute path")
        return Source(rest, "file", Path(rest))
    if scheme not in ("https", "ssh"):
        raise _refused(url, repository, f"{scheme}:// is not protected on its way, or not known")
    if rest.startswith(("-", "/")) or not rest:
        raise _refused(url, repository, "it names no host")
    return Source(url, scheme)


def configuration_for(source: Source) -> str:
    """The only settings file that git reads, also the git which serves a folder of another user to
    us.

    Serving does not run what the watched repository configures: hooks of packing are honoured from
    protected settings
    only, which are these, and lazy fetching and other protocols are switched off by the
    environment.
    """
    if source.folder is None:
        return ""
    real = source.folder.resolve()
    folders = {str(f) for base in (source.folder, real) for f in (base, base / ".git")}
    lines = "".join(f"\tdirectory = {_quoted(f)}\n" for f in sorted(folders))
    return f"[safe]\n{lines}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refused(url: str, repository: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The address {without_secret(url)!r} of repository {repository!r} is refused: {why}.",
        f"set url in [[repository]] of agentci.toml to {_ALLOWED}",
    )


def without_secret(text: str) -> str:
    """Addresses without what lets somebody in: all before the host, which in https may be a token
    alone; of ssh the password only, because the name is part of the address.

    Up to the last @ of a word, so that a password with a slash is hidden too, rather than a path
    with an @ shown.
    """
    return _SSH_PASSWORD.sub(r"\1***@", _LOGIN.sub(r"\1***@", text))


def digest_of(url: str) -> str:
    """What tells whether two addresses are the same, where the address itself may be a secret."""
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()
