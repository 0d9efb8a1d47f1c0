"""``polyport connector import``: a partner's folder from the service's own description, and what a new version of it changes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from polyport.errors import SetupError
from polyport.settings import load_settings

if TYPE_CHECKING:
    from polyport.importers.run import Import, Imported

LEFT_OUT: Final = 1
REFUSED: Final = 2
DIFFERS: Final = 3
BREAKS: Final = 4
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]{0,59}")


def import_command(  # noqa: PLR0913, PLR0917  one parameter for each option
    document: Annotated[
        str, typer.Argument(metavar="DOC", help="OpenAPI 3, Swagger 2 or Google discovery, JSON or YAML: a file or an https address.")
    ],
    slug: Annotated[str, typer.Option(help="What the partner is called in folders and settings: small letters, digits and -.")],
    out: Annotated[Path, typer.Option(help="The folder that gets the partner's folder.")] = Path(),
    overlay: Annotated[
        Path | None, typer.Option(help="Hand corrections (OpenAPI Overlay 1.0, and x-polyport).", show_default=False)
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The address of the API, in place of the document's servers.", show_default=False)
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="A host beside that of the API which calls may go to, where the document was fetched; may stand several times.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--id", min=1, max=2**31, help="The partner's id. Default: told by the slug.", show_default=False)
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing: tell what differs from the folder that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report (or the differences) as JSON.")] = False,
) -> None:
    """Make a partner's folder of an API description: one action for each operation, triggers and lists where the description makes them plain.

    Ids and names stay through later imports into the same folder; hand corrections belong into an overlay, which survives them. Cases, notes and
    an icon that a person put into the folder stay; actions, triggers and lists are written anew.

    Exit codes: 0 the whole description, 1 with parts left out (the report names each), 2 refused. With --diff: 0 nothing differs, 3 differences
    that break nobody, 4 differences that break those who use the partner, 2 refused.
    """
    from polyport.importers.documents import Refused  # noqa: PLC0415  the server starts faster without it
    from polyport.importers.questions import Asking  # noqa: PLC0415  as above
    from polyport.importers.writing import write_folder  # noqa: PLC0415  as above

    if not _SLUG.fullmatch(slug):
        raise SetupError(f'"{slug[:100]}" is no slug: small letters, digits and -, beginning with a letter.')
    folder = out / slug
    if folder.exists() and not (folder / "import.json").is_file():
        raise SetupError(f"{folder} is there and was not imported: nothing was written. Choose another slug, or another place with --out.")
    try:
        found = _imported(document, _wanted(slug, folder, overlay, base, host, number))
    except Asking as asking:
        typer.echo(f"Refused: {asking.as_refusal()}", err=True)
        raise typer.Exit(REFUSED) from None
    except Refused as error:
        typer.echo(f"Refused: {error}", err=True)
        raise typer.Exit(REFUSED) from None
    if diff:
        raise typer.Exit(_tell_changes(found, as_json=as_json))
    write_folder(folder, found.files)
    _check(folder)
    _tell(folder, found, as_json=as_json)
    raise typer.Exit(0 if found.whole else LEFT_OUT)


def _wanted(slug: str, folder: Path, overlay: Path | None, base: str | None, hosts: list[str] | None, number: int | None) -> Import:
    from polyport.importers.run import Import  # noqa: PLC0415  as above

    return Import(
        content=b"",
        slug=slug,
        today=datetime.now(UTC).date(),
        base=base,
        hosts=tuple(hosts) if hosts is not None else None,
        number=number if number is not None else _kept_number(folder),
        overlay=overlay.read_bytes() if overlay is not None else None,
        before=_before(folder),
    )


def _imported(document: str, wanted: Import) -> Imported:
    """What comes of a file or an address. Raises ``Refused`` or ``Asking``."""
    from polyport.importers.documents import Refused  # noqa: PLC0415  as above
    from polyport.importers.run import import_guarded  # noqa: PLC0415  as above

    if document.startswith(("http://", "https://")):
        return asyncio.run(_fetched(document, wanted))
    path = Path(document)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"{document[:200]} cannot be read: {error.strerror or error}.") from None
    return import_guarded(replace(wanted, content=content, source=path.name, folder=path.resolve().parent))


async def _fetched(document: str, wanted: Import) -> Imported:
    from polyport.importers.documents import SIZE_LIMIT  # noqa: PLC0415  as above
    from polyport.importers.fetching import fetch, shown  # noqa: PLC0415  as above
    from polyport.importers.run import import_guarded  # noqa: PLC0415  as above
    from polyport.net.egress import EgressPolicy  # noqa: PLC0415  as above
    from polyport.net.send import Sender  # noqa: PLC0415  as above

    settings = load_settings(os.environ)
    sender = Sender(
        EgressPolicy(settings.allow_networks),
        connections=8,
        connections_per_host=8,
        answer_limit=SIZE_LIMIT,
        timeout_limit=settings.partner.timeout_limit,
    )
    try:
        fetched = await fetch(sender, document)
        wanted = replace(wanted, content=fetched.content, source=shown(document), origin=fetched.url, asks=True, elsewhere=True)
        return await asyncio.to_thread(import_guarded, wanted, read=partial(fetched.read, asyncio.get_running_loop()))
    finally:
        await sender.close()


def _before(folder: Path) -> Any:
    from polyport.importers.documents import Refused  # noqa: PLC0415  as above

    try:
        return json.loads((folder / "import.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise Refused(f"{folder / 'import.json'} cannot be read: take it away, and ids and names are made anew.") from None


def _kept_number(folder: Path) -> int | None:
    from polyport.manifest.load import load_partner  # noqa: PLC0415  as above

    partner = load_partner(folder).partner if folder.is_dir() else None
    return partner.file.id if partner is not None else None


def _check(folder: Path) -> None:
    """What was written loads; where it does not, that is said, and the folder shows what the importer made."""
    from polyport.manifest.load import load_partner  # noqa: PLC0415  as above

    problems = load_partner(folder).problems
    for problem in problems[:20]:
        typer.echo(f"{folder}/{problem}", err=True)
    if problems:
        raise SetupError(f"{folder} has {len(problems)} faults and will be left out by the server: correct them with an overlay.")


def _tell(folder: Path, found: Imported, *, as_json: bool) -> None:
    from polyport.importers.report import lines_of  # noqa: PLC0415  as above

    if as_json:
        typer.echo(json.dumps({key: value for key, value in found.report.items() if key != "operations"}, indent=1, ensure_ascii=False))
        return
    typer.echo("\n".join(lines_of(dict(found.report))))
    typer.echo(f"{folder}: {len(found.files)} files. The server reads it with POLYPORT_CONNECTORS={folder.parent}.")


def _tell_changes(found: Imported, *, as_json: bool) -> int:
    if as_json:
        told = [{"kind": change.kind, "operation": change.operation, "what": change.what} for change in found.changes]
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n".join(map(str, found.changes)) or "Nothing differs.")
    if not found.changes:
        return 0
    return BREAKS if any(change.kind == "breaks" for change in found.changes) else DIFFERS
