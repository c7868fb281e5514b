"""The tiny service of `serving.py` as Docker images, on a base made of the interpreter that runs the
tests: nothing is pulled.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import docker

from agentci_dagster.domain.image import Image, ImageKind
from tests.serving import SERVICE

COMMAND = ("{python}", "/serve.py", "{port}")
_SKIPPED = re.compile(r"/(site-packages|test|tests|idlelib|tkinter|__pycache__|lib2to3)(/|$)|\.a$")


def image(behaviour: str = "good", migrations: str = "") -> Image:
    """An image whose layers are one tar: interpreter, standard library, service."""
    client = docker.from_env()
    prefix = Path(sys.base_prefix)
    python = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        linked = subprocess.run(["ldd", python], capture_output=True, check=True, text=True).stdout
        libraries = set(re.findall(r"(/\S+\.so\S*)", linked))
        dynamic = prefix / "lib" / version / "lib-dynload"
        for module in sorted(dynamic.glob("*.so")):
            told = subprocess.run(["ldd", module], capture_output=True, check=True, text=True)
            libraries |= set(re.findall(r"(/\S+\.so\S*)", told.stdout))
        for path in [str(python), *sorted(libraries)]:
            tar.add(Path(path).resolve(), path.lstrip("/"), recursive=False)
        tar.add(
            prefix / "lib" / version,
            str(prefix / "lib" / version).lstrip("/"),
            filter=lambda member: None if _SKIPPED.search(member.name) else member,
        )
        link = tarfile.TarInfo("usr/local/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, str(python)
        tar.addfile(link)
        served = SERVICE.replace("{behaviour!r}", repr(behaviour)).replace("127.0.0.1", "0.0.0.0")
        files = {
            "serve.py": served,
            "migrate.py": migrations or "print('applied 0001_first')\n",
        }
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    told = client.api.import_image_from_data(written.getvalue())
    found = re.search(r"sha256:[0-9a-f]{64}", told)
    assert found, told
    return Image(ImageKind.DOCKER, f"test/{behaviour}", found.group(), (), 0.0, "")


def remove(*images: Image) -> None:
    client = docker.from_env()
    for made in images:
        client.images.remove(made.digest, force=True)
