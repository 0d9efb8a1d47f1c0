"""``polyport catalog``: the index of the catalogue, and which partners an account is limited to."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.errors import SetupError
from polyport.settings import Settings, load_settings

if TYPE_CHECKING:
    from polyport.runtime import Runtime

T = TypeVar("T")
catalogue = typer.Typer(help="The catalogue: its index on disk, and which partners an account is limited to.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option("--data", help="The server's data folder. Default: ./var.", show_default=False)]
AccountName = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account, or the e-mail address of one of its users.")]
_SHOWN: Final = 100


@catalogue.command("show")
def show_command(data: Folder = None, *, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show where the index is, how much is in it, and what was left out, with the reason. Folders that changed are taken up first."""

    async def work(runtime: Runtime) -> None:
        told = await _state(runtime)
        if as_json:
            typer.echo(json.dumps(told, indent=2))
            return
        typer.echo(f"Index: {told['index']}, {told['bytes'] / 1e6:.1f} MB.")
        typer.echo(f"{told['partners']} partners, {told['operations']} triggers, actions and tools.")
        for line in told["leftOut"][:_SHOWN]:
            typer.echo(f"Left out: {line}")

    with_runtime(data, work)


@catalogue.command("refresh")
def refresh_command(data: Folder = None) -> None:
    """Take up folders that were added, changed or removed, without a restart: running servers of the data folder follow within a second."""

    async def work(runtime: Runtime) -> None:
        typer.echo(f"{'Taken up' if runtime.catalog.changed else 'Nothing changed'}: {runtime.catalog.count} partners.")
        for problem in runtime.catalog.problems[:_SHOWN]:
            typer.echo(f"Left out: {problem}")

    with_runtime(data, work)


@catalogue.command("rebuild")
def rebuild_command(data: Folder = None) -> None:
    """Read and check every folder anew, whatever the index says. Running servers keep serving meanwhile, and follow."""
    settings = _settings(data)
    from polyport.catalog import open_catalog  # noqa: PLC0415  as below

    open_catalog(settings.data, settings.partner_roots, settings.origin, anew=True).close()

    async def work(runtime: Runtime) -> None:
        await runtime.repo.keys.forget()
        typer.echo(f"Rebuilt: {runtime.catalog.count} partners.")

    with_runtime(data, work)


@catalogue.command("allow")
def allow_command(
    account: AccountName,
    partners: Annotated[
        list[str] | None, typer.Argument(help="Slugs or ids of all partners that the account is to see.", show_default=False)
    ] = None,
    data: Folder = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Limit the account no more.")] = False,
) -> None:
    """Limit an account to some partners: all others answer 404 to it. The account's own list (PUT /account/partners) can only narrow this one.

    The list takes the place of the one before. Polyport's own tools (partner 1) are always seen.
    """
    from polyport.audit import AuditLog  # noqa: PLC0415  other commands start faster without it
    from polyport.store.base import Stale  # noqa: PLC0415  other commands start faster without it

    if everything == bool(partners):
        raise SetupError("Name the partners that the account is to see, or give --all.")

    async def work(runtime: Runtime) -> None:
        account_id = await account_of(runtime, account)
        if everything:
            try:
                await runtime.repo.allow_lists.delete(account_id, "operator")
            except Stale:
                raise SetupError("The account is not limited.") from None
        else:
            allowed = [await _partner(runtime, account_id, name) for name in partners or ()]
            await runtime.repo.allow_lists.put(account_id, "operator", allowed, runtime.now_ms())
        log = AuditLog(runtime.repo.audit, runtime.now_ms)
        told = "all" if everything else f"{len(partners or ())} partners"
        await log.note(account_id, via="command", actor=("command", "polyport"), action="catalog allow", target=told, status=200)
        await _tell_allowed(runtime, account_id)

    with_runtime(data, work)


@catalogue.command("allowed")
def allowed_command(account: AccountName, data: Folder = None) -> None:
    """Show which partners an account is limited to, by the operator and by itself."""

    async def work(runtime: Runtime) -> None:
        await _tell_allowed(runtime, await account_of(runtime, account))

    with_runtime(data, work)


async def _tell_allowed(runtime: Runtime, account_id: int) -> None:
    lists = await runtime.repo.allow_lists.of(account_id)
    for setter, words in (("operator", "By the operator"), ("account", "By the account itself")):
        held = lists.get(setter)
        typer.echo(f"{words}: {'not limited' if held is None else ', '.join(map(str, sorted(held.partners))) or 'no partner'}")


async def _state(runtime: Runtime) -> dict[str, Any]:
    settings = runtime.settings
    from polyport.catalog import Wanted, index_file  # noqa: PLC0415  as below

    path = index_file(settings.data, settings.partner_roots)
    page = await runtime.catalog.seen_by(None).list_operations(Wanted(per_page=1))
    return {
        "index": str(path) if path.exists() else None,
        "bytes": path.stat().st_size if path.exists() else 0,
        "partners": runtime.catalog.count,
        "operations": page.total,
        "leftOut": [str(problem) for problem in runtime.catalog.problems],
    }


async def account_of(runtime: Runtime, name: str) -> int:
    """An account by its id, or by the e-mail address of one of its users. Raises ``SetupError``."""
    if "@" in name:
        user = await runtime.repo.accounts.user_by_email(name)
        if user is not None:
            return user.account_id
    elif name.isascii() and name.isdecimal() and len(name) <= 15 and await runtime.repo.accounts.get(int(name)) is not None:
        return int(name)
    raise SetupError(f"There is no account {name}.")


async def _partner(runtime: Runtime, account_id: int, name: str) -> int:
    """A partner of everybody or of the account, by slug or id, whatever limits it now."""
    found = await runtime.catalog.ids_of(account_id, name)
    if not found:
        raise SetupError(f"There is no partner {name}.")
    return found[0]


def _settings(data: Path | None) -> Settings:
    from polyport.runtime import DATABASE  # noqa: PLC0415  only the commands that work on a server's data load it

    settings = load_settings(os.environ, data=data)
    set_up_log(settings.log)
    if not (settings.data / DATABASE).exists():
        raise SetupError(f"There is no server's data in {settings.data}: name its folder with --data, or start the server once.")
    return settings


def with_runtime(data: Path | None, work: Callable[[Runtime], Awaitable[T]]) -> T:
    """Work on the data of a server, which may be running."""
    return run_loop(_working(_settings(data), work))


async def _working(settings: Settings, work: Callable[[Runtime], Awaitable[T]]) -> T:
    from polyport.runtime import open_runtime  # noqa: PLC0415  as above

    async with open_runtime(settings) as runtime:
        return await work(runtime)
