"""Decoders: how the bytes of an answer become a value. Each kind is one function in ``DECODERS``.

Answers are hostile: every decoder is linear in the size of the answer, and everything that cannot be read raises ``UnreadableAnswer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec

from polyport.kinds.fields import FileValue
from polyport.kinds.filenames import name_of
from polyport.kinds.markup import MarkupFault, read_xml
from polyport.kinds.tables import TableFault, read_csv
from polyport.net.message import Reply

Decoding = Literal["json", "xml", "csv", "form", "text", "file", "auto", "none"]


class UnreadableAnswer(ValueError):
    """The answer is not what the partner's description says; the message names what was found, never the content."""


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number of absurd size") from None


DEPTH_LIMIT: Final = 128
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_JSON: Final = msgspec.json.Decoder(float_hook=_number)


def decode_json(reply: Reply) -> Any:
    """The JSON of the answer; numbers with a fraction keep their digits. An empty answer is null."""
    if not reply.body.strip():
        return None
    try:
        value = _JSON.decode(reply.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = (reply.header("content-type") or "no content type").split(";")[0].strip()[:80]
        raise UnreadableAnswer(f"The partner's answer is not JSON ({found}, {len(reply.body)} bytes).") from None
    if not looks_shallow(reply.body) and not _is_shallow(value):
        raise UnreadableAnswer(f"The partner's answer nests more than {DEPTH_LIMIT} levels.")
    return value


def looks_shallow(body: bytes) -> bool:
    """Whether the brackets alone prove that the JSON is shallow: pairs are struck out from the inside, a level or two in each round.

    Answers that are deeper than the stack at the time they are written out would fail there, after the partner has done the work. This costs a
    thousandth of the time that walking through every answer would.
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_LIMIT:
        return True
    brackets = body.translate(None, _NO_BRACKETS)
    for _round in range(DEPTH_LIMIT // 2):
        if not brackets:
            return True
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if size - len(brackets) <= size >> 8:
            break
    return not brackets


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _depth in range(DEPTH_LIMIT + 1):
        level = [outer for outer in level if isinstance(outer, dict | list)]
        if not level:
            return True
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return False


def decode_text(reply: Reply) -> str:
    """The text of the answer, in the charset it names (UTF-8 otherwise); bytes that fit nowhere become U+FFFD."""
    charset = "utf-8"
    for part in (reply.header("content-type") or "").split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset":
            charset = value.strip('"').lower()
    if charset not in {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252", "utf-16"}:
        charset = "utf-8"
    return reply.body.decode(charset, errors="replace")


def decode_form(reply: Reply) -> dict[str, str]:
    """The fields of a form-encoded answer; the last of a repeated field counts."""
    try:
        return dict(parse_qsl(decode_text(reply), keep_blank_values=True, max_num_fields=10_000))
    except ValueError:
        raise UnreadableAnswer("The partner's answer is not a form.") from None


def decode_xml(reply: Reply, lists: Sequence[str] = ()) -> Any:
    """The XML of the answer, ``{root: content}``, without the prefixes of namespaces; ``lists`` are elements that are lists even alone. An empty answer is null."""
    try:
        return read_xml(reply, lists)
    except MarkupFault as fault:
        raise UnreadableAnswer(f"The partner's answer {fault} ({len(reply.body)} bytes).") from None


def decode_csv(reply: Reply, delimiter: str = ",", header: bool | Sequence[str] = True) -> list[Any]:
    """The rows of a CSV answer: objects by header, by the names given, or lists."""
    try:
        return read_csv(decode_text(reply), delimiter, header)
    except TableFault as fault:
        raise UnreadableAnswer(f"The partner's answer {fault} ({len(reply.body)} bytes).") from None


def decode_file(reply: Reply) -> FileValue:
    """The answer as a file: its bytes as they came, the name from ``Content-Disposition`` or the address."""
    told = (reply.header("content-type") or "").partition(";")[0].strip()[:255]
    kind = told if told.isprintable() and told.isascii() else ""
    return FileValue(content=reply.body, name=name_of(reply.header("content-disposition"), reply.url, kind), content_type=kind or None)


def decode_auto(reply: Reply) -> Any:
    """JSON where the answer says that it is JSON, text otherwise."""
    kind = (reply.header("content-type") or "").split(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return decode_json(reply)
    return decode_text(reply)


def decode_none(_reply: Reply) -> None:
    """Nothing: the answer's body does not matter."""


DECODERS: Final[Mapping[str, Callable[[Reply], Any]]] = {
    "json": decode_json,
    "xml": decode_xml,
    "csv": decode_csv,
    "text": decode_text,
    "file": decode_file,
    "form": decode_form,
    "auto": decode_auto,
    "none": decode_none,
}
