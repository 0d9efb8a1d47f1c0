"""A partner's notes as HTML. They are Markdown that others wrote: markup in them is escaped, pictures are words, links lead to web pages and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from polyport.server.console.guides import parser, tamed, words_in

if TYPE_CHECKING:
    from markdown_it.token import Token

KEPT: Final = 64
# The heading under which it stands how to get what a connection asks for; the rule ``credentials-how-to`` looks for the same words.
_HOW: Final = ("credential", "connect")
_BELOW: Final = {"h1": "h3", "h2": "h3", "h3": "h4"}  # the page has headings of its own above them


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Notes in parts: how to get credentials, by its heading, and the rest."""

    how: Markup
    rest: Markup


@lru_cache(maxsize=KEPT)
def notes(text: str) -> Notes:
    """The notes of a partner."""
    made = parser()
    tokens = made.parse(text)
    for token in (each for block in tokens for each in (block, *(block.children or ()))):
        tamed(token)
        if token.type == "link_open":
            _lead(token)
    how, rest = _parted(tokens)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = _BELOW.get(token.tag, token.tag)
    html = [made.renderer.render(part, made.options, {}) for part in (how, rest)]
    return Notes(how=Markup(html[0]), rest=Markup(html[1]))  # noqa: S704  markup in the notes was escaped by the parser


def _parted(tokens: Sequence[Token]) -> tuple[list[Token], list[Token]]:
    """What stands under the heading of the credentials, without it; and all the rest, without the title."""
    how: list[Token] = []
    rest: list[Token] = []
    inside = False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.type == "heading_open" and token.tag in {"h1", "h2"}:
            words = words_in(tokens[at + 1])
            inside = token.tag == "h2" and not how and any(each in words.lower() for each in _HOW)
            if inside or token.tag == "h1":
                at += 3
                continue
        (how if inside else rest).append(token)
        at += 1
    return how, rest


def _lead(token: Token) -> None:
    target = str(token.attrGet("href") or "")
    if target.startswith(("https://", "http://")):
        token.attrSet("rel", "noopener noreferrer")
    else:
        token.attrs.pop("href", None)
