"""Filters over lists, objects and encodings."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

import msgspec

from polyport.kinds.filters.limits import rows_of
from polyport.paths import MISSING
from polyport.template import Filter, to_text

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def default(value: Any, other: Any) -> Any:
    """The value, or ``other`` where there is none."""
    return other if value is MISSING else value


default.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def json_text(value: Any) -> str:
    """The value as JSON text."""
    return _ENCODER.encode(value).decode()


def join(value: Any, separator: str = ",") -> str:
    """A list of scalars as one text."""
    if not isinstance(value, list):
        raise ValueError("join takes a list")
    return separator.join(to_text(item) for item in value)


def first(value: Any) -> Any:
    """The first element of a list; nothing where the list is empty."""
    if not isinstance(value, list):
        raise ValueError("first takes a list")
    return value[0] if value else MISSING


def to_base64(value: Any) -> str:
    """Standard base64 of the text in UTF-8."""
    return base64.b64encode(to_text(value).encode()).decode()


def to_hash(value: Any, algorithm: str = "sha256") -> str:
    """The hex digest of the text in UTF-8: md5, sha1, sha256 or sha512."""
    if algorithm not in {"md5", "sha1", "sha256", "sha512"}:
        raise ValueError("the algorithms are md5, sha1, sha256 and sha512")
    return hashlib.new(algorithm, to_text(value).encode(), usedforsecurity=False).hexdigest()


def to_object(value: Any, name: str = "name", content: str = "value") -> dict[str, Any]:
    """Rows of names and values as one object; a name that stands in several rows gets the list of its values.

    Arguments: the member of a row that holds the name, and the one that holds the value. Rows without a name or a value are left out;
    null in place of rows is an empty object.
    """
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for row in rows_of(value if value is not None else []):
        key, inner = row.get(name), row.get(content, MISSING)
        if key is None or inner is MISSING:
            continue
        text = to_text(key)
        if text in repeated:
            found[text].append(inner)
        elif text in found:
            repeated.add(text)
            found[text] = [found[text], inner]
        else:
            found[text] = inner
    return found


DATA: Final[dict[str, Filter]] = {
    "default": default,
    "json": json_text,
    "join": join,
    "first": first,
    "base64": to_base64,
    "hash": to_hash,
    "to_object": to_object,
}
