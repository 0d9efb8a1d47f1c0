"""How partners and operations are shown, filtered, searched, sorted and paged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rapidfuzz import fuzz

from polyport.errors import Fault, ValidationFailed
from polyport.manifest.model import Action, Partner, Trigger

Operation = Action | Trigger
Item = dict[str, Any]

FUZZY_LEAST: Final = 78
_EXACT, _PREFIX, _INSIDE = 1.0, 0.85, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list of the catalogue is asked for. ``filters`` maps (field, operator) to the value; operators are ``eq`` and ``like``."""

    filters: Mapping[tuple[str, str], str] = field(default_factory=dict)
    sort: str | None = None
    page: int = 1
    per_page: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list and how many there are in all."""

    items: Sequence[Item]
    page: int
    per_page: int
    total: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a list shows, and the words by which it is found."""

    item: Item
    words: tuple[tuple[float, str], ...]


def auth_types(partner: Partner) -> list[str]:
    """The kinds of authorisation a partner's connections may have."""
    spec = partner.file.connection
    return list(dict.fromkeys(choice.scheme.kind for choice in spec.auth)) if spec is not None else []


def signs_in(partner: Partner) -> bool:
    """Whether customers sign in at the partner itself, with an OAuth app."""
    spec = partner.file.connection
    return spec is not None and any(choice.scheme.by_link_only for choice in spec.auth)


def partner_entry(partner: Partner, origin: str) -> Entry:
    """A partner as it is listed."""
    file = partner.file
    logo = f"{origin}/partners/{file.id}/logo.svg"
    item = {
        "partnerId": file.id,
        "title": file.title,
        "titleEn": file.titles.get("en", file.title),
        "titles": {"en": file.title} | file.titles,
        "description": file.description,
        "descriptionEn": file.description,
        "logo": {"100x100": logo, "original": logo},
        "deprecated": file.status == "deprecated",
        "region": list(file.region),
        "slug": file.slug,
        "categories": list(file.categories),
        "authTypes": auth_types(partner),
        "actionsCount": len(partner.actions),
        "triggersCount": len(partner.triggers),
        "verified": {"how": file.verified.how, "on": file.verified.on.isoformat()},
    }
    return Entry(item, _words((3, file.title), (2, file.slug), (1, " ".join(file.categories)), (0.5, file.description)))


def operation_entry(partner: Partner, operation: Operation) -> Entry:
    """An operation as it is listed."""
    item = {
        "triggerActionId": operation.id,
        "partnerId": partner.file.id,
        "name": operation.name,
        "title": operation.title,
        "description": operation.description,
        "descriptionEn": operation.description,
        "isAction": isinstance(operation, Action),
        "deprecated": operation.deprecated or partner.file.status == "deprecated",
        "kind": operation.kind,
        "isRunnable": operation.kind != "webhookTrigger",
        "readOnly": operation.read_only,
        "idempotent": operation.idempotent,
        "destructive": operation.destructive,
        "version": partner.digest[:12],
    }
    words = _words((3, operation.title), (2, operation.name.replace("_", " ")), (2, partner.file.title), (0.5, operation.description))
    return Entry(item, words)


def _words(*texts: tuple[float, str]) -> tuple[tuple[float, str], ...]:
    found: dict[str, float] = {}
    for weight, text in texts:
        for word in text.casefold().replace("-", " ").split():
            clean = word.strip(".,;:()\"'")
            found[clean] = max(weight, found.get(clean, 0))
    return tuple((weight, word) for word, weight in found.items() if word)


Test = Callable[[Item, str], bool]


def _whole(key: str) -> Test:
    return lambda item, value: str(item[key]) == value


def _flag(key: str) -> Test:
    return lambda item, value: item[key] is (value in {"1", "true"})


def _same_text(key: str) -> Test:
    return lambda item, value: str(item[key]).casefold() == value.casefold()


def _like(key: str) -> Test:
    return lambda item, value: value.casefold() in str(item[key]).casefold()


PARTNER_FILTERS: Final[Mapping[tuple[str, str], Test]] = {
    ("title", "eq"): _same_text("title"),
    ("title", "like"): _like("title"),
    ("partnerId", "eq"): _whole("partnerId"),
    ("deprecated", "eq"): _flag("deprecated"),
    ("slug", "eq"): _whole("slug"),
    ("slug", "like"): _like("slug"),
    ("category", "eq"): lambda item, value: value.casefold() in [name.casefold() for name in item["categories"]],
}
OPERATION_FILTERS: Final[Mapping[tuple[str, str], Test]] = {
    ("partnerId", "eq"): _whole("partnerId"),
    ("isAction", "eq"): _flag("isAction"),
    ("title", "eq"): _same_text("title"),
    ("title", "like"): _like("title"),
    ("deprecated", "eq"): _flag("deprecated"),
    ("kind", "eq"): _whole("kind"),
}
_FLAGS: Final = frozenset({"deprecated", "isAction"})
_SORTS: Final = frozenset({"title", "partnerId", "triggerActionId"})


def select(entries: Sequence[Entry], wanted: Wanted, tests: Mapping[tuple[str, str], Test]) -> Page:
    """A page of a list. Raises ``ValidationFailed`` for a filter or a sort that there is not."""
    faults: list[Fault] = []
    query: str | None = None
    found = list(entries)
    for (name, operator), value in wanted.filters.items():
        if (name, operator) == ("q", "eq"):
            query = value
        elif (name, operator) not in tests:
            known = ", ".join(sorted(f"filter[{key}]" + ("" if how == "eq" else f"[{how}]") for key, how in tests))
            faults.append(Fault(path=f"filter[{name}]", code="unknown_filter", message=f"There is no such filter; there are: {known}."))
        elif name in _FLAGS and value not in {"0", "1", "true", "false"}:
            faults.append(Fault(path=f"filter[{name}]", code="wrong_type", message="This filter takes 0 or 1."))
        else:
            test = tests[(name, operator)]
            found = [entry for entry in found if test(entry.item, value)]
    key = wanted.sort.removeprefix("-") if wanted.sort is not None else None
    if key is not None and (key not in _SORTS or (entries and key not in entries[0].item)):
        faults.append(Fault(path="sort", code="unknown_sort", message="Lists of the catalogue are sorted by title or -title."))
    if faults:
        raise ValidationFailed.of(*faults)
    if query is not None:
        found = _ranked(found, query)
    if key is not None:
        found.sort(key=lambda entry: _sort_key(entry.item[key]), reverse=wanted.sort is not None and wanted.sort.startswith("-"))
    start = (wanted.page - 1) * wanted.per_page
    items = [entry.item for entry in found[start : start + wanted.per_page]]
    return Page(items=items, page=wanted.page, per_page=wanted.per_page, total=len(found))


def _sort_key(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _ranked(entries: Sequence[Entry], query: str) -> list[Entry]:
    """The entries in which every word of the query is found, the best first; words may be prefixes or have a typo."""
    words = query.casefold().split()[:12]
    scored = [(_score(entry, words), position, entry) for position, entry in enumerate(entries)]
    return [entry for score, _position, entry in sorted(scored, key=lambda row: (-row[0], row[1])) if score > 0]


def _score(entry: Entry, words: Sequence[str]) -> float:
    total = 0.0
    for wanted in words:
        best = max((weight * _closeness(wanted, word) for weight, word in entry.words), default=0.0)
        if best == 0:
            return 0
        total += best
    return total


def _closeness(wanted: str, word: str) -> float:
    if wanted == word:
        return _EXACT
    if word.startswith(wanted):
        return _PREFIX
    if len(wanted) >= 3 and wanted in word:
        return _INSIDE
    if len(wanted) < 4 or abs(len(wanted) - len(word)) > 3:
        return 0
    ratio = fuzz.ratio(wanted, word)
    return ratio / 100 * _INSIDE if ratio >= FUZZY_LEAST else 0
