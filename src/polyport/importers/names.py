"""Names and ids: what a person would call an operation or a field, unique where they have to be, the same at every import."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

LONGEST: Final = 60
FIRST_PARTNER: Final = 1_000_000
LAST_PARTNER: Final = 2_000_000_000
FIRST_OPERATION: Final = 2**40
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_HOLE: Final = re.compile(r"\{[^}]*\}")
_VERSION: Final = re.compile(r"v?\d+(?:[._]\d+)*(?:alpha|beta)?\d*", re.IGNORECASE)
_VERBS: Final = {
    "GET": "get",
    "POST": "create",
    "PUT": "replace",
    "PATCH": "update",
    "DELETE": "delete",
    "HEAD": "check",
    "OPTIONS": "options",
    "TRACE": "trace",
}
_SHORT: Final = frozenset(
    {
        "id",
        "url",
        "uri",
        "api",
        "ip",
        "sms",
        "html",
        "json",
        "csv",
        "pdf",
        "vat",
        "iban",
        "utc",
        "uuid",
        "sku",
        "crm",
        "http",
        "https",
        "ssl",
        "dns",
    }
)
# Words of the templates, and those that the language keeps for itself.
RESERVED: Final = frozenset(
    {
        "connection",
        "custom",
        "steps",
        "now",
        "random",
        "page",
        "window",
        "limit",
        "run",
        "captured",
        "each",
        "index",
        "answer",
        "item",
        "query",
        "hook",
        "subscription",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What names and ids are made with: those that are taken, and those of an earlier import.

    Ids are told by the ``slug``, from ``first`` on.
    """

    slug: str
    first: int = FIRST_OPERATION
    taken: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    kept_ids: Mapping[str, int] = field(default_factory=dict)
    kept_names: Mapping[str, str] = field(default_factory=dict)


def words(text: str) -> list[str]:
    """The words of an identifier, in small letters."""
    return list(_words(text))


@lru_cache(maxsize=20_000)
def _words(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for piece in _WORD.findall(text) for word in _CAMEL.split(piece) if word)


@lru_cache(maxsize=20_000)
def snake(text: str, fallback: str = "value") -> str:
    """A name made of an identifier or a text."""
    found = "_".join(words(text))[:LONGEST].strip("_")
    if not found:
        found = fallback
    return found if found[0].isalpha() else f"n_{found}"[:LONGEST]


@lru_cache(maxsize=20_000)
def title(text: str) -> str:
    """A label made of an identifier: ``first_name`` becomes ``First name``."""
    found = [word.upper() if word in _SHORT else word for word in words(text)]
    if not found:
        return text[:LONGEST] or "Value"
    head = found[0]
    return " ".join([head if head.isupper() else head.capitalize(), *found[1:]])[:200]


@lru_cache(maxsize=20_000)
def field_name(text: str) -> str:
    """A field's public name: its own where that can be one, else one made of it."""
    kept = text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,59}", text) else snake(text)
    return f"{kept}_" if kept in RESERVED else kept


def unique(name: str, taken: set[str], longest: int = 100) -> str:
    """The name, or the first with a number behind it that is not taken; it is taken from here on. Letters count alike in any case."""
    found, number = name[:longest], 2
    while found.lower() in taken:
        tail = f"_{number}"
        found, number = name[: longest - len(tail)] + tail, number + 1
    taken.add(found.lower())
    return found


def operation_name(method: str, path: str, given: str) -> str:
    """An operation's name: its id where that says something, else what its method and path say."""
    told = words(given)
    telling = [word for word in told if not word.isdigit()]
    if telling and len(given) <= 120 and not given.startswith("/"):
        return snake("_".join(told))
    return snake("_".join([_VERBS.get(method, method.lower()), *_path_words(path)]), "call")


def operation_title(method: str, path: str, summary: str, given: str) -> str:
    """What people call an operation: its summary, else its id in words."""
    if summary and len(summary) <= 120:
        return summary.rstrip(". ")
    if telling := words(given.rpartition(".")[2] if "." in given and len(words(given.rpartition(".")[2])) > 1 else given):
        return title(" ".join(telling))
    return title(" ".join([_VERBS.get(method, method.lower()), *_path_words(path)]))


def _path_words(path: str) -> Iterator[str]:
    pieces = [piece for piece in path.split("/") if piece and not _VERSION.fullmatch(piece)]
    for place, piece in enumerate(pieces):
        if not _HOLE.fullmatch(piece):
            following = pieces[place + 1] if place + 1 < len(pieces) else ""
            found = words(_HOLE.sub(" ", piece))
            if _HOLE.fullmatch(following) and found:
                found[-1] = singular(found[-1])
            yield from found


def singular(word: str) -> str:
    """An English noun for one thing, as well as a rule can tell."""
    low = word.lower()
    if low.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if low.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if low.endswith("s") and not low.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def partner_id(slug: str, taken: Iterable[int] = ()) -> int:
    """A partner's id, told by its slug."""
    span, used = LAST_PARTNER - FIRST_PARTNER, set(taken)
    first = int.from_bytes(hashlib.sha256(f"partner/{slug}".encode()).digest()[:8]) % span
    return next(number for number in (FIRST_PARTNER + (first + step) % span for step in range(span)) if number not in used)


def operation_id(naming: Naming, what: str) -> int:
    """An operation's id, told by the partner's slug and what the operation is (method and path); it is taken from here on."""
    number = naming.first + int.from_bytes(hashlib.sha256(f"operation/{naming.slug}/{what}".encode()).digest()[:6])
    while number in naming.ids:
        number += 1
    naming.ids.add(number)
    return number
