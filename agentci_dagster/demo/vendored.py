"""The sample service's one dependency: a wheel, the same bytes everywhere, and its lock."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

_SOURCES = {
    "1.0.0": '''"""Tax on prices in cents."""

from decimal import ROUND_HALF_UP, Decimal, localcontext


def add(cents: int, permille: int) -> int:
    """The price with tax, half a cent rounded up."""
    with localcontext(prec=len(str(abs(cents))) + 12) as _:
        exact = Decimal(cents) * (1000 + permille) / 1000
        return int(exact.quantize(Decimal(1), ROUND_HALF_UP))
''',
    "1.1.0": '''"""Tax on prices in cents."""


def add(cents: int, permille: int) -> int:
    """The price with tax, half a cent rounded up."""
    return (cents * (1000 + permille) * 2 + 1000) // 2000
''',
}

_WHEEL = "Wheel-Version: 1.0\nGenerator: agentci-demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name(version: str) -> str:
    """The file name of `shoptax` in a version."""
    return f"shoptax-{version}-py3-none-any.whl"


def wheel(version: str) -> bytes:
    """The wheel of `shoptax`; the same bytes on every machine (fixed times and order)."""
    info = f"shoptax-{version}.dist-info"
    files = {
        "shoptax/__init__.py": _SOURCES[version],
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: shoptax\nVersion: {version}\n",
        f"{info}/WHEEL": _WHEEL,
    }
    record = "".join(f"{path},{_record_hash(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for path, text in files.items():
            member = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            archive.writestr(member, text)
    return written.getvalue()


def lock(version: str) -> str:
    """The lock file that installs the wheel from `vendor/` by its hash, and nothing else."""
    digest = hashlib.sha256(wheel(version)).hexdigest()
    return f"--no-index\n--find-links vendor\n\nshoptax=={version} \\\n    --hash=sha256:{digest}\n"


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
