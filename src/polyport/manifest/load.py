"""From a folder to a ``Partner``, or to every fault it has, with file, line, column and a sentence that says what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from polyport.manifest.checks import check_partner
from polyport.manifest.model import Action, ListSpec, Partner, PartnerFile, Trigger
from polyport.manifest.sentences import describe
from polyport.manifest.source import Problem, Source, Unreadable, read_source

M = TypeVar("M", bound=BaseModel)

_FOLDERS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (("actions", Action), ("triggers", Trigger), ("lists", ListSpec))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a folder: the partner if it is whole, and every problem found."""

    folder: str
    partner: Partner | None
    problems: tuple[Problem, ...] = ()


def load_partner(folder: Traversable | Path) -> Loaded:
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
    return Loaded(folder=str(folder), partner=None if found else partner, problems=tuple(found))


def partner_folders(root: Traversable | Path) -> list[Traversable | Path]:
    """The folders under ``root`` that hold a partner, by name."""
    if not root.is_dir():
        return []
    return sorted((entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(("_", "."))), key=lambda e: e.name)


def _read(folder: Traversable | Path) -> tuple[dict[str, Source], str, list[Problem]]:
    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    digest = hashlib.sha256()
    for name, entry in _files(folder):
        content = entry.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
        try:
            sources[name] = read_source(name, content)
        except Unreadable as error:
            problems.extend(error.problems)
    return sources, digest.hexdigest(), problems


def _icon(folder: Traversable | Path, problems: list[Problem]) -> str | None:
    icon = folder / "icon.svg"
    try:
        return icon.read_text("utf-8") if icon.is_file() else None
    except UnicodeDecodeError:
        problems.append(Problem(file="icon.svg", message="The file is not UTF-8."))
        return None


def _files(folder: Traversable | Path) -> Iterator[tuple[str, Traversable | Path]]:
    top = folder / "partner.yaml"
    if top.is_file():
        yield "partner.yaml", top
    for kind, _model in _FOLDERS:
        inner = folder / kind
        if inner.is_dir():
            for entry in sorted(inner.iterdir(), key=lambda e: e.name):
                if entry.name.endswith(".yaml") and entry.is_file():
                    yield f"{kind}/{entry.name}", entry


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
