"""``polyport backup`` and ``polyport restore``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from polyport.cli.logs import set_up_log
from polyport.settings import Settings, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="The server's data folder. Default: ./var.", show_default=False)]


def backup_command(
    file: Annotated[Path, typer.Argument(help="Where to write the backup.")],
    data: Data = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write a backup of the database, while the server runs or not.

    It is the database as it is at one moment, whole and checked, in one file that only its owner can read; callers are not held up. The master key is not in it:
    keep that apart, a backup cannot be opened without it.
    """
    from polyport.backups import back_up  # noqa: PLC0415  only the commands that work on a server's data load it
    from polyport.keyfile import KEY_FILE  # noqa: PLC0415  other commands start faster without it

    copy = back_up(_settings(data), file, force=force)
    typer.echo(f"{file}: {copy.accounts} accounts, {copy.connections} connections, {copy.runs} runs.")
    typer.echo(
        f"It opens with master key {', '.join(copy.key_ids) or 'of any id'}, which is not in it: keep {KEY_FILE}, or POLYPORT_MASTER_KEY, in another place."
    )


def restore_command(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    data: Data = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Restore also when keys of some connections are lost.")] = False,
) -> None:
    """Put a backup in place of the database of a data folder. The server has to be stopped.

    The file, its schema and its keys are checked before anything is touched; the database from before is kept beside. Nothing in the backup goes on by itself:
    runs that had not ended when it was taken end as `uncertain`, since they may have been sent afterwards, or as `failed` where a repeat does no harm.
    """
    from polyport.backups import restore  # noqa: PLC0415  as above

    done = restore(_settings(data), file, force=force)
    taken = f" of {datetime.fromtimestamp(done.copy.taken_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if done.copy.taken_at is not None else ""
    typer.echo(f"Restored the backup{taken}: {done.copy.accounts} accounts, {done.copy.connections} connections, {done.copy.runs} runs.")
    if done.copy.in_doubt or done.copy.repeatable:
        told = f"{done.copy.in_doubt} end as uncertain, {done.copy.repeatable} as failed"
        typer.echo(
            f"{done.copy.in_doubt + done.copy.repeatable} runs had not ended. They are not sent by themselves; when the server starts, {told}."
        )
    for fault in done.unreadable[:10]:
        typer.echo(f"Not opened: {fault}")
    if done.aside is not None:
        typer.echo(f"The database from before is in {done.aside}: delete it when you are sure.")
    typer.echo("What was revoked after the backup (sign-ins, API keys, links) is valid again: see docs/how-to/keys-and-backup.md.")


def _settings(data: Path | None) -> Settings:
    settings = load_settings(os.environ, data=data)
    set_up_log(settings.log)
    return settings
