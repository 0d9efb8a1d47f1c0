"""Filters over URLs (RFC 3986). A URL has at most 10,000 characters; its query at most 1,000 parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from polyport.kinds.filters.data import from_object
from polyport.kinds.filters.limits import ITEM_LIMIT, bytes_of, given, list_of, rows_of, text_of
from polyport.paths import MISSING
from polyport.template import Filter, RenderFault, to_text

URL_LIMIT: Final = 10_000
PARAMETER_LIMIT: Final = 1_000


def parse_url(value: Any) -> dict[str, Any]:
    """A URL taken apart: scheme, user, host, port, path, segments (decoded parts of the path), query (as text), parameters (rows of name and value) and fragment.

    A password in it is left out. ``{{"https://example.com/a%20b?q=1" | parse_url | item: "segments"}}`` gives ``["a b"]``.
    """
    split = _split(value)
    try:
        pairs = parse_qsl(split.query, keep_blank_values=True, max_num_fields=PARAMETER_LIMIT)
    except ValueError:
        raise RenderFault(f"a query has at most {PARAMETER_LIMIT} parameters here") from None
    found = {
        "scheme": split.scheme,
        "user": unquote(split.username) if split.username is not None else None,
        "host": split.hostname,
        "port": split.port,
        "path": split.path,
        "segments": [unquote(segment) for segment in split.path.split("/") if segment],
        "query": split.query,
        "parameters": [{"name": name, "value": content} for name, content in pairs],
        "fragment": unquote(split.fragment),
    }
    return {name: part for name, part in found.items() if part is not None}


def build_url(value: Any, segments: Any = None, parameters: Any = None, fragment: Any = None) -> Any:
    """A URL with further segments of its path, further parameters of its query and a fragment, each percent-encoded as it has to be.

    Arguments: a list of segments, the parameters as rows of name and value or as an object (a list there repeats its name), and the fragment.
    ``{{"https://example.com/v1?a=1" | build_url: items, person}}`` gives ``"https://example.com/v1/b/a/b?a=1&name=Ada&age=36"``.
    """
    if value is MISSING:
        return MISSING
    split = _split(value)
    added = [_segment(segment) for segment in list_of(given(segments) or [])]
    path = "/".join((split.path.rstrip("/"), *added)) if added else split.path
    query = "&".join(
        part
        for part in (split.query, *(f"{_quoted(name)}={_quoted(content)}" for name, content in _pairs(given(parameters) or [])))
        if part
    )
    ending = split.fragment if given(fragment) is None else _quoted(fragment)
    url = urlunsplit((split.scheme, split.netloc, path, query, ending))
    if len(url) > URL_LIMIT:
        raise RenderFault(f"a URL has at most {URL_LIMIT} characters here")
    return url


build_url.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def _split(value: Any) -> SplitResult:
    """A URL with a scheme and a host. Raises ``RenderFault`` for anything else."""
    text = text_of(value).strip()
    bytes_of(text)
    if len(text) > URL_LIMIT:
        raise RenderFault(f"a URL has at most {URL_LIMIT} characters here")
    # Browsers and servers differ in what they make of these, so such a URL would mean one thing here and another there.
    if not any(letter <= " " or letter in "\\\x7f" for letter in text):
        with suppress(ValueError):
            split = urlsplit(text)
            if split.scheme and split.hostname and split.port != 0:
                return split
    raise RenderFault("this is no URL such as https://example.com/path?name=value")


def _segment(value: Any) -> str:
    text = to_text(value)
    if text in {"", ".", ".."}:
        raise RenderFault("a segment of a path is not empty and no dots alone")
    return _quoted(text)


def _quoted(value: Any) -> str:
    return quote(bytes_of(value), safe="")


def _pairs(parameters: Any) -> Iterator[tuple[Any, Any]]:
    rows = from_object(parameters) if isinstance(parameters, dict) else rows_of(parameters)
    count = 0
    for row in rows:
        name, content = row.get("name"), row.get("value")
        for inner in content if isinstance(content, list) else [content]:
            count += 1
            if count > ITEM_LIMIT:
                raise RenderFault(f"a query has at most {ITEM_LIMIT} parameters here")
            if name is not None and inner is not None:
                yield name, inner


def segments(value: Any) -> list[str]:
    """The parts of a text between slashes, empty ones too. In the path of a call, where a value stays in its segment, they are segments: names of files in folders.

    ``{{"2026/lamp 1.png" | segments}}`` gives ``["2026", "lamp 1.png"]``.
    """
    text = text_of(value)
    if text.count("/") >= ITEM_LIMIT:
        raise RenderFault(f"a path has at most {ITEM_LIMIT} segments here")
    return text.split("/")


ADDRESSES: Final[dict[str, Filter]] = {"parse_url": parse_url, "build_url": build_url, "segments": segments}
