"""``polyport oauth-app``: the OAuth apps of the installation, which serve every account that has none of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.errors import NotFound, SetupError, ValidationFailed
from polyport.settings import Settings, load_settings

if TYPE_CHECKING:
    from polyport.manifest.model import Partner
    from polyport.runtime import Runtime

T = TypeVar("T")
oauth_apps = typer.Typer(help="OAuth apps of the installation: with which client id and secret customers sign in.", no_args_is_help=True)

PartnerName = Annotated[str, typer.Argument(help="Slug or id of the partner.")]
Folder = Annotated[Path | None, typer.Option("--data", help="The server's data folder. Default: ./var.", show_default=False)]


@oauth_apps.command("set")
def set_command(
    partner: PartnerName,
    client_id: Annotated[str, typer.Option(help="The client id that the partner gave.")],
    key_id: Annotated[str | None, typer.Option(help="The id under which the partner knows the private key.", show_default=False)] = None,
    auth: Annotated[str | None, typer.Option(help="The one way to sign in that the app is for. Default: all.", show_default=False)] = None,
    scopes: Annotated[
        str | None, typer.Option(help="Scopes, with commas between, in place of the partner's usual ones.", show_default=False)
    ] = None,
    scope_choices: Annotated[
        str | None, typer.Option(help="Scopes, with commas between, that customers may add. Default: the partner's.", show_default=False)
    ] = None,
    data: Folder = None,
) -> None:
    """Set the installation's OAuth app for a partner. The secret (or the private key in PEM) is asked for, or read from standard input.

    It serves all accounts that have none of their own. A running server takes it up within a second.
    """
    from polyport.apps import NewApp  # noqa: PLC0415  other commands start faster without it

    async def work(runtime: Runtime) -> None:
        found = await _partner(runtime, partner)
        secret = _secret(found, auth)
        new = NewApp(
            partner_id=found.file.id,
            client_id=client_id,
            key_id=key_id,
            auth=auth,
            scopes=_listed(scopes),
            scope_choices=_listed(scope_choices),
            **secret,
        )
        try:
            await runtime.apps.put(None, found, new, runtime.now_ms())
        except ValidationFailed as error:
            raise SetupError(" ".join(f"{fault.path}: {fault.message}" for fault in error.details.fields)) from None
        _say(
            f"{found.file.title}: customers sign in with {client_id}. Register this address at the partner: {runtime.settings.redirect_uri}"
        )

    _with_runtime(data, work)


@oauth_apps.command("list")
def list_command(data: Folder = None) -> None:
    """List the partners where customers sign in, and what is still to be set for each."""
    from polyport.apps import missing  # noqa: PLC0415  other commands start faster without it

    async def work(runtime: Runtime) -> None:
        held = {app.partner_id: app for app in await runtime.repo.oauth_apps.all(None)}
        _say(f"Address to register at partners: {runtime.settings.redirect_uri}")
        seen = runtime.catalog.seen_by(None)
        partners = [await seen.partner(each) for each in await seen.signing_in()]
        for found in sorted(partners, key=lambda each: each.file.slug):
            app = held.get(found.file.id)
            lacking = ", ".join(missing(found, app))
            shown = (
                f"client id {app.client_id}, secret {' '.join(json.loads(app.shown).values()) or 'none'}" if app is not None else "not set"
            )
            _say(f"{found.file.id:>6}  {found.file.slug:<16} {shown}" + (f" (missing: {lacking})" if lacking else ""))

    _with_runtime(data, work)


@oauth_apps.command("remove")
def remove_command(partner: PartnerName, data: Folder = None) -> None:
    """Remove the installation's OAuth app for a partner: connections that were made with it cannot be renewed."""

    async def work(runtime: Runtime) -> None:
        found = await _partner(runtime, partner)
        await runtime.apps.delete(None, found.file.id)
        _say(f"{found.file.title}: removed.")

    _with_runtime(data, work)


async def _partner(runtime: Runtime, name: str) -> Partner:
    from polyport.apps import sign_in_schemes  # noqa: PLC0415  other commands start faster without it

    try:
        found = await runtime.catalog.seen_by(None).find(name)
    except NotFound:
        raise SetupError(f"There is no partner {name}; polyport oauth-app list shows those where customers sign in.") from None
    if not sign_in_schemes(found):
        raise SetupError(f"Customers of {found.file.title} do not sign in: it needs no OAuth app.")
    return found


def _secret(partner: Partner, auth: str | None) -> dict[str, str]:
    """What the app proves itself with: never an argument, since those can be read by everybody on the machine and are kept in histories."""
    from polyport.apps import SECRET_LONGEST, needed_secrets, sign_in_schemes  # noqa: PLC0415  other commands start faster without it

    schemes = sign_in_schemes(partner)
    if auth not in {None, *schemes}:
        raise SetupError(f"The ways to sign in at {partner.file.title} are: {', '.join(schemes)}.")
    needed = needed_secrets(partner, auth)
    if not needed:
        return {}
    name = "private_key" if "private_key" in needed else "client_secret"
    if name == "client_secret" and sys.stdin.isatty():
        return {name: typer.prompt("Client secret", hide_input=True)}
    if sys.stdin.isatty():
        _say("Private key in PEM, then Ctrl-D:")
    text = sys.stdin.read(SECRET_LONGEST + 1).strip()
    if not text or len(text) > SECRET_LONGEST:
        raise SetupError(f"Standard input has to hold the {name.replace('_', ' ')}, of at most {SECRET_LONGEST} characters.")
    return {name: text}


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _say(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _with_runtime(data: Path | None, work: Callable[[Runtime], Awaitable[T]]) -> T:
    from polyport.runtime import DATABASE  # noqa: PLC0415  only the commands that work on a server's data load it

    settings = load_settings(os.environ, data=data)
    set_up_log(settings.log)
    if not (settings.data / DATABASE).exists():
        raise SetupError(f"There is no server's data in {settings.data}: name its folder with --data, or start the server once.")
    return run_loop(_working(settings, work))


async def _working(settings: Settings, work: Callable[[Runtime], Awaitable[T]]) -> T:
    from polyport.runtime import open_runtime  # noqa: PLC0415  as above

    async with open_runtime(settings) as runtime:
        return await work(runtime)
