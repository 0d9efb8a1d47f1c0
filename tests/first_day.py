"""What a first start leaves in its data folder, made once by the program itself and copied for the tests that begin after that.

A first start reads and checks every bundled partner, and makes a slow hash of a password: a second of work, hundreds of times, that shows nothing after the
first. What a start does over an empty folder is tested where that is the matter.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final

from polyport.catalog import index_file, open_catalog
from polyport.keyfile import KEY_FILE
from polyport.runtime import DATABASE, make_first_account
from polyport.settings import load_settings

EMAIL: Final = "owner@example.com"
PASSWORD: Final = "correct horse battery"


@cache
def _made() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    kept = tempfile.TemporaryDirectory(prefix="polyport-first-day-")  # lives as long as this process
    data = Path(kept.name) / "data"
    settings = load_settings({"POLYPORT_BOOTSTRAP_EMAIL": EMAIL, "POLYPORT_BOOTSTRAP_PASSWORD": PASSWORD}, data=data)
    with ThreadPoolExecutor(1) as thread:  # who asks may stand in an event loop
        thread.submit(asyncio.run, make_first_account(settings, lambda: PASSWORD)).result()
    open_catalog(data, (), settings.origin).close()
    return kept, data


def bring_catalogue(data: Path, connectors: Sequence[str] = ()) -> None:
    """Put the index of the bundled partners into a data folder that has none; partners of the extra folders are still to be read."""
    path = index_file(data, connectors)
    if not path.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _kept, made = _made()
        shutil.copy2(index_file(made, ()), path)


def bring_account(data: Path) -> bool:
    """Put the first account, ``EMAIL`` and ``PASSWORD``, and the key that seals it into a data folder; ``False`` where a database or a key is there already."""
    if (data / DATABASE).exists() or (data / KEY_FILE).exists():
        return False
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    _kept, made = _made()
    for name in (KEY_FILE, DATABASE):
        shutil.copy2(made / name, data / name)
    return True


def bring_first_day(data: Path) -> None:
    """Both: what a data folder holds after the first start."""
    bring_catalogue(data)
    assert bring_account(data)
