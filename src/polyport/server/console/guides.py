"""The guides of ``docs/`` as HTML: with this server's address in their examples and links that stay in the console."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
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

INDEX: Final = "README"
TOKEN: Final = "$POLYPORT_TOKEN"  # noqa: S105  the name of a variable, as the examples have it
# What stands for a server in the examples.
_SERVERS: Final = re.compile(r"https://polyport\.example\.com|\$\{?SERVER\b\}?")
_SLUG: Final = re.compile(r"[^\w\- ]")
_LANGUAGES: Final = {
    "sh": "curl",
    "bash": "curl",
    "console": "curl",
    "json": "json",
    "yaml": "YAML",
    "nginx": "nginx",
    "python": "Python",
    "js": "JavaScript",
    "javascript": "JavaScript",
}
# Comments are for who edits the sources; what looks like one within an example is left.
_COMMENTS: Final = re.compile(r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)|`[^`\n]*`|<!--.*?-->\n*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """A guide as it is shown. ``sections`` are its second and third headings: id, words, level. ``calls``: its examples call this server."""

    title: str
    html: Markup
    sections: Sequence[tuple[str, str, int]]
    calls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A part of the index of the guides: what one wants to do, and the guides about it. ``aside`` is what is for who works on Polyport itself."""

    slug: str
    title: str
    html: Markup
    paths: Sequence[str]

    @property
    def aside(self) -> bool:
        """Whether it is for who works on Polyport itself."""
        return self.slug == "how-it-is-built"


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


def parsed(path: str) -> list[Token]:
    """The parts of a guide, its headings with the ids that lead to them. Raises ``KeyError`` for a guide that there is not."""
    told = _COMMENTS.sub(lambda found: "" if found[0].startswith("<!--") else found[0], sources()[path])
    tokens = parser().parse(told)
    seen: Counter[str] = Counter()
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            name = slug(words_in(tokens[index + 1]))
            token.attrSet("id", f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return tokens


@cache
def render(path: str, origin: str, base: str) -> Guide:
    """A guide, its links leading below ``base``. Raises ``KeyError`` for one that there is not."""
    tokens = parsed(path)
    heads = [
        (str(token.attrs["id"]), words_in(tokens[at + 1]), int(token.tag[1])) for at, token in enumerate(tokens) if "id" in token.attrs
    ]
    return Guide(
        title=next((told for _id, told, level in heads if level == 1), path),
        html=_html(_without_title(tokens), path, origin, base),
        sections=[head for head in heads if head[2] in {2, 3}],
        calls=any(token.type == "fence" and TOKEN in token.content for token in tokens),
    )


@cache
def shelves(origin: str, base: str) -> Sequence[Shelf]:
    """The index of the guides by what one wants to do."""
    tokens = parsed(INDEX)
    begins = [at for at, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    found = []
    for begun, ended in zip(begins, [*begins[1:], len(tokens)], strict=True):
        inner = tokens[begun + 3 : ended]
        leads = [str(each.attrGet("href") or "") for block in inner for each in block.children or () if each.type == "link_open"]
        found.append(
            Shelf(
                slug=str(tokens[begun].attrs["id"]),
                title=words_in(tokens[begun + 1]),
                paths=[there for target in leads if (there := _there(INDEX, target)) in sources()],
                html=_html(inner, INDEX, origin, base),
            )
        )
    return found


def _html(tokens: Sequence[Token], path: str, origin: str, base: str) -> Markup:
    dead = False
    for index, token in enumerate(tokens):
        if token.type == "th_open" and not tokens[index + 1].content:  # the head of nothing is none
            token.tag = tokens[index + 2].tag = "td"
    for token in (each for block in tokens for each in (block, *(block.children or ()))):
        if token.type in {"fence", "code_block", "code_inline"}:
            token.content = filled_in(token.content, origin)
        elif token.type == "link_open":
            token.attrSet("href", filled_in(str(token.attrGet("href") or ""), origin))
            dead = not _lead(token, path, base)
        tamed(token)
        if dead and token.type in {"link_open", "link_close"}:
            token.type, token.content = "text", ""
    made = parser()
    return Markup(made.renderer.render(_folded(tokens), made.options, {}))  # noqa: S704  made of the project's own files; markup in them is escaped


def tamed(token: Token) -> None:
    """Take out of a part of a text what the pages' policy does not let through: a style of an element, a picture, which is its words instead."""
    if token.type in {"th_open", "td_open"} and token.attrs.pop("style", None) == "text-align:right":
        token.attrSet("class", "number")
    elif token.type == "image":
        token.type, token.children, token.content = "text", None, token.content or ""


def filled_in(text: str, origin: str) -> str:
    """An example with this server's address in the place of the one that it was written with."""
    return _SERVERS.sub(lambda _found: origin, text)


def slug(told: str) -> str:
    """The id of a heading, as links in the guides have it."""
    return _SLUG.sub("", told.lower()).strip().replace(" ", "-")


def words_in(inline: Token) -> str:
    """The words of a line without its marks."""
    return "".join(
        " " if child.type == "softbreak" else child.content
        for child in inline.children or ()
        if child.type in {"text", "code_inline", "softbreak"}
    )


def _there(path: str, target: str) -> str:
    """The guide that a link in another one leads to, if it does."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target.partition("#")[0])).removesuffix(".md")


def _lead(token: Token, path: str, base: str) -> bool:
    """Let a link lead to the guide in the console; one to another host says so to it. ``False``: it leads to a file that is no guide."""
    target = str(token.attrGet("href") or "")
    if target.startswith("#"):
        return True
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        token.attrSet("rel", "noopener noreferrer")
        return True
    _name, mark, anchor = target.partition("#")
    there = _there(path, target)
    token.attrSet("href", f"{base}/{there}{mark}{anchor}" if there != INDEX else base.removesuffix("/guide"))
    return there in sources()


def _without_title(tokens: Sequence[Token]) -> list[Token]:
    """The page has its title in its head already."""
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return list(tokens[3:])
    return list(tokens)


def _folded(tokens: Sequence[Token]) -> list[Token]:
    """The names of the tests that show a guarantee are for who has the sources: here they are folded away, at the end of their paragraph."""
    from markdown_it.token import Token as Made  # noqa: PLC0415  the server starts faster without it

    found: list[Token] = []
    for index, token in enumerate(tokens):
        inner = token.children or []
        at = next((at for at, child in enumerate(inner) if child.type == "em_open" and inner[at + 1].content == "Shown by"), None)
        if at is None:
            found.append(token)
            continue
        shown = Made("inline", "", 0, children=inner[at + 3 :])
        token.children = inner[: at - 1 if at and inner[at - 1].type == "softbreak" else at]
        html = '</p><details class="shown"><summary>Shown by tests</summary><p>'
        found += [token, Made("html_block", "", 0, content=html), shown, Made("html_block", "", 0, content="</p></details>")]
        tokens[index + 1].hidden = True  # the end of the paragraph, which has ended
    return found


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
