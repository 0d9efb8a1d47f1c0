"""Finding by words: whole words, beginnings, parts, synonyms and words with a typo; the best first.

A word of a question becomes a group of words that stand in the catalogue, each with how close it is. What has a word of every group is found. The index
tells which those are, and of the best few hundred the rank is worked out here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from polyport.catalog.words import synonyms, words_of
from polyport.store.catalogue import CatalogIndex, Ordered, Reach

WORDS_MOST: Final = 12
RANKED: Final = 200
MARKED_MOST: Final = 24  # partners that an account is limited to, as marks
SIFTED_MOST: Final = 4_000  # things found that are looked at one by one
LIMITS_KEPT: Final = 16
ALIKE_KEPT: Final = 1_000  # words with a typo: who searches asks for the next page, or with one word more
# Things found that are counted as they are read: to ask for their number takes as long as to find them again.
COUNTED_MOST: Final = 2_000
LAST: Final = "\U0010ffff"  # what stands behind every beginning
EVERY: Final = 2**31
FUZZY_LEAST: Final = 78
_PREFIX: Final = 0.85
_SYNONYM: Final = 0.7
_PART: Final = 0.6
_WIDE: Final = 24  # words of the catalogue that one word of a question may stand for by a part or a typo
_SPREAD: Final = 2  # letters by which a word with a typo is longer or shorter
_WEIGHTS: Final = (3.0, 2.0, 2.0, 0.5)  # of the columns but the marks
_HEADLINE: Final = "{title name partner}"
_FULL_TITLE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """What one word of a question may stand for: words with their closeness, and the beginning of words. They stand in no more than ``most`` places."""

    words: Mapping[str, float]
    prefix: str | None
    most: int

    @property
    def expression(self) -> str:
        """As the index is asked for it."""
        begun = self.prefix
        parts = [f'"{word}"' for word in self.words if begun is None or not word.startswith(begun)]
        if begun is not None:  # it finds the word itself as well
            parts.append(f'"{begun}"*')
        return f"({' OR '.join(parts)})"

    @property
    def exact(self) -> str | None:
        """The word itself, if it stands in the catalogue."""
        return next((f'"{word}"' for word, close in self.words.items() if close == 1), None)

    def closeness(self, word: str) -> float:
        """How close a word is, from 0 to 1."""
        found = self.words.get(word)
        if found is not None:
            return found
        return _PREFIX if self.prefix is not None and word.startswith(self.prefix) else 0


class _Closeness(dict[str, float]):
    """How close words are to a group. The same few stand in hundreds of the things that are ranked: each is looked at once."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def __missing__(self, word: str) -> float:
        found = self[word] = self._group.closeness(word)
        return found


class Vocabulary:
    """The words of one kind of things in the catalogue."""

    def __init__(self, counted: Sequence[tuple[str, int]]) -> None:
        self._sorted = [word for word, _count in counted]
        self._text = "\n".join(["", *self._sorted, ""])
        self._counts = dict(counted)
        self._sums = [0, *accumulate(count for _word, count in counted)]
        self._alike: dict[str, list[tuple[str, float]]] = {}
        self._by_length: dict[int, list[str]] = {}
        for word in self._sorted:
            self._by_length.setdefault(len(word), []).append(word)

    def group(self, word: str, *, lenient: bool) -> Group | None:
        """What a word may stand for; ``None`` where there is nothing like it. ``lenient`` looks for typos even where there is something better."""
        found: dict[str, float] = {}
        if word in self._counts:
            found[word] = 1.0
        at = bisect_left(self._sorted, word)
        begins = at < len(self._sorted) and self._sorted[at].startswith(word)
        for other in synonyms().get(word, ()):
            if other in self._counts:
                found.setdefault(other, _SYNONYM)
        if not begins or lenient:
            for near, close in (self._parts(word) if not begins else ()) or self._typos(word):
                found.setdefault(near, close)
        if not found and not begins:
            return None
        most = sum(self._counts[each] for each in found)
        if begins:
            most += self._sums[bisect_left(self._sorted, word + LAST)] - self._sums[at]
        return Group(found, word if begins else None, most)

    def _parts(self, word: str) -> list[tuple[str, float]]:
        if len(word) < 3:
            return []
        found: list[str] = []
        at = self._text.find(word)
        while at >= 0:  # through one long text: word by word it takes ten times as long
            end = self._text.index("\n", at)
            found.append(self._text[self._text.rindex("\n", 0, at) + 1 : end])
            at = self._text.find(word, end)
        found.sort(key=lambda each: -self._counts[each])
        return [(each, _PART) for each in found[:_WIDE]]

    def _typos(self, word: str) -> list[tuple[str, float]]:
        if len(word) < 4:
            return []
        known = self._alike.get(word)
        if known is not None:
            return known
        from rapidfuzz import fuzz, process  # noqa: PLC0415  a start looks for nothing

        near = [each for length in range(len(word) - _SPREAD, len(word) + _SPREAD + 1) for each in self._by_length.get(length, ())]
        found = process.extract(word, near, scorer=fuzz.ratio, score_cutoff=FUZZY_LEAST, limit=_WIDE)
        alike = [(each, score / 100 * _PART) for each, score, _index in found if each != word]
        if len(self._alike) >= ALIKE_KEPT:
            self._alike.clear()
        self._alike[word] = alike
        return alike


class Search:
    """Searches in an index. It keeps the vocabularies of one state of it."""

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index
        self._kept: dict[str, tuple[int, Vocabulary]] = {}
        self._limits: dict[tuple[str, int, frozenset[int]], frozenset[int]] = {}

    def prepare(self) -> None:
        """Read the words that there are: whoever searches first would wait for it. Raises ``StoreUnavailable``."""
        for kind in ("partner", "operation"):
            self._vocabulary(kind)

    def _vocabulary(self, kind: str) -> Vocabulary:
        generation = self._index.generation()
        held = self._kept.get(kind)
        if held is None or held[0] != generation:
            held = self._kept[kind] = (generation, Vocabulary(self._index.vocabulary(kind)))
        return held[1]

    def page(self, kind: str, question: str, reach: Reach, wanted: Ordered, start: int, limit: int) -> tuple[list[bytes], int]:
        """Items that are found, and how many there are in all. Where the list is sorted, its order is kept, else the best come first."""
        words = words_of(question)[:WORDS_MOST]
        for lenient in (False, True):
            groups = self._groups(kind, words, lenient=lenient)
            if groups is None:
                continue
            items, total = self._found(kind, groups, reach, wanted, start, limit)
            if total:
                return items, total
        return [], 0

    def _groups(self, kind: str, words: Sequence[str], *, lenient: bool) -> list[Group] | None:
        vocabulary = self._vocabulary(kind)
        found: list[Group] = []
        for word in dict.fromkeys(words):
            group = vocabulary.group(word, lenient=lenient)
            if group is None:
                return None
            found.append(group)
        return found or None

    def _found(self, kind: str, groups: Sequence[Group], reach: Reach, wanted: Ordered, start: int, limit: int) -> tuple[list[bytes], int]:
        every = " AND ".join(group.expression for group in groups)
        if wanted.sorted or wanted.like is not None or wanted.slug_like is not None or wanted.facets or _unmarked(wanted):
            numbers = list(self._index.narrowed(kind, every, reach, wanted))
            if not wanted.sorted:
                numbers = [*self._ranked(kind, groups, numbers[:RANKED]), *numbers[RANKED:]]
            return self._items(kind, numbers[start : start + limit]), len(numbers)
        seen = self._seen(kind, reach, every)
        marks = self._marks(reach if seen is None else replace(reach, allowed=None), wanted)
        told = f"({every}){marks}"
        if seen is not None or min(group.most for group in groups) <= COUNTED_MOST:
            first = self._numbers(kind, told, seen, EVERY)
            total = len(first)
        else:
            total = self._index.matches(kind, told)
            first = self._numbers(kind, told, None, RANKED) if total <= RANKED else []
        best, whole = (self._ranked(kind, groups, first), True) if total <= RANKED else self._best(kind, groups, every, marks, seen)
        if start + limit <= len(best) or len(best) >= total:
            return self._items(kind, best[start : start + limit]), total
        headline = [] if whole else self._numbers(kind, f"({_HEADLINE} : ({every})){marks}", seen, total)
        rest = dict.fromkeys([*best, *headline, *self._numbers(kind, told, seen, total)])
        return self._items(kind, list(rest)[start : start + limit]), total

    def _numbers(self, kind: str, expression: str, seen: frozenset[int] | None, most: int) -> list[int]:
        """The first numbers that an expression finds among those that are seen."""
        if seen is None:
            return self._index.numbers(kind, expression, 0, most)
        return [number for number in self._index.numbers(kind, expression, 0, EVERY) if number in seen][:most]

    def _seen(self, kind: str, reach: Reach, every: str) -> frozenset[int] | None:
        """What an account is limited to, where that is dearer by marks: the index looks for each of hundreds of partners, whatever is asked."""
        if reach.allowed is None or len(reach.allowed) <= MARKED_MOST or self._index.matches(kind, every) > SIFTED_MOST:
            return None
        key = (kind, self._index.generation(), reach.allowed)
        found = self._limits.get(key)
        if found is None:
            if len(self._limits) >= LIMITS_KEPT:
                self._limits.clear()
            found = self._limits[key] = frozenset(self._index.within(kind, reach.allowed))
        return found

    def _best(self, kind: str, groups: Sequence[Group], every: str, marks: str, seen: frozenset[int] | None) -> tuple[list[int], bool]:
        """Of very many: the numbers that are ranked, the best first, and whether they hold all that have the words in their names.

        Those are ranked that have the words in their names, and exactly as they were asked for, where these are many.
        """
        found: dict[int, None] = {}
        exact = [group.exact for group in groups]
        if None not in exact:
            told = " AND ".join(each for each in exact if each is not None)
            found |= dict.fromkeys(self._numbers(kind, f"({_HEADLINE} : ({told})){marks}", seen, RANKED))
        whole = False
        if len(found) < RANKED:
            named = self._numbers(kind, f"({_HEADLINE} : ({every})){marks}", seen, RANKED)
            found |= dict.fromkeys(named)
            whole = len(named) < RANKED and len(found) <= RANKED
        if not found:
            found |= dict.fromkeys(self._numbers(kind, f"({every}){marks}", seen, RANKED))
        return self._ranked(kind, groups, list(found)[:RANKED]), whole

    def _ranked(self, kind: str, groups: Sequence[Group], numbers: Sequence[int]) -> list[int]:
        held, near = self._index.words(kind, numbers), [_Closeness(group) for group in groups]
        scores = {number: _score(held[number], near) for number in numbers if number in held}
        return sorted(scores, key=lambda number: (-scores[number], number))

    def _items(self, kind: str, numbers: Sequence[int]) -> list[bytes]:
        held = self._index.items(kind, numbers)
        return [held[number] for number in numbers if number in held]

    def _marks(self, reach: Reach, wanted: Ordered) -> str:
        """The filters, as the index knows them by marks."""
        told = [mark_of(column, value) for column, value in wanted.equal.items()]
        if reach.allowed is not None:
            told.append("(" + " OR ".join(mark_of("partner_id", each) for each in sorted(reach.allowed or {0})) + ")")
        found = "".join(f" AND marks : ({mark})" for mark in told)
        if self._index.has_private():
            own = f" NOT marks : {mark_of('owner', reach.owner)}" if reach.owner is not None else ""
            found += f" NOT (marks : private{own})"
        return found


_MARKS: Final = {"partner_id": "partner", "is_action": "action", "deprecated": "deprecated", "kind": "kind", "owner": "owner"}


def mark_of(column: str, value: object) -> str:
    """The mark by which a filter finds what has a value in a column."""
    told = int(value) if isinstance(value, bool) else value
    return f"{_MARKS[column]}{told}".casefold()


def _unmarked(wanted: Ordered) -> bool:
    return any(column not in _MARKS or (isinstance(value, str) and not value.isalnum()) for column, value in wanted.equal.items())


def _score(words: str, groups: Sequence[_Closeness]) -> float:
    """How well something fits: for each word of the question the best place where it stands, and a little for a title that says nothing else."""
    lines = words.split("\n", len(_WEIGHTS))
    columns: list[list[str]] = []
    total = 0.0
    for close in groups:
        best = 0.0
        for place, weight in enumerate(_WEIGHTS):
            if weight <= best:  # the heaviest come first: the description, long as it is, is seldom looked at
                break
            if place == len(columns):
                columns.append(lines[place].split())
            best = max(best, weight * max(map(close.__getitem__, columns[place]), default=0))
        total += best
    title = columns[0]
    said = sum(1 for word in title if any(close[word] for close in groups))
    return total + (_FULL_TITLE * said / len(title) if title else 0)
