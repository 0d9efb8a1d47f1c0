"""``polyport partners``: an account's own partners in a server's data, as the API's import routes have them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from polyport.cli.catalogue import AccountName, Folder, account_of, with_runtime
from polyport.errors import SetupError

if TYPE_CHECKING:
    from polyport.importers.drift import Change
    from polyport.importers.jobs import Given
    from polyport.runtime import Runtime
    from polyport.store.private_partners import PartnerImport, PrivatePartner

own_partners = typer.Typer(
    help="An account's own partners: import them, see and publish their versions, deprecate and remove them. For folders: connector import.",
    no_args_is_help=True,
)

BY: Final = "command/polyport"
LEFT_OUT: Final = 1
REFUSED: Final = 2
DRAFT: Final = 4
LOOK_SECONDS: Final = 0.2
FILES_MOST: Final = 2_000
MESSAGE_MOST: Final = 1_000
PartnerName = Annotated[str, typer.Argument(metavar="PARTNER", help="Slug or id of a partner of the account's own.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, max=2**31 - 1, help="The number of a version.")]
Accept = Annotated[bool, typer.Option("--accept-breaking", help="Also where it breaks those who use the version that serves.")]


@own_partners.command("import")
def import_command(  # noqa: PLR0913  one parameter for each option
    account: AccountName,
    document: Annotated[str, typer.Argument(metavar="DOC", help="OpenAPI 3, Swagger 2 or Google discovery: a file or an https address.")],
    slug: Annotated[
        str, typer.Option(help="What the partner is called. Under a slug of the account's own, a new version of that is made.")
    ],
    overlay: Annotated[
        Path | None, typer.Option(help="Hand corrections (OpenAPI Overlay 1.0, and x-polyport).", show_default=False)
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The address of the API, in place of the document's servers.", show_default=False)
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="A further host that calls may go to, where the document is fetched.", show_default=False)
    ] = None,
    data: Folder = None,
    *,
    draft: Annotated[bool, typer.Option("--draft", help="Make the version, let it not serve.")] = False,
    accept_breaking: Accept = False,
) -> None:
    """Import an API description as a partner of an account's own, or as a new version of it. A running server serves it within a second.

    A file's references to files beside it are followed. Exit codes: 0 the whole description serves, 1 with parts left out, 2 refused (what a
    description leaves open is asked: answer with --base and --host), 4 a draft because it breaks those who use the version before.
    """
    from polyport.importers.jobs import Given  # noqa: PLC0415  the server starts faster without it

    files = {} if _is_address(document) else _files(Path(document))
    given = Given(
        url=document if _is_address(document) else None,
        content=files.pop("", None),
        files=files,
        overlay=_read(overlay) if overlay is not None else None,
        base=base,
        hosts=tuple(host) if host is not None else None,
        publish=not draft,
        accept_breaking=accept_breaking,
    )

    async def work(runtime: Runtime) -> int:
        account_id = await account_of(runtime, account)
        return await _told(runtime, await _imported(runtime, account_id, slug, given), draft=draft)

    raise typer.Exit(with_runtime(data, work))


@own_partners.command("list")
def list_command(account: AccountName, data: Folder = None) -> None:
    """List an account's own partners: id, slug, version that serves, newest version, state."""

    async def work(runtime: Runtime) -> None:
        found = await runtime.repo.private_partners.all(await account_of(runtime, account))
        for partner in sorted(found, key=lambda one: one.slug):
            serving = f"version {partner.live}" if partner.live is not None else "no version"
            typer.echo(f"{partner.partner_id}  {partner.slug}  {serving} of {partner.newest}  {partner.state.value}")

    with_runtime(data, work)


@own_partners.command("versions")
def versions_command(account: AccountName, partner: PartnerName, data: Folder = None) -> None:
    """List the versions of a partner, the newest first, and what each broke when it was made."""

    async def work(runtime: Runtime) -> None:
        found = await _own(runtime, account, partner)
        for one in await runtime.repo.private_partners.versions(found.account_id, found.partner_id):
            state = "serves" if found.live == one.number else "draft" if one.published_at is None else "served before"
            made = datetime.fromtimestamp(one.made_at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
            typer.echo(f"{one.number}  {made}  {state}  {one.title} {one.api_version}".rstrip())

    with_runtime(data, work)


@own_partners.command("changes")
def changes_command(account: AccountName, partner: PartnerName, version: Number, data: Folder = None) -> None:
    """Tell what differs for those who use a partner when this version serves in place of the one that does. Exit code 4 where it breaks them."""
    from polyport.importers.publishing import changes_to, own_version  # noqa: PLC0415  as above

    async def work(runtime: Runtime) -> bool:
        found = await _own(runtime, account, partner)
        return _tell(await changes_to(runtime, found, await own_version(runtime, found, version)))

    if with_runtime(data, work):
        raise typer.Exit(DRAFT)


@own_partners.command("publish")
def publish_command(
    account: AccountName, partner: PartnerName, version: Number, data: Folder = None, *, accept_breaking: Accept = False
) -> None:
    """Let a version serve: a newer one, or an older one to go back."""
    from polyport.importers.publishing import publish  # noqa: PLC0415  as above

    async def work(runtime: Runtime) -> None:
        found = await _own(runtime, account, partner)
        _tell(await publish(runtime, found, version, by=BY, accept_breaking=accept_breaking))
        await _note(runtime, found.account_id, "partners publish", f"{found.slug} {version}")
        typer.echo(f"{found.slug}: version {version} serves.")

    with_runtime(data, work)


@own_partners.command("deprecate")
def deprecate_command(
    account: AccountName,
    partner: PartnerName,
    message: Annotated[str, typer.Option(help="What users of the partner are told.")],
    on: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="From which day on it may be gone.", show_default=False)] = None,
    data: Folder = None,
) -> None:
    """Tell users of a partner that it goes. It serves on; catalogue and schemas say what they are told."""
    from polyport.importers.publishing import deprecate  # noqa: PLC0415  as above

    day = _day(on)
    if not message.strip() or len(message) > MESSAGE_MOST:
        raise SetupError(f"--message takes 1 to {MESSAGE_MOST} characters.")

    async def work(runtime: Runtime) -> None:
        found = await _own(runtime, account, partner)
        await deprecate(runtime, found, message, day)
        await _note(runtime, found.account_id, "partners deprecate", found.slug)
        typer.echo(f"{found.slug} is deprecated.")

    with_runtime(data, work)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise SetupError("--on takes a day: YYYY-MM-DD.") from None


@own_partners.command("undeprecate")
def undeprecate_command(account: AccountName, partner: PartnerName, data: Folder = None) -> None:
    """Take a deprecation back."""
    from polyport.importers.publishing import undeprecate  # noqa: PLC0415  as above

    async def work(runtime: Runtime) -> None:
        found = await _own(runtime, account, partner)
        await undeprecate(runtime, found)
        await _note(runtime, found.account_id, "partners undeprecate", found.slug)
        typer.echo(f"{found.slug} is not deprecated.")

    with_runtime(data, work)


@own_partners.command("remove")
def remove_command(account: AccountName, partner: PartnerName, data: Folder = None) -> None:
    """Remove a partner with all its versions. Refused while connections, open links or runs use it."""
    from polyport.importers.publishing import remove  # noqa: PLC0415  as above

    async def work(runtime: Runtime) -> None:
        found = await _own(runtime, account, partner)
        await remove(runtime, found)
        await _note(runtime, found.account_id, "partners remove", found.slug)
        typer.echo(f"{found.slug} is removed.")

    with_runtime(data, work)


async def _imported(runtime: Runtime, account_id: int, slug: str, given: Given) -> PartnerImport:
    """The import once it has ended or asks something. It is worked on here, or by a server of the data folder that is faster."""
    from polyport.importers.jobs import NewImport, read_import, start_import  # noqa: PLC0415  as above
    from polyport.importers.working import ImportWorker  # noqa: PLC0415  as above
    from polyport.store.private_partners import ImportStatus  # noqa: PLC0415  as above

    made = await start_import(runtime, NewImport(account_id=account_id, slug=slug, asked_by=BY, given=given))
    await _note(runtime, account_id, "partners import", slug)
    worker, under_way = ImportWorker(runtime), {ImportStatus.QUEUED, ImportStatus.RUNNING}
    while made.status in under_way:
        await worker.work()
        await asyncio.sleep(LOOK_SECONDS)
        made = await read_import(runtime, account_id, made.import_id)
    return made


async def _told(runtime: Runtime, made: PartnerImport, *, draft: bool) -> int:
    """Say what came of an import; the exit code."""
    from polyport.importers.jobs import cancel_import  # noqa: PLC0415  as above
    from polyport.importers.publishing import own_partner, own_version, read_report  # noqa: PLC0415  as above
    from polyport.importers.report import lines_of  # noqa: PLC0415  as above
    from polyport.store.private_partners import ImportStatus  # noqa: PLC0415  as above

    outcome: dict[str, Any] = json.loads(made.outcome or "{}")
    if made.status is ImportStatus.NEEDS_ANSWER:
        for question in outcome["questions"]:
            typer.echo(f"Refused: {question['text']} Answer with --{'base' if question['id'] == 'base' else 'host'}:", err=True)
            for choice in question["choices"]:
                typer.echo(f"  {choice['value']}", err=True)
        await cancel_import(runtime, made.account_id, made.import_id)
        return REFUSED
    if made.status is not ImportStatus.DONE or made.partner_id is None or made.version is None:
        typer.echo(f"Refused: {outcome.get('reason') or made.status.value}", err=True)
        return REFUSED
    partner = await own_partner(runtime, made.account_id, made.partner_id)
    version = await own_version(runtime, partner, made.version)
    typer.echo("\n".join(lines_of((await read_report(runtime, version))["report"])))
    typer.echo(
        f"{partner.slug} ({partner.partner_id}): version {version.number} {'serves' if partner.live == version.number else 'is a draft'}."
    )
    if outcome.get("reason"):
        typer.echo(outcome["reason"])
    if partner.live != version.number and not draft:
        return DRAFT
    return 0 if outcome.get("whole", True) else LEFT_OUT


async def _own(runtime: Runtime, account: str, name: str) -> PrivatePartner:
    found = await runtime.repo.private_partners.all(await account_of(runtime, account))
    partner = next((one for one in found if name in {one.slug, str(one.partner_id)}), None)
    if partner is None:
        raise SetupError(f"The account has no partner {name[:100]} of its own.")
    return partner


async def _note(runtime: Runtime, account_id: int, action: str, target: str) -> None:
    from polyport.audit import AuditLog  # noqa: PLC0415  other commands start faster without it

    log = AuditLog(runtime.repo.audit, runtime.now_ms)
    await log.note(account_id, via="command", actor=("command", "polyport"), action=action, target=target, status=200)


def _tell(changes: Sequence[Change]) -> bool:
    """Say what differs; whether it breaks anybody."""
    typer.echo("\n".join(map(str, changes)) or "Nothing differs.")
    return any(change.kind == "breaks" for change in changes)


def _is_address(document: str) -> bool:
    return document.startswith(("http://", "https://"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror or error}.") from None


def _files(path: Path) -> dict[str, bytes]:
    """A description under no name, and the files beside it that it refers to, by their paths; those that are not there are the importer's to name."""
    from polyport.importers.documents import Refused, read_document  # noqa: PLC0415  as above
    from polyport.importers.references import files_of  # noqa: PLC0415  as above

    found, waiting = {"": _read(path)}, deque([""])
    while waiting:
        name = waiting.popleft()
        try:
            named = files_of(read_document(found[name]), name)
        except Refused:
            continue
        for other in named - found.keys():
            beside = path.parent / other
            if beside.is_file() and len(found) < FILES_MOST:
                found[other] = _read(beside)
                waiting.append(other)
    return found
