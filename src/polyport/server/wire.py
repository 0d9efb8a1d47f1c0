"""The wire's own habits: request bodies, lists and their filters, envelopes. Pure, but for reading the body."""

from __future__ import annotations

import json
import re
import unicodedata
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from polyport.errors import Fault, MalformedJson, PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from polyport.paths import Step, format_path
from polyport.server.cursors import from_cursor, to_cursor
from polyport.store.rows import After

PER_PAGE: Final = 20
PER_PAGE_MOST: Final = 100
PAGE_MOST: Final = 1_000_000
FAULTS_MOST: Final = 1_000
LOOKED_AT_MOST: Final = 100_000
USER_ID_LONGEST: Final = 300

Item = TypeVar("Item")
FORM: Final = "application/x-www-form-urlencoded"

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_FILTER: Final = re.compile(r"filter\[([A-Za-z][A-Za-z0-9_]{0,60})\](?:\[([a-z]{1,20})\])?")
FIRST_OF_EACH: Final = "polyport.headers"  # where in a request's scope the first value of each header stands
_NOT_IN_A_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def user_id_fault(value: object) -> tuple[str, str] | None:
    """What is wrong with the id of an end user, as code and message. It is any text in one line, compared character by character."""
    if not isinstance(value, str) or not 1 <= len(value) <= USER_ID_LONGEST:
        return "wrong_type", f"A text of 1 to {USER_ID_LONGEST} characters is needed here."
    if any(unicodedata.category(char) in _NOT_IN_A_LINE for char in value):
        return "wrong_format", "The id of a user has no line breaks and no control characters."
    return None


def _in_a_line(value: str) -> str:
    told = user_id_fault(value)
    if told is not None:
        raise PydanticCustomError("wrong_format", "{told}", {"told": told[1].removesuffix(".")})
    return value


_UNSEEN: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters, by their category, that show nothing


def _is_seen(value: str) -> str:
    """Raise for a title of which nobody sees anything."""
    if value and all(unicodedata.category(char)[0] in "CMZ" or char in _UNSEEN for char in value):
        raise PydanticCustomError("required", "a text of which something can be seen is needed here")
    return value


Seen = AfterValidator(_is_seen)  # what titles have in common: who reads a list has to see something of each
ExternalUserId = Annotated[str, Field(min_length=1, max_length=USER_ID_LONGEST), AfterValidator(_in_a_line)]


def encode(value: Any) -> bytes:
    """JSON; decimals are written with their digits."""
    return _ENCODER.encode(value)


def success(data: Any, meta: Mapping[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """The envelope of a success; a method without a result answers with an empty list."""
    body: dict[str, Any] = {"success": True, "data": [] if data is None else data}
    if meta is not None:
        body["meta"] = meta
    return body | extra


def page_meta(page: int, per_page: int, total: int) -> dict[str, int]:
    """``meta`` of a list."""
    return {"page": page, "totalPages": max(1, -(-total // per_page)), "totalItemsCount": total}


def cursor_meta(per_page: int, total: int, following: str | None) -> dict[str, Any]:
    """``meta`` of a list that is read by cursor."""
    return {"perPage": per_page, "nextCursor": following, "hasMore": following is not None, "totalItemsCount": total}


_NO_FORM: Final = "This is no form as browsers send it, so nothing was done."
_AS_IT_IS: Final = frozenset({"", "identity"})


def header(request: HttpRequest, name: bytes) -> str | None:
    """The first value of a header, by its name in small letters; the framework's own mapping goes five calls deep for each."""
    scope = request.scope
    told = scope.get(FIRST_OF_EACH)
    if told is None:
        told = scope[FIRST_OF_EACH] = dict(reversed(scope["headers"]))
    value = told.get(name)
    return None if value is None else str(value, "latin-1")


async def read_body(request: HttpRequest, limit: int, media: str = "application/json") -> bytes:
    """The body of a request. Raises ``PayloadTooLarge`` before more than ``limit`` bytes are held, ``UnsupportedMediaType`` for what is not ``media``, or is compressed."""
    told = header(request, b"content-length")
    if told is not None and told.isdecimal() and int(told) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
    chunks: list[bytes] = []
    size, more = 0, True
    while more:  # by hand: for the one message that a body nearly always is, the framework's stream costs more than the reading
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    kind = header(request, b"content-type")
    if body and kind is not None and kind != media and not _is(media, kind):
        raise UnsupportedMediaType(_NO_FORM if media == FORM else None)
    encoding = header(request, b"content-encoding")
    if body and encoding is not None and encoding.strip().lower() not in _AS_IT_IS:
        raise UnsupportedMediaType("Compressed bodies are not taken here: send the body as it is, without Content-Encoding.")
    return body


def _is(media: str, kind: str) -> bool:
    name = kind.partition(";")[0].strip().lower()
    return name == media or (media == "application/json" and name.endswith("+json"))


class _Doubled(dict[str, Any]):
    """An object in which keys stood twice; ``doubled`` names them."""

    doubled: tuple[str, ...] = ()


class _DoubledKeyError(Exception):
    """A key stands twice somewhere; a second, slower reading finds out where."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DoubledKeyError
    return found


def _marked_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    marked = _Doubled(pairs)
    if len(marked) != len(pairs):
        marked.doubled = tuple(key for key, count in Counter(key for key, _value in pairs).items() if count > 1)
    return marked


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=Decimal, parse_constant=_refuse)
_MARKING_DECODER: Final = json.JSONDecoder(object_pairs_hook=_marked_pairs, parse_float=Decimal, parse_constant=_refuse)
_QUICK: Final = msgspec.json.Decoder(float_hook=Decimal)
_UNSURE: Final = object()


def _read_quickly(body: bytes) -> Any:
    """The value of a body by a decoder that takes a ninth of the time and says nothing of keys that stand twice, or ``_UNSURE``.

    Without escapes of characters, each colon of a body stands after a key or in a text: written again, the value has as many, unless a key stood twice. What is
    no JSON is told by the slower reading too, with its place.
    """
    if b"\\u" in body:
        return _UNSURE
    try:
        value = _QUICK.decode(body)
        colons = encode(value).count(b":")
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return _UNSURE
    return value if colons == body.count(b":") else _UNSURE


def parse_json(body: bytes, depth_limit: int) -> Any:
    """The value of a body; numbers with a fraction keep their digits.

    Raises ``MalformedJson`` for what is no JSON (NaN, broken UTF-8, nothing at all), ``ValidationFailed`` for a key that stands twice, for
    half a character pair and for nesting beyond the limit.
    """
    value = _read_quickly(body)
    if value is not _UNSURE:
        if body.count(b"[") + body.count(b"{") > depth_limit:
            _check_depth(value, depth_limit)
        return value
    return _read_thoroughly(body, depth_limit)


def _read_thoroughly(body: bytes, depth_limit: int) -> Any:
    try:
        text = str(body[3:] if body[:3] == BOM_UTF8 else body, "utf-8")  # some clients cannot help putting a byte order mark in front
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except _DoubledKeyError:
        raise _doubled(text, depth_limit) from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not valid JSON (line {error.lineno}, column {error.colno}).") from None
    except (ValueError, ArithmeticError):
        raise MalformedJson("The body holds a number that JSON does not know or that is too long.") from None
    except RecursionError:
        raise _too_deep(depth_limit) from None
    if text.count("[") + text.count("{") > depth_limit:
        _check_depth(value, depth_limit)
    if _SURROGATE.search(text) and not _is_whole(value):
        raise _located(value, Fault(path="", code="invalid_text", message="A text in here has half of a character pair."))
    return value


def _doubled(text: str, depth_limit: int) -> ValidationFailed | MalformedJson:
    """The error that says where keys stand twice."""
    try:
        value = _MARKING_DECODER.decode(text)
        _check_depth(value, depth_limit)
    except ValidationFailed as error:
        return error
    except (ValueError, ArithmeticError, RecursionError):
        return MalformedJson()
    return _located(value, Fault(path="", code="duplicate_key", message="A key stands twice in one object."))


def _too_deep(limit: int) -> ValidationFailed:
    return ValidationFailed.of(Fault(path="", code="too_deep", message=f"The body nests more than {limit} levels."))


def _check_depth(value: Any, limit: int) -> None:
    """Raise ``ValidationFailed`` for what nests deeper; level by level, since bodies may hold millions of containers."""
    level = [value]
    for _depth in range(limit + 1):
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise _too_deep(limit)


def _is_whole(value: Any) -> bool:
    """Whether no text in it has half of a character pair: only then can it be written as UTF-8."""
    try:
        _ENCODER.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _halved(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _located(value: Any, otherwise: Fault) -> ValidationFailed:
    """Where keys stand twice and characters are halved: the first so many places, found within so many steps, else ``otherwise``."""
    faults: list[Fault] = []
    pending: list[tuple[Any, tuple[Step, ...]]] = [(value, ())]
    for _step in range(LOOKED_AT_MOST):
        if not pending or len(faults) >= FAULTS_MOST:
            break
        item, path = pending.pop()
        if isinstance(item, str):
            if _halved(item):
                faults.append(Fault(path=format_path(path), code="invalid_text", message="This text has half of a character pair."))
        elif isinstance(item, list):
            pending.extend((inner, (*path, index)) for index, inner in enumerate(item))
        elif isinstance(item, dict):
            if any(map(_halved, item)):
                faults.append(Fault(path=format_path(path), code="invalid_text", message="A key in here has half of a character pair."))
                continue  # a path with such a key could not be told
            if isinstance(item, _Doubled):
                faults.extend(
                    Fault(path=format_path((*path, key)), code="duplicate_key", message="This key stands twice in one object.")
                    for key in item.doubled[:FAULTS_MOST]
                )
            pending.extend((inner, (*path, key)) for key, inner in item.items())
    return ValidationFailed.of(*faults or [otherwise])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What a list is asked for. ``filters`` maps (field, operator) to a value; operators are ``eq`` and ``like``. With a ``cursor`` it goes on from item to item."""

    page: int = 1
    cursor: str | None = None
    per_page: int = PER_PAGE
    sort: str | None = None
    filters: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        """How many items come before the page."""
        return (self.page - 1) * self.per_page

    @property
    def limit(self) -> int:
        """How many items are read for the page: by cursor one more, which tells whether there is another page."""
        return self.per_page + (self.cursor is not None)

    def after(self, *kinds: type) -> After | None:
        """After which item the page begins; ``kinds`` are the types of what places one. Raises ``ValidationFailed``."""
        return from_cursor(self.cursor, self.sort, kinds) if self.cursor is not None else None

    def cut(self, found: Sequence[Item], total: int, place: Callable[[Item], After]) -> tuple[Sequence[Item], dict[str, Any]]:
        """The items of the page, and its ``meta``; ``place`` says of an item what ``after`` gives."""
        if self.cursor is None:
            return found, page_meta(self.page, self.per_page, total)
        shown = found[: self.per_page]
        following = to_cursor(self.sort, place(shown[-1])) if len(found) > self.per_page else None
        return shown, cursor_meta(self.per_page, total, following)

    def leaf(self, whole: Sequence[Item], mark: Callable[[Item], Any]) -> tuple[Sequence[Item], dict[str, Any]]:
        """The page of a short list that is read whole, in the order of its marks (all numbers, or all texts); without a cursor all of it, on one page."""
        if self.cursor is None:
            return whole, page_meta(1, max(1, len(whole)), len(whole))
        after = self.after(type(mark(whole[0])) if whole else str)
        rest = [each for each in whole if after is None or mark(each) > after[0]]
        return self.cut(rest[: self.limit], len(whole), lambda each: (mark(each),))


def read_list_query(query: QueryParams, plain: Sequence[str] = (), *, numbered: bool = True) -> ListQuery:
    """The query of a list. ``plain`` names parameters that also stand without ``filter[...]`` around them (``q``). Lists that go on by cursor are not ``numbered``.

    Raises ``ValidationFailed`` with every fault; parameters that are none of a list's are ignored.
    """
    faults: list[Fault] = []
    page = _number(query.get("page"), "page", 1, PAGE_MOST, 1, faults)
    per_page = _number(query.get("per-page"), "per-page", 1, PER_PAGE_MOST, PER_PAGE, faults)
    filters: dict[tuple[str, str], str] = {}
    for name, value in query.multi_items():
        if name in plain:
            if (name, "eq") in filters:
                faults.append(Fault(path=name, code="duplicate_key", message="This filter stands twice."))
            filters[(name, "eq")] = value
            continue
        if not name.startswith("filter"):
            continue
        found = _FILTER.fullmatch(name)
        if found is None or (found[2] or "eq") not in {"eq", "like"}:
            faults.append(
                Fault(
                    path=name[:80], code="malformed_filter", message="A filter is written filter[field]=value or filter[field][like]=value."
                )
            )
        elif (found[1], found[2] or "eq") in filters:
            faults.append(Fault(path=name, code="duplicate_key", message="This filter stands twice."))
        else:
            filters[(found[1], found[2] or "eq")] = value
    if not numbered and page != 1:
        message = "This list has no numbered pages: meta.nextCursor of a page leads to the next, as cursor."
        faults.append(Fault(path="page", code="out_of_range", message=message))
    elif numbered and query.get("cursor") and query.get("page"):
        faults.append(Fault(path="page", code="out_of_range", message="A list is read by page or by cursor, not by both."))
    if faults:
        raise ValidationFailed.of(*faults)
    return ListQuery(
        page=page,
        per_page=per_page,
        sort=query.get("sort") or None,
        filters=filters,
        cursor=query.get("cursor") or None if numbered else None,
    )


def _number(text: str | None, name: str, least: int, most: int, default: int, faults: list[Fault]) -> int:
    if text is None or text == "":
        return default
    if text.isascii() and text.isdecimal() and len(text) <= 9 and least <= int(text) <= most:
        return int(text)
    faults.append(Fault(path=name, code="out_of_range", message=f"A whole number from {least} to {most} is needed here."))
    return default


def id_filter(value: str | None, path: str) -> int | None:
    """The id in a filter. Raises ``ValidationFailed``."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal() and len(value) <= 16:
        return int(value)
    raise ValidationFailed.of(Fault(path=path, code="wrong_type", message="An id (a whole number) is needed here."))


def yes_or_no(value: str | None, path: str) -> bool | None:
    """The yes or no of a filter. Raises ``ValidationFailed``."""
    if value is None or value in {"true", "false"}:
        return None if value is None else value == "true"
    raise ValidationFailed.of(Fault(path=path, code="wrong_type", message="This is true or false."))


def known_filters(filters: Mapping[tuple[str, str], str], known: Sequence[tuple[str, str]]) -> None:
    """Raise ``ValidationFailed`` that names every filter that there is not."""
    listed = ", ".join(f"filter[{name}]" + ("" if operator == "eq" else f"[{operator}]") for name, operator in known)
    faults = [
        Fault(path=f"filter[{name}]", code="unknown_filter", message=f"There is no such filter; there are: {listed}.")
        for name, operator in filters
        if (name, operator) not in known
    ]
    if faults:
        raise ValidationFailed.of(*faults)
