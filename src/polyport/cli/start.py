"""``polyport serve``, by itself: a server begins without the other commands, of which there are forty."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from polyport import __version__
from polyport.cli.logs import set_up_log
from polyport.settings import Settings, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="Folder for everything that is written. Default: ./var.", show_default=False)]

starter = typer.Typer(name="polyport", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")


@starter.callback()
def _among_others() -> None:
    """Let the command keep its name: one that is alone has none."""


@starter.command("serve")
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
    settings = read_settings(host=host, port=port, data=data, workers=workers)
    from polyport.cli.memory import share_heap, unswept  # noqa: PLC0415  other commands start faster without the server

    share_heap()
    with unswept():
        from polyport.cli.serving import first_account, listen, serve  # noqa: PLC0415  as above
        from polyport.console_users import note_origin  # noqa: PLC0415  as above

    listener = listen(settings.host, settings.port)
    shown = listener.getsockname()[1]
    if not settings.port:
        settings = settings.model_copy(update={"port": shown})
    made = first_account(settings)
    note_origin(settings)
    if made is not None and made.password is not None:
        _tell("First account", " (shown once, keep it):")
        _tell("", f"  e-mail   {made.email}")
        _tell("", f"  password {made.password}")
        if made.welcome is not None:
            _tell("Or open this link once", " to set a password of your own and come into the console:")
            _tell("", f"  {made.welcome}")
    host_of_url = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = f"Polyport {__version__} on http://{host_of_url}:{shown}  (console: /console, API reference: /docs)"
    serve(settings, listener, lambda: _tell("", line))


def read_settings(**overrides: object) -> Settings:
    """The settings of this process, and its log set up by them. ``overrides`` as in ``load_settings``. Raises ``SetupError``."""
    settings = load_settings(os.environ, **overrides)
    set_up_log(settings.log)
    return settings


def _tell(strong: str, plain: str) -> None:
    """A line on standard error, its beginning bold where that can be seen."""
    typer.echo((typer.style(strong, bold=True) if strong else "") + plain, err=True)
