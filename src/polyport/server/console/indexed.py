"""What the docs are searched by: sections of the guides and operations of the API, the words in a title before those in a text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from markupsafe import Markup, escape

from polyport.server.console.guides import INDEX, parsed, sources, words_in

SHOWN_MOST: Final = 30
WORDS_MOST: Final = 10
AROUND: Final = 90
# Who looks for one of these may mean what is called otherwise here; such a word counts half.
SYNONYMS: Final[Mapping[str, Sequence[str]]] = {
    "webhook": ("event", "callback"),
    "pagination": ("cursor", "pager", "per-page", "page"),
    "paging": ("cursor", "pager", "per-page"),
    "paginate": ("cursor", "pager", "per-page"),
    "login": ("sign-in", "sign in"),
    "signin": ("sign-in", "sign in"),
    "auth": ("sign in", "token", "api key"),
    "authentication": ("sign in", "token", "api key", "authorisation"),
    "authorization": ("authorisation",),
    "retry": ("tried again", "repeat"),
    "rate": ("limit", "budget"),
    "throttle": ("limit", "budget"),
    "integration": ("partner",),
    "connector": ("partner",),
    "invite": ("link",),
    "workflow": ("run",),
    "job": ("run",),
}
OF_A_PAGE: Final = 3
FAR: Final = 40  # what is so many times worse than the best is not shown
# How much a word counts in each place: in a title (that of the page counts little for one of its sections), in a heading, in a name, and each time that it
# stands in the text, up to five times.
TITLE, PAGE, HEADING, NAME, TEXT = 40, 4, 30, 12, 1
# Pages for who works on Polyport itself come last, whatever stands in them.
_LAST: Final = ("reference/imports", "reference/quality/", "adr/", "benchmarks", "profile/")
# How much other pages count, by how their paths begin: those that list everything and those for who writes partners less than those for who calls it.
_LESS: Final = (
    (("reference/",), 0.35),
    (("how-to/auth/", "how-to/budgets/", "how-to/calls/", "how-to/fields/", "how-to/pagers/", "how-to/webhooks/", "guarantees"), 0.5),
)
_WORD: Final = re.compile(r"\w+(?:-\w+)*")
# Where a word begins: after what is none, and within a name as in redirectUrl.
_BEGINS: Final = r"(?:(?<![^\W_])|(?-i:(?<=[a-z0-9])(?=[A-Z])))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is found as one: a section of a guide, or an operation. ``names`` are what it has beside its text, such as fields."""

    page: str
    anchor: str
    title: str
    heading: str
    text: str
    names: str = ""
    weight: float = 1.0

    @property
    def at(self) -> str:
        """Where it is: the page, and the place in it."""
        return f"{self.page}#{self.anchor}" if self.anchor else self.page


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found, the words that were looked for marked in it."""

    at: str
    title: Markup
    heading: Markup
    passage: Markup
    score: float


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is found: at the beginning of a word, in the singular and the plural. ``begins`` is looked for first: most texts do not have it."""

    begins: str
    pattern: re.Pattern[str]

    def count(self, text: str) -> int:
        """How often a text has it, up to five times."""
        return min(5, len(self.pattern.findall(text))) if self.begins in _lowered(text) else 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word that is looked for, and what may stand in its place."""

    word: Word
    others: Sequence[Word]


def wanted_of(text: str) -> list[Wanted]:
    """The words of a search."""
    return [
        Wanted(_word(word), [_word(other) for other in SYNONYMS.get(word) or SYNONYMS.get(word.removesuffix("s")) or ()])
        for word in _WORD.findall(text.lower())[:WORDS_MOST]
    ]


def _word(told: str) -> Word:
    begins, rest = told, ""
    if len(told) > 4 and told.endswith("ies"):
        begins, rest = told[:-3], r"(?:y|ie[sd]\b)"
    elif len(told) > 3 and told.endswith("s") and not told.endswith("ss"):
        begins = told[:-1]
    return Word(begins, re.compile(f"{_BEGINS}{re.escape(begins)}{rest}", re.IGNORECASE))


def find(units: Iterable[Unit], text: str) -> list[Found]:
    """What has all of some words, the best first. A guide that has them in different sections is found by its best section, after the others."""
    wanted = wanted_of(text)
    if not wanted:
        return []
    best: dict[str, tuple[float, Unit]] = {}
    pages: dict[str, list[tuple[list[float], Unit]]] = {}
    for unit in units:
        each = [_worth(unit, one) for one in wanted]
        pages.setdefault(unit.page, []).append((each, unit))
        if all(each) and any(_worth(unit, one, own=True) for one in wanted):
            best[unit.at] = max(best.get(unit.at, (0.0, unit)), (sum(each) * unit.weight, unit), key=lambda pair: pair[0])
    for page in (page for page in pages.values() if not any(all(each) for each, _unit in page)):
        if all(map(max, zip(*(each for each, _unit in page), strict=True))):
            each, unit = max(page, key=lambda pair: sum(pair[0]))
            best[unit.at] = (sum(each) * unit.weight / 10, unit)
    taken: Counter[str] = Counter()
    found = []
    least = max((score for score, _unit in best.values()), default=0) / FAR
    for score, unit in sorted(best.values(), key=lambda pair: (pair[1].page.startswith(_LAST), -pair[0], pair[1].at)):
        taken[unit.page] += 1
        if taken[unit.page] <= OF_A_PAGE and score >= least:
            found.append(_found(unit, wanted, score))
    return found[:SHOWN_MOST]


def _worth(unit: Unit, wanted: Wanted, *, own: bool = False) -> float:
    """How well a word fits a unit; nothing: it is not there. ``own``: not counting the title of the page that it is a section of."""
    return max(_worth_of(unit, wanted.word, own=own), *(_worth_of(unit, other, own=own) / 2 for other in wanted.others), 0)


def _worth_of(unit: Unit, word: Word, *, own: bool = False) -> float:
    worth: float = TEXT * word.count(unit.text)
    title = TITLE if not unit.anchor else 0 if own else PAGE
    for weight, told in ((title, unit.title), (HEADING, unit.heading), (NAME, unit.names)):
        worth += weight if weight and word.count(told) else 0
    return worth


@cache
def _lowered(text: str) -> str:
    return text.lower()


def _found(unit: Unit, wanted: Sequence[Wanted], score: float) -> Found:
    shown = [word for one in wanted for word in (one.word, *one.others)]
    marks = re.compile("|".join(rf"{word.pattern.pattern}\w*" for word in shown), re.IGNORECASE)
    heading = unit.heading if unit.heading != unit.title else ""
    return Found(
        at=unit.at,
        title=marked(unit.title, marks),
        heading=marked(heading, marks),
        passage=marked(passage(unit.text, marks), marks),
        score=score,
    )


def marked(text: str, marks: re.Pattern[str]) -> Markup:
    """A text, escaped, with what was looked for marked."""
    found, done = Markup(), 0
    for hit in marks.finditer(text):
        found += escape(text[done : hit.start()]) + Markup("<mark>{}</mark>").format(hit[0])
        done = hit.end()
    return found + escape(text[done:])


def passage(text: str, marks: re.Pattern[str]) -> str:
    """Whole words around the first that was looked for."""
    hit = marks.search(text)
    at = hit.start() if hit else 0
    begun = text.find(" ", at - AROUND, at) + 1 if at > AROUND else 0
    ended = at + 2 * AROUND
    if ended >= len(text):
        return ("…" if begun else "") + text[begun:]
    last = text.rfind(" ", at, ended)
    return ("…" if begun else "") + text[begun : last if last > at else ended] + "…"


@cache
def sections() -> Sequence[Unit]:
    """The sections of all guides."""
    return [unit for path in sources() if path != INDEX for unit in _sections(path)]


def _sections(path: str) -> list[Unit]:
    made: list[Unit] = []
    title, heading, anchor = path, "", ""
    parts: list[str] = []
    codes: list[str] = []
    tokens, name = parsed(path), path.rpartition("/")[2]
    weight = next((less for begins, less in _LESS if path.startswith(begins)), 1.0)

    def end() -> None:
        if heading:
            text = " ".join([*parts, *codes])  # sentences first: they are what is shown where both have a word
            made.append(Unit(page=path, anchor=anchor, title=title, heading=heading, text=text, names=name, weight=weight))
        parts.clear()
        codes.clear()

    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag in {"h1", "h2", "h3"}:
            end()
            heading = words_in(tokens[index + 1])
            title, anchor = (heading, "") if token.tag == "h1" else (title, str(token.attrs["id"]))
        elif token.type == "inline" and tokens[index - 1].type != "heading_open":
            parts.append(words_in(token).partition(" Shown by ")[0])  # what is folded away is not searched either
        elif token.type in {"fence", "code_block"}:
            codes.append(" ".join(token.content.split()))
    end()
    return made
