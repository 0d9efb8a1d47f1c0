"""Packages of Node that tests need: installed once for each lock file, beside those of Python."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

INSTALL_SECONDS: Final = 300


class NotThere(Exception):
    """The packages cannot be had on this machine; the message says why."""


def install(source: Path, name: str) -> Path:
    """The folder with what ``package-lock.json`` in ``source`` names. Raises ``NotThere``."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise NotThere(f"{' and '.join(missing)} is not installed")
    lock = (source / "package-lock.json").read_bytes()
    folder = Path(sys.prefix) / f"{name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, folder / file)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)  # noqa: S603  a command of our own
            if done.returncode:
                raise NotThere(f"npm ci failed: {done.stderr[-500:]}")
            (folder / "ready").touch()
    return folder
