"""``polyport connector``: begin a partner's folder, look at it, run its cases, say what it is worth, simulate it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from polyport.cli.importing import import_command
from polyport.errors import SetupError

EXAMPLES: Final = 5
connectors = typer.Typer(help="Work with partners: begin, import, check, test, score, simulate.", no_args_is_help=True)
connectors.command("import")(import_command)

Slug = Annotated[str, typer.Argument(help="Slug of a bundled partner, or the path of a partner's folder.")]
Slugs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Slugs of bundled partners, paths of partners' folders, or of a folder that holds some. All bundled ones if none is given."
    ),
]


@connectors.command("list")
def list_command() -> None:
    """List the bundled partners."""
    from polyport.cli.folders import bundled  # noqa: PLC0415  other commands start faster without it
    from polyport.manifest.load import load_partner  # noqa: PLC0415  other commands start faster without it

    console = Console()
    for folder in bundled():
        loaded = load_partner(folder)
        if loaded.partner is None:
            console.print(f"{folder.name}: left out, {_faults(len(loaded.problems))}")
            continue
        file = loaded.partner.file
        counts = f"{len(loaded.partner.actions)} actions, {len(loaded.partner.triggers)} triggers"
        console.print(
            f"{file.id:>6}  {folder.name:<16} {file.title}: {counts}, verified by {file.verified.how}", highlight=False, soft_wrap=True
        )


@connectors.command("new")
def new_command(
    slug: Annotated[str, typer.Argument(help="What the partner is called in folders and settings: small letters, digits and -.")],
    title: Annotated[str | None, typer.Option(help="What people call it. Default: made from the slug.", show_default=False)] = None,
    number: Annotated[
        int | None, typer.Option("--id", min=1, max=2**31, help="The partner's id. Default: one told by the slug.", show_default=False)
    ] = None,
    into: Annotated[Path, typer.Option(help="The folder that gets the new one.")] = Path(),
) -> None:
    """Begin a partner: a small folder without faults, its cases passing, with a mark "todo:" where the partner itself has to be written in."""
    from polyport.cli.folders import neighbours  # noqa: PLC0415  other commands start faster without it
    from polyport.cli.scaffold import free_id, write_partner  # noqa: PLC0415  the server starts faster without it

    folder = into / slug
    others = neighbours(folder)
    taken = number if number is not None else free_id(slug, others)
    written = write_partner(folder, slug, title or slug.replace("-", " ").title(), taken, datetime.now(UTC).date())
    typer.echo(f"{folder}: {len(written)} files, partner id {taken}, operation ids from {taken}0101")
    typer.echo(f'What is left to do is marked: grep -rn "todo:" {folder}')


@connectors.command("lint")
def lint_command(
    slugs: Slugs = None,
    record: Annotated[bool, typer.Option("--record", help="Write ids that are not recorded yet into quality.yaml.")] = False,
) -> None:
    """Show every fault of partners' folders, with file, line, column and what to do.

    Looks at all files: those the server reads, cases, the simulation, the claims; and at what two partners may not share, also with the
    bundled partners and those in the same place.
    """
    from polyport.cli.folders import chosen, neighbours  # noqa: PLC0415  other commands start faster without it
    from polyport.manifest.lint import lint_folder  # noqa: PLC0415  as above
    from polyport.manifest.rules import RULES  # noqa: PLC0415  as above

    failed = False
    for name, folder in chosen(slugs or []):
        if record:
            _record(folder)
        linted = lint_folder(folder, neighbours(folder), RULES)
        for problem in sorted(linted.problems, key=lambda each: (each.file, each.line, each.column)):
            typer.echo(f"{name}/{problem}")
        typer.echo(f"{name}: {_faults(len(linted.problems))}")
        failed = failed or bool(linted.problems)
    raise typer.Exit(1 if failed else 0)


def _faults(count: int) -> str:
    return f"{count} fault{'' if count == 1 else 's'}"


def _record(folder: Traversable | Path) -> None:
    from polyport.manifest.load import load_partner  # noqa: PLC0415  other commands start faster without it
    from polyport.manifest.quality import FILE, load_quality, with_recorded_ids  # noqa: PLC0415  as above
    from polyport.manifest.rules import RULES  # noqa: PLC0415  as above

    partner, quality = load_partner(folder).partner, load_quality(folder, RULES)
    if partner is not None and not quality.problems:
        path = Path(str(folder)) / FILE
        text = path.read_text("utf-8") if path.is_file() else ""
        path.write_text(with_recorded_ids(text, partner, quality.quality.ids), "utf-8")


@connectors.command("test")
def cases_command(slugs: Slugs = None) -> None:
    """Run partners' cases and show, place by place, what differs."""
    from polyport.cli.folders import chosen  # noqa: PLC0415  other commands start faster without it
    from polyport.manifest.cases import load_cases  # noqa: PLC0415  as above
    from polyport.manifest.load import load_partner  # noqa: PLC0415  other commands start faster without it
    from polyport.testing.cases import failure_lines, run_case  # noqa: PLC0415  the server starts faster without what only tests need

    failures = 0
    for name, folder in chosen(slugs or []):
        loaded, cases = load_partner(folder), load_cases(folder)
        for problem in (*loaded.problems, *cases.problems):
            typer.echo(f"{name}/{problem}")
        if loaded.partner is None:
            failures += 1
            continue
        failed = len(cases.problems)
        for found in cases.cases:
            report = asyncio.run(run_case(loaded.partner, found, cases.connection))
            failed += bool(report.differences)
            if report.differences:
                typer.echo("\n".join(failure_lines(report)))
        typer.echo(f"{name}: {len(cases.cases)} cases, {failed} failed")
        failures += failed
    raise typer.Exit(1 if failures else 0)


@connectors.command("score")
def score_command(
    slugs: Slugs = None,
    missing: Annotated[bool, typer.Option("--missing", help="Show for each rule that is not met what it finds.")] = False,
) -> None:
    """Say what partners are worth: one line each, with the tier that the rules of the quality scale lead to (docs/reference/quality.md).

    A claim in quality.yaml that the folder does not bear out is named, and the exit code is 1.
    """
    from polyport.cli.folders import chosen, neighbours  # noqa: PLC0415  other commands start faster without it
    from polyport.testing.scoring import score_folder, score_lines  # noqa: PLC0415  as above

    failed = False
    for name, folder in chosen(slugs or []):
        scored = score_folder(folder, neighbours(folder), datetime.now(UTC).date(), examples=EXAMPLES)
        typer.echo("\n".join(score_lines(name, scored, missing=missing)))
        failed = failed or scored.score is None or bool(scored.score.false_claims)
    raise typer.Exit(1 if failed else 0)


@connectors.command("schema")
def schema_command(
    out: Annotated[Path, typer.Option(help="The folder that gets the schemas.")] = Path("schemas"),
) -> None:
    """Write JSON Schemas of all files of a partner's folder, so that editors complete and check while you type.

    Prints the settings that make VS Code with its YAML extension use them. Other editors that speak to yaml-language-server take the same; or
    begin a file with the line "# yaml-language-server: $schema=PATH".
    """
    from polyport.cli.schemas import editor_settings, write_schemas  # noqa: PLC0415  as above

    names = write_schemas(out)
    typer.echo(f"{out}: {', '.join(names)}", err=True)
    typer.echo(editor_settings(out))


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
    from polyport.cli.folders import partner_folder  # noqa: PLC0415  other commands start faster without it
    from polyport.testing.server import serve_simulator  # noqa: PLC0415  as above

    folder = partner_folder(slug)
    typer.echo(f"Simulating {slug}; stop with Ctrl-C.", err=True)
    try:
        asyncio.run(serve_simulator(folder, host, port, ready=lambda url: typer.echo(f"Listening on {url}", err=True)))
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port.") from error
