"""Which fault belongs to which field of the form, and which choice does not stand any more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from polyport.errors import Fault
from polyport.server.console.controls import Control, Level, labels_of
from polyport.server.console.filled import Filled
from polyport.server.wire import encode

READING: Final = ("from", "to", "limit", "cursor")


def at_their_fields(
    level: Level, selectors: Sequence[Control], faults: Sequence[Fault], others: Collection[str] = ()
) -> tuple[dict[str, str], list[Fault]]:
    """Which fault belongs to which path of the form, and those that belong to none. ``others`` are paths that the form has beside those of the level."""
    known = {control.path for control in selectors} | set(others)
    levels: dict[str, Level] = {}
    pending = [level]
    while pending:
        each = pending.pop()
        levels[each.path] = each
        known.update(control.path for control in each.controls)
        known.update(rows.path for rows in each.sections)
        if each.more is not None:
            known.add(f"more:{each.path}")
        pending.extend(inner for rows in each.sections for inner in rows.levels)
    placed: dict[str, str] = {}
    rest: list[Fault] = []
    for fault in faults:
        path = _form_path(fault.path)
        if path in levels and fault.message in levels[path].demands:
            placed[f"level:{path}"] = " ".join((*filter(None, [placed.get(f"level:{path}")]), levels[path].demands[fault.message]))
            continue
        own = next((found for found in _upwards(path) if found in known or f"more:{found}" in known), None)
        if own is None:
            rest.append(fault)
            continue
        inside = fault.path if own != path else ""
        sentence = f"{inside}: {fault.message}" if inside else fault.message
        key = own if own in known else f"more:{own}"
        placed[key] = f"{placed[key]} {sentence}" if key in placed else sentence
    return placed, rest


def _form_path(path: str) -> str:
    reading = path.removeprefix("window.")
    if reading in READING:
        return f"r.{reading}"
    if path.startswith("credentialData."):
        return "c." + path.removeprefix("credentialData.").removesuffix(".value")
    return "d" + path.removeprefix("runnerData") if path.startswith("runnerData") else ""


def _upwards(path: str) -> list[str]:
    """The path and those around it, the nearest first."""
    found = [path]
    while (cut := max(path.rfind("."), path.rfind("["))) > 0:
        path = path[:cut]
        found.append(path)
    return found


def drop_stale(shown: Mapping[str, Any], level: Level, selectors: Sequence[Control], filled: Filled, changed: str | None) -> list[str]:
    """Take choices away that the lists do not have any more since something that they depend on was chosen anew; a sentence for each.

    ``changed`` is the path of what was chosen anew, ``None`` for whatever it was. A list that is not known whole says nothing.
    """
    name = _name_of(changed, selectors) if changed is not None else None
    labels, said = labels_of(shown), []
    for data, control in _chosen(level, selectors, filled):
        told = control.told
        depends = told.get("dependsOn", ())
        if not depends or "data" not in told or told.get("search") or control.how or (name is not None and name not in depends):
            continue
        key = control.told.get("position", told.get("name"))
        offered = {encode(each["key"]) for each in told["data"]}
        value = data[key]
        left = [each for each in value if encode(each) in offered] if isinstance(value, list) else []
        if left == value or (not isinstance(value, list) and encode(value) in offered):
            continue
        if left:
            data[key] = left
        else:
            del data[key]
        other = labels.get(name or depends[0])
        said.append(f"{control.label} was cleared: it belongs to another {other}." if other else f"{control.label} was cleared: the list has no such choice any more.")  # fmt: skip
    return said


def _name_of(changed: str, selectors: Sequence[Control]) -> str:
    found = next((control for control in selectors if control.path == changed), None)
    return str(found.told["name"]) if found is not None else changed.rpartition(".")[2]


def _chosen(level: Level, selectors: Sequence[Control], filled: Filled) -> list[tuple[dict[str, Any], Control]]:
    """The choices that are made, each with where its value stands."""
    found = [(filled.select, control) for control in selectors if control.told["position"] in filled.select]
    pending: list[tuple[Level, Any]] = [(level, filled.data)]
    while pending:
        inner, data = pending.pop()
        found += [(data, each) for each in inner.controls if each.widget in {"select", "checks"} and each.told["name"] in data]
        pending += [(row, data[rows.told["name"]][index]) for rows in inner.sections for index, row in enumerate(rows.levels)]
    return [
        (data, control) for data, control in found if data[control.told.get("position", control.told.get("name"))] not in (None, "", [])
    ]
