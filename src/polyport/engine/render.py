"""From a call and a scope to the exact request. Compiled once per operation; rendering does no I/O.

Values stay in their slot: path segments, query names and values are percent-encoded, headers cannot hold line breaks, and a request that a connection
signs stays on the partner's own origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from polyport.kinds.bodies import ENCODERS, STYLED, inner_name
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import Call, QueryStyle
from polyport.net.message import Pairs, Request, Stream
from polyport.paths import MISSING, Path, get
from polyport.template import RenderFault, Scope, Template, compile_path, compile_value, to_text

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,30}", re.ASCII)
_NEVER: Final = frozenset({"CONNECT", "TRACE"})
URL_LIMIT: Final = 32_768
_JSON_TYPE: Final = ("Content-Type", "application/json")
_JOINED: Final = {"comma": ",", "pipe": "|", "space": " "}
_ACCEPTED: Final = {"json": "application/json", "xml": "application/xml, text/xml, */*;q=0.5", "csv": "text/csv, */*;q=0.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where a partner's calls go for one connection: ``origin`` is scheme, host and port, ``prefix`` the path in front of every call's.

    ``replaced`` is the origin that the operator put in its place (simulators), if any.
    """

    origin: str
    prefix: str
    replaced: str | None = None


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A request without its signature, and whether a connection may sign it."""

    request: Request
    signed: bool


@dataclass(frozen=True, kw_only=True)
class CallProgram:
    """A compiled call. ``kept`` is what others made of it once."""

    call: Call
    method: Template
    path: Template | None
    url: Template | None
    trusted_url: bool
    query: Template
    headers: Template
    fixed_headers: Pairs | None
    body: Template | None
    content_type: Template | None
    each: Template | None
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def names(self) -> frozenset[Path]:
        """The paths that all of its templates read."""
        templates = (self.method, self.path, self.url, self.query, self.headers, self.body, self.content_type, self.each)
        return frozenset(name for template in templates if template is not None for name in template.names)

    @cached_property
    def fixed_method(self) -> str | None:
        """The method that it always has, if it is one that is sent."""
        method = self.call.method
        return method if self.method.constant and _METHOD.fullmatch(method) and method not in _NEVER else None

    @cached_property
    def fixed_names(self) -> frozenset[str]:
        """The names of its constant headers, in small letters."""
        return _names_of(self.fixed_headers or ())

    @cached_property
    def stands_alone(self) -> bool:
        """Whether it is always sent, once, and nothing later reads of its answer."""
        call = self.call
        return self.each is None and call.when is None and call.save is None and not call.capture

    @cached_property
    def wants_key(self) -> bool:
        """Whether it carries the value by which the partner knows a repeat."""
        return self.call.idempotency_header is not None or any(name[0] == "run" for name in self.names)


def compile_call(call: Call, shared_headers: Mapping[str, str] | None = None) -> CallProgram:
    """Compile a call; the partner's shared headers come first and may be overridden."""
    headers: Any = call.headers
    if isinstance(headers, dict):
        folded = {name.lower() for name in headers}
        headers = {name: value for name, value in (shared_headers or {}).items() if name.lower() not in folded} | headers
    compiled = compile_value(headers, FILTERS)
    return CallProgram(
        call=call,
        method=compile_value(call.method, FILTERS),
        path=compile_path(call.path, FILTERS) if call.path is not None else None,
        url=_compile_url(call.url) if call.url is not None else None,
        trusted_url=call.url is not None and "://" in call.url and "{{" not in _split_url(call.url)[0],
        query=compile_value(call.query, FILTERS),
        headers=compiled,
        fixed_headers=_sound_pairs(headers) if compiled.constant and isinstance(headers, dict) else None,
        body=compile_value(call.body if call.graphql is None else call.body or {}, FILTERS)
        if call.body is not None or call.graphql is not None
        else None,
        content_type=compile_value(call.content_type, FILTERS) if call.content_type is not None else None,
        each=compile_value(call.for_each, FILTERS) if call.for_each is not None else None,
    )


def _split_url(source: str) -> tuple[str, str]:
    """What comes before the path of a URL template, and the rest."""
    scheme, separator, rest = source.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host}", slash + path


def _compile_url(source: str) -> Template:
    """A URL template: behind the host, values are percent-encoded like those of a path. One whole placeholder is a whole address."""
    start, path = _split_url(source)
    head = compile_value(start, FILTERS)
    if not path or "://" not in source:
        return compile_value(source, FILTERS)
    tail = compile_path(path, FILTERS)

    def render(scope: Scope) -> Any:
        first, rest = head.render(scope), tail.render(scope)
        return MISSING if not isinstance(first, str) or rest is MISSING else first + rest

    return Template(head.names | tail.names, render, constant=head.constant and tail.constant)


def render_base(source: str | None, connection: Mapping[str, Any], replaced: str | None) -> Base | None:
    """The base of a connection; ``None`` where the partner has none or the connection lacks what it is made of."""
    text = compile_value(source, FILTERS).render({"connection": connection}) if source is not None else MISSING
    if not isinstance(text, str):
        return None
    parts = _parts(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise RenderFault("the connection's address has to be a plain web address without user, query and fragment")
    return Base(origin=origin_of(text), prefix=parts.path.rstrip("/"), replaced=replaced.rstrip("/") if replaced else None)


def render_call(program: CallProgram, scope: Scope, base: Base | None, timeout: float) -> Rendered:
    """The request of a call. Raises ``RenderFault`` with a sentence when a value does not fit its slot."""
    try:
        return _rendered(program, scope, base, timeout)
    except UnicodeEncodeError:
        raise RenderFault("a text has half of a character pair (a lone surrogate)") from None
    except RecursionError:
        raise RenderFault("a value nests too deep") from None


def _rendered(program: CallProgram, scope: Scope, base: Base | None, timeout: float) -> Rendered:
    call = program.call
    method = program.fixed_method or _method(program.method.render(scope))
    url, signed = _target(program, scope, base)
    body: bytes | Stream | None = None
    content_type: str | None = None
    if program.body is not None and method not in {"GET", "HEAD"}:
        value = _posted(program, program.body.render(scope))
        if value is not MISSING:
            styled = STYLED.get(call.encoding)
            content_type, body = styled(value, call.form_style) if styled is not None else ENCODERS[call.encoding](value)
    told = program.content_type.render(scope) if program.content_type is not None else None
    headers = _headers(program, scope, to_text(told) if told else content_type)
    if call.idempotency_header is not None and (key := get(scope.get("run"), ("key",))) is not MISSING:
        headers = (*headers, (call.idempotency_header, to_text(key)))
    if len(url) > URL_LIMIT:
        raise RenderFault("the address became too long")
    request = Request(
        method=method,
        url=url,
        headers=headers,
        body=None if isinstance(body, Stream) else body,
        stream=body if isinstance(body, Stream) else None,
        timeout=timeout,
        follow_redirects=call.follow_redirects and method in {"GET", "HEAD"},
    )
    return Rendered(request=request, signed=signed and call.auth)


def _method(told: Any) -> str:
    if not isinstance(told, str) or not _METHOD.fullmatch(told) or told in _NEVER:
        raise RenderFault("the method is none that is sent")
    return told


def _posted(program: CallProgram, value: Any) -> Any:
    """What is encoded: the value itself, or the GraphQL request around its variables."""
    document = program.call.document
    if document is None:
        return value
    posted: dict[str, Any] = {"query": program.call.graphql}
    if value is not MISSING and value:
        posted["variables"] = value
    return posted if document.operation is None else {**posted, "operationName": document.operation}


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without a port that is the scheme's own."""
    parts = _parts(url)
    try:
        port = parts.port
    except ValueError:
        raise RenderFault("the address has a port that is none") from None
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{shown}" if port is None or port == default else f"{parts.scheme}://{shown}:{port}"


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise RenderFault("the address is none that can be read") from None


def _target(program: CallProgram, scope: Scope, base: Base | None) -> tuple[str, bool]:
    page = scope.get("page")
    following = page.get("url") if isinstance(page, dict) else None
    if following is not None:
        return _following(str(following), base), True
    if program.path is not None:
        if base is None:
            raise RenderFault("the connection has no address for this call")
        path = program.path.render(scope)
        if path is MISSING:
            raise RenderFault("a value that stands in the path is missing")
        return f"{base.replaced or base.origin}{base.prefix}{path}{_query(program, scope)}", True
    url = program.url.render(scope) if program.url is not None else MISSING
    if not isinstance(url, str):
        raise RenderFault("the address is missing")
    return _absolute(program, scope, base, url)


def _absolute(program: CallProgram, scope: Scope, base: Base | None, url: str) -> tuple[str, bool]:
    parts = _parts(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise RenderFault("the address has to be a web address with http:// or https://, without user and password")
    origin = origin_of(url)
    if program.call.auth and base is not None and not program.trusted_url and origin != base.origin:
        raise RenderFault("a request that the connection signs has to stay on the connection's own address")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    own = quote(parts.query, safe="%:@!$&'()*+,;=~-._/?[]") if parts.query else ""
    more = _query(program, scope)
    query = f"?{own}&{more[1:]}" if own and more else f"?{own}" if own else more
    start = base.replaced if base is not None and base.replaced else origin
    return f"{start}{path}{query}", True


def _following(url: str, base: Base | None) -> str:
    """The next page's own URL, or its path: it has to be on the partner's origin, and goes where the partner's calls go."""
    if base is not None and url.startswith("/") and not url.startswith("//"):
        url = base.origin + url
    if base is None or origin_of(url) not in {base.origin, base.replaced}:
        raise RenderFault("the partner's next page is on another host")
    parts = _parts(url)
    return f"{base.replaced or base.origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def _query(program: CallProgram, scope: Scope) -> str:
    if not program.call.query:
        return ""
    values = program.query.render(scope)
    if not values or values is MISSING:
        return ""
    if not isinstance(values, dict):
        raise RenderFault("a query is made from an object")
    call = program.call
    pairs: list[str] = []
    for name, value in values.items():
        _add_pairs(
            pairs, quote(name, safe="[]"), value, call.query_styles.get(name, call.query_style) if call.query_styles else call.query_style
        )
    return "?" + "&".join(pairs) if pairs else ""


def _add_pairs(pairs: list[str], name: str, value: Any, style: QueryStyle) -> None:
    """The pairs of one value behind its encoded name: lists in their style, objects nested with brackets, nothing for null."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _add_pairs(pairs, f"{name}[{quote(inner_name(key), safe='')}]", inner, style)
    elif not isinstance(value, list):
        if value is not None:
            pairs.append(f"{name}={quote(to_text(value), safe='')}")
    elif style in _JOINED:
        if texts := [quote(to_text(item), safe="") for item in value if item is not None]:
            pairs.append(f"{name}={quote(_JOINED[style], safe=',').join(texts)}")
    else:
        for index, item in enumerate(value):
            numbered = style == "indexed" or isinstance(item, dict | list)
            _add_pairs(pairs, f"{name}[{index}]" if numbered else f"{name}[]" if style == "brackets" else name, item, style)


def _headers(program: CallProgram, scope: Scope, content_type: str | None) -> Pairs:
    if program.fixed_headers is not None:
        found, names = list(program.fixed_headers), program.fixed_names
    else:
        found = list(_sound_pairs(program.headers.render(scope)))
        names = _names_of(found)
    if content_type is not None and "content-type" not in names:
        found.append(_JSON_TYPE if content_type == _JSON_TYPE[1] else ("Content-Type", header_value("Content-Type", content_type)))
    if "accept" not in names:
        found.append(("Accept", _ACCEPTED.get(program.call.decode, "*/*")))
    return tuple(found)


def _names_of(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(name.lower() for name, _value in pairs)


def _sound_pairs(values: Any) -> Pairs:
    """The pairs of rendered headers; one with several values stands several times."""
    if values is MISSING or not values:
        return ()
    if not isinstance(values, dict):
        raise RenderFault("headers are made from an object")
    listed = [(name, item) for name, value in values.items() for item in (value if isinstance(value, list) else [value])]
    return tuple((name, header_value(name, to_text(item))) for name, item in listed if item is not None)


def sound_headers(request: Request, known: Pairs = ()) -> Request:
    """The request, if every header can be one: what a connection signs with stays in its slot too; ``known`` ones are. Raises ``RenderFault``."""
    for pair in request.headers:
        if pair not in known:
            header_value(*pair)
    return request


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive"})


def header_value(name: str, value: str) -> str:
    """The value if name and value can be a header. Raises ``RenderFault``; neither is repeated in it."""
    if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        raise RenderFault("this is no name of a header that may be set")
    if not value.isascii() or not (value.isprintable() or value.replace("\t", "").isprintable()):
        raise RenderFault("the value of a header is one line of ASCII")
    return value.strip()
