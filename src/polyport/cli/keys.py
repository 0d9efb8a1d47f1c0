"""``polyport keys``: the master keys of a data folder."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from polyport.cli.logs import set_up_log
from polyport.errors import SetupError
from polyport.settings import Settings, load_settings

if TYPE_CHECKING:
    from polyport.master_keys import MasterKeys

keys = typer.Typer(
    name="keys", help="Master keys: what is sealed with which, and how to change them while the server runs.", no_args_is_help=True
)

T = TypeVar("T")
Data = Annotated[Path | None, typer.Option("--data", help="The server's data folder. Default: ./var.", show_default=False)]


@keys.command("list")
def list_command(data: Data = None, *, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the master keys by their ids: which one seals, which are here, and how many data keys are under each.

    An id is made from its key and may be shown. The keys themselves are never printed.
    """
    census, source = _with_keys(data, _census)
    if as_json:
        typer.echo(json.dumps({"source": source, "keys": census}, indent=2))
        return
    typer.echo(f"Keys from {source}.")
    for key in census:
        typer.echo(_line(key))


@keys.command("new")
def new_command() -> None:
    """Print a fresh master key, for POLYPORT_MASTER_KEY. Nothing is changed; with a key file, `polyport keys rotate` makes the key itself."""
    from polyport.keyfile import new_master_key  # noqa: PLC0415  other commands start faster without it

    typer.echo(new_master_key())


@keys.command("rotate")
def rotate_command(data: Data = None) -> None:
    """Change to a new master key while the server runs, and wrap every data key under it.

    With a key file this makes the key, waits until every process has it, changes over and wraps what there is. With POLYPORT_MASTER_KEY it does the same once
    the new key stands there; until then it says the steps. If it is cut off, run it again: it goes on. The old key still opens until `polyport keys drop`.
    """
    from polyport.rotation import one_at_a_time, rotate  # noqa: PLC0415  other commands start faster without it

    async def work(held: MasterKeys, settings: Settings) -> None:
        with one_at_a_time(settings.data):
            done = await rotate(held, typer.echo)
        typer.echo(f"{done.moved} data keys were wrapped anew. Key {done.key_id} seals.")
        for key_id in done.idle:
            typer.echo(f"Nothing here needs key {key_id} any more; backups from before still do. To drop it: polyport keys drop {key_id}")
        if done.unreadable:
            shown = "\n  ".join(done.unreadable[:20])
            raise SetupError(f"{len(done.unreadable)} could not be opened and stay as they are:\n  {shown}")

    _with_keys(data, work)


@keys.command("drop")
def drop_command(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `polyport keys list` shows it.")], data: Data = None
) -> None:
    """Retire an old master key for good, and take it out of the key file. Refused while anything here needs it.

    Backups that were made before the rotation need the old key: keep a copy of it for as long as you keep them.
    """
    from polyport.keyfile import KEY_FILE  # noqa: PLC0415  other commands start faster without it
    from polyport.rotation import drop, one_at_a_time  # noqa: PLC0415  other commands start faster without it

    async def work(held: MasterKeys, settings: Settings) -> None:
        with one_at_a_time(settings.data):
            await drop(held, key_id.strip().lower())
        left = (
            "take it out of POLYPORT_MASTER_KEY and restart the processes one by one"
            if held.file is None
            else f"it is no longer in {KEY_FILE}"
        )
        typer.echo(f"Key {key_id} is dropped: {left}. Keep a copy for as long as you keep backups from its time.")

    _with_keys(data, work)


async def _census(held: MasterKeys, _settings: Settings) -> tuple[list[dict[str, Any]], str]:
    return await held.census(), "POLYPORT_MASTER_KEY" if held.file is None else str(held.file.path)


def _line(key: dict[str, Any]) -> str:
    needed = ", ".join(f"{count} of {holder}" for holder, count in key["dataKeys"].items()) or "no data keys"
    marks = [
        "seals" if key["seals"] else "",
        "" if key["held"] else "NOT HERE",
        "dropped" if key["dropped"] else "",
        f"since {datetime.fromtimestamp(key['since'], UTC):%Y-%m-%d %H:%M} UTC" if key["since"] is not None else "has not sealed yet",
    ]
    return f"{key['keyId']}  {', '.join(mark for mark in marks if mark)}: {needed}"


def _with_keys(data: Path | None, work: Callable[[MasterKeys, Settings], Coroutine[Any, Any, T]]) -> T:
    from polyport.runtime import DATABASE, open_safe  # noqa: PLC0415  only the commands that work on a server's data load it

    settings = load_settings(os.environ, data=data)
    set_up_log(settings.log)
    if not (settings.data / DATABASE).exists():
        raise SetupError(f"There is no server's data in {settings.data}: name its folder with --data.")

    async def opened() -> T:
        async with open_safe(settings) as safe:
            return await work(safe.keys, settings)

    return asyncio.run(opened())
