"""The Dockerfile that we write where a repository has none: a recipe in, text out.

Two builds of the same tree give the same layers: byte-code is checked by no clock, files bear the
commit's time (SOURCE_DATE_EPOCH of reproducible-builds.org), those of dependencies a fixed one.
"""

from __future__ import annotations

import json

from agentci_dagster.domain.image.recipe import Recipe, Toolchain

PORT = 8000
"""Where the service listens inside its container."""
USER_ID = 10001
"""Beyond the numbers that distributions give to people and services."""
_LOCK_TIME = 315_532_800
"""1980-01-01, the earliest time that zip files can tell: dependencies belong to no commit."""
_UV_VARIABLES = "UV_PROJECT_ENVIRONMENT=/opt/venv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never"
_PIP = "python3 -m pip --python /opt/venv/bin/python"
_COMPILE = "python3 -m compileall -q -f --invalidation-mode unchecked-hash"
# From a folder that bears the wanted time too: one that COPY makes bears the time of the copy.
_COPIES = ("COPY --from=dependencies /layer /", "COPY --from=application /layer /")
_HEALTH = "--interval=10s --timeout=3s --start-period=5s --retries=3"
_PYTHON_ASKS = (
    "import sys, urllib.request as u; sys.exit(u.urlopen(sys.argv[1], timeout=2).status >= 400)"
)
_NODE_ASKS = "fetch(process.argv[1]).then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))"
_NODE_PACKAGE = (
    "const fs = require('fs'); fs.writeFileSync('package.json', "
    "JSON.stringify(JSON.parse(fs.readFileSync('package-lock.json')).packages['']))"
)


def dockerfile_of(recipe: Recipe) -> str:
    """The text: dependencies by the lock alone, application last, nobody special as the user."""
    is_node = recipe.toolchain is Toolchain.NPM
    lines = [
        f"FROM {recipe.base} AS dependencies",
        *(_install_node(recipe) if is_node else _install_python(recipe)),
        "",
        f"FROM {recipe.base} AS application",
        "ARG SOURCE_DATE_EPOCH=0",
        _copy_application(recipe),
        "",
        f"FROM {recipe.base}",
        *(_run_node() if is_node else _run_python(recipe)),
        "WORKDIR /app",
        f"USER {USER_ID}:{USER_ID}",
        *_serve(recipe),
    ]
    return "\n".join(lines) + "\n"


def _install_python(recipe: Recipe) -> list[str]:
    if recipe.toolchain is Toolchain.UV:
        about = f'[project]\\nname = "{recipe.project}"\\nversion = "0"\\n'
        if recipe.python:
            about += f'requires-python = "{recipe.python}"\\n'
        # The project's own file is written anew from the lock, so that the lock alone is the key.
        steps = [
            "cd /build",
            f"printf '{about}' > pyproject.toml",
            "{ command -v uv >/dev/null || python3 -m pip install --quiet uv; }",
            f"{_UV_VARIABLES} uv sync --frozen --no-dev --no-install-project --python python3",
        ]
    else:
        steps = [
            "cd /build",
            "python3 -m venv --without-pip /opt/venv",
            _install_requirements(recipe.lock),
        ]
    steps += [
        # uv notes when a vendored wheel was written, which differs from build to build.
        "find /opt/venv -name uv_cache.json -delete",
        "find /opt/venv -name RECORD -exec sed -i '/uv_cache.json/d' {} +",
        f"{{ {_COMPILE} /opt/venv || true; }}",
        "mkdir -p /layer/opt",
        "mv /opt/venv /layer/opt/venv",
        _same_time(_LOCK_TIME),
    ]
    return [_run(recipe, "/root/.cache", steps)]


def _install_requirements(lock: str) -> str:
    """By uv where the base has it, which is several times faster; else by pip."""
    by_uv = f"UV_LINK_MODE=copy uv pip install --python /opt/venv/bin/python -r {lock}"
    by_pip = f"{_PIP} install --disable-pip-version-check --no-compile -r {lock}"
    return f"if command -v uv >/dev/null; then {by_uv}; else {by_pip}; fi"


def _install_node(recipe: Recipe) -> list[str]:
    steps = [
        "mkdir -p /layer",
        "cd /layer",
        "cp /build/package-lock.json .",
        f'node -e "{_NODE_PACKAGE}"',
        "npm ci --omit=dev --no-audit --no-fund",
        "mkdir -p node_modules",
        "rm -r package.json package-lock.json",
        _same_time(_LOCK_TIME),
    ]
    return [_run(recipe, "/root/.npm", steps)]


def _copy_application(recipe: Recipe) -> str:
    """One step, without what only the installer reads: vendored wheels are no part of a service."""
    left_out = " ".join(f"--exclude=./{path}" for path in recipe.read_beside)
    steps = [
        "mkdir -p /layer/app",
        f"tar -C /build {left_out} -cf /tmp/app.tar .".replace("  ", " "),
        "tar -C /layer/app --no-same-owner -xf /tmp/app.tar",
    ]
    if recipe.toolchain is not Toolchain.NPM:
        steps.append(f"{{ {_COMPILE} -s /layer /layer/app || true; }}")
    steps.append(_same_time("$SOURCE_DATE_EPOCH"))
    return "RUN --mount=type=bind,target=/build " + " \\\n && ".join(steps)


def _run(recipe: Recipe, cache: str, steps: list[str]) -> str:
    mounts = [
        f"--mount=type=bind,source={path},target=/build/{path}"
        for path in (recipe.lock, *recipe.read_beside)
    ]
    mounts.append(f"--mount=type=cache,sharing=locked,target={cache}")
    return "RUN " + " \\\n    ".join([*mounts, " \\\n && ".join(steps)])


def _same_time(epoch_s: int | str) -> str:
    return f"find /layer -exec touch -h -d @{epoch_s} {{}} +"


def _run_python(recipe: Recipe) -> list[str]:
    roots = ":".join(f"/app/{root}".rstrip("/") for root in recipe.import_roots)
    return [
        f"ENV PATH=/opt/venv/bin:$PATH PYTHONPATH={roots}",
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        *_COPIES,
    ]


def _run_node() -> list[str]:
    # Node looks for modules in the folders above the one that asks.
    return [
        "ENV NODE_ENV=production",
        *_COPIES,
    ]


def _serve(recipe: Recipe) -> list[str]:
    if not recipe.command:
        return []
    is_node = recipe.toolchain is Toolchain.NPM
    python = "node" if is_node else "python3"
    words = [w.replace("{port}", str(PORT)).replace("{python}", python) for w in recipe.command]
    lines = [f"EXPOSE {PORT}"]
    if recipe.health_path:
        address = f"http://127.0.0.1:{PORT}/{recipe.health_path.lstrip('/')}"
        asks = ["node", "-e", _NODE_ASKS] if is_node else ["python3", "-c", _PYTHON_ASKS]
        lines.append(f"HEALTHCHECK {_HEALTH} CMD {json.dumps([*asks, address])}")
    return [*lines, f"CMD {json.dumps(words)}"]
