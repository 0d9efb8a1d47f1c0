"""OpenAPI 3.0 and 3.1, whole or with parts broken: what is whole is read, the rest is named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from polyport.importers.described import Answer, Body, Endpoint, Left, Parameter, Server, Service
from polyport.importers.documents import clean_text
from polyport.importers.references import Dangling, References

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
ENDPOINTS_MOST: Final = 20_000
WEBHOOKS_MOST: Final = 500
TOGETHER_MOST: Final = 4
_LATER: Final = ("trace", "query")  # what no client may send, and what OpenAPI 3.2 brought
_ANY: Final = "x-amazon-apigateway-any-method"
_OURS: Final = frozenset({"accept", "content-type", "authorization", "content-length", "host"})
_BODILESS: Final = frozenset({"get", "head", "trace"})
_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_SCHEME: Final = re.compile(r"^\{[^{}]+\}://")
_ANGLED: Final = re.compile(r"<([A-Za-z][\w-]*)>")  # <dc>.api.example.com: a part that varies, in documents whose format has none
_FORM, _PARTS = "application/x-www-form-urlencoded", "multipart/form-data"


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """The value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def pointer(*steps: str) -> str:
    """A JSON pointer."""
    return "#/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)


class OpenApi:
    """Reads one document. ``origin`` is the address that it was fetched from, if it was."""

    def __init__(self, references: References, origin: str | None = None) -> None:
        self._references = references
        self._data = references.data
        self._origin = origin
        self._left: list[Left] = []
        self._together = Counter[tuple[str, ...]]()

    def read(self) -> Service:
        """The service."""
        info = mapping(self._data.get("info"))
        endpoints = tuple(self._endpoints())
        for name in list(mapping(self._data.get("webhooks")))[:WEBHOOKS_MOST]:
            why = "The service sends it by itself: a webhook trigger has to be made for it by hand."
            self._left.append(Left(pointer=pointer("webhooks", str(name)), what=f"the webhook {name}", why=why))
        schemes = {}
        for name, told in mapping(mapping(self._data.get("components")).get("securitySchemes")).items():
            found = self._follow(told, pointer("components", "securitySchemes", str(name)), f"the security scheme {name}")
            if found is not None:
                schemes[str(name)] = mapping(found)
        return Service(
            title=clean_text(info.get("title"), 200),
            description=clean_text(info.get("description")),
            version=str(info.get("version", ""))[:100],
            docs=text(mapping(self._data.get("externalDocs")).get("url")) or None,
            servers=tuple(self._servers(self._data.get("servers"), self._origin)),
            schemes=schemes,
            security=(*_security(self._data.get("security")), *(one for one, _times in self._together.most_common(TOGETHER_MOST))),
            endpoints=endpoints,
            left=tuple(self._left),
        )

    def _follow(self, node: Any, at: str, what: str) -> Any:
        try:
            return self._references.follow(node)
        except Dangling as error:
            self._left.append(Left(pointer=at, what=what, why=str(error)))
            return None

    def _servers(self, told: Any, around: str | None) -> Iterator[Server]:
        """Servers as a part of the document names them; those without a host stand ``around``."""
        for one in sequence(told):
            held = {"url": one} if isinstance(one, str) else mapping(one)
            url = _ANGLED.sub(r"{\1}", text(held.get("url")).strip())
            variables = {str(name): mapping(value) for name, value in mapping(held.get("variables")).items()}
            if url.startswith("{") and "//" not in url:
                usual = text(variables.get(url[1:].partition("}")[0], {}).get("default"))
                url = f"https://{url}" if usual and "//" not in usual and not usual.startswith("/") else url
            elif "//" not in url and around and "{" not in around.partition("//")[2].partition("/")[0]:
                url = _joined(around, url or "/")
            if url.startswith("//"):
                url = f"https:{url}"
            if url.strip("/"):
                yield Server(url=url.rstrip("/"), variables=variables, description=text(held.get("description"))[:1_000])

    def _around(self) -> str | None:
        """What the servers of single operations stand around: the first one of the document."""
        return next((server.url for server in self._servers(self._data.get("servers"), self._origin)), self._origin)

    def _endpoints(self) -> Iterator[Endpoint]:
        count = 0
        for key, raw in mapping(self._data.get("paths")).items():
            path = str(key)
            at = pointer("paths", path)
            item = self._follow(raw, at, path)
            if not isinstance(item, dict) or path.startswith("x-"):
                continue
            if _ANY in item:
                why = "It stands for every method alike: nothing says which are meant."
                self._left.append(Left(pointer=pointer("paths", path, _ANY), what=f"ANY {path}", why=why))
            for other in (*(word for word in _LATER if word in item), *mapping(item.get("additionalOperations"))):
                why = "Its method is not one that calls are made with here."
                self._left.append(Left(pointer=pointer("paths", path), what=f"{str(other)[:30].upper()} {path}", why=why))
            for method in METHODS:
                if method not in item:
                    continue
                count += 1
                what = f"{method.upper()} {path}"
                if count > ENDPOINTS_MOST:
                    self._left.append(Left(pointer=at, what=what, why=f"More than {ENDPOINTS_MOST} operations are not read."))
                    return
                endpoint = self._endpoint(method, path, item, pointer("paths", path, method))
                if endpoint is not None:
                    yield endpoint

    def _endpoint(self, method: str, path: str, item: Mapping[str, Any], at: str) -> Endpoint | None:
        what = f"{method.upper()} {path}"
        told = self._follow(item[method], at, what)
        if not isinstance(told, dict):
            if told is not None:
                self._left.append(Left(pointer=at, what=what, why="This is no description of an operation."))
            return None
        if not path.startswith("/"):
            path = f"/{path}"
        parameters = self._parameters(item, told, at, what)
        body = self._body(told, at, what)
        if method in _BODILESS and body is not None:
            if mapping(body.schema).keys() & {"$ref", "allOf", "oneOf", "anyOf"} or mapping(mapping(body.schema).get("properties")):
                why = f"A body of {method.upper()} is not sent: servers do not agree on what it means."
                self._left.append(Left(pointer=f"{at}/requestBody", what=f"the body of {what}", why=why))
            body = None
        answer, links = self._answer(told, at, what)
        security = told.get("security")
        self._together.update(one for one in _security(security) if len(one) > 1)  # single ones are offered anyway
        own = sequence(told.get("servers") or item.get("servers"))
        servers = list(self._servers(own, self._around()))
        if own and not servers and own != self._data.get("servers"):
            why = "It stands at a server of its own, whose address is told from one that nobody knows: import it with that (--base)."
            self._left.append(Left(pointer=at, what=what, why=why))
            return None
        return Endpoint(
            method=method.upper(),
            path=path,
            pointer=at,
            id=text(told.get("operationId")).strip()[:500],
            summary=clean_text(told.get("summary"), 200),
            description=clean_text(told.get("description")),
            tags=tuple(clean_text(tag, 100) for tag in sequence(told.get("tags")) if isinstance(tag, str)),
            deprecated=told.get("deprecated") is True,
            parameters=tuple(parameters),
            body=body,
            answer=answer,
            link_header=links,
            server=servers[0] if servers else None,
            open=isinstance(security, list) and not any(security),  # where none is one way of several, the connection's own is used
        )

    def _parameters(self, item: Mapping[str, Any], told: Mapping[str, Any], at: str, what: str) -> Iterator[Parameter]:
        found: dict[tuple[str, str], Parameter] = {}
        for raw in (*sequence(item.get("parameters")), *sequence(told.get("parameters"))):
            one = self._follow(raw, at, f"a parameter of {what}")
            if not isinstance(one, dict):
                continue
            name, place = text(one.get("name")), text(one.get("in"))
            if not name or place not in {"path", "query", "header", "cookie"} or (place == "header" and _is_ours(one, name, told)):
                continue
            found[(name, place)] = _parameter(one, name, place)
        return iter(found.values())

    def _body(self, told: Mapping[str, Any], at: str, what: str) -> Body | None:
        if told.get("requestBody") is None:
            return None
        held = mapping(self._follow(told["requestBody"], f"{at}/requestBody", f"the body of {what}"))
        content = self._content(held, at, f"the body of {what}")
        kind = choose_media(list(content))
        if kind is None:
            return None
        media = content[kind]
        styles = {}
        for name, encoding in mapping(media.get("encoding")).items():
            styles[str(name)] = _style_of(mapping(encoding))
        return Body(
            media=kind,
            schema=media.get("schema", {}),
            required=held.get("required") is True,
            sample=_sample(media, self._references),
            styles=styles,
        )

    def _content(self, held: Mapping[str, Any], at: str, what: str) -> dict[str, Mapping[str, Any]]:
        """What stands in a body or an answer, by media type; some documents refer to all of it at once."""
        content = mapping(self._follow(held.get("content"), at, what))
        return {str(kind): mapping(self._follow(media, at, what)) for kind, media in content.items()}

    def _answer(self, told: Mapping[str, Any], at: str, what: str) -> tuple[Answer, bool]:
        answers = mapping(told.get("responses"))
        good = sorted((str(status), status) for status in answers if str(status)[:1] == "2") or [
            (str(status), status) for status in answers if str(status) == "default"
        ]
        for _shown, status in good[:1]:
            held = mapping(self._follow(answers[status], f"{at}/responses", f"the answer of {what}"))
            links = any(str(name).lower() == "link" for name in mapping(held.get("headers")))
            content = self._content(held, at, f"the answer of {what}")
            kind = choose_media(list(content))
            if kind is not None:
                return Answer(media=kind, schema=content[kind].get("schema", {})), links
            return Answer(media="", schema=None), links
        return Answer(media="", schema=None), False


def _is_ours(one: Mapping[str, Any], name: str, told: Mapping[str, Any]) -> bool:
    """Whether a header is none of the caller's: it comes with the connection, the body and the way that answers are read."""
    if one.get("required") is True and name.lower() == "accept":
        return False
    if one.get("required") is True and name.lower() == "content-type":
        return "requestBody" in told
    return name.lower() in _OURS


def _parameter(one: Mapping[str, Any], name: str, place: str) -> Parameter:
    content = mapping(one.get("content"))
    media = mapping(next(iter(content.values()), None))
    style = text(one.get("style")) or ("form" if place in {"query", "cookie"} else "simple")
    explode = one.get("explode")
    sample = one.get("example", next((mapping(each).get("value") for each in mapping(one.get("examples")).values()), None))
    return Parameter(
        name=name,
        place=place,
        required=one.get("required") is True or place == "path",
        schema=(media if content else one).get("schema", {}),
        description=clean_text(one.get("description"), 600),
        style=style,
        explode=explode if isinstance(explode, bool) else style in {"form", "deepObject"},
        as_json=bool(content),
        sample=sample,
    )


def _style_of(encoding: Mapping[str, Any]) -> str:
    """How a member of a form is written."""
    style = encoding.get("style")
    if style == "deepObject":
        return "brackets"
    if encoding.get("explode") is False and style is not None:
        return text(style) if style in {"spaceDelimited", "pipeDelimited"} else "comma"
    return "json" if style is None and text(encoding.get("contentType")).partition(";")[0].strip() == "application/json" else "repeat"


def _sample(media: Mapping[str, Any], references: References) -> Any:
    if "example" in media:
        return media["example"]
    for one in mapping(media.get("examples")).values():
        try:
            return mapping(references.follow(one)).get("value")
        except Dangling:
            continue
    return None


def choose_media(kinds: list[str]) -> str | None:
    """The media type that an operation is best called with: JSON, then forms, then what there is."""
    if not kinds:
        return None

    def rank(kind: str) -> tuple[int, int]:
        bare = kind.partition(";")[0].strip().lower()
        order = (
            bare == "application/json",
            bare.endswith("+json") or bare == "text/json",
            bare == _FORM,
            bare == _PARTS,
            bare in {"*/*", "application/*"},
            bare.startswith("text/") and "xml" not in bare and bare != "text/html",
            "xml" not in bare,
        )
        return next((place for place, fits in enumerate(order) if fits), len(order)), kinds.index(kind)

    return min(kinds, key=rank)


def _security(told: Any) -> Iterator[tuple[str, ...]]:
    for one in sequence(told):
        if isinstance(one, dict) and one:
            yield tuple(str(name) for name in one)


def _joined(around: str, url: str) -> str:
    """An address as it is seen from another one; empty where that is none."""
    try:
        return urljoin(around, url)
    except ValueError:
        return ""


def is_address(url: str) -> bool:
    """Whether an address with parts that vary names scheme and host; the scheme may vary too."""
    return is_absolute(_HOLE.sub("x", _SCHEME.sub("https://", url)))


def is_absolute(url: str) -> bool:
    """Whether an address names scheme and host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
