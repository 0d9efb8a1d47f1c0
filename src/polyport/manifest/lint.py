"""Everything that can be wrong with a partner's folder: its files, its cases, its simulation, its claims, and what it shares with other partners.

The server looks at the partner alone (``load``). This is what ``polyport connector lint`` and ``score`` look at before a partner is given away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyport.manifest.cases import Cases, load_cases
from polyport.manifest.disk import Place, content_of, is_file, is_folder, listed, source_of
from polyport.manifest.levels import file_of
from polyport.manifest.load import load_partner
from polyport.manifest.model import Partner
from polyport.manifest.neighbours import clashes
from polyport.manifest.quality import LoadedQuality, load_quality
from polyport.manifest.simulation_file import LoadedSimulation, load_simulation
from polyport.manifest.source import Problem, Source, Unreadable

_FILES: Final = frozenset({"partner.yaml", "simulator.yaml", "quality.yaml"})
_FOLDERS: Final = frozenset({"actions", "triggers", "lists"})
_CASES: Final = "cases"
_ENTRIES: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """A folder as lint has seen it: all of its parts, and every problem of any of them."""

    name: str
    partner: Partner | None
    cases: Cases
    simulation: LoadedSimulation
    quality: LoadedQuality
    notes: str
    marks: tuple[Problem, ...]
    problems: tuple[Problem, ...]


def lint_folder(folder: Place, others: Iterable[Partner], rules: Mapping[str, Any]) -> Linted:
    """Look at a whole folder. ``others`` are partners that the server would load beside it; ``rules`` are those that ``quality.yaml`` may answer."""
    loaded, cases = load_partner(folder), load_cases(folder)
    simulation, quality = load_simulation(folder), load_quality(folder, rules)
    problems = [*loaded.problems, *cases.problems, *simulation.problems, *quality.problems, *_strays(folder)]
    if (partner := loaded.partner) is not None:
        marks = {name: _source(folder, name) for name in ("partner.yaml", *(file_of(operation) for operation in partner.operations))}
        problems += _foreign_cases(partner, cases)
        problems += [marks[file].problem(message, key) for file, key, message in clashes(partner, others)]
        problems += _changed_ids(partner, quality, marks)
    notes = folder / "notes.md"
    return Linted(
        name=folder.name,
        partner=loaded.partner,
        cases=cases,
        simulation=simulation,
        quality=quality,
        notes=_text(notes) if is_file(notes) else "",
        marks=tuple(_marks(folder)),
        problems=tuple(problems),
    )


def _source(folder: Place, name: str) -> Source:
    entry = folder
    for part in name.split("/"):
        entry /= part
    return source_of(name, entry)


def _foreign_cases(partner: Partner, cases: Cases) -> Iterator[Problem]:
    known = {operation.name for operation in partner.operations} | {f"lists/{name}" for name in partner.lists} | {"verify"}
    for found in cases.cases:
        if found.target not in known:
            message = f'There is no operation or list "{found.target}" that this case could show; correct the name of its folder.'
            yield Problem(file=found.file, message=message)


def _changed_ids(partner: Partner, quality: LoadedQuality, sources: Mapping[str, Source]) -> Iterator[Problem]:
    recorded = quality.quality.ids
    if recorded.partner is not None and recorded.partner != partner.file.id:
        yield sources["partner.yaml"].problem(_changed(recorded.partner), "id")
    operations = {operation.name: operation for operation in partner.operations}
    for name, number in recorded.operations.items():
        if name not in operations:
            message = (
                f'"{name}" is gone, and clients may hold its id {number}. Bring it back, with "deprecated: true" if it shall not be used; '
                "remove this line only when nobody can have used it."
            )
            yield quality.source.problem(message, "ids", "operations", name)
        elif operations[name].id != number:
            yield sources[file_of(operations[name])].problem(_changed(number), "id")


def _changed(number: int) -> str:
    return f"The id was {number}, as quality.yaml records it, and clients may hold it: put it back. Ids never change."


def _strays(folder: Place) -> Iterator[Problem]:
    """YAML files that nothing reads: a folder or an ending that is misspelt loses them without a word."""
    for name in _names(folder):
        parts = name.split("/")
        if parts[-1].endswith(".yml"):
            yield Problem(file=name, message='Files of the language end in ".yaml"; this one is not read. Rename it.')
        elif parts[-1].endswith(".yaml"):
            known = name in _FILES or parts[0] == _CASES or (len(parts) == 2 and parts[0] in _FOLDERS)
            if not known:
                yield Problem(file=name, message="Nothing reads this file; partners are made of actions, triggers, lists and cases.")


def _marks(folder: Place) -> Iterator[Problem]:
    """The places that the scaffold left to be done."""
    for name in _names(folder):
        if name.endswith((".yaml", ".md")):
            entry = folder
            for part in name.split("/"):
                entry /= part
            for number, line in enumerate(_text(entry).splitlines(), 1):
                if "todo:" in line.lower():
                    told = line.lower().index("todo:")
                    yield Problem(file=name, line=number, column=told + 1, message=line[told:].strip())


def _text(entry: Place) -> str:
    try:
        return content_of(entry.name, entry).decode("utf-8", "replace")
    except Unreadable:  # where it is a fault, the readers of the folder's parts have told it
        return ""


def _names(folder: Place) -> list[str]:
    """Every file of a folder, as paths below it."""
    found: list[str] = []
    pending: list[tuple[str, Place]] = [("", folder)]
    while pending and len(found) < _ENTRIES:
        prefix, entry = pending.pop()
        entries: list[Place] = []
        with contextlib.suppress(Unreadable):  # told by the readers of the folder's parts
            entries = listed(prefix, entry)
        for inner in entries:
            if is_folder(inner):
                pending.append((f"{prefix}{inner.name}/", inner))
            else:
                found.append(f"{prefix}{inner.name}")
    return sorted(found)
