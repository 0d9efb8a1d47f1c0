"""From what a form sent to the input of an operation. Pure.

The name of a control says how its text is read and where the value stands: ``s:d.email[0].value``. The part before the colon is one of ``KINDS``, ``d`` is
``runnerData`` and ``c`` the selectors of ``credentialData``. Beside the controls a form has ``how:PATH`` (given in another way: see ``HOWS``),
``rows:PATH`` (how many rows a section has) and ``more:PATH`` (JSON of what no control stands for) and ``labels:PATH`` (what choices that were searched for are called). A control that is empty leaves no trace in the input.
So a form is read without its schema, and an input that was put into a form comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from polyport.errors import PolyportError, ValidationFailed
from polyport.paths import MISSING, Path, format_path, get, parse_path
from polyport.server.wire import encode, parse_json

# s text, n number, b boolean, k a key of a list in JSON, j any JSON, u address of a file, f id of a kept file; l before it: a list, one a line.
KINDS: Final = frozenset({"s", "n", "b", "k", "j", "u", "f", "ls", "ln", "lk"})
HOWS: Final[Mapping[str, Any]] = {"null": None, "empty": "", "none": []}
ROWS_MOST: Final = 2_000
DEPTH: Final = 64
CARRIED_MOST: Final = 100
LABELS_MOST: Final = 500
LABELS_LONGEST: Final = 60_000
_ROW: Final = re.compile(r"\[\d+\]")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,399})(?:\.\d{1,399})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Filled:
    """What a form was filled in with.

    ``data`` and ``select`` are the input and the selectors by position. ``hows`` are the ways that were chosen, by path. What could not be read is in
    ``raw`` (kind and text), and in ``faults`` why. ``finds`` is what was looked for in lists, ``labels`` what the choices that were found there are called, by
    their JSON; rows of a section share them.
    """

    data: dict[str, Any] = field(default_factory=dict)
    select: dict[str, Any] = field(default_factory=dict)
    hows: dict[str, str] = field(default_factory=dict)
    raw: dict[str, tuple[str, str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    finds: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def root(self) -> dict[str, Any]:
        """Input and selectors under the names that paths begin with."""
        return {"d": self.data, "c": self.select}


def json_value(text: str) -> Any:
    """The value of a JSON text. Raises ``ValueError`` with a sentence."""
    try:
        return parse_json(text.encode("utf-8", "replace"), DEPTH)
    except ValidationFailed as error:
        raise ValueError(error.details.fields[0].message.replace("The body", "This")) from None
    except PolyportError as error:
        raise ValueError(error.message.replace("The body", "This")) from None


def taken(kind: str, text: str) -> Any:
    """The value of a control's text, which is not empty. Raises ``ValueError`` with a sentence for what is no JSON where that is needed."""
    if kind[0] == "l":
        return [taken(kind[1:], line) for line in text.split("\n") if line]
    if kind in {"k", "j"}:
        return json_value(text)
    if kind == "n":
        return json_value(text) if _NUMBER.fullmatch(text) else text
    if kind == "b":
        return {"true": True, "false": False}.get(text, text)
    if kind in {"u", "f"}:
        return {"url" if kind == "u" else "fileId": text}
    return text


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON."""
    return encode(one) == encode(other)


def written(kind: str, value: Any) -> str | None:
    """The text from which a control gives exactly this value; ``None`` where there is none."""
    text = _text(kind, value)
    if not text or "\r" in text or "\0" in text:  # browsers and HTML change these
        return None
    try:
        return text if same(taken(kind, text), value) else None
    except ValueError:
        return None


def _text(kind: str, value: Any) -> str | None:
    if kind[0] == "l":
        parts = [_text(kind[1:], each) for each in value] if isinstance(value, list) else []
        return "\n".join(part or "\n" for part in parts)
    if kind == "j":
        return shown_json(value)
    if kind in {"k", "n"} and not (kind == "n" and isinstance(value, str)):
        return encode(value).decode()
    if kind == "b":
        return str(value).lower() if isinstance(value, bool) else None
    if kind in {"u", "f"}:
        return value.get("url" if kind == "u" else "fileId") if isinstance(value, dict) and len(value) == 1 else None
    return value if isinstance(value, str) else None


def shown_json(value: Any) -> str:
    """JSON for people, whole."""
    return msgspec.json.format(encode(value), indent=2).decode()


def read_filled(pairs: Iterable[tuple[str, str]]) -> Filled:
    """Read a form. Never raises for what stands in it; names that mean nothing are passed over."""
    found = Filled()
    texts: dict[Path, tuple[str, str]] = {}
    rows: dict[Path, int] = {}
    more: dict[Path, str] = {}
    others: dict[Path, str] = {}
    for name, told in pairs:
        prefix, colon, place = name.partition(":")
        text = told.replace("\r\n", "\n")
        steps = _steps(place) if colon else None
        if steps is None:
            continue
        if prefix in KINDS:
            earlier = texts.get(steps)
            texts[steps] = (prefix, f"{earlier[1]}\n{text}" if earlier is not None and prefix == "lk" and earlier[0] == "lk" else text)
        elif prefix == "how" and text:
            found.hows[place] = text
            if text in HOWS:
                others[steps] = text
        elif prefix == "rows" and text.isascii() and text.isdecimal() and len(text) < 6:
            rows[steps] = int(text)
        elif prefix == "more":
            more[steps] = text
        elif prefix == "find" and text.strip():
            found.finds[place] = text.strip()[:500]
        elif prefix == "labels":
            _take_labels(found, place, text)
    _place_rows(found, rows)
    _place_values(found, texts, others)
    _place_more(found, more)
    return found


def unnumbered(path: str) -> str:
    """A path without the numbers of rows: what is the same in all of them."""
    return _ROW.sub("", path)


def _take_labels(found: Filled, place: str, text: str) -> None:
    try:
        pairs = msgspec.json.decode(text[:LABELS_LONGEST], type=list[tuple[str, str]])
    except msgspec.MsgspecError:
        return
    kept = found.labels.setdefault(unnumbered(place), {})
    for key, label in pairs[:CARRIED_MOST]:
        if len(kept) < LABELS_MOST:
            kept[key] = label


def _steps(place: str) -> Path | None:
    try:
        steps = parse_path(place)
    except ValueError:
        return None
    whole = all(isinstance(step, str) or (isinstance(step, int) and step >= 0) for step in steps)
    return steps if steps and steps[0] in {"d", "c"} and whole else None


def _place_rows(found: Filled, rows: Mapping[Path, int]) -> None:
    left = ROWS_MOST
    for steps in sorted(rows, key=len):
        around, count = get(found.root, steps[:-1]), rows[steps]
        if isinstance(around, dict) and len(steps) > 1 and 0 < count <= left and found.hows.get(format_path(steps)) not in HOWS:
            left -= count
            around[str(steps[-1])] = [{} for _row in range(count)]


def _place_values(found: Filled, texts: Mapping[Path, tuple[str, str]], others: Mapping[Path, str]) -> None:
    for steps, how in others.items():
        around = get(found.root, steps[:-1])
        if isinstance(around, dict) and len(steps) > 1:
            around[str(steps[-1])] = [] if how == "none" else HOWS[how]
    for steps, (kind, text) in texts.items():
        around, place = get(found.root, steps[:-1]), format_path(steps)
        if not isinstance(around, dict) or len(steps) < 2 or steps in others:
            continue
        if text.strip("\n") if kind[0] == "l" else text:
            try:
                around[str(steps[-1])] = taken(kind, text)
            except ValueError as error:
                found.raw[place], found.faults[place] = (kind, text), str(error)


def _place_more(found: Filled, more: Mapping[Path, str]) -> None:
    for steps, text in more.items():
        around, place = get(found.root, steps), format_path(steps)
        if not isinstance(around, dict) or not text.strip():
            continue
        try:
            value = json_value(text)
        except ValueError as error:
            value = error
        if isinstance(value, dict):
            for name, each in value.items():
                around.setdefault(name, each)
        else:
            found.raw[f"more:{place}"] = ("j", text)
            found.faults[f"more:{place}"] = (
                str(value) if isinstance(value, ValueError) else "An object with further members is needed here."
            )


def change_rows(found: Filled, action: str, place: str) -> str | None:
    """Add a row to a section, or copy, move or remove one; the path of the row that it is about afterwards."""
    steps = _steps(place)
    if steps is None or len(steps) < 2:
        return None
    if action == "add":
        return _add(found, steps)
    index, listed = steps[-1], get(found.root, steps[:-1])
    if not isinstance(index, int) or not isinstance(listed, list) or index >= len(listed):
        return None
    if action == "remove":
        del listed[index]
        if not listed:
            get(found.root, steps[:-2]).pop(steps[-2])
            return None
        index = min(index, len(listed) - 1)
    elif action == "copy" and len(listed) < ROWS_MOST:
        listed.insert(index + 1, json_value(encode(listed[index]).decode()))
        index += 1
    elif action in {"up", "down"}:
        to = max(0, index - 1) if action == "up" else min(len(listed) - 1, index + 1)
        listed.insert(to, listed.pop(index))
        index = to
    return format_path((*steps[:-1], index))


def _add(found: Filled, steps: Sequence[Any]) -> str | None:
    around = get(found.root, tuple(steps[:-1]))
    if not isinstance(around, dict):
        return None
    listed = around.get(str(steps[-1]), MISSING)
    rows = listed if isinstance(listed, list) else []
    if len(rows) >= ROWS_MOST:
        return None
    rows.append({})
    around[str(steps[-1])] = rows
    found.hows.pop(format_path(steps), None)
    return format_path((*steps, len(rows) - 1))
