"""``polyport connector``: look at partners' folders, run their cases, simulate them."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyport.errors import SetupError
from polyport.manifest.cases import load_cases
from polyport.manifest.load import load_partner, partner_folders

connectors = typer.Typer(help="Work with partners: check, test, simulate.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="Slug of a bundled partner, or the path of a partner's folder.")]


def partner_folder(slug: str) -> Traversable | Path:
    """The folder of a partner: a path, or a bundled slug. Raises ``SetupError`` that names what there is."""
    path = Path(slug)
    if (path / "partner.yaml").is_file():
        return path
    root = files("polyport").joinpath("connectors")
    found = {folder.name: folder for folder in partner_folders(root)}
    if slug not in found:
        raise SetupError(f'There is no partner "{slug}". Bundled: {", ".join(found)}; or give the path of a folder with a partner.yaml.')
    return found[slug]


@connectors.command("list")
def list_command() -> None:
    """List the bundled partners."""
    console = Console()
    for folder in partner_folders(files("polyport").joinpath("connectors")):
        loaded = load_partner(folder)
        if loaded.partner is None:
            console.print(f"{folder.name}: left out, {len(loaded.problems)} faults")
            continue
        file = loaded.partner.file
        counts = f"{len(loaded.partner.actions)} actions, {len(loaded.partner.triggers)} triggers"
        console.print(
            f"{file.id:>6}  {folder.name:<16} {file.title}: {counts}, verified by {file.verified.how}", highlight=False, soft_wrap=True
        )


@connectors.command("lint")
def lint_command(slug: Slug) -> None:
    """Show every fault of a partner's folder, with file, line and what to do."""
    folder = partner_folder(slug)
    problems = [*load_partner(folder).problems, *load_cases(folder).problems]
    for problem in problems:
        typer.echo(str(problem))
    typer.echo(f"{slug}: {len(problems)} faults")
    raise typer.Exit(1 if problems else 0)


@connectors.command("test")
def test_command(slug: Slug) -> None:
    """Run a partner's cases and show what differs."""
    from polyport.testing.cases import run_case  # noqa: PLC0415  the server starts faster without what only tests need

    folder = partner_folder(slug)
    loaded, cases = load_partner(folder), load_cases(folder)
    for problem in (*loaded.problems, *cases.problems):
        typer.echo(str(problem))
    if loaded.partner is None:
        raise typer.Exit(1)
    failed = len(cases.problems)
    for found in cases.cases:
        report = asyncio.run(run_case(loaded.partner, found, cases.connection))
        failed += bool(report.differences)
        for difference in report.differences:
            typer.echo(f"FAILED {report.file} ({report.title})\n    {difference}")
    typer.echo(f"{slug}: {len(cases.cases)} cases, {failed} failed")
    raise typer.Exit(1 if failed else 0)


@connectors.command("simulate")
def simulate_command(
    slug: Slug,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8081,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a partner's API from its own folder, to develop and test without an account there.

    Point the server at it with POLYPORT_PARTNER_<SLUG>_BASE_URL=http://127.0.0.1:PORT and POLYPORT_ALLOW_NETWORKS=127.0.0.0/8. What arrived is at
    GET /_simulator/requests; faults are injected with the header X-Simulate or POST /_simulator/faults (docs/reference/simulator.md).
    """
    from polyport.testing.server import serve_simulator  # noqa: PLC0415  as above

    folder = partner_folder(slug)
    typer.echo(f"Simulating {slug}; stop with Ctrl-C.", err=True)
    try:
        asyncio.run(serve_simulator(folder, host, port, ready=lambda url: typer.echo(f"Listening on {url}", err=True)))
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port.") from error
