"""From security schemes to the ways in which a connection is authorised, and the connection's fields; from servers to the base address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from polyport.importers.described import Left, Server, Service
from polyport.importers.documents import clean_text
from polyport.importers.names import snake, title, unique
from polyport.importers.openapi import is_absolute, is_address, mapping, pointer, sequence, text

HOST_PART: Final = "^[A-Za-z0-9][A-Za-z0-9-]*$"
_SAFE: Final = re.compile(r"[A-Za-z0-9._~-]+")
_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_WITH_MORE: Final = frozenset({"basic", "bearer", "oauth2"})  # kinds that keys can go along with
_SIGNATURE: Final = tuple(
    f"X-Amz-{word}" for word in ("Date", "Security-Token", "Signature", "SignedHeaders", "Credential", "Algorithm", "Content-Sha256")
)
_FLOWS: Final = ("authorizationCode", "clientCredentials", "password", "implicit")


@dataclass(slots=True)
class Access:
    """What a partner's file says of its connection. ``hidden`` are parameters (place, name) that the connection fills."""

    base: str | None = None
    fields: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    hidden: set[tuple[str, str]] = field(default_factory=set)
    left: list[Left] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def read_access(service: Service, base: str | None = None) -> Access:
    """Where calls go and how they are authorised. ``base`` is the address that the importer was told, if it was."""
    found = Access()
    names: set[str] = set()
    _read_servers(service.servers, base, found, names)
    for alternative in _alternatives(service):
        choice = _apart(_choice(service, alternative, found), found)
        if choice is not None and all(choice["scheme"] != other["scheme"] for other in found.choices):
            choice["name"] = unique(choice["name"], {other["name"] for other in found.choices})
            found.choices.append(choice)
    if not service.schemes and any(not endpoint.open for endpoint in service.endpoints):
        found.asked.append("The description says nothing of authorisation: a token in the header Authorization is offered, and none.")
        found.choices.append({"name": "token", "label": "Token", **_bearer("token", "Token")})
    if not found.choices or not service.schemes:
        found.choices.append({"name": "none", "label": "No authorisation", "scheme": {"kind": "none"}})
    for scheme in service.schemes.values():
        if is_signed_for_aws(scheme):
            found.hidden |= {("header", name) for name in _SIGNATURE}
        if scheme.get("type") == "apiKey" and text(scheme.get("name")):
            found.hidden.add((text(scheme.get("in")), text(scheme.get("name"))))
    return found


def _apart(choice: dict[str, Any] | None, found: Access) -> dict[str, Any] | None:
    """A choice whose fields are none of those that all connections have: what stands in the address too is asked for once."""
    shared = {made["name"] for made in found.fields}
    if choice is not None and "fields" in choice:
        choice["fields"] = [made for made in choice["fields"] if made["name"] not in shared]
        if not choice["fields"]:
            del choice["fields"]
    return choice


def _alternatives(service: Service) -> Iterator[tuple[str, ...]]:
    """The schemes that go together: those that the service asks for, then each that it knows."""
    seen: set[tuple[str, ...]] = set()
    for names in (*service.security, *((name,) for name in service.schemes)):
        if names not in seen and (len(seen) < 12):
            seen.add(names)
            yield names


def _read_servers(servers: Sequence[Server], base: str | None, found: Access, names: set[str]) -> None:
    if base is not None:
        found.base = base.rstrip("/")
        return
    usable = [server for server in servers if is_address(server.url) and _is_host(server.url)]
    usable.sort(key=lambda server: (not server.url.startswith("https:"), "sandbox" in server.url or "localhost" in server.url))
    if not usable:
        _ask_address(servers, found, names)
        return
    found.base = _filled(usable[0], usable[0].url, found, names)


def _filled(server: Server, url: str, found: Access, names: set[str]) -> str:
    """An address with what varies in it as fields of the connection."""
    filled = _HOLE.sub(lambda hole: _server_part(hole[1], server, found, names), url)
    return filled.partition("?")[0].partition("#")[0].rstrip("/")


def _ask_address(servers: Sequence[Server], found: Access, names: set[str]) -> None:
    """Each connection says where the API is: all of its address, or what stands in front of a path that the description knows."""
    server = next((one for one in servers if one.url.startswith(("/", "{")) and "//" not in one.url), None)
    whole = _HOLE.match(server.url) if server is not None else None
    told = server.variables.get(whole[1], {}) if server is not None and whole is not None else {}
    name = unique(snake(whole[1], "base_url") if whole is not None else "base_url", names)
    made = {"name": name, "type": "string", "label": title(whole[1]) if whole is not None else "Address", "required": True, "format": "uri"}
    found.fields.append(made)
    tail = _filled(server, server.url[whole.end() if whole is not None else 0 :], found, names) if server is not None else ""
    behind = (
        _HOLE.sub(lambda hole: f"({hole[1]})", server.url[whole.end() if whole is not None else 0 :]) if server is not None and tail else ""
    )
    found.base = f'{{{{connection.{name} | replace_pattern: "/+$"}}}}{tail}' if tail else f"{{{{connection.{name}}}}}"
    if whole is None:
        found.asked.append("The description names no server: each connection says the address of its own.")
    made["hint"] = clean_text(told.get("description"), 200) or (
        f"Where the API is reached, such as https://api.example.com: {clean_text(behind, 200)} is put behind it."
        if behind
        else "Where the API is reached, such as https://api.example.com/v1"
    )
    if isinstance(told.get("default"), str) and is_absolute(told["default"]):
        made["sample"] = told["default"]


def _is_host(url: str) -> bool:
    """Whether what stands in the place of a host can be one, with its parts that vary."""
    host = _HOLE.sub("1", url).partition("//")[2].partition("/")[0]
    return re.fullmatch(r"(?:[^\W_]|[._-])+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?", host) is not None


def _server_part(name: str, server: Server, found: Access, names: set[str]) -> str:
    """A part of the address that varies: a field of the connection, unless there is only one value for it."""
    told = server.variables.get(name, {})
    values = [str(value) for value in sequence(told.get("enum")) if isinstance(value, str | int) and _SAFE.fullmatch(str(value))]
    default = str(told["default"]) if isinstance(told.get("default"), str | int) else ""
    if len(values) == 1 or (not values and server.url.startswith(f"{{{name}}}:")):
        return values[0] if values else (default or "https")
    public = unique(snake(name), names)
    made: dict[str, Any] = {"name": public, "type": "string", "label": title(name), "required": True}
    if values:
        made["options"] = [{"key": value, "label": value} for value in dict.fromkeys(values)]
        if default in values:
            made |= {"default": default, "required": False}
    else:
        before, _mark, after = server.url.partition(f"{{{name}}}")
        in_host = "//" in before and "/" not in before.partition("//")[2]
        whole = before.endswith("//") and (not after or after[0] in "/:")
        made["pattern"] = "^[A-Za-z0-9.:-]+$" if whole else HOST_PART if in_host else "^[A-Za-z0-9._~-]+$"
        if default and re.fullmatch(made["pattern"], default):
            made["sample"] = default
    if hint := clean_text(told.get("description"), 300):
        made["hint"] = hint
    found.fields.append(made)
    return f"{{{{connection.{public}}}}}"


def _choice(service: Service, names: tuple[str, ...], found: Access) -> dict[str, Any] | None:
    """One way of authorisation: one scheme, or several keys that go together."""
    told = [(name, mapping(service.schemes.get(name))) for name in names]
    for name, scheme in told:
        if not scheme:
            found.left.append(Left(pointer=pointer("security"), what=name, why="The description knows no such security scheme."))
            return None
    if len(told) > 1:
        return _together(told, found)
    name, scheme = told[0]
    label, hint = title(name), clean_text(scheme.get("description"), 300)
    made = _scheme_of(name, scheme)
    if made is None:
        why = f'The language has no way of authorisation for "{clean_text(text(scheme.get("type")), 40) or "nothing"}".'
        found.left.append(Left(pointer=pointer("components", "securitySchemes", name), what=name, why=why))
        return None
    return {"name": snake(name, "auth"), "label": label, **({"hint": hint} if hint else {}), **made}


def _scheme_of(name: str, scheme: Mapping[str, Any]) -> dict[str, Any] | None:
    """What one security scheme is here: its fields and its kind; ``None`` for what the language does not have."""
    kind = text(scheme.get("type"))
    if is_signed_for_aws(scheme):
        return _sigv4()
    if kind == "apiKey":
        return _api_key(name, scheme)
    if kind == "http":
        return _http(name, scheme)
    if kind == "oauth2":
        return _oauth2(scheme)
    return _bearer("access_token", "Access token") if kind == "openIdConnect" else None


def is_signed_for_aws(scheme: Mapping[str, Any]) -> bool:
    """Whether a header Authorization is meant that is a signature of the request (AWS, version 4)."""
    told = text(scheme.get("x-amazon-apigateway-authtype")).lower() == "awssigv4"
    return (
        told or re.search(r"(?i)\bAmazon Signature\b.{0,40}\bv4\b|\bAWS Signature Version 4\b", text(scheme.get("description"))) is not None
    )


def _sigv4() -> dict[str, Any]:
    service = {"name": "service", "type": "string", "label": "Service", "required": True, "pattern": "^[a-z0-9-]{1,60}$"}
    region = {
        "name": "region",
        "type": "string",
        "label": "Region",
        "required": True,
        "pattern": "^[a-z0-9-]{1,60}$",
        "sample": "us-east-1",
    }
    return {
        "fields": [
            {"name": "access_key_id", "type": "string", "label": "Access key id", "required": True},
            _secret("secret_access_key", "Secret access key"),
            {**service, "hint": "The short name that requests are signed for, such as sqs."},
            region,
        ],
        "scheme": {"kind": "sigv4", "service": "{{connection.service}}", "region": "{{connection.region}}"},
    }


def _secret(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "label": label, "required": True, "secret": True}


def _place(scheme: Mapping[str, Any]) -> tuple[str, str] | None:
    place, param = text(scheme.get("in")), text(scheme.get("name"))
    if place not in {"header", "query", "cookie"} or not param or (place == "header" and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", param)):
        return None
    return place, param


def _api_key(name: str, scheme: Mapping[str, Any]) -> dict[str, Any] | None:
    found = _place(scheme)
    if found is None:
        return None
    place, param = found
    own = snake(name if name.lower() != "authorization" else "api_key", "api_key")
    if place == "header" and param.lower() == "authorization":
        said = re.search(r"\b(Bearer|Token|ApiKey|Api-Key|Key|Basic|GenieKey|SSWS)\b\s+", text(scheme.get("description")))
        return {
            "fields": [_secret(own, title(name))],
            "scheme": {
                "kind": "bearer",
                "token": f"{{{{connection.{own}}}}}",
                "prefix": said[1] if said else "Bearer" if "bearer" in name.lower() else "",
            },
        }
    return {
        "fields": [_secret(own, title(param))],
        "scheme": {"kind": "api_key", "in": place, "param": param, "value": f"{{{{connection.{own}}}}}"},
    }


def _http(name: str, scheme: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = text(scheme.get("scheme")).lower()
    if kind == "basic":
        user = {"name": "username", "type": "string", "label": "User", "required": True}
        password = {**_secret("password", "Password"), "required": False, "hint": "Empty where the user is a key."}
        return {
            "fields": [user, password],
            "scheme": {"kind": "basic", "username": "{{connection.username}}", "password": '{{connection.password | otherwise: ""}}'},
        }
    if kind == "bearer":
        return _bearer(snake(name, "token"), title(name))
    if re.fullmatch(r"[a-z][a-z0-9-]{0,30}", kind) and kind not in {"digest", "hoba", "mutual", "negotiate", "oauth"}:
        return _bearer(snake(name, "token"), title(name), text(scheme.get("scheme")))
    return None


def _bearer(name: str, label: str, prefix: str = "Bearer") -> dict[str, Any]:
    scheme = {"kind": "bearer", "token": f"{{{{connection.{name}}}}}"}
    return {"fields": [_secret(name, label)], "scheme": scheme if prefix == "Bearer" else scheme | {"prefix": prefix}}


def _oauth2(scheme: Mapping[str, Any]) -> dict[str, Any] | None:
    flows = mapping(scheme.get("flows"))
    for flow in _FLOWS:
        told = mapping(flows.get(flow))
        authorize, token = text(told.get("authorizationUrl")), text(told.get("tokenUrl")) or text(told.get("authorizationUrl"))
        scopes = {
            clean_text(scope, 200): clean_text(means, 200) for scope, means in mapping(told.get("scopes")).items() if clean_text(scope, 200)
        }
        if not told:
            continue
        if flow == "implicit" or not _is_secure(token) or (flow == "authorizationCode" and not _is_secure(authorize)):
            return _bearer("access_token", "Access token")
        if flow == "authorizationCode":
            made: dict[str, Any] = {"kind": "oauth2", "authorizeUrl": authorize, "tokenUrl": token}
            if (refresh := text(told.get("refreshUrl"))) != token and _is_secure(refresh):
                made["refreshUrl"] = refresh
            if scopes:
                made["scopeChoices"] = dict(list(scopes.items())[:200])
            return {"scheme": made}
        grant = "client_credentials" if flow == "clientCredentials" else "password"
        fields = [
            {"name": "client_id", "type": "string", "label": "Client id", "required": True},
            _secret("client_secret", "Client secret"),
        ]
        if grant == "password":
            fields += [{"name": "username", "type": "string", "label": "User", "required": True}, _secret("password", "Password")]
        return {"fields": fields, "scheme": {"kind": "oauth2", "grant": grant, "tokenUrl": token}}
    return _bearer("access_token", "Access token")


def _is_secure(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and "{" not in url and not parts.fragment


def _together(told: list[tuple[str, Mapping[str, Any]]], found: Access) -> dict[str, Any] | None:
    """Several schemes in one request: keys stand side by side, and one other way of authorisation with them."""
    keys: list[tuple[str, Mapping[str, Any]]] = []
    rest: list[tuple[str, Mapping[str, Any]]] = []
    for name, scheme in told:
        is_key = scheme.get("type") == "apiKey" and _place(scheme) is not None and not is_signed_for_aws(scheme)
        (keys if is_key else rest).append((name, scheme))
    if len(rest) > 1 or not keys:
        what = " and ".join(name for name, _scheme in told)
        found.left.append(
            Left(pointer=pointer("security"), what=what, why="These ways of authorisation cannot go together in one request here.")
        )
        return None
    names: set[str] = set()
    made = (_scheme_of(*rest[0]) or {}) if rest else {}
    if rest and made.get("scheme", {}).get("kind") not in _WITH_MORE:
        found.left.append(
            Left(pointer=pointer("security"), what=rest[0][0], why="This way of authorisation cannot go together with a key here.")
        )
        return None
    if rest:
        names |= {field["name"] for field in made.get("fields", ())}
    fields, placements = list(made.get("fields", ())), []
    for name, scheme in keys:
        own = unique(snake(name, "api_key"), names)
        place, param = _place(scheme) or ("header", name)
        fields.append(_secret(own, title(name)))
        placements.append({"in": place, "param": param, "value": f"{{{{connection.{own}}}}}"})
    if rest and made["scheme"]["kind"] == "oauth2":
        token = {"in": "header", "param": "Authorization", "value": "Bearer {{connection.access_token}}"}
        scheme = {**made["scheme"], "place": [token, *placements]}
    else:
        first, more = (made["scheme"], placements) if rest else ({"kind": "api_key", **placements[0]}, placements[1:])
        scheme = {**first, **({"also": more} if more else {})}
    label = ", ".join(title(name) for name, _scheme in told)
    return {"name": snake("_".join(name for name, _scheme in told)), "label": label, "fields": fields, "scheme": scheme}
