"""The commands of ``polyport``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from polyport import __version__
from polyport.cli.apps import oauth_apps
from polyport.cli.audit import audit
from polyport.cli.backups import backup_command, restore_command
from polyport.cli.catalogue import catalogue
from polyport.cli.connectors import connectors
from polyport.cli.console_users import console_users
from polyport.cli.keys import keys
from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.cli.own_partners import own_partners
from polyport.errors import PolyportError, SetupError
from polyport.settings import Settings, load_settings

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

Data = Annotated[Path | None, typer.Option("--data", help="Folder for everything that is written. Default: ./var.", show_default=False)]


@app.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: 8080.", show_default=False)] = None,
    data: Data = None,
    workers: Annotated[int | None, typer.Option(help="Server processes. Default: 1.", show_default=False)] = None,
) -> None:
    """Start the server: HTTP API and worker, on SQLite in the data folder.

    The first start makes an account and prints its e-mail address and password once, unless POLYPORT_BOOTSTRAP_EMAIL and
    POLYPORT_BOOTSTRAP_PASSWORD name them. Every setting is explained in docs/reference/settings.md; all may stand in the environment as POLYPORT_*.
    Stop with Ctrl-C or SIGTERM: calls under way get time to end.
    """
    settings = _settings(host=host, port=port, data=data, workers=workers)
    from polyport.cli.memory import share_heap  # noqa: PLC0415  as below

    share_heap()
    from polyport.cli.serving import first_account, listen, serve  # noqa: PLC0415  other commands start faster without the server

    console = Console(stderr=True)
    listener = listen(settings.host, settings.port)
    shown = listener.getsockname()[1]
    if not settings.port:
        settings = settings.model_copy(update={"port": shown})
    made = first_account(settings)
    if made is not None and made.password is not None:
        console.print("[bold]First account[/bold] (shown once, keep it):")
        console.print(f"  e-mail   {made.email}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  password {made.password}", markup=False, highlight=False, soft_wrap=True)
        if made.welcome is not None:
            console.print("[bold]Or open this link once[/bold] to set a password of your own and come into the console:")
            console.print(f"  {made.welcome}", markup=False, highlight=False, soft_wrap=True)
    host_of_url = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = f"Polyport {__version__} on http://{host_of_url}:{shown}  (console: /console, API reference: /docs)"
    serve(settings, listener, lambda: console.print(line, markup=False, soft_wrap=True))


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
    from polyport.engine.record import Ask  # noqa: PLC0415  as above
    from polyport.runtime import DATABASE  # noqa: PLC0415  as above
    from polyport.server.wire import parse_json  # noqa: PLC0415  as above

    settings = _settings(data=folder)
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


def _settings(**overrides: object) -> Settings:
    settings = load_settings(os.environ, **overrides)
    set_up_log(settings.log)
    return settings


def _print(value: Any) -> None:
    from polyport.server.wire import encode  # noqa: PLC0415  as above

    typer.echo(json.dumps(json.loads(encode(value)), indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line; what an operator can mend is one sentence, not a stack."""
    try:
        app()
    except SetupError as error:
        sys.stderr.write(f"polyport: {error}\n")
        raise SystemExit(1) from None
    except PolyportError as error:
        sys.stderr.write(json.dumps(error.as_record(), indent=2, ensure_ascii=False) + "\n")
        raise SystemExit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None
    except OSError as error:
        sys.stderr.write(f"polyport: {error.strerror or error}: {error.filename or ''}\n")
        raise SystemExit(1) from None
