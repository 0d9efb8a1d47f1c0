"""A link that fills a form in as it is now: what of an input may stand in an address, and how. Pure."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any, Final

from polyport.redaction import MASK, Redactor
from polyport.server.console.controls import BOOLEAN, DATE, DATETIME, LISTS, NULLABLE
from polyport.server.console.filled import json_value
from polyport.server.console.snippets import without_secrets
from polyport.server.wire import encode

LONGEST: Final = 6_000
INFLATED_MOST: Final = 256 * 1024
_HARMLESS: Final = frozenset({BOOLEAN, NULLABLE, DATE, DATETIME})
_NAMED: Final = Redactor(())


def shared(shown: Mapping[str, Any], data: Mapping[str, Any], *, texts: bool, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The part of an input that a link may hold. Choices, yes and no, days and times; with ``texts`` all else as well, but what is called a secret.

    ``hidden`` are the names of inputs that are secrets, wherever they stand: also in what the schema does not know.
    """
    variables = {told["name"]: told for told in shown["variables"] if told["isEditable"]}
    sections = {told["name"]: told for told in shown.get("rowSections", ())}
    found: dict[str, Any] = {}
    for name, value in data.items():
        told, inner = variables.get(name), sections.get(name)
        if inner is not None and isinstance(value, list):
            found[name] = [shared(inner, row, texts=texts, hidden=hidden) for row in value if isinstance(row, dict)]
        elif name in hidden or (told is not None and told.get("isSecret")):
            continue
        elif texts or (told is not None and _is_harmless(told, value)):
            bare = without_secrets(hidden, value, None) if hidden else value
            if MASK not in encode(_NAMED.value({name: bare})).decode():
                found[name] = bare
    return found


def left_out(data: Any, kept: Any, path: str = "") -> list[str]:
    """The paths of what a link does not hold of an input."""
    if isinstance(data, dict) and isinstance(kept, dict):
        found: list[str] = []
        for name, value in data.items():
            place = f"{path}.{name}" if path else str(name)
            found += left_out(value, kept[name], place) if name in kept else [place]
        return found
    if isinstance(data, list) and isinstance(kept, list) and len(data) == len(kept):
        return [place for index, each in enumerate(data) for place in left_out(each, kept[index], f"{path}[{index}]")]
    return [] if encode(data) == encode(kept) else [path]


def _is_harmless(told: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is one of those that the operation offers, or of a type that holds no secret."""
    if told["type"] % LISTS in _HARMLESS:
        return not isinstance(value, dict) and len(str(value)) < 40
    offered = [each["key"] for each in told.get("data", ())]
    given = value if isinstance(value, list) else [value]
    return all(any(encode(each) == encode(key) for key in offered) for each in given)


def packed(content: Mapping[str, Any]) -> str | None:
    """The content as a part of an address; ``None`` if it would be too long."""
    text = base64.urlsafe_b64encode(zlib.compress(encode(content), 9)).decode().rstrip("=")
    return text if len(text) <= LONGEST else None


def unpacked(text: str) -> dict[str, Any]:
    """The content of a part of an address. Raises ``ValueError`` for what is none."""
    if len(text) > LONGEST or not text.isascii():
        raise ValueError("this is longer than any link")
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), INFLATED_MOST)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("this is no such link") from error
    if not inflating.eof:
        raise ValueError("this is more than any form holds, or only a part of a link")
    found = json_value(content.decode("utf-8", "replace"))
    if not isinstance(found, dict):
        raise ValueError("this is no such link")
    return found
