"""Encoders: how a value becomes the body of a request. Each kind is one function in ``ENCODERS`` that gives content type and bytes."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote_plus

import msgspec

from polyport.kinds.fields import FileValue
from polyport.kinds.markup import write_xml
from polyport.net.message import Source, Stream
from polyport.template import RenderFault, to_text

Encoding = Literal["json", "form", "multipart", "xml", "text", "bytes", "none"]
FormStyle = Literal["brackets", "repeat"]
Body = tuple[str | None, bytes | Stream | None]

# What stands behind the name of a list of texts in a form.
_BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]+)', re.IGNORECASE)
_MARKS: Final[Mapping[FormStyle, str]] = {"brackets": "[]", "repeat": ""}


def _no_json(value: Any) -> Any:
    if isinstance(value, FileValue) and value.content is not None:
        return base64.b64encode(value.content).decode()
    raise RenderFault("this value has no place in JSON")


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=_no_json)


def encode_json(value: Any) -> Body:
    """JSON; a decimal is written with its digits; a file becomes base64."""
    try:
        return "application/json", _ENCODER.encode(value)
    except (OverflowError, RecursionError, UnicodeEncodeError):
        raise RenderFault("a number or a text cannot be written as JSON") from None


def encode_form(value: Any, style: FormStyle = "brackets") -> Body:
    """``application/x-www-form-urlencoded``; objects nest with brackets: ``a[b]=1``. Rows keep names and order as they are.

    A list of texts is written ``a[]=1&a[]=2``, in the style ``repeat`` ``a=1&a=2``.
    """
    pairs = [f"{quote_plus(name)}={quote_plus(text)}" for name, text in flat_pairs(value, style)]
    return "application/x-www-form-urlencoded", "&".join(pairs).encode()


def encode_multipart(value: Any, style: FormStyle = "brackets") -> Body:
    """``multipart/form-data``; files are parts with a name and a type. A file that is read while it is sent makes a stream.

    The parts of a list are called ``a[]``, in the style ``repeat`` all ``a``.

    The boundary comes from the content, so it is stable and in none of it; where a content is not known yet, it is a random one.
    """
    parts: list[tuple[str, bytes | Source]] = []
    for name, part in _parts(value, _MARKS[style]):
        if isinstance(part, FileValue):
            filename, kind = part.name or "file", part.content_type or "application/octet-stream"
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"; filename="{_quoted(filename)}"\r\nContent-Type: {kind}\r\n\r\n'
            parts.append((head, _content(part)))
        else:
            parts.append((f'Content-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n', part.encode()))
    digest = hashlib.sha256()
    for head, content in parts:
        digest.update(head.encode())
        digest.update(content if isinstance(content, bytes) else secrets.token_bytes(32))
    boundary = f"polyport-{digest.hexdigest()[:40]}"
    mark = b"--%b" % boundary.encode()
    chunks = [chunk for head, content in parts for chunk in (mark + b"\r\n" + head.encode(), content, b"\r\n")] + [mark + b"--\r\n"]
    whole = [chunk for chunk in chunks if isinstance(chunk, bytes)]
    return f"multipart/form-data; boundary={boundary}", b"".join(whole) if len(whole) == len(chunks) else Stream(tuple(chunks))


def _content(file: FileValue) -> bytes | Source:
    found = file.content if file.content is not None else file.source
    if found is None:
        raise RenderFault("a file has to be fetched before it can be sent")
    return found


def part_before(content_type: str, name: str, text: str) -> bytes:
    """One more field, to stand before the body of this multipart type. Raises ``RenderFault`` where the type tells no boundary."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise RenderFault("the content type of a multipart body has to tell its boundary")
    return f'--{found[1]}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{text}\r\n'.encode()


def encode_xml(value: Any) -> Body:
    """XML from an object with one key, the root: ``@name`` is an attribute, ``#text`` the text beside it, a list repeats its element."""
    return "application/xml; charset=utf-8", write_xml(value)


def encode_text(value: Any) -> Body:
    """Plain text in UTF-8."""
    return "text/plain; charset=utf-8", to_text(value).encode()


def encode_bytes(value: Any) -> Body:
    """The bytes of a file, or a text in UTF-8."""
    if isinstance(value, FileValue):
        found = _content(value)
        return value.content_type or "application/octet-stream", found if isinstance(found, bytes) else Stream((found,))
    return "application/octet-stream", to_text(value).encode()


def encode_none(_value: Any) -> Body:
    """No body."""
    return None, None


def flat_pairs(value: Any, style: FormStyle = "brackets") -> Iterator[tuple[str, str]]:
    """The pairs of a form: nested names in brackets, null as an empty text."""
    for name, part in _parts(value, _MARKS[style]):
        if isinstance(part, FileValue):
            raise RenderFault("a form cannot hold a file; use multipart")
        yield name, part


def _parts(value: Any, mark: str = "[]") -> Iterator[tuple[str, str | FileValue]]:
    if isinstance(value, list):
        yield from _rows(value, mark)
        return
    if not isinstance(value, dict):
        raise RenderFault("a form is made from an object, or from rows with a name and a value")
    for key, item in value.items():
        yield from _named(key, item, mark)


def _rows(rows: list[Any], mark: str) -> Iterator[tuple[str, str | FileValue]]:
    """Rows of ``{name, value}`` or ``{name, file}``: their order stays, and a name may stand several times."""
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise RenderFault("a row of a form is an object with a name")
        file = row.get("file")
        yield from _named(row["name"], file if file is not None else row.get("value"), mark)


def _named(name: str, item: Any, mark: str) -> Iterator[tuple[str, str | FileValue]]:
    if isinstance(item, dict):
        for key, inner in item.items():
            yield from _named(f"{name}[{inner_name(key)}]", inner, mark)
    elif isinstance(item, list):
        for index, inner in enumerate(item):
            yield from _named(f"{name}[{index}]" if isinstance(inner, dict | list) else f"{name}{mark}", inner, mark)
    elif isinstance(item, FileValue):
        yield name, item
    else:
        yield name, "" if item is None else to_text(item)


def inner_name(key: Any) -> str:
    """A name that stands in brackets behind another one. Brackets of its own would make it another place. Raises ``RenderFault``."""
    name = str(key)
    if "[" in name or "]" in name:
        raise RenderFault("a name inside a form or a query has no brackets")
    return name


def _quoted(text: str) -> str:
    """A name as browsers write it in the head of a part (WHATWG HTML, "multipart/form-data encoding algorithm"); a per cent sign stays."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


ENCODERS: Final[Mapping[str, Callable[[Any], Body]]] = {
    "json": encode_json,
    "form": encode_form,
    "multipart": encode_multipart,
    "xml": encode_xml,
    "text": encode_text,
    "bytes": encode_bytes,
    "none": encode_none,
}

# Those that write lists in a style.
STYLED: Final[Mapping[str, Callable[[Any, FormStyle], Body]]] = {"form": encode_form, "multipart": encode_multipart}


def encode_whole(encoding: Encoding, value: Any) -> tuple[str | None, bytes | None]:
    """The body of a request that holds no files. Raises ``RenderFault`` where one of them would have to be read while it is sent."""
    kind, body = ENCODERS[encoding](value)
    if isinstance(body, Stream):
        raise RenderFault("a file has no place in this request")
    return kind, body
