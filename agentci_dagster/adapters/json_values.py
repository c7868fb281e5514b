"""Values as files: dataclasses to JSON and back, tables as Parquet. Not what a value means.

Nothing is ever pickled: reading a value runs no code. Every file is written beside its place,
synced and renamed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def dump_json(value: Any) -> str:
    """The value as strict JSON: enums by value, instants as ISO 8601, NaN and infinities as text.

    Text that is no Unicode (a lone surrogate, from a file name in another encoding) is written as
    its escape.
    """
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value, inf_nan_mode="strings").decode()
    except PydanticSerializationError:
        return to_json(_as_unicode(value), inf_nan_mode="strings").decode()


def load_json(type_: type[T], text: str | bytes) -> T:
    """The value of that type; raises InfrastructureError when the text is none."""
    from pydantic import ValidationError

    try:
        value: T = _adapter(cast("Hashable", type_)).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        name = getattr(type_, "__name__", str(type_))
        raise InfrastructureError(
            f"A stored {name} cannot be read: {place}: {first['msg']}.",
            "make the value again; it may come from another version of agentci-dagster",
        ) from error
    return value


def as_plain(value: Any) -> Any:
    """The value as JSON types only (dicts, lists, text, numbers): an event's body, `--json`."""
    return json.loads(dump_json(value))


class ValueFiles:
    """Asset values: `<asset>/<repository>/<sha>.json`, `<asset>/value.json`, or `.parquet`."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def path(self, asset: str, key: CommitKey | None = None, suffix: str = "json") -> Path:
        """Where the value is kept."""
        if not asset.isidentifier():
            raise UsageError(f"{asset!r} is not the name of an asset.", "agentci show --help")
        folder = self._folder / asset
        return (
            folder / key.repository / f"{key.sha}.{suffix}" if key else folder / f"value.{suffix}"
        )

    def store(self, asset: str, value: Any, key: CommitKey | None = None) -> Path:
        """Write the value over an earlier one; returns where it is."""
        if _is_frame(type(value)):
            path = self.path(asset, key, "parquet")
            replace_file(path, value.to_parquet)
        else:
            path = self.path(asset, key)
            text = dump_json(value)
            replace_file(path, lambda file: file.write_text(text, encoding="utf-8"))
        return path

    def find(self, asset: str, kind: type[T], key: CommitKey | None = None) -> T | None:
        """Read the value; None when it was never made."""
        return self.load(asset, kind, key) if self.has(asset, key) else None

    def load(self, asset: str, kind: type[T], key: CommitKey | None = None) -> T:
        """Read the value; raises UsageError when it was never made."""
        if not _is_frame(kind):
            return load_json(kind, self.text(asset, key))
        import pandas as pd

        path = self.path(asset, key, "parquet")
        if not path.is_file():
            raise _missing(asset, key)
        frame: T = pd.read_parquet(path)  # type: ignore[assignment]
        return frame

    def text(self, asset: str, key: CommitKey | None = None) -> str:
        """The stored JSON as it is, for showing; raises UsageError when it was never made."""
        try:
            return self.path(asset, key).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise _missing(asset, key) from error
        except OSError as error:
            raise InfrastructureError(
                f"The value of {asset} cannot be read: {error}.", "check the folder's permissions"
            ) from error

    def has(self, asset: str, key: CommitKey | None = None) -> bool:
        """Whether the value was made."""
        return any(self.path(asset, key, suffix).is_file() for suffix in ("json", "parquet"))


@lru_cache(maxsize=256)
def _adapter(type_: Hashable) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(cast("Any", type_))


def _as_unicode(value: Any) -> Any:
    if isinstance(value, str):
        # A member of an enum is text, too, and becomes its value here.
        return value.encode("utf-8", "backslashreplace").decode()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _as_unicode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {_as_unicode(k): _as_unicode(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_unicode(item) for item in value]
    return value


def _is_frame(type_: Any) -> bool:
    # By name, so that asking does not import pandas.
    return (
        getattr(type_, "__name__", "") == "DataFrame"
        and getattr(type_, "__module__", "").split(".")[0] == "pandas"
    )


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside the place, sync it, and put it there in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    beside = Path(name)
    try:
        write(beside)
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"The value {path} cannot be written: {error.strerror or error}.",
        "free space on its disk or make the folder writable",
    )


def _missing(asset: str, key: CommitKey | None) -> UsageError:
    if key is None:
        return UsageError(
            f"There is no value of {asset} yet.",
            f"materialise {asset} in the Dagster UI (`agentci up`)",
        )
    return UsageError(
        f"There is no value of {asset} for {key}.",
        f"agentci why {key.sha[:12]}, or agentci run {key.sha} --repo {key.repository} "
        f"--until {asset}",
    )
