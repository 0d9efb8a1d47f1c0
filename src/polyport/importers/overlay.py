"""Hand corrections that survive a new import: OpenAPI Overlay 1.0 for the document, and under ``x-polyport`` our own for what comes out of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import jsonpath
from jsonpath.exceptions import JSONPathError

from polyport.importers.documents import Refused, read_document

if TYPE_CHECKING:
    from polyport.importers.partner import Built

ACTIONS_MOST: Final = 5_000
MATCHES_MOST: Final = 100_000
OURS: Final = "x-polyport"
_KEYS: Final = frozenset({"partner", "operations", "triggers", "lists"})


class Overlay:
    """One overlay file."""

    def __init__(self, content: bytes, name: str = "the overlay") -> None:
        """Read it. Raises ``Refused`` with everything that is wrong with it."""
        self._data = read_document(content, name)
        faults = list(_faults(self._data))
        if faults:
            raise Refused(f"{name} is no overlay: {' '.join(faults)}")
        self.unused: list[str] = []

    def correct(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document with the overlay's actions carried out in order. Raises ``Refused``."""
        found: Any = copy.deepcopy(dict(document))
        for number, action in enumerate(self._data.get("actions", ())):
            matches = _find(action["target"], found, f"actions[{number}].target")
            if not matches:
                self.unused.append(f"actions[{number}] ({action['target'][:100]}) finds nothing in the document")
            for match in matches:
                found = _changed(found, match, action)
        return dict(found)

    def finish(self, built: Built) -> None:
        """Correct what came out: the partner's file, operations by their name or their method and path, lists. Raises ``Refused``."""
        ours = self._data.get(OURS) or {}
        if "partner" in ours:
            built.partner = merged(built.partner, ours["partner"])
        for kind, parts in (("operations", built.actions), ("triggers", built.triggers), ("lists", built.lists)):
            by_call = {built.endpoints[name].call: name for name in parts if name in built.endpoints} if kind == "operations" else {}
            for told, correction in (ours.get(kind) or {}).items():
                name = told if told in parts else by_call.get(told)
                if name is None:
                    self.unused.append(f'{OURS}.{kind}: there is no "{str(told)[:100]}"')
                    continue
                self.unused += [f"{OURS}.{kind}.{str(told)[:100]}: {what}" for what in _correct(built, parts, name, correction)]


def _faults(data: Mapping[str, Any]) -> Any:
    if not str(data.get("overlay", "")).startswith("1."):
        yield '"overlay" says the version, 1.0.0.'
    actions = data.get("actions", [])
    if not isinstance(actions, list) or len(actions) > ACTIONS_MOST:
        yield f'"actions" is a list of at most {ACTIONS_MOST}.'
        return
    for number, action in enumerate(actions):
        if not isinstance(action, dict) or not isinstance(action.get("target"), str):
            yield f'actions[{number}] needs a "target", a JSONPath.'
        elif ("update" in action) == (action.get("remove") is True):
            yield f'actions[{number}] has either "update" or "remove: true".'
    ours = data.get(OURS, {})
    if not isinstance(ours, dict) or not ours.keys() <= _KEYS or not all(isinstance(value, dict) for value in ours.values()):
        yield f'"{OURS}" is an object of {", ".join(sorted(_KEYS))}, each an object.'
        return
    for kind in ("operations", "triggers", "lists"):
        for name, correction in (ours.get(kind) or {}).items():
            if not isinstance(correction, dict):
                yield f"{OURS}.{kind}.{name} is an object."


def _find(target: str, document: Any, where: str) -> list[Any]:
    try:
        found = []
        for match in jsonpath.finditer(target, document):
            found.append(tuple(match.parts))
            if len(found) > MATCHES_MOST:
                raise Refused(f"{where} finds more than {MATCHES_MOST} places.")
    except JSONPathError as error:
        raise Refused(f"{where} is no JSONPath: {str(error)[:200]}.") from None
    except (RecursionError, ValueError, TypeError):
        raise Refused(f"{where} cannot be carried out on this document.") from None
    # What is removed from a list moves what stands behind it: the last goes first.
    return sorted(
        found, key=lambda parts: [(isinstance(part, str), part if isinstance(part, int) else 0, str(part)) for part in parts], reverse=True
    )


def _changed(document: Any, parts: tuple[Any, ...], action: Mapping[str, Any]) -> Any:
    holder = document
    for part in parts[:-1]:
        holder = holder[part]
    if action.get("remove") is True:
        if not parts:
            raise Refused("An overlay cannot remove the whole document.")
        del holder[parts[-1]]
        return document
    node = holder[parts[-1]] if parts else document
    update = copy.deepcopy(action["update"])
    changed = [*node, *(update if isinstance(update, list) else [update])] if isinstance(node, list) else merged(node, update)
    if not parts:
        return changed
    holder[parts[-1]] = changed
    return document


def merged(node: Any, update: Any) -> Any:
    """An object with the members of another, level by level; whatever else is replaced."""
    if not isinstance(node, dict) or not isinstance(update, dict):
        return update
    found = dict(node)
    for key, value in update.items():
        found[key] = merged(found[key], value) if key in found else value
    return found


def _correct(built: Built, parts: dict[str, dict[str, Any]], name: str, correction: Mapping[str, Any]) -> list[str]:
    """One operation or list; ``skip: true`` leaves it out, ``fields`` and ``sections`` may be given by their names. What finds nothing, in sentences."""
    if correction.get("skip") is True:
        del parts[name]
        built.endpoints.pop(name, None)
        return []
    told, unused = dict(correction), list[str]()
    part = parts[name]
    for key in ("fields", "sections"):
        if isinstance(told.get(key), dict):
            known = {one["name"]: one for one in part.get(key, ())}
            odd = [each for each, one in told[key].items() if each not in known and not _is_whole(one)]
            unused += [f'there is no "{str(each)[:100]}" under {key}, and this is too little for a new one' for each in odd]
            told[key] = {each: one for each, one in told[key].items() if each not in odd}
            known = {each: merged(one, told[key].get(each, {})) for each, one in known.items()} | {
                each: {"name": each, **one} for each, one in told[key].items() if each not in known and isinstance(one, dict)
            }
            told[key] = [one for one in known.values() if one.get("skip") is not True]
    made = merged(part, told)
    if made["name"] != name:
        parts[str(made["name"])] = made
        del parts[name]
        for held in _by_name(built):
            if name in held:
                held[str(made["name"])] = held.pop(name)
    else:
        parts[name] = made
    return unused


def _is_whole(part: Any) -> bool:
    """Whether a field or a section that is not there yet is told whole."""
    return isinstance(part, dict) and isinstance(part.get("label"), str) and ("type" in part or "fields" in part or "like" in part)


def _by_name(built: Built) -> tuple[dict[str, Any], ...]:
    """What is kept of operations under their names."""
    return built.endpoints, built.made, built.json_only, built.unkept
