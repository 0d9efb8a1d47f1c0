"""Bodies of simulated partners: what was sent as a value that templates read, and values as the bodies of answers."""

from __future__ import annotations

import base64
import binascii
import csv
import email.parser
import email.policy
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from polyport.kinds.bodies import flat_pairs
from polyport.kinds.markup import MarkupFault, read_xml, write_xml
from polyport.kinds.tables import TableFault, read_csv
from polyport.net.message import Reply
from polyport.paths import MISSING
from polyport.template import RenderFault, to_text

FIELD_LIMIT: Final = 1_000
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")


class Malformed(ValueError):
    """A body that is not what its content type says."""


def read_body(content_type: str, body: bytes) -> Any:
    """A body as a value. ``MISSING`` where there is none. Raises ``Malformed``.

    JSON; the fields of a form or of multipart (files as ``{name, contentType, size, sha256, base64}``), nested by their brackets; XML as an object without prefixes; CSV as
    rows by its first line; text; any other bytes like a file without a name.
    """
    if not body:
        return MISSING
    kind = content_type.partition(";")[0].strip().lower()
    if kind in {"", "application/json"} or kind.endswith("+json"):
        return _json(body)
    if kind == "application/x-www-form-urlencoded":
        return nested(parse_qsl(_first_pairs(body.decode("utf-8", "replace")), keep_blank_values=True))
    if kind.startswith("multipart/"):
        return nested(_parts(content_type, body))
    if kind in {"application/xml", "text/xml"} or kind.endswith("+xml"):
        return _xml(content_type, body)
    if kind == "text/csv":
        return _csv(body)
    return body.decode("utf-8", "replace") if kind.startswith("text/") else _file(None, kind, body)


def grouped(text: str) -> dict[str, Any]:
    """The pairs of a query or a form by name; a name that stands several times has a list. At most ``FIELD_LIMIT`` pairs are read."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(_first_pairs(text), keep_blank_values=True):
        _add(found, name, value)
    return found


def nested(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs by name, with ``a[b]`` as an object in an object and ``a[]`` and ``a[0]`` as elements of a list."""
    found: dict[str, Any] = {}
    for name, value in pairs[:FIELD_LIMIT]:
        head, bracket, rest = name.partition("[")
        steps = _BRACKETS.findall(f"[{rest}") if bracket else []
        if not head or not steps or len(steps) > 16 or "".join(f"[{step}]" for step in steps) != bracket + rest:
            _add(found, name, value)
            continue
        _place(found, [head, *steps], value)
    return {key: _listed(value) for key, value in found.items()}


def _place(target: dict[str, Any], steps: list[str], value: Any) -> None:
    """Put a value under its steps; an empty step takes the next number. A name that is a value and an object keeps both, under the empty name."""
    for position, step in enumerate(steps):
        key = step or (str(len(target)) if position else step)
        if position == len(steps) - 1:
            _add(target, key, value)
            return
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = target[key] = {"": inner}
        target = inner


def _listed(value: Any) -> Any:
    """Objects whose names count from 0 are lists."""
    if not isinstance(value, dict) or "sha256" in value:
        return value
    inner = {key: _listed(item) for key, item in value.items()}
    return list(inner.values()) if inner and list(inner) == [str(number) for number in range(len(inner))] else inner


def _add(found: dict[str, Any], name: str, value: Any) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]


def _first_pairs(text: str) -> str:
    return "&".join(text.split("&", FIELD_LIMIT)[:FIELD_LIMIT])


def _json(body: bytes) -> Any:
    try:
        return _DECODER.decode(body)
    except (ValueError, ArithmeticError, RecursionError):
        raise Malformed("JSON") from None


def _parts(content_type: str, body: bytes) -> list[tuple[str, Any]]:
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("utf-8", "replace")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if not message.is_multipart() or message.defects:
        raise Malformed("multipart")
    found: list[tuple[str, Any]] = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        name, filename = part.get_param("name", "", "content-disposition"), part.get_filename()
        kind = part.get_content_type()
        if filename is not None:
            value: Any = _file(filename, kind, data)
        elif kind == "application/json":
            value = _json(data)
        else:
            value = data.decode("utf-8", "replace")
        found.append((str(name), value))
    return found


def _file(name: str | None, kind: str, content: bytes) -> dict[str, Any]:
    told = {"name": name} if name is not None else {}
    digest = hashlib.sha256(content).hexdigest()
    return {**told, "contentType": kind, "size": len(content), "sha256": digest, "base64": base64.b64encode(content).decode()}


def _xml(content_type: str, body: bytes) -> Any:
    try:
        return read_xml(Reply(status=200, headers=(("content-type", content_type),), body=body))
    except MarkupFault:
        raise Malformed("XML") from None


def _csv(body: bytes) -> list[Any]:
    try:
        return read_csv(body.decode("utf-8", "replace"))
    except TableFault:
        raise Malformed("CSV") from None


def json_bytes(value: Any) -> bytes:
    """A value as JSON, numbers with all their digits."""
    return _ENCODER.encode(value)


def _as_csv(value: Any) -> bytes:
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else to_text(row[name]) for name in names])
    return out.getvalue().encode()


def _as_bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(to_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise RenderFault("what is answered as bytes is no base64") from None


WRITERS: Final[Mapping[str, tuple[bytes, Callable[[Any], bytes]]]] = {
    "json_body": (b"application/json; charset=utf-8", json_bytes),
    "text": (b"text/plain; charset=utf-8", lambda value: to_text(value or "").encode()),
    "xml": (b"application/xml; charset=utf-8", write_xml),
    "form": (b"application/x-www-form-urlencoded", lambda value: urlencode(list(flat_pairs(value or {}))).encode()),
    "csv": (b"text/csv; charset=utf-8", _as_csv),
    "base64": (b"application/octet-stream", _as_bytes),
}
