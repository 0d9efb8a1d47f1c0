"""XML as JSON-like values, both ways: attributes are ``@name``, the text beside them ``#text``, elements that repeat are lists.

Answers are hostile: document types (and so every entity but the five of XML itself) are refused, depth and number of elements are bounded, the work
is linear in the size of the answer. What is sent is built from checked names and texts, so that no value can end an element or begin another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from xml.parsers import expat

from polyport.net.message import Reply
from polyport.template import RenderFault, to_text

DEPTH_LIMIT: Final = 128
ELEMENTS_LIMIT: Final = 250_000
TEXT_KEY: Final = "#text"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,199}(?::[A-Za-z_][A-Za-z0-9._-]{0,199})?", re.ASCII)
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHARSETS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "us-ascii", "iso-8859-1": "iso-8859-1", "latin1": "iso-8859-1"}
_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def write_xml(value: Any) -> bytes:
    """The document of a value: an object with one key, the root. Raises ``RenderFault`` with a sentence."""
    if not isinstance(value, dict) or len(value) != 1:
        raise RenderFault("XML is made from an object with one key, its root")
    [(root, inner)] = value.items()
    if isinstance(inner, list):
        raise RenderFault("the root of XML stands once, it cannot be a list")
    checked = {_name(root): _content(inner, DEPTH_LIMIT)}
    import xmltodict  # noqa: PLC0415  it brings much along, and few partners take XML

    text: str = xmltodict.unparse(checked, short_empty_elements=True)
    try:
        return text.encode()
    except UnicodeEncodeError:  # pragma: no cover  lone surrogates were refused
        raise RenderFault("a text cannot be written as XML") from None


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RenderFault("an element or an attribute has a name that XML does not allow")
    return name


def _content(value: Any, levels: int) -> Any:
    """The content of an element: every name checked, every value a text."""
    if levels == 0:
        raise RenderFault(f"XML nests at most {DEPTH_LIMIT} levels")
    if isinstance(value, list):
        if any(isinstance(row, list) for row in value):
            raise RenderFault("a list directly inside a list has no place in XML")
        return [_content(row, levels) for row in value]
    if not isinstance(value, dict):
        return None if value is None else _characters(value)
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if key == TEXT_KEY:
            found[key] = None if inner is None else _characters(inner)
        elif key.startswith("@"):
            found[f"@{_name(key[1:])}"] = "" if inner is None else _characters(inner)
        else:
            found[_name(key)] = _content(inner, levels - 1)
    return found


def _characters(value: Any) -> str:
    text = to_text(value)
    if _NO_CHARACTER.search(text):
        raise RenderFault("a text holds a control character that XML cannot carry")
    return text


class MarkupFault(ValueError):
    """Bytes that are no XML we read; the message is a clause that never repeats them."""


def read_xml(reply: Reply, lists: Sequence[str] = ()) -> Any:
    """The value of a document: ``{root: content}``. Nothing at all is null.

    Prefixes of namespaces are dropped from names. An element without attributes and elements is its text, without space around it; an empty one is null.
    An element that stands several times is a list, and so is each of ``lists`` however often it stands. Raises ``MarkupFault``.
    """
    if not reply.body.strip():
        return None
    reader = _Reader(frozenset(lists))
    parser = expat.ParserCreate(_charset(reply))
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(reply.body, True)
    except MarkupFault:
        raise
    except (expat.ExpatError, ValueError, LookupError):
        raise MarkupFault("is not XML") from None
    return reader.root


def _charset(reply: Reply) -> str | None:
    """The charset that the header names; the document's own mark or declaration counts where there is none that we know."""
    told = (reply.header("content-type") or "").lower().partition("charset=")[2].split(";")[0].strip().strip("\"'")
    return None if reply.body.startswith(_MARKS) else _CHARSETS.get(told)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Reader:
    """Collects the elements of one document; a stack instead of recursion."""

    def __init__(self, lists: frozenset[str]) -> None:
        self.root: dict[str, Any] = {}
        self._lists = lists
        self._stack: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]
        self._seen = 0

    def refuse(self, *_: object) -> None:
        raise MarkupFault("has a document type, which is never read")

    def start(self, _name: str, attributes: list[str]) -> None:
        self._seen += 1 + len(attributes) // 2
        if self._seen > ELEMENTS_LIMIT:
            raise MarkupFault(f"has more than {ELEMENTS_LIMIT} elements")
        if len(self._stack) > DEPTH_LIMIT:
            raise MarkupFault(f"nests more than {DEPTH_LIMIT} levels")
        found: dict[str, Any] = {}
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            if key != "xmlns" and not key.startswith("xmlns:"):
                found.setdefault(f"@{_local(key)}", value)
        self._stack.append((found, []))

    def end(self, name: str) -> None:
        found, texts = self._stack.pop()
        text = "".join(texts).strip()
        value: Any = found
        if not found:
            value = text or None
        elif text:
            found[TEXT_KEY] = text
        outer, key = self._stack[-1][0], _local(name)
        if key not in outer:
            outer[key] = [value] if key in self._lists else value
        elif isinstance(outer[key], list):
            outer[key].append(value)
        else:
            outer[key] = [outer[key], value]

    def characters(self, text: str) -> None:
        self._stack[-1][1].append(text)
