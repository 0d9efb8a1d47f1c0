"""Holds a rendered request against a service description: path, method, query, headers, body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from functools import cache
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from polyport.net.message import Request
from polyport.testing.spec.documents import Document, Operation, Parameter
from polyport.testing.spec.graphql import Sdl
from polyport.testing.spec.schema import Checker, Fault, Upload

_NESTED: Final = re.compile(r"\[([^\]]*)\]")
AMBIGUOUS_MOST: Final = 5  # paths that differ by the names of their parts alone
_NO_JSON: Final = object()
_SIGNED: Final = frozenset({"accept", "content-type", "authorization"})
_BETWEEN: Final = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t", "deepObject": ","}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a request leaves the description: ``call`` is method and path as the document writes it, ``at`` a place such as ``body.name``."""

    call: str
    at: str
    message: str

    def __str__(self) -> str:
        return f"{self.call}: {self.at}: {self.message}" if self.at else f"{self.call}: {self.message}"


def check_request(documents: Sequence[Document | Sdl], request: Request, base: str | None = None) -> list[Difference]:
    """Every point in which a request is not as one of the descriptions has it. ``base`` stands in for the addresses that they name."""
    address, _, query = request.url.partition("?")
    for document in documents:
        if isinstance(document, Sdl):
            return [Difference("query", fault.at, fault.message) for fault in document.check(request.body or b"")]
        for server in (base,) if base is not None else document.servers or (None,):
            path = _beneath(server, address)
            fitting = document.find(request.method, path) if path is not None else iter(())
            listed = list(islice(fitting, AMBIGUOUS_MOST))
            if listed:
                alike = [one for one in listed if one[0].path.count("{") == listed[0][0].path.count("{")]
                return min((_differences(document, *one, query, request) for one in alike), key=len)
    return [Difference(f"{request.method} {urlsplit(address).path}", "", "the description knows no such call")]


def _differences(document: Document, operation: Operation, values: Mapping[str, str], query: str, request: Request) -> list[Difference]:
    call = f"{request.method} {operation.path}"
    return [Difference(call, fault.at, fault.message) for fault in _faults(document, operation, values, query, request)]


def _beneath(server: str | None, address: str) -> str | None:
    """The path beneath a server's address, or nothing where the address is elsewhere."""
    if server is None:
        return urlsplit(address).path
    match = _server(server).match(address)
    return address[match.end() :] or "/" if match is not None else None


@cache
def _server(source: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]*\}", source.rstrip("/"))
    return re.compile("[^/]+?".join(map(re.escape, parts)) + r"(?=/|$)")


def _faults(document: Document, operation: Operation, values: Mapping[str, str], query: str, request: Request) -> list[Fault]:
    checker = Checker(resolve=document.resolve, text=True, null_is_absent=document.null_is_absent)
    found: list[Fault] = []
    for parameter in operation.parameters:
        if parameter.place == "path" and parameter.name in values:
            found += checker.check(parameter.schema, _of_path(checker, parameter, values[parameter.name]), f"path.{parameter.name}")
        elif parameter.place == "header" and parameter.name.lower() not in _SIGNED:
            text = request.header(parameter.name)
            if text is not None:
                found += checker.check(parameter.schema, _of_path(checker, parameter, text), f"header.{parameter.name}")
            elif parameter.required:
                found.append(Fault(f"header.{parameter.name}", "the description needs this"))
    found += _query_faults(checker, [one for one in operation.parameters if one.place == "query"], query)
    return found + _body_faults(document, operation, request)


def _of_path(checker: Checker, parameter: Parameter, text: str) -> Any:
    """The value of a part of the path, or of a header, as its style writes it."""
    mark = {"matrix": f";{parameter.name}=", "label": "."}.get(parameter.style, "")
    text = text.removeprefix(mark)
    schema = checker.follow(parameter.schema)
    return (text.split(",") if text else []) if isinstance(schema, dict) and schema.get("type") == "array" else text


def _query_faults(checker: Checker, parameters: list[Parameter], query: str) -> list[Fault]:
    pairs = parse_qsl(query, keep_blank_values=True)
    found: list[Fault] = []
    used: set[str] = set()
    for parameter in parameters:
        told, names = _given(checker, parameter, pairs, {one.name for one in parameters})
        used |= names
        if told is _NO_JSON:
            found.append(Fault(f"query.{parameter.name}", "this is not JSON"))
        elif names:
            found += checker.check(parameter.schema, told, f"query.{parameter.name}")
        elif parameter.required:
            found.append(Fault(f"query.{parameter.name}", "the description needs this"))
    unknown = dict.fromkeys(name for name, _value in pairs if name not in used)
    return found + [Fault(f"query.{name}", "the description knows no such parameter") for name in unknown]


def _given(checker: Checker, parameter: Parameter, pairs: list[tuple[str, str]], known: set[str]) -> tuple[Any, set[str]]:
    """The value of a parameter as its style writes it, and the names in the query that it takes: of free ones those that no parameter has."""
    name, schema = parameter.name, checker.follow(parameter.schema)
    texts = [value for key, value in pairs if key == name]
    kind = schema.get("type") if isinstance(schema, dict) else None
    if parameter.style == "deepObject":
        deep = [(key, value) for key, value in pairs if key == name or key.startswith(f"{name}[")]
        return nested(deep).get(name), {key for key, _value in deep}
    if kind == "object" and parameter.style == "form" and parameter.explode and not texts:
        free = isinstance(schema.get("additionalProperties"), dict)
        inner = {
            key: value for key, value in pairs if key in (schema.get("properties") or {}) or (free and key.partition("[")[0] not in known)
        }
        return inner, set(inner)
    if not texts:
        return None, set()
    if parameter.json:
        return _decoded(texts[0]), {name}
    if kind == "array":
        between = _BETWEEN.get(parameter.style, ",")
        return (texts if parameter.explode else [part for text in texts for part in text.split(between)]), {name}
    return (texts[0] if len(texts) == 1 else texts), {name}


def _decoded(text: str | bytes) -> Any:
    """The JSON of a text; ``_NO_JSON`` where it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _NO_JSON


def _body_faults(document: Document, operation: Operation, request: Request) -> list[Fault]:
    if request.body is None:
        return [Fault("body", "the description needs a body")] if operation.body_required else []
    sent = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if not operation.bodies:
        return [Fault("body", "the description has no body here")] if request.body not in {b"", b"{}"} else []
    accepted = next((kind for kind in operation.bodies if _accepts(kind, sent)), None)
    if accepted is None:
        return [Fault("body", f"the description takes {', '.join(operation.bodies)}; this is {sent or 'of no content type'}")]
    value, text = _content(sent, request)
    if value is _NO_JSON:
        return [Fault("body", "this is not JSON")]
    if value is None and not sent.endswith("json"):
        return []  # bytes, a text or XML: their content type is all that can be told
    checker = Checker(resolve=document.resolve, text=text or operation.text_in_json, null_is_absent=document.null_is_absent)
    return checker.check(operation.bodies[accepted], value, "body")


def _accepts(kind: str, sent: str) -> bool:
    if kind in {sent, "*/*"}:
        return True
    if kind.endswith("/*"):
        return sent.startswith(kind[:-1])
    return kind.endswith("json") and sent.endswith("json") and kind.partition("/")[0] == sent.partition("/")[0]


def _content(sent: str, request: Request) -> tuple[Any, bool]:
    """The body as a value, and whether all in it was text; nothing for what cannot be looked into."""
    body = request.body or b""
    if sent.endswith("json"):
        return _decoded(body), False
    if sent == "application/x-www-form-urlencoded":
        return nested(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), True
    if sent == "multipart/form-data":
        return nested(_parts(request.header("Content-Type") or "", body)), True
    return None, False


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a form as nested objects: ``a[b]=1``, ``a[]=1``, ``a[0][b]=1``; a name that stands several times is a list."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, bracket, rest = name.partition("[")
        steps = [head, *_NESTED.findall(bracket + rest)]
        node = root
        for step in steps[:-1]:
            inner = node.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = node[step] = {"": inner}
            node = inner
        last = steps[-1]
        held = node.get(last)
        node[last] = value if last not in node else [*held, value] if isinstance(held, list) else [held, value]
    return {key: _listed(value) for key, value in root.items()}


def _listed(value: Any) -> Any:
    """Objects whose keys are empty or numbers in turn are the lists of forms."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {""}:
        inner = value[""]
        return [_listed(one) for one in inner] if isinstance(inner, list) else [_listed(inner)]
    if value.keys() == {str(index) for index in range(len(value))}:
        return [_listed(inner) for inner in value.values()]
    return {key: _listed(inner) for key, inner in value.items()}


def _parts(content_type: str, body: bytes) -> list[tuple[str, Any]]:
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    found: list[tuple[str, Any]] = []
    for chunk in body.split(b"--" + boundary)[1:-1]:
        head, _, content = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        message = BytesHeaderParser().parsebytes(head + b"\r\n\r\n")
        name = str(message.get_param("name", "", "content-disposition"))
        is_file = message.get_param("filename", None, "content-disposition") is not None
        found.append((name, Upload() if is_file else content.removesuffix(b"\r\n").decode("utf-8", "replace")))
    return found
