"""From the schema of an operation and an input to the controls of a form. Pure. What comes back from them is read by ``filled``.

Every input has a form that gives it back as it is: what a field's own control cannot hold (a text with a line end of its own kind, a value of another type)
is shown as JSON, and what the schema does not know stands as JSON beside its level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from polyport.engine.demands import Demand
from polyport.engine.schema import CUSTOM_PREFIX
from polyport.paths import MISSING, Path, format_path
from polyport.server.console.filled import CARRIED_MOST, Filled, shown_json, unnumbered, written
from polyport.server.wire import encode

STRING, INTEGER, DECIMAL, BOOLEAN, DATETIME, PHONE, FILE, DATE, NULLABLE, OBJECT, LISTS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100
ROWS_SHOWN: Final = 200
STEPS_MOST: Final = 28
LONG: Final = 200
_MARKS: Final = {".": "-d", "[": "-o", "]": "-c", "-": "-m"}
_AREAS: Final = frozenset({"multiline", "html", "code", "json"})
_KINDS: Final = {INTEGER: "n", DECIMAL: "n", DATETIME: "n", BOOLEAN: "b", NULLABLE: "b", FILE: "u", OBJECT: "j"}
_MODES: Final = {INTEGER: "numeric", DECIMAL: "decimal", PHONE: "tel"}
_FORMAT_MODES: Final = {"email": "email", "uri": "url"}
_WORDS: Final = {"null": "Null", "empty": "Empty text", "none": "Empty list", "json": "JSON", "typed": "Own key", "fileId": "Kept file"}
TYPES: Final = {STRING: "text", INTEGER: "whole number", DECIMAL: "number", BOOLEAN: "yes or no", DATETIME: "time", PHONE: "phone", FILE: "file", DATE: "date", NULLABLE: "yes, no or not set", OBJECT: "JSON"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice of a control."""

    text: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One field of the form. ``kind`` says how its text is read, ``how`` in which way the value is given, ``hows`` which ways there are.

    ``widget``: ``text``, ``date``, ``secret``, ``area``, ``json``, ``select``, ``checks`` or ``file``. ``decides``: others depend on it. ``told`` is the field as
    the API describes it. ``lacks`` is what its list waits for; ``carried`` the choices that the page has to remember; ``called`` a name that is not made of the path.
    """

    path: str
    kind: str
    how: str
    widget: str
    text: str
    told: Mapping[str, Any]
    hows: Sequence[tuple[str, str]] = (("", "Value"),)
    choices: Sequence[Choice] = ()
    searched: str | None = None
    decides: bool = False
    applies: bool = True
    error: str | None = None
    lacks: str | None = None
    carried: str | None = None
    called: str | None = None

    @property
    def ways(self) -> list[tuple[str, str]]:
        """All ways in which the field may be given, the present one at any rate."""
        known = [way for way, _words in self.hows]
        return [*self.hows, *([(self.how, _WORDS[self.how])] if self.how not in known else [])]

    @property
    def name(self) -> str:
        """The name of the control in the form."""
        return self.called or f"{self.kind}:{self.path}"

    @property
    def id(self) -> str:
        """What labels refer to."""
        return id_of(self.path)

    @property
    def label(self) -> str:
        """What the field is called."""
        return str(self.told["label"])

    @property
    def api_name(self) -> str:
        """What the API calls it; selectors have places instead of names."""
        return "" if "position" in self.told else str(self.told.get("name", ""))

    @property
    def own(self) -> bool:
        """Whether it is a field that the account itself has made at the partner."""
        return self.api_name.startswith(CUSTOM_PREFIX)

    @property
    def required(self) -> bool:
        """Whether it has to be given: what has a default is there anyway."""
        return bool(self.told.get("isRequired")) and "default" not in self.told

    @property
    def usual(self) -> str | None:
        """What is taken when nothing is given, in words."""
        if "default" not in self.told:
            return None
        default = self.told["default"]
        if isinstance(default, bool):
            return "yes" if default else "no"
        labels = {encode(each["key"]): str(each["label"]) for each in self.told.get("data", ())}
        given = default if isinstance(default, list) else [default]
        return ", ".join(labels.get(encode(each), str(each)) for each in given)

    @property
    def empty(self) -> str:
        """Why a list has no choices."""
        if self.lacks is not None:
            return f"Choose {self.lacks} first."
        if self.searched is None:
            return "There are no choices."
        return "Nothing fits." if self.searched else "Search to see choices."

    @property
    def type(self) -> str:
        """The type in words."""
        code = self.told.get("type", OBJECT)
        return TYPES.get(code, "list: " + TYPES.get(code - LISTS, "JSON")) if code < LISTS else f"list, {TYPES.get(code - LISTS, 'JSON')}"

    @property
    def mode(self) -> str | None:
        """Which keyboard a phone shows."""
        return _MODES.get(self.told.get("type", 0)) or _FORMAT_MODES.get(self.told.get("format", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A section: its rows, or ``json`` where they cannot be shown as such."""

    path: str
    told: Mapping[str, Any]
    how: str
    levels: Sequence[Level] = ()
    json: Control | None = None
    error: str | None = None

    @property
    def id(self) -> str:
        """What labels refer to."""
        return id_of(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The operation itself, or a row: its controls, its sections, and what of it no control stands for.

    ``demands`` are sentences on what has to be given together or instead of each other, by the sentence that the API has for them; ``error`` says that one is not met.
    """

    path: str
    controls: Sequence[Control] = ()
    sections: Sequence[Rows] = ()
    more: Control | None = None
    demands: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def id(self) -> str:
        """What labels refer to."""
        return id_of(self.path)


@dataclass(slots=True, kw_only=True)
class _Making:
    filled: Filled
    found: Mapping[str, Sequence[Mapping[str, Any]]]
    deciding: frozenset[str]
    rows: int = ROWS_SHOWN
    top: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def id_of(path: str) -> str:
    """An id for HTML that needs no escapes in CSS either. No two paths have the same."""
    return "f-" + re.sub(r"[^A-Za-z0-9_]", lambda found: _MARKS.get(found[0], f"-x{ord(found[0]):x}-"), path)


def level_of(shown: Mapping[str, Any], filled: Filled, found: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> Level:
    """The form of an operation as ``run/info`` describes it, with what is filled in. ``found`` are choices that were searched for, by path."""
    making = _Making(filled=filled, found=found or {}, deciding=_deciding(shown), top=known_of(shown, filled), labels=labels_of(shown))
    return _level(making, shown, ("d",), filled.data)


def selectors_of(shown: Mapping[str, Any], filled: Filled, found: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> list[Control]:
    """The controls of the operation's selectors: all others depend on them."""
    making = _Making(filled=filled, found=found or {}, deciding=frozenset(), top=known_of(shown, filled), labels=labels_of(shown))
    told = [each for each in shown["credentialData"] if each["position"] != "0"]
    return [replace(_control(making, each, ("c", each["position"]), filled.select), decides=True) for each in told]


def labels_of(shown: Mapping[str, Any]) -> dict[str, str]:
    """What fields are called, by the names that others depend on; the selectors have their names there too."""
    found: dict[str, str] = {}
    pending: list[Mapping[str, Any]] = [shown]
    while pending:
        level = pending.pop()
        for each in (*level.get("variables", ()), *level.get("credentialData", ())):
            if "name" in each:
                found.setdefault(str(each["name"]), str(each["label"]))
        pending.extend(level.get("rowSections", ()))
    return found


def known_of(shown: Mapping[str, Any], filled: Filled) -> dict[str, Any]:
    """What is chosen outside of rows, by the names that fields depend on."""
    selected = {
        str(each["name"]): filled.select[each["position"]] for each in shown.get("credentialData", ()) if each["position"] in filled.select
    }
    return selected | filled.data


def _deciding(shown: Mapping[str, Any]) -> frozenset[str]:
    """The names of the fields on whose values others depend."""
    found: set[str] = set()
    pending: list[Mapping[str, Any]] = [shown]
    while pending:
        level = pending.pop()
        for each in (*level["variables"], *level.get("rowSections", ())):
            found.update(each.get("dependsOn", ()))
            if "showWhen" in each:
                found.add(each["showWhen"]["name"])
        pending.extend(level.get("rowSections", ()))
    return frozenset(found)


def _level(making: _Making, shown: Mapping[str, Any], place: Path, data: Mapping[str, Any]) -> Level:
    variables = [told for told in shown["variables"] if told["isEditable"]]
    own = {told["name"]: told.get("default") for told in variables}
    sections = [told for told in shown.get("rowSections", ()) if _takes_rows(told)]
    known = own.keys() | {told["name"] for told in sections}
    rest = {name: value for name, value in data.items() if name not in known}
    controls = [
        replace(_control(making, told, (*place, told["name"]), data), applies=applies)
        for told in variables
        if (applies := _applies(making, told, own, data)) or told["name"] in data
    ]
    return Level(
        path=format_path(place),
        controls=controls,
        sections=[
            _rows(making, told, (*place, told["name"]), data)
            for told in sections
            if _applies(making, told, own, data) or told["name"] in data
        ],
        more=_more(making, place, rest),
        demands=_demands(shown, [*variables, *sections]),
        error=making.filled.faults.get(f"level:{format_path(place)}"),
    )


def _demands(shown: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What is demanded of a level, in the labels of its fields. What has a default is there anyway."""
    usual, labels = {each["name"] for each in told if "default" in each}, {each["name"]: str(each["label"]) for each in told}
    found: dict[str, str] = {}
    for sets in shown.get("needsOneOf", ()):
        left = tuple(tuple(name for name in names if name not in usual) for names in sets)
        if all(left):
            found[Demand(left).words] = Demand(tuple(tuple(labels.get(name, name) for name in names) for names in left)).words
    return found


def _takes_rows(told: Mapping[str, Any]) -> bool:
    """Whether anything of a section may be sent: some are only in results."""
    inner = told.get("rowSections", ())
    return "like" in told or any(each["isEditable"] for each in told["variables"]) or any(_takes_rows(each) for each in inner)


def _applies(making: _Making, told: Mapping[str, Any], own: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    condition = told.get("showWhen")
    if condition is None:
        return True
    name = condition["name"]
    value = data.get(name, own[name]) if name in own else making.top.get(name)
    if "given" in condition:
        return (value not in (None, "", [])) is condition["given"]
    inside = _folded(value) in {_folded(each) for each in condition.get("in", condition.get("notIn", ()))}
    return inside if "in" in condition else not inside


def _folded(value: Any) -> str:
    return encode(value).decode().strip('"').casefold()


def _more(making: _Making, place: Path, rest: Mapping[str, Any]) -> Control | None:
    path = format_path(place)
    raw = making.filled.raw.get(f"more:{path}")
    if not rest and raw is None:
        return None
    told = {"label": "Further members", "hint": "The schema of this connection does not know them.", "type": OBJECT}
    text = raw[1] if raw is not None else shown_json(rest)
    error = making.filled.faults.get(f"more:{path}")
    return Control(path=path, kind="more", how="", widget="json", text=text, told=told, error=error)


def _rows(making: _Making, told: Mapping[str, Any], place: Path, data: Mapping[str, Any]) -> Rows:
    path, value = format_path(place), data.get(told["name"], MISSING)
    error, how = making.filled.faults.get(path), making.filled.hows.get(path, "")
    raw = making.filled.raw.get(path)
    if value is None or (isinstance(value, list | str) and not value):
        return Rows(path=path, told=told, how="null" if value is None else "none" if value == [] else "empty", error=error)
    if value is MISSING and raw is None and how != "json":
        return Rows(path=path, told=told, how="", error=error)
    plain = (
        isinstance(value, list) and all(isinstance(row, dict) for row in value) and len(value) <= making.rows and len(place) < STEPS_MOST
    )
    if how == "json" or raw is not None or not plain:
        text = raw[1] if raw is not None else "" if value is MISSING else shown_json(value)
        control = Control(path=path, kind="j", how="json", widget="json", text=text, told=told, error=error)
        return Rows(path=path, told=told, how="json", json=control, error=error)
    making.rows -= len(value)
    levels = [_level(making, told, (*place, index), row) for index, row in enumerate(value)]
    return Rows(path=path, told=told, how="", levels=levels, error=error)


def _control(making: _Making, told: Mapping[str, Any], place: Path, data: Mapping[str, Any]) -> Control:
    path = format_path(place)
    value = data.get(str(place[-1]), MISSING)
    raw, how = making.filled.raw.get(path), making.filled.hows.get(path, "")
    natural, widget = _natural(told)
    control = Control(
        path=path, kind=natural, how="", widget=widget, text="", told=told, hows=_hows(told, natural),
        error=making.filled.faults.get(path), decides=str(place[-1]) in making.deciding,
    )  # fmt: skip
    if widget in {"select", "checks"}:
        control = replace(
            control,
            choices=_choices(making, told, path, MISSING),
            searched=_searched(making, told, path),
            lacks=_lacks(making, told, data),
        )
        control = replace(control, carried=_carried(control, control.choices))
    if raw is not None and told.get("isSecret"):  # it is typed again: a secret is not shown, not even one that could not be read
        return replace(_as(control, "json") if raw[0] == "j" else control, text="")
    if raw is not None:
        return replace(control, kind=raw[0], text=raw[1], how="json" if raw[0] == "j" and natural != "j" else "", widget="json")
    if value is MISSING:
        return _as(control, how) if how in {"json", "typed", "fileId"} else control
    if value is None or value in ("", []):
        return replace(control, how="null" if value is None else "empty" if value == "" else "none")
    for kind, way in _ways(natural, how, value):
        text = written(kind, value)
        if text is not None:
            return _shown(making, replace(_as(control, way), kind=kind, text=text), value)
    return replace(_as(control, "json"), text=shown_json(value))


def _ways(natural: str, how: str, value: Any) -> list[tuple[str, str]]:
    """The kinds of text that may hold a value, the wanted one first, each with the way it is."""
    ways = [(natural, "")]
    if natural == "k":
        ways.append(("s" if isinstance(value, str) else "n", "typed"))
    if natural == "u":
        ways.append(("f", "fileId"))
    wanted = [way for way in ways if way[1] == how]
    return [] if how == "json" else [*wanted, *(way for way in ways if way not in wanted)]


def _as(control: Control, how: str) -> Control:
    """A control in another way than its own, still empty."""
    if how == "json":
        return replace(control, kind="j", how=how, widget="json")
    if how == "typed" and control.kind == "k":
        return replace(control, kind="s" if control.told["type"] == STRING else "n", how=how, widget="text")
    if how == "fileId" and control.kind == "u":
        return replace(control, kind="f", how=how)
    return control


def _shown(making: _Making, control: Control, value: Any) -> Control:
    """A control with what its text needs: a wider box, the choice that is chosen. Secrets are not shown again."""
    if control.told.get("isSecret"):
        return replace(control, widget="secret", text="")
    if control.widget in {"select", "checks"}:
        choices = _choices(making, control.told, control.path, value)
        return replace(control, choices=choices, carried=_carried(control, choices))
    if control.widget == "date" and not _is_day(control.text):
        return replace(control, widget="text")
    if control.widget == "text" and (len(control.text) > LONG or "\n" in control.text):
        return replace(control, widget="area")
    return control


def _is_day(text: str) -> bool:
    try:
        return len(text) == len("2026-11-24") and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _natural(told: Mapping[str, Any]) -> tuple[str, str]:
    """How a field's text is read, and what it is filled in with."""
    code = told["type"]
    chosen, base = "data" in told or "search" in told, code % LISTS
    if code >= LISTS:
        if chosen:
            return "lk", "checks"
        kind = {"s": "ls", "n": "ln"}.get(_KINDS.get(base, "s"))
        return (kind, "area") if kind is not None else ("j", "json")
    if chosen and base not in {BOOLEAN, NULLABLE, FILE, OBJECT}:
        return "k", "select"
    kind = _KINDS.get(base, "s")
    if told.get("isSecret"):
        return kind, "secret"
    if kind != "s":
        return kind, {"b": "select", "u": "file", "j": "json"}.get(kind, "text")
    if code == DATE:
        return "s", "date"
    return "s", "area" if told.get("format") in _AREAS or told.get("maxLength", 0) > 1_000 else "text"


def _hows(told: Mapping[str, Any], natural: str) -> tuple[tuple[str, str], ...]:
    own = {"k": "Choice", "lk": "Choices", "u": "Address", "b": "Choice", "j": "JSON", "ls": "One a line", "ln": "One a line"}.get(
        natural, "Value"
    )
    others = {"k": ["typed"], "u": ["fileId"]}.get(natural, [])
    if not told.get("isRequired"):
        others = [*others, "none" if told["type"] >= LISTS else "empty" if natural == "s" else "", "null"]
    others = [*others, "json" if natural != "j" else ""]
    return (("", own), *((each, _WORDS[each]) for each in others if each))


def _searched(making: _Making, told: Mapping[str, Any], path: str) -> str | None:
    return making.filled.finds.get(path, "") if told.get("search") else None


def _lacks(making: _Making, told: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    """What has to be chosen before the list can be read."""
    if "data" in told:
        return None
    chosen = {**making.top, **data}
    names = [name for name in told.get("dependsOn", ()) if chosen.get(name) in (None, "", []) and name in making.labels]
    return " and ".join(making.labels[name] for name in names) or None


def _carried(control: Control, choices: Sequence[Choice]) -> str | None:
    """The choices that came of a search, for the page to remember: what they are called is known from there alone."""
    if control.searched is None:
        return None
    usual = {encode(each["key"]).decode() for each in control.told.get("data", ())}
    kept = [[each.text, each.label] for each in choices if (each.chosen or control.searched) and each.text not in usual]
    return encode(kept[:CARRIED_MOST]).decode() if kept else None


def _choices(making: _Making, told: Mapping[str, Any], path: str, value: Any) -> tuple[Choice, ...]:
    """The choices there are to see, what is chosen among them. Those of a list keep the order in which they were chosen."""
    if told["type"] in {BOOLEAN, NULLABLE}:
        return tuple(Choice(text=text, label=label, chosen=value is (text == "true")) for text, label in (("true", "Yes"), ("false", "No")))
    usual = {encode(each["key"]).decode(): str(each["label"]) for each in told.get("data", ())}
    carried = making.filled.labels.get(unnumbered(path), {})
    found = making.found.get(path)
    if found is not None:
        offered = {encode(each["key"]).decode(): str(each["label"]) for each in found}
    else:
        offered = dict(carried) if carried and path in making.filled.finds else usual
    given = [] if value is MISSING else value if told["type"] >= LISTS else [value]
    chosen = [encode(each).decode() for each in given]
    labels = usual | carried | offered
    shown = [text for text in offered if text in chosen]
    order = list(offered) if shown == chosen else [*chosen, *(text for text in offered if text not in chosen)]
    return tuple(Choice(text=text, label=labels.get(text, text.strip('"')), chosen=text in chosen) for text in order)
