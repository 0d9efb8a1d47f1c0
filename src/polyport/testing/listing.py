"""Lists of a simulated partner: which records, in what order, on which page."""

from __future__ import annotations

import base64
import binascii
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from polyport.kinds.fields import TYPES
from polyport.kinds.filters import FILTERS
from polyport.manifest.simulation import Comparison, Conditions, Paging, Route, Search, Sort
from polyport.paths import MISSING, Path, format_path, get
from polyport.template import Scope, Template, compile_value, to_text
from polyport.testing.memory import Record, Refused

_MOMENT: Final = TYPES["datetime"]
_NONE: Final = compile_value("{{none}}", {})
_NUMBER: Final = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_SECONDS_LIMIT: Final = 253_402_300_799
_WORDS: Final = frozenset({"true", "1", "yes"})

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of records. ``facts`` are the values of ``{{page}}``, ``total`` counts the records on all pages."""

    records: list[Record]
    total: int
    facts: Mapping[str, Any]


class Listing:
    """A route's filters, search, order and pages, compiled."""

    def __init__(self, route: Route, key: str) -> None:
        self._filters = [(condition, compile_value(condition.value, FILTERS)) for condition in route.filters]
        self._search = _Search(route.search) if route.search is not None else None
        self._where = route.where
        self._order = _Order(route.sort)
        self._pages = _Pages(route.page, key) if route.page is not None else None

    def read(self, records: Iterable[Record], scope: Scope) -> Page:
        """The page that a request asks for. Raises ``Refused`` for a size, a place or an order that there is not."""
        for condition, template in self._filters:
            wanted = template.render(scope)
            if wanted not in (MISSING, None, ""):
                test = _test(condition.op, wanted)
                records = [record for record in records if test(get(record, condition.at))]
        if self._where is not None:
            records = _meeting(records, self._where, scope)
        if self._search is not None:
            records = self._search.found(records, scope)
        ordered = self._order.sorted(list(records), scope)
        if self._pages is None:
            return Page(records=ordered, total=len(ordered), facts={"size": len(ordered), "offset": 0, "more": False})
        return self._pages.cut(ordered, scope)


class _Search:
    def __init__(self, spec: Search) -> None:
        self._spec = spec
        self._term, self._only, self._exact = (_template(text) for text in (spec.term, spec.only, spec.exact))

    def found(self, records: Iterable[Record], scope: Scope) -> list[Record]:
        term = self._term.render(scope)
        text = to_text(term).strip().casefold() if isinstance(term, str | int) else ""
        exact = self._exact.render(scope)
        whole = exact is True or (isinstance(exact, str) and exact in _WORDS)
        if len(text) < (min(1, self._spec.least) if whole else self._spec.least):
            raise Refused("invalid", field="term", reason="value", expected=f"at least {self._spec.least} characters")
        only = set(_several(self._only.render(scope)))
        paths = [path for name, path in self._spec.look.items() if not only or name in only]
        return [record for record in records if any(_stands_in(get(record, path), text, whole=whole) for path in paths)]


def _stands_in(value: Any, text: str, *, whole: bool) -> bool:
    if isinstance(value, dict):
        return any(_stands_in(inner, text, whole=whole) for inner in value.values())
    if isinstance(value, list):
        return any(_stands_in(inner, text, whole=whole) for inner in value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        return False
    folded = to_text(value).casefold()
    return folded == text if whole else text in folded


class _Order:
    def __init__(self, spec: Sort) -> None:
        self._spec = spec
        self._by, self._direction = _template(spec.by), _template(spec.direction)

    def sorted(self, records: list[Record], scope: Scope) -> list[Record]:
        asked, direction = self._by.render(scope), self._direction.render(scope)
        path, newest_first = self._spec.default, self._spec.newest_first
        if isinstance(asked, str) and asked:
            name, _, word = asked.removeprefix("-").partition(" ")
            if name not in self._spec.allowed:
                raise Refused("invalid", field="sort", reason="value", expected=", ".join(self._spec.allowed))
            path, newest_first = self._spec.allowed[name], asked.startswith("-") or word.strip().lower().startswith("desc")
        if isinstance(direction, str) and direction:
            newest_first = direction.lower().startswith("desc")
        if path:
            records.sort(key=_sort_key(records, path))
        if newest_first:
            records.reverse()
        return records


class _Pages:
    def __init__(self, spec: Paging, key: str) -> None:
        self._spec = spec
        self._key = key
        self._at, self._limit = _template(spec.at), _template(spec.limit)

    def cut(self, records: list[Record], scope: Scope) -> Page:
        spec = self._spec
        size = min(_number(self._limit.render(scope), "limit", least=1, default=spec.size), spec.most)
        asked = self._at.render(scope)
        if spec.kind == "cursor":
            offset = self._resume(records, asked) if asked not in (MISSING, None, "") else 0
        elif spec.kind == "after":
            offset = self._behind(records, asked) if asked not in (MISSING, None, "") else 0
        elif spec.kind == "offset":
            offset = _number(asked, "offset", least=0, default=0)
        else:
            offset = (_number(asked, "page", least=spec.first, default=spec.first) - spec.first) * size
        page = records[offset : offset + size]
        more = offset + size < len(records)
        number = offset // size + spec.first
        facts: dict[str, Any] = {"size": size, "offset": offset, "number": number, "pages": -(-len(records) // size), "more": more}
        if more and spec.kind == "cursor":
            facts["next"] = self._cursor(page[-1], offset + size)
        elif more and spec.kind == "after":
            facts["next"] = page[-1][self._key]
        elif more:
            facts["next"] = offset + size if spec.kind == "offset" else number + 1
        return Page(records=page, total=len(records), facts=facts)

    def _cursor(self, last: Record, offset: int) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode([to_text(last[self._key]), offset])).decode().rstrip("=")

    def _behind(self, records: list[Record], asked: Any) -> int:
        wanted = to_text(asked) if isinstance(asked, str | int) else ""
        found = next((index + 1 for index, record in enumerate(records) if to_text(record[self._key]) == wanted), None)
        if found is None:
            raise Refused("invalid", field="after", reason="value", expected="the id of a record")
        return found

    def _resume(self, records: list[Record], cursor: Any) -> int:
        # The last record shown tells where to go on, so that records added meanwhile neither repeat others nor hide them.
        try:
            text = to_text(cursor)
            key, offset = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[str, int])
        except (ValueError, binascii.Error):
            raise Refused("invalid", field="cursor", reason="value", expected="a cursor of an earlier answer") from None
        return next((index + 1 for index, record in enumerate(records) if to_text(record[self._key]) == key), max(offset, 0))


def _template(text: str | None) -> Template:
    return _NONE if text is None else compile_value(text, FILTERS)


def _number(value: Any, field: str, *, least: int, default: int) -> int:
    if value in (MISSING, None, ""):
        return default
    text = to_text(value) if isinstance(value, str | int) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 15) or int(text) < least:
        raise Refused("invalid", field=field, reason="value", expected=f"a whole number from {least}")
    return int(text)


def _several(value: Any) -> Sequence[str | None]:
    if isinstance(value, list):
        return [to_text(item) for item in value if isinstance(item, str | int)]
    return [part.strip() for part in to_text(value).split(",") if part.strip()] if isinstance(value, str | int) else []


def _test(op: Comparison, wanted: Any) -> Test:
    compare = _COMPARE.get(op)
    if compare is not None:
        kind, bound = _rank(wanted)
        # Partners that write moments as texts may be asked in milliseconds.
        moment = bound / 1000 if kind == 1 and bound > _SECONDS_LIMIT else bound

        def test(value: Any) -> bool:
            rank = _rank(value)
            return rank[0] == kind != 0 and compare(rank[1], moment if isinstance(value, str) and not _NUMBER.fullmatch(value) else bound)

        return test
    texts = _several(wanted) if op == "one_of" else [_plain(item) for item in (wanted if isinstance(wanted, list) else [wanted])]
    if op == "contains":
        parts = [text.casefold() for text in texts if text]
        return lambda value: any(_stands_in(value, part, whole=False) for part in parts)
    known = {text for text in texts if text is not None}
    return lambda value: any(_plain(item) in known for item in (value if isinstance(value, list) else [value]))


def _plain(value: Any) -> str | None:
    return to_text(value) if isinstance(value, str | int | Decimal) else None


def _meeting(records: Iterable[Record], spec: Conditions, scope: Scope) -> list[Record]:
    """The records that meet the conditions of the request; all of them where it has none."""
    groups = get(scope, spec.at)
    if groups in (MISSING, None, []):
        return list(records)
    if not isinstance(groups, list):
        raise Refused("invalid", field=format_path(spec.at[1:]), reason="type", expected="array")
    alternatives = [[_condition(item, spec) for item in _list(get(group, spec.filters))] for group in groups]
    return [record for record in records if any(all(test(record) for test in tests) for tests in alternatives)]


def _condition(item: Any, spec: Conditions) -> Test:
    name, word = get(item, spec.name), get(item, spec.operator)
    negated = word in spec.not_operators if isinstance(word, str) else False
    op = (spec.not_operators if negated else spec.operators).get(word) if isinstance(word, str) else None
    if op is None or not isinstance(name, str):
        raise Refused(
            "invalid", field=format_path(spec.operator), reason="value", expected=", ".join([*spec.operators, *spec.not_operators])
        )
    wanted = get(item, spec.values if op == "one_of" else spec.value)
    if not isinstance(wanted, str | int | Decimal | list):
        raise Refused("invalid", field=format_path(spec.value), reason="required")
    path = (*spec.under, name)
    test = _test(op, wanted)
    return lambda record: test(get(record, path)) is not negated


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sort_key(records: list[Record], path: Path) -> Callable[[Record], Any]:
    kinds = {type(get(record, path)) for record in records}
    # Values of one kind compare as they are; only mixed ones need a rank each.
    return (lambda record: get(record, path)) if kinds in ({int}, {str}) else (lambda record: _rank(get(record, path)))


def _rank(value: Any) -> tuple[int, Any]:
    """Numbers and moments before other texts; nothing at all comes first."""
    if isinstance(value, int | Decimal):
        return (1, Decimal(value))
    if not isinstance(value, str) or not value:
        return (0, 0)
    try:
        return (1, Decimal(value) if _NUMBER.fullmatch(value) else Decimal(_MOMENT.read(value)))
    except (ValueError, ArithmeticError):
        return (2, value)
