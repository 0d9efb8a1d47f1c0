"""The readable text of HTML, in one pass over it.

Written by hand because the standard library's ``html.parser`` takes time in the square of some texts: here, every mark that begins also ends, at its end mark
or at the end of the text, so no character is looked at twice.
"""

from __future__ import annotations

import html
import string
from collections.abc import Iterator
from typing import Final

import re2

_LINE_TAGS: Final = frozenset(
    ("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "footer", "form", "h1", "h2", "h3",
     "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul")
)  # fmt: skip
_HIDDEN_TAGS: Final = frozenset({"script", "style"})
_LETTERS: Final = frozenset(string.ascii_letters)
_NAME_LETTERS: Final = frozenset(string.ascii_letters + string.digits)
_NAME_LIMIT: Final = 16
_SMALL: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# Python refuses to read very long digits, and no character has a number of eight.
_LONG_REFERENCE: Final = re2.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")


def readable(text: str) -> str:
    """The text without tags, comments, scripts and styles; entities as characters; a new line where a block begins or ends; single spaces."""
    bare = "".join(_pieces(text.replace("\n", " "), text.replace("\n", " ").translate(_SMALL)))
    plain = unescaped(bare)
    lines: list[str] = []
    for line in plain.split("\n"):
        words = " ".join(line.split())
        if words or (lines and lines[-1]):
            lines.append(words)
    return "\n".join(lines).rstrip("\n")


def unescaped(text: str) -> str:
    """The text with its entities as characters."""
    return html.unescape(str(_LONG_REFERENCE.sub("&#xfffd;", text)))


def _pieces(text: str, small: str) -> Iterator[str]:
    """What stands between the tags, and a new line for each tag that makes one. ``small`` is the text in small letters."""
    position = 0
    while (start := text.find("<", position)) >= 0:
        yield text[position:start]
        position, instead = _after(text, small, start)
        yield instead
    yield text[position:]


def _after(text: str, small: str, start: int) -> tuple[int, str]:
    """Where the mark that begins at ``start`` ends, and what stands instead of it."""
    if text.startswith("<!--", start):
        return _behind(text, "-->", start + 4), ""
    closing = text.startswith("/", start + 1)
    first = start + 2 if closing else start + 1
    if text[first : first + 1] in _LETTERS:
        name = _name(small, first)
        if name in _HIDDEN_TAGS and not closing:
            return _behind(text, ">", _behind(small, f"</{name}", _tag_end(text, first))), ""
        return _tag_end(text, first), "\n" if name in _LINE_TAGS else ""
    if closing or text[first : first + 1] in {"!", "?"}:
        return _behind(text, ">", first), ""
    return start + 1, "<"


def _name(small: str, first: int) -> str:
    name = small[first : first + _NAME_LIMIT]
    return name[: next((index for index, letter in enumerate(name) if letter not in _NAME_LETTERS), _NAME_LIMIT)]


def _behind(text: str, mark: str, position: int) -> int:
    found = text.find(mark, position)
    return len(text) if found < 0 else found + len(mark)


def _tag_end(text: str, position: int) -> int:
    """The place behind the ``>`` of a tag; one inside quotes does not count."""
    quote = ""
    while position < len(text):
        letter = text[position]
        position += 1
        if quote:
            quote = "" if letter == quote else quote
        elif letter in {'"', "'"}:
            quote = letter
        elif letter == ">":
            break
    return position
