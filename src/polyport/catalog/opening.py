"""The catalogue of a data folder: where its index is, and what becomes of one that cannot be used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import structlog

from polyport.catalog.catalog import Catalog
from polyport.catalog.loaded import MEMORY_MB
from polyport.store.base import StoreUnavailable
from polyport.store.sqlite_catalogue import SqliteCatalogue

_READERS: Final = (
    "*.py",
    "manifest/**/*.py",
    "kinds/**/*.py",
    "catalog/*",
    "store/*catalogue.py",
    "store/sql/catalogue/*",
)  # what decides what becomes of a folder
_UNUSED_SECONDS: Final = 30 * 24 * 3600
_log: Final = structlog.get_logger("polyport.catalog")


def index_file(data: Path, extra: Sequence[str]) -> Path:
    """Where the index is: each set of folders has its own, and each version of the program that reads them."""
    root = Path(str(files("polyport")))
    told = hashlib.sha256(f"{sys.version_info[:2]} {[str(Path(each).resolve()) for each in extra]}".encode())
    for part in _READERS:
        for path in sorted(root.glob(part)):
            if path.is_file():
                told.update(hashlib.sha256(path.read_bytes()).digest())
    return data / "catalog" / f"{told.hexdigest()[:16]}.db"


def open_catalog(
    data: Path, extra: Sequence[str], origin: str, *, anew: bool = False, memory: int = MEMORY_MB, late: bool = False
) -> Catalog:
    """The catalogue of a data folder, over the index in it. Whatever is wrong with the index, there is one. ``anew`` and ``late``: see ``Catalog.load``."""
    path = index_file(data, extra)
    folder = path.parent
    index, reason = SqliteCatalogue.opened(path)
    with contextlib.suppress(OSError):
        os.utime(path)
        _tidy(folder, path)
    if reason is not None:
        _log.warning("the index of the catalogue cannot be kept: every start builds it", folder=str(folder), reason=reason)
    try:
        return Catalog.load(extra, origin, index, anew=anew, memory=memory, late=late)
    except StoreUnavailable as fault:
        _log.warning("the index of the catalogue is built again", reason=str(fault))
        index.close()
    return Catalog.load(extra, origin, SqliteCatalogue(), memory=memory)


def _tidy(folder: Path, own: Path) -> None:
    """Remove the indexes of earlier versions and other folders that no process has begun with for a month."""
    for path in folder.glob("*.db"):
        if path != own and time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
