"""The guides of ``docs/`` as HTML: with this server's address in their examples, links that stay in the console, and words to be found by."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

from polyport.server.console.painted import painted

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

START: Final = "README"
SHOWN_MOST: Final = 30
AROUND: Final = 90
# What stands for a server in the examples.
_SERVERS: Final = re.compile(r"http://127\.0\.0\.1:8080|https://polyport\.example\.com|\$\{?(?:SERVER|POLYPORT)\b\}?")
_SLUG: Final = re.compile(r"[^\w\- ]")
_LANGUAGES: Final = {
    "sh": "curl",
    "bash": "curl",
    "console": "curl",
    "json": "json",
    "python": "Python",
    "js": "JavaScript",
    "javascript": "JavaScript",
}
# What is no word of a text: comments, fences, rules of tables, marks of headings and lists, marks within words; of a link, its words are left.
_MARKS: Final = re.compile(
    r"<!--.*?-->|^\s*```\w*|^\|?(?:\s*:?-+:?\s*\|)+\s*$|^\s*(?:#+|[-*>]|\d+\.)\s|!?\[(?P<words>[^\]\n]*)\]\([^)\n]*\)|(?P<within>`|\*\*)|\|",
    re.MULTILINE | re.DOTALL,
)
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """A guide as it is shown. ``sections`` are its second headings, with the ids that lead to them."""

    title: str
    html: Markup
    sections: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A guide that was found, and where its words stand."""

    path: str
    title: str
    passage: str


@cache
def sources() -> Mapping[str, str]:
    """The guides by their paths without ``.md``; of the installed package, or of the folder from which it is developed."""
    packaged: Traversable = files("polyport").joinpath("docs")
    folder = packaged if packaged.is_dir() else Path(__file__).parents[4] / "docs"
    return dict(sorted(_read(folder, "")))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            found.append((prefix + entry.name.removesuffix(".md"), entry.read_text("utf-8")))
    return found


@cache
def render(path: str, origin: str, base: str) -> Guide:
    """A guide, its links leading below ``base``. Raises ``KeyError`` for one that there is not."""
    made = parser()
    tokens = made.parse(sources()[path])
    title, sections = path, []
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            words = words_in(tokens[index + 1])
            token.attrSet("id", slug(words))
            if token.tag == "h1":
                title = words
            elif token.tag == "h2":
                sections.append((slug(words), words))
        elif token.type == "th_open" and not tokens[index + 1].content:  # the head of nothing is none
            token.tag = tokens[index + 2].tag = "td"
    for token in (each for block in tokens for each in (block, *(block.children or ()))):
        if token.type in {"fence", "code_block", "code_inline", "text"}:
            token.content = filled_in(token.content, origin)
        elif token.type == "link_open":
            token.attrSet("href", filled_in(str(token.attrGet("href") or ""), origin))
            _lead(token, path, base)
        tamed(token)
    html = made.renderer.render(_without_title(tokens), made.options, {})
    return Guide(title=title, html=Markup(html), sections=sections)  # noqa: S704  made of the project's own files; markup in them is escaped


def tamed(token: Token) -> None:
    """Take out of a part of a text what the pages' policy does not let through: a style of an element, a picture, which is its words instead."""
    if token.type in {"th_open", "td_open"} and token.attrs.pop("style", None) == "text-align:right":
        token.attrSet("class", "number")
    elif token.type == "image":
        token.type, token.children, token.content = "text", None, token.content or ""


def filled_in(text: str, origin: str) -> str:
    """An example with this server's address in the place of the one that it was written with."""
    return _SERVERS.sub(lambda _found: origin, text)


def search(words: str) -> list[Found]:
    """The guides that have all of some words, those with them in the title first."""
    wanted = [word.lower() for word in _WORD.findall(words)][:10]
    if not wanted:
        return []
    found: list[tuple[int, Found]] = []
    for path, text in sources().items():
        lowered = text.lower()
        if all(word in lowered for word in wanted):
            title = _title(path, text)
            rank = -sum(word in title.lower() for word in wanted) * 100 - sum(min(9, lowered.count(word)) for word in wanted)
            rank += 1_000 if path.startswith("adr/") else 0
            found.append((rank, Found(path=path, title=title, passage=_passage(text, wanted))))
    return [each for _rank, each in sorted(found, key=lambda pair: (pair[0], pair[1].path))[:SHOWN_MOST]]


def _title(path: str, text: str) -> str:
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path)


def _passage(text: str, wanted: Sequence[str]) -> str:
    """Whole words around the first that was looked for, without the marks of Markdown."""
    plain = " ".join(_MARKS.sub(lambda found: found["words"] or ("" if found["within"] else " "), text[text.find("\n") + 1 :]).split())
    lowered = plain.lower()
    at = min((place for word in wanted if (place := lowered.find(word)) >= 0), default=0)
    begun = plain.find(" ", at - AROUND, at) + 1 if at > AROUND else 0
    ended = at + 2 * AROUND
    if ended >= len(plain):
        return ("…" if begun else "") + plain[begun:]
    last = plain.rfind(" ", at, ended)
    return ("…" if begun else "") + plain[begun : last if last > at else ended] + "…"


def slug(words: str) -> str:
    """The id of a heading, as links in the guides have it."""
    return _SLUG.sub("", words.lower()).strip().replace(" ", "-")


def words_in(inline: Token) -> str:
    """The words of a heading."""
    return "".join(child.content for child in inline.children or () if child.type in {"text", "code_inline"})


def _lead(token: Token, path: str, base: str) -> None:
    """Let a link lead to the guide in the console; one to a file that is no guide leads nowhere, one to another host says so to it."""
    target = str(token.attrGet("href") or "")
    if target.startswith("#"):
        return
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        token.attrSet("rel", "noopener noreferrer")
        return
    name, mark, anchor = target.partition("#")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)).removesuffix(".md")
    if there in sources():
        token.attrSet("href", f"{base}/{there}{mark}{anchor}")
    else:
        token.attrs.pop("href", None)


def _without_title(tokens: Sequence[Token]) -> list[Token]:
    """The page has its title in its head already."""
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return list(tokens[3:])
    return list(tokens)


@cache
def parser() -> MarkdownIt:
    """What reads Markdown: markup in it is escaped."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  the server starts faster without it

    found = MarkdownIt("commonmark", {"html": False}).enable("table")
    found.add_render_rule("table_open", lambda *_given: '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>')
    found.add_render_rule("table_close", lambda *_given: "</table></div>")
    found.add_render_rule("fence", _code)
    found.add_render_rule("code_block", _code)
    return found


def _code(_renderer: Any, tokens: Sequence[Token], index: int, *_given: Any) -> str:
    token = tokens[index]
    language = _LANGUAGES.get(token.info.strip())
    shown = escape(token.content) if language is None else painted(token.content, language)
    return (
        f'<div class="example"><pre class="json paint" tabindex="0" role="group" aria-label="Example"><code>{shown}</code></pre>'
        f'<button type="button" class="button small quiet" data-copies="{escape(token.content)}" aria-label="Copy the example">Copy</button></div>\n'
    )
