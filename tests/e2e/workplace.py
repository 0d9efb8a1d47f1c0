"""A server with a folder of partners that somebody works on: Pipedrive under other ids, and its simulator."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

from e2e.served import Served, running_server, running_simulator

WORKED_ON = 777
WORKED_ON_CREATE = 7770101


def make_workplace(root: Path) -> Path:
    """The folder of the partner, under ``root``."""
    folder = root / "crm"
    shutil.copytree(str(files("polyport").joinpath("connectors/pipedrive")), folder)
    for path in folder.rglob("*.yaml"):
        text = path.read_text("utf-8")
        if path.parent.name in {"actions", "triggers"} or path.name == "partner.yaml":
            text = text.replace("id: 225", f"id: {WORKED_ON}", 1).replace("slug: pipedrive", "slug: crm")
        path.write_text(text, "utf-8")
    return folder


@contextlib.asynccontextmanager
async def open_workplace(folder: Path, workplace: Path) -> AsyncIterator[Served]:
    """The server over ``folder``, that knows the partner of ``workplace``."""
    async with (
        running_simulator("pipedrive") as url,
        running_server(folder, partner_crm_base_url=url, partner_pipedrive_base_url=url, development=str(workplace.parent)) as house,
    ):
        yield house
