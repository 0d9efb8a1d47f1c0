"""Pagers: how the next page of a list is asked for. Each kind is one class; ``Pager`` is the open set.

A pager does no I/O. ``first`` gives the values that ``{{page}}`` holds for the first request; ``following`` looks at an answer and gives those for the
next one, or ``None`` at the end. What it gives is plain JSON, so it can also travel as a cursor between calls of a trigger. ``Walk`` is one reading of a
list: it notices partners that send in circles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from polyport.net.message import Reply
from polyport.paths import MISSING, Path, get, read_path

Page = dict[str, Any]
At = Annotated[Path, BeforeValidator(read_path, json_schema_input_type=str | list[str | int])]

LINK_LIMIT: Final = 16_000
_LINK: Final = re.compile(r'<([^<>]{1,4000})>((?:\s*;\s*[\w*]{1,40}="?[^",;<>]{0,400}"?)*)', re.ASCII)
_ATTRIBUTE: Final = re.compile(r';\s*([\w*]{1,40})=(?:"([^"]*)"|([^",;<>\s]*))', re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,15}", re.ASCII)


class _Pager(BaseModel):
    """What pagers share.

    ``size`` is the page size asked for, as ``{{page.size}}``. ``end`` are paths of flags in the answer: the list ends when one of them is there and true (``isLastPage``).
    ``max_pages`` and ``max_items`` are how far the partner lets anyone read; nothing is asked for beyond them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, arbitrary_types_allowed=True, defer_build=True
    )

    size: int = Field(default=100, ge=1, le=10_000)
    end: tuple[At, ...] = ()
    max_pages: int | None = Field(default=None, ge=1, le=1_000_000)
    max_items: int | None = Field(default=None, ge=1, le=1_000_000_000)

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size}

    def following(self, page: Page, answer: Any, reply: Reply, items: list[Any]) -> Page | None:
        """The values of ``{{page}}`` for the next request, or ``None`` at the end of the list."""
        if any(_is_true(get(answer, path)) for path in self.end):
            return None
        told = self._next(page, answer, reply, items)
        if told is None:
            return None
        found = {"size": page["size"], **told}
        if self.max_pages is not None:
            found["read"] = page.get("read", 0) + 1
            if found["read"] >= self.max_pages:
                return None
        if self.max_items is not None:
            found["seen"] = page.get("seen", 0) + len(items)
            if found["seen"] >= self.max_items:
                return None
        return found

    def _next(self, page: Page, answer: Any, reply: Reply, items: list[Any]) -> Page | None:
        raise NotImplementedError  # pragma: no cover  every kind has its own


class CursorPager(_Pager):
    """The answer holds a token for the next page: ``{{page.cursor}}``.

    It stands at ``next`` in the body, or in a ``header``. With ``param`` a URL stands there, and the token is this parameter of it. ``more`` is the path of a flag
    that ends the list when it is false. ``start`` is the token of the first page, where the partner wants one.
    """

    kind: Literal["cursor"]
    next: At | None = None
    header: str | None = None
    param: str | None = None
    more: At | None = None
    start: str | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.next is None) == (self.header is None):
            raise ValueError("say where the token for the next page stands: next or header")
        return self

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size} | ({"cursor": self.start} if self.start is not None else {})

    def _next(self, page: Page, answer: Any, reply: Reply, _items: list[Any]) -> Page | None:
        token = reply.header(self.header) if self.header is not None else get(answer, self.next or ())
        if self.param is not None:
            token = _parameter(token, self.param)
        if token is MISSING or token is None or token in ("", page.get("cursor")) or isinstance(token, dict | list | bool):
            return None
        if self.more is not None and get(answer, self.more) in (False, None, MISSING, 0):
            return None
        return {"cursor": token}


class NumberPager(_Pager):
    """Pages are numbered from ``start``: ``{{page.number}}``.

    Ends at the last of ``total`` pages, at ``totalItems`` items, at a false ``more`` flag, or, where the partner tells none of these, with a page that is not full;
    with ``untilEmpty`` only with one that is empty.
    """

    kind: Literal["page"]
    start: int = 1
    total: At | None = None
    total_items: At | None = None
    more: At | None = None
    until_empty: bool = False

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size, "number": self.start}

    def _next(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        read = page["number"] - self.start + 1
        total, counted = _count(answer, self.total), _count(answer, self.total_items)
        more = get(answer, self.more) if self.more is not None else MISSING
        if total is not None:
            done = read >= total
        elif counted is not None:
            done = read * page["size"] >= counted
        elif more is not MISSING:
            done = not more
        else:
            done = not self.until_empty and len(items) < page["size"]
        return None if done or not items else {"number": page["number"] + 1}


class OffsetPager(_Pager):
    """Items are skipped: ``{{page.offset}}``, counted from ``start`` (SCIM counts from 1).

    The next offset is behind the items that came, or with ``step: size`` a whole page further, whatever came. Ends at ``total`` items, at a false ``more`` flag, or
    with a page that is not full; with ``untilEmpty`` only with one that is empty.
    """

    kind: Literal["offset"]
    start: int = Field(default=0, ge=0, le=1)
    step: Literal["items", "size"] = "items"
    total: At | None = None
    more: At | None = None
    until_empty: bool = False

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size, "offset": self.start}

    def _next(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        offset = page["offset"] + (len(items) if self.step == "items" else page["size"])
        total = _count(answer, self.total)
        more = get(answer, self.more) if self.more is not None else MISSING
        if total is not None:
            done = offset - self.start >= total
        elif more is not MISSING:
            done = not more
        else:
            done = not self.until_empty and len(items) < page["size"]
        return None if done or not items else {"offset": offset}


class NextUrlPager(_Pager):
    """The answer holds the URL of the next page, whole or from its path on; it has to be on the same host as the first."""

    kind: Literal["next_url"]
    next: At
    more: At | None = None

    def _next(self, page: Page, answer: Any, _reply: Reply, _items: list[Any]) -> Page | None:
        url = get(answer, self.next)
        if self.more is not None and get(answer, self.more) in (False, None, MISSING, 0):
            return None
        return {"url": url} if isinstance(url, str) and url and url != page.get("url") else None


class LinkPager(_Pager):
    """A header names the next page by its relation (RFC 8288); it has to be on the same host as the first.

    ``attribute`` is one that the link must have besides with the value ``value``, such as Sentry's ``results="true"``: there is a link on the last page too.
    """

    kind: Literal["link"]
    header: str = "Link"
    rel: str = "next"
    attribute: str | None = None
    value: str = "true"

    def _next(self, page: Page, _answer: Any, reply: Reply, _items: list[Any]) -> Page | None:
        for url, attributes in _links(reply, self.header):
            if self.rel.lower() not in attributes.get("rel", "").lower().split() or url == page.get("url"):
                continue
            if self.attribute is None or attributes.get(self.attribute.lower()) == self.value:
                return {"url": url}
        return None


class LastIdPager(_Pager):
    """The next page starts after the last item: ``{{page.after}}`` is its ``key``; with ``take: first`` that of the first item.

    Ends at a false ``more`` flag, or with a page that is not full; with ``untilEmpty`` only with one that is empty.
    """

    kind: Literal["last_id"]
    key: At
    take: Literal["last", "first"] = "last"
    more: At | None = None
    until_empty: bool = False

    def _next(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        last = get(items[-1 if self.take == "last" else 0], self.key) if items else MISSING
        if last is MISSING or last is None or isinstance(last, dict | list | bool) or last == page.get("after"):
            return None
        more = get(answer, self.more) if self.more is not None else self.until_empty or len(items) >= page["size"]
        return {"after": last} if more is not MISSING and more else None


Pager = Annotated[
    CursorPager | NumberPager | OffsetPager | NextUrlPager | LinkPager | LastIdPager,
    Field(discriminator="kind"),
]

KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "cursor": CursorPager,
    "page": NumberPager,
    "offset": OffsetPager,
    "next_url": NextUrlPager,
    "link": LinkPager,
    "last_id": LastIdPager,
}


class Walk:
    """One reading of a list: pages in their order, each place at most once."""

    def __init__(self, pager: Pager | None) -> None:
        self._pager = pager
        self._been: set[tuple[Any, ...]] = set()

    def following(self, page: Page | None, answer: Any, reply: Reply, items: list[Any]) -> Page | None:
        """The next page, or ``None`` at the end; also where the partner leads back to a place that was read."""
        if self._pager is None or page is None:
            return None
        self._been.add(_place(page))
        found = self._pager.following(page, answer, reply, items)
        return None if found is None or _place(found) in self._been else found


def _place(page: Page) -> tuple[Any, ...]:
    return tuple(page.get(name) for name in ("cursor", "number", "offset", "after", "url"))


def _is_true(value: Any) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1", "yes"})


def _count(answer: Any, path: Path | None) -> int | None:
    """A whole number, also one that the partner writes as a text."""
    found = get(answer, path) if path is not None else None
    if isinstance(found, str) and _DIGITS.fullmatch(found):
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _parameter(url: Any, name: str) -> str | None:
    if not isinstance(url, str) or len(url) > LINK_LIMIT:
        return None
    try:
        query = urlsplit(url).query or url.partition("?")[2]
    except ValueError:
        return None
    return dict(parse_qsl(query)).get(name)


def _links(reply: Reply, header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The links of a header (it may stand several times) with their attributes, names in small letters."""
    folded = header.lower()
    text = ", ".join(value for name, value in reply.headers if name.lower() == folded)[:LINK_LIMIT]
    for found in _LINK.finditer(text):
        yield found[1], {name.lower(): quoted or plain for name, quoted, plain in reversed(_ATTRIBUTE.findall(found[2]))}
