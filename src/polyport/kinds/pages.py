"""Pagers: how the next page of a list is asked for. Each kind is one class; ``Pager`` is the open set.

A pager does no I/O. ``first`` gives the values that ``{{page}}`` holds for the first request; ``following`` looks at an answer and gives those for the
next one, or ``None`` at the end. What it gives is plain JSON, so it can also travel as a cursor between calls of a trigger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from polyport.net.message import Reply
from polyport.paths import MISSING, Path, get, read_path

Page = dict[str, Any]
At = Annotated[Path, BeforeValidator(read_path)]

_LINK: Final = re.compile(r'<([^<>]{1,4000})>((?:\s*;\s*[\w*]{1,40}="?[^",;<>]{0,400}"?)*)', re.ASCII)
_NEXT: Final = re.compile(r';\s*rel=(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=\s*(?:;|$)))', re.ASCII | re.IGNORECASE)


class _Pager(BaseModel):
    """What pagers share: ``size`` is the page size asked for, as ``{{page.size}}``."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, arbitrary_types_allowed=True)

    size: int = Field(default=100, ge=1, le=10_000)

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size}


class CursorPager(_Pager):
    """The answer holds a token for the next page: ``{{page.cursor}}``. ``more`` is the path of a flag that ends the list when false."""

    kind: Literal["cursor"]
    next: At | None = None
    header: str | None = None
    more: At | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.next is None) == (self.header is None):
            raise ValueError("say where the token for the next page stands: next or header")
        return self

    def following(self, page: Page, answer: Any, reply: Reply, _items: list[Any]) -> Page | None:
        """The next page, as long as the answer gives a token."""
        token = reply.header(self.header) if self.header is not None else get(answer, self.next or ())
        if token is MISSING or token is None or token in ("", page.get("cursor")) or isinstance(token, dict | list | bool):
            return None
        if self.more is not None and get(answer, self.more) in (False, None, MISSING, 0):
            return None
        return {"size": page["size"], "cursor": token}


class NumberPager(_Pager):
    """Pages are numbered: ``{{page.number}}``. Ends at the last of ``total`` pages, or with a page that is not full."""

    kind: Literal["page"]
    start: int = 1
    total: At | None = None

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size, "number": self.start}

    def following(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        """The next number."""
        total = get(answer, self.total) if self.total is not None else MISSING
        done = page["number"] - self.start + 1 >= total if isinstance(total, int) else len(items) < page["size"]
        return None if done or not items else {"size": page["size"], "number": page["number"] + 1}


class OffsetPager(_Pager):
    """Items are skipped: ``{{page.offset}}``. Ends at ``total`` items, at a false ``more`` flag, or with a page that is not full."""

    kind: Literal["offset"]
    total: At | None = None
    more: At | None = None

    def first(self) -> Page:
        """The values of ``{{page}}`` for the first request."""
        return {"size": self.size, "offset": 0}

    def following(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        """The next offset."""
        offset = page["offset"] + len(items)
        total = get(answer, self.total) if self.total is not None else MISSING
        more = get(answer, self.more) if self.more is not None else MISSING
        if isinstance(total, int):
            done = offset >= total
        elif more is not MISSING:
            done = not more
        else:
            done = len(items) < page["size"]
        return None if done or not items else {"size": page["size"], "offset": offset}


class NextUrlPager(_Pager):
    """The answer holds the URL of the next page, whole or from its path on; it has to be on the same host as the first."""

    kind: Literal["next_url"]
    next: At

    def following(self, page: Page, answer: Any, _reply: Reply, _items: list[Any]) -> Page | None:
        """The next URL, as ``{{page.url}}``."""
        url = get(answer, self.next)
        return {"size": page["size"], "url": url} if isinstance(url, str) and url and url != page.get("url") else None


class LinkPager(_Pager):
    """The ``Link`` header names the next page (RFC 8288); it has to be on the same host as the first."""

    kind: Literal["link"]

    def following(self, page: Page, _answer: Any, reply: Reply, _items: list[Any]) -> Page | None:
        """The next URL, as ``{{page.url}}``."""
        for found in _LINK.finditer((reply.header("link") or "")[:16_000]):
            if _NEXT.search(found[2]) and found[1] != page.get("url"):
                return {"size": page["size"], "url": found[1]}
        return None


class LastIdPager(_Pager):
    """The next page starts after the last item: ``{{page.after}}``."""

    kind: Literal["last_id"]
    key: At
    more: At | None = None

    def following(self, page: Page, answer: Any, _reply: Reply, items: list[Any]) -> Page | None:
        """The id of the last item."""
        last = get(items[-1], self.key) if items else MISSING
        if last is MISSING or last is None or isinstance(last, dict | list | bool) or last == page.get("after"):
            return None
        more = get(answer, self.more) if self.more is not None else len(items) >= page["size"]
        return {"size": page["size"], "after": last} if more is not MISSING and more else None


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
