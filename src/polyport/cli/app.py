"""The commands of ``polyport``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyport import __version__
from polyport.cli.apps import oauth_apps
from polyport.cli.audit import audit
from polyport.cli.backups import backup_command, restore_command
from polyport.cli.catalogue import catalogue
from polyport.cli.connectors import connectors
from polyport.cli.console_users import console_users
from polyport.cli.keys import keys
from polyport.cli.loop import run_loop
from polyport.cli.own_partners import own_partners
from polyport.cli.start import read_settings, serve_command
from polyport.errors import SetupError
from polyport.settings import Settings

if TYPE_CHECKING:
    from polyport.engine.record import Ask

app = typer.Typer(
    name="polyport",
    help="Run any action or trigger of any SaaS app with your customers' own connections.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(connectors, name="connector")
app.add_typer(oauth_apps, name="oauth-app")
app.add_typer(keys, name="keys")
app.add_typer(console_users, name="console-user")
app.add_typer(audit, name="audit")
app.add_typer(catalogue, name="catalog")
app.add_typer(own_partners, name="partners")

app.command("serve")(serve_command)


@app.command("run")
def run_command(
    operation_id: Annotated[int, typer.Argument(help="Id of the trigger or action (GET /partners/trigger-actions/info lists them).")],
    connection: Annotated[int | None, typer.Option(help="Id of the connection. Tools of partner 1 need none.", show_default=False)] = None,
    data: Annotated[str, typer.Option("--data", help="Fields of the operation as a JSON object; @FILE reads them from a file.")] = "{}",
    folder: Annotated[Path | None, typer.Option("--folder", help="The server's data folder. Default: ./var.", show_default=False)] = None,
    account: Annotated[int, typer.Option(help="Id of the account.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the exact requests, secrets masked; send nothing.")] = False,
) -> None:
    """Run a trigger or an action once, from the shell, and print the result as JSON.

    Works on the data folder itself, beside a running server or without one. Exit code 0: succeeded; 1: failed, with the error on standard error.
    """
    from polyport.engine.record import Ask  # noqa: PLC0415  other commands start faster without the engine
    from polyport.runtime import DATABASE  # noqa: PLC0415  as above
    from polyport.server.wire import parse_json  # noqa: PLC0415  as above

    settings = read_settings(data=folder)
    if not (settings.data / DATABASE).exists():
        raise SetupError(f"There is no server's data in {settings.data}: name its folder with --folder.")
    text = Path(data[1:]).read_text("utf-8") if data.startswith("@") else data
    fields = parse_json(text.encode(), settings.http.depth_limit)
    given = {"0": {"value": connection}} if connection is not None else None
    ask = Ask(account_id=account, operation_id=operation_id, mode="sync", credential_data=given, runner_data=fields)
    _print(run_loop(_run(settings, ask, dry_run=dry_run)))


async def _run(settings: Settings, ask: Ask, *, dry_run: bool) -> Any:
    from polyport.engine.desk import Desk  # noqa: PLC0415  as above
    from polyport.engine.run import Engine  # noqa: PLC0415  as above
    from polyport.runtime import open_runtime  # noqa: PLC0415  as above

    async with open_runtime(settings) as runtime:
        engine = Engine(Desk(runtime))
        if dry_run:
            return await engine.dry_run(ask)
        done = await engine.run_sync(ask)
        if done.error is not None:
            raise done.error
        return done.result


app.command("backup")(backup_command)
app.command("restore")(restore_command)


@app.command("demo")
def demo_command(
    once: Annotated[bool, typer.Option("--once", help="Stop after the steps instead of keeping the server up.")] = False,
    port: Annotated[int, typer.Option(help="Port of the server.")] = 8080,
    simulator_port: Annotated[int, typer.Option(help="Port of the simulated partner.")] = 8081,
    data: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path("var/demo"),
) -> None:
    """See it work: server and simulated Pipedrive, the five steps over real HTTP, an async run, a trigger.

    Everything stays on this machine (127.0.0.1). Run it as often as you like.
    """
    from polyport.cli.demo import run_demo  # noqa: PLC0415  the server starts faster without the demo's parts

    raise typer.Exit(run_demo(once=once, port=port, simulator_port=simulator_port, data=data))


@app.command("version")
def version_command() -> None:
    """Print the version."""
    typer.echo(__version__)


def _print(value: Any) -> None:
    from polyport.server.wire import encode  # noqa: PLC0415  as above

    typer.echo(json.dumps(json.loads(encode(value)), indent=2, ensure_ascii=False))
