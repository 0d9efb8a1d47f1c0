"""``polyport console-user``: the people who sign in for an account."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.errors import SetupError, ValidationFailed
from polyport.settings import Settings, load_settings

if TYPE_CHECKING:
    from polyport.runtime import Runtime
    from polyport.store.records import User

T = TypeVar("T")
console_users = typer.Typer(help="People who sign in for an account: in the console and at the API.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
Role = Annotated[str, typer.Option(help="owner, developer or viewer.")]
AccountId = Annotated[int, typer.Option("--account", help="Id of the account.")]
Folder = Annotated[Path | None, typer.Option("--data", help="The server's data folder. Default: ./var.", show_default=False)]
_COMMAND: Final = ("command", "polyport")


@console_users.command("add")
def add_command(email: Email, role: Role = "developer", account: AccountId = 1, data: Folder = None) -> None:
    """Add a user, and print a link by which the user sets a password and comes in, once."""
    from polyport.console_users import add_user  # noqa: PLC0415  other commands start faster without it

    async def work(runtime: Runtime) -> None:
        user = await add_user(runtime.repo, account, email, role, runtime.now_ms())
        await _note(runtime, account, "console-user add", f"{user.user_id} {user.role}")
        await _print_link(runtime, user)

    _with_runtime(data, work)


@console_users.command("link")
def link_command(email: Email, data: Folder = None) -> None:
    """Print a new link by which a user sets a password; an older one ends. For who has lost the password, too."""

    async def work(runtime: Runtime) -> None:
        user = await _user(runtime, email)
        await _note(runtime, user.account_id, "console-user link", str(user.user_id))
        await _print_link(runtime, user)

    _with_runtime(data, work)


@console_users.command("list")
def list_command(account: AccountId = 1, data: Folder = None) -> None:
    """List the users of an account with their roles."""

    async def work(runtime: Runtime) -> None:
        for user in await runtime.repo.console_users.of(account):
            typer.echo(f"{user.role:<10} {user.email}" + ("" if user.password_hash else "  (has not come in yet)"))

    _with_runtime(data, work)


@console_users.command("role")
def role_command(email: Email, role: Annotated[str, typer.Argument(help="owner, developer or viewer.")], data: Folder = None) -> None:
    """Give a user another role; all sign-ins of the user end."""
    from polyport.console_users import change_role  # noqa: PLC0415  other commands start faster without it

    async def work(runtime: Runtime) -> None:
        user = await _user(runtime, email)
        await change_role(runtime.repo, user.account_id, user.user_id, role)
        await _note(runtime, user.account_id, "console-user role", f"{user.user_id} {role}")
        typer.echo(f"{user.email} is {role} now.")

    _with_runtime(data, work)


@console_users.command("remove")
def remove_command(email: Email, data: Folder = None) -> None:
    """Remove a user; API keys that the user made stay."""
    from polyport.console_users import remove_user  # noqa: PLC0415  other commands start faster without it

    async def work(runtime: Runtime) -> None:
        user = await _user(runtime, email)
        await remove_user(runtime.repo, user.account_id, user.user_id)
        await _note(runtime, user.account_id, "console-user remove", str(user.user_id))
        typer.echo(f"{user.email} was removed.")

    _with_runtime(data, work)


async def _user(runtime: Runtime, email: str) -> User:
    user = await runtime.repo.accounts.user_by_email(email)
    if user is None:
        raise SetupError(f"There is no user {email}; polyport console-user list shows them.")
    return user


async def _print_link(runtime: Runtime, user: User) -> None:
    from polyport.console_users import at_server, new_link  # noqa: PLC0415  other commands start faster without it

    settings, known = at_server(runtime.settings)
    url, _expires_at = await new_link(runtime.repo, settings, user, runtime.now_ms())
    typer.echo(f"{user.email} ({user.role}) comes in with this link, once, within three days:")
    typer.echo(url)
    if not known:
        typer.echo(
            f"No server has run with this data yet. Should yours be elsewhere than at {settings.origin}, put its address in place of that."
        )


async def _note(runtime: Runtime, account_id: int, action: str, target: str) -> None:
    from polyport.audit import AuditLog  # noqa: PLC0415  other commands start faster without it

    log = AuditLog(runtime.repo.audit, runtime.now_ms)
    await log.note(account_id, via="command", actor=_COMMAND, action=action, target=target, status=200)


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
        try:
            return await work(runtime)
        except ValidationFailed as error:
            raise SetupError(" ".join(fault.message for fault in error.details.fields)) from None
