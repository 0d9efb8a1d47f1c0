"""From a folder to a ``Partner``, or to every fault it has, with file, line, column and a sentence that says what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, ValidationError

from polyport.manifest.checks import check_partner
from polyport.manifest.disk import Place, content_of, is_file, is_folder, listed
from polyport.manifest.model import Action, ListSpec, Partner, PartnerFile, Trigger
from polyport.manifest.sentences import describe
from polyport.manifest.source import Problem, Source, Unreadable, read_source

M = TypeVar("M", bound=BaseModel)

_FOLDERS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (("actions", Action), ("triggers", Trigger), ("lists", ListSpec))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a folder: the partner if it is whole, and every problem found. ``data`` is what stands in each of its files."""

    folder: str
    partner: Partner | None
    problems: tuple[Problem, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


def load_partner(folder: Place) -> Loaded:
    """Load one partner's folder. Never raises for what stands in it: all faults come back at once."""
    sources, digest, problems = _read(folder)
    if "partner.yaml" not in sources:
        if not problems:
            problems.append(Problem(file="partner.yaml", message="A partner's folder needs this file; `polyport connector new` makes one."))
        return Loaded(folder=str(folder), partner=None, problems=tuple(problems))
    icon = _icon(folder, problems)
    file = _build(PartnerFile, sources["partner.yaml"], problems)
    built: dict[str, list[Any]] = {
        kind: [_build(model, source, problems) for name, source in sources.items() if name.startswith(f"{kind}/")]
        for kind, model in _FOLDERS
    }
    problems.extend(_misnamed(sources, built))
    if file is None or problems:
        return Loaded(folder=str(folder), partner=None, problems=tuple(problems))
    partner = Partner(
        file=file,
        actions=tuple(built["actions"]),
        triggers=tuple(built["triggers"]),
        lists={spec.name: spec for spec in built["lists"]},
        icon=icon,
        digest=digest,
    )
    found = check_partner(partner, sources)
    data = {name: source.data for name, source in sources.items()}
    return Loaded(folder=str(folder), partner=None if found else partner, problems=tuple(found), data=data)


def prepare() -> None:
    """Build what reads the files of a partner: the first who asked for one would wait for it, a tenth of a second."""
    models: tuple[type[BaseModel], ...] = (PartnerFile, *(model for _kind, model in _FOLDERS))
    for model in models:
        model.model_rebuild()


def content_digest(folder: Place) -> str | None:
    """What is the same as long as the content of every file is that a partner is made of; ``None`` where one may not be read."""
    problems: list[Problem] = []
    digest = hashlib.sha256()
    icon = folder / "icon.svg"
    try:
        for name, entry in (*_files(folder, problems), *((("icon.svg", icon),) if is_file(icon) else ())):
            content = content_of(name, entry)
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
    except Unreadable:
        return None
    return None if problems else digest.hexdigest()


def part_of(name: str, data: Any) -> Action | Trigger | ListSpec | PartnerFile:
    """What a file of a partner that was found whole says, from the data in it."""
    model = next((model for kind, model in _FOLDERS if name.startswith(f"{kind}/")), PartnerFile)
    return cast("Action | Trigger | ListSpec | PartnerFile", model.model_validate(data, by_alias=True, by_name=False))


def partner_folders(root: Place) -> list[Place]:
    """The folders under ``root`` that may hold a partner, by name. Raises ``Unreadable`` where ``root`` may not be looked into."""
    if not is_folder(root):
        return []
    return [entry for entry in listed(root.name, root) if not entry.name.startswith(("_", ".")) and is_folder(entry)]


def _read(folder: Place) -> tuple[dict[str, Source], str, list[Problem]]:
    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    digest = hashlib.sha256()
    for name, entry in _files(folder, problems):
        try:
            content = content_of(name, entry)
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
            sources[name] = read_source(name, content)
        except Unreadable as error:
            problems.extend(error.problems)
    return sources, digest.hexdigest(), problems


def _icon(folder: Place, problems: list[Problem]) -> str | None:
    icon = folder / "icon.svg"
    try:
        return content_of(icon.name, icon).decode("utf-8") if is_file(icon) else None
    except Unreadable as error:
        problems.extend(error.problems)
        return None
    except UnicodeDecodeError:
        problems.append(Problem(file="icon.svg", message="The file is not UTF-8."))
        return None


def _files(folder: Place, problems: list[Problem]) -> Iterator[tuple[str, Place]]:
    top = folder / "partner.yaml"
    if is_file(top):
        yield "partner.yaml", top
    for kind, _model in _FOLDERS:
        inner = folder / kind
        try:
            entries = listed(kind, inner) if is_folder(inner) else []
        except Unreadable as error:
            problems.extend(error.problems)
            continue
        yield from ((f"{kind}/{entry.name}", entry) for entry in entries if entry.name.endswith(".yaml") and is_file(entry))


def _build(model: type[M], source: Source, problems: list[Problem]) -> M | None:
    try:
        return model.model_validate(source.data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems.extend(describe(model, source, error.errors(include_url=False)))
        return None


def _misnamed(sources: dict[str, Source], built: dict[str, list[Any]]) -> list[Problem]:
    found: list[Problem] = []
    for kind, models in built.items():
        names = [name for name in sources if name.startswith(f"{kind}/")]
        for name, model in zip(names, models, strict=True):
            if model is not None and name != f"{kind}/{model.name}.yaml":
                found.append(sources[name].problem(f'The file has to be called "{model.name}.yaml", as the name in it says.', "name"))
    return found
