"""What a description leaves open about where calls go: asked of who imports it, never assumed.

A connection's secrets go to the hosts that a description names, so whoever can change the description can ask for them. Where it was fetched from one host
and names another, or names several servers, somebody has to say which it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from polyport.importers.described import Left, Server, Service
from polyport.importers.documents import Refused, clean_text
from polyport.importers.openapi import is_address

if TYPE_CHECKING:
    from polyport.importers.partner import Built, Wanted

CHOICES_MOST: Final = 100
_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_URLS: Final = ("authorizeUrl", "tokenUrl", "refreshUrl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer to a question."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. ``id`` is ``base`` (one of the choices, or another address) or ``hosts`` (those of the choices that may be called)."""

    id: str
    text: str
    choices: tuple[Choice, ...]


class Asking(Exception):
    """The import goes on when these are answered."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__("; ".join(question.text for question in questions))
        self.questions = tuple(questions)

    def as_refusal(self) -> Refused:
        """The same for who cannot answer later: what to say at the next try."""
        lines = []
        for question in self.questions:
            option = "--base" if question.id == "base" else "--host"
            lines.append(f"{question.text} Say it with {option}: {', '.join(choice.value for choice in question.choices)}.")
        return Refused("\n".join(lines))


def usable_servers(service: Service) -> list[Server]:
    """The servers that have a whole address, each once."""
    found = {server.url: server for server in service.servers if is_address(server.url)}
    return list(found.values())[:CHOICES_MOST]


def ask_base(service: Service, wanted: Wanted) -> Iterator[Question]:
    """Whether it is plain where the API stands."""
    servers = usable_servers(service)
    if wanted.base is not None or not servers:
        return
    fetched = host_of(wanted.origin)
    others = [server for server in servers if host_of(server.url) != fetched]
    if fetched is not None and others:
        named = ", ".join(sorted({clean_text(_host_text(server.url), 100) for server in others}))
        text = f"The description was fetched from {fetched} and says that the API is at {named}. Where is it?"
    elif len(servers) > 1:
        text = f"The description names {len(servers)} servers. At which one is the API?"
    else:
        return
    choices = [Choice(value=server.url, label=_label(server)) for server in servers]
    if fetched is not None and all(host_of(server.url) != fetched for server in servers):
        there = "{}://{}".format(*urlsplit(wanted.origin or "")[:2]) + _path_of(_HOLE.sub("x", servers[0].url)).rstrip("/")
        choices.append(Choice(value=there, label="Where the description was fetched from"))
    yield Question(id="base", text=text, choices=tuple(choices))


def at_server(service: Service, wanted: Wanted) -> Service:
    """The service at the server that was chosen, if the base that is wanted is one of its own with parts that vary."""
    chosen = [server for server in service.servers if wanted.base is not None and server.url == wanted.base.rstrip("/")]
    return replace(service, servers=tuple(chosen[:1])) if chosen else service


def ask_hosts(built: Built, wanted: Wanted) -> Iterator[Question]:
    """Which other hosts get what a connection holds: asked where the description came from somewhere, since it is at its word there."""
    if wanted.origin is None or wanted.hosts is not None:
        return
    others = sorted(other_hosts(built, wanted))[:CHOICES_MOST]
    if others:
        text = (
            f"The description was fetched from {host_of(wanted.origin)} and has calls, or sign-ins, at other hosts, which get what a "
            "connection holds. Which of them may be called? What goes to the others is left out."
        )
        yield Question(id="hosts", text=text, choices=tuple(Choice(value=host, label=host) for host in others))


def other_hosts(built: Built, wanted: Wanted) -> set[str]:
    """The hosts that calls and sign-ins go to beside the partner's own and that which the description came from."""
    own = {host_of(built.access.base), host_of(wanted.origin)}
    return {host for _name, _kind, host in _aims(built) if host not in own}


def hosts_of(built: Built) -> set[str]:
    """All hosts that calls and sign-ins go to, as far as they are plain."""
    return {host for host in (host_of(built.partner.get("base")), *(host for _name, _kind, host in _aims(built))) if host is not None}


def leave_out_hosts(built: Built, wanted: Wanted) -> None:
    """Leave out what goes to hosts that may not be called."""
    if wanted.origin is None or wanted.hosts is None:
        return
    refused = other_hosts(built, wanted) - set(wanted.hosts)
    for name, kind, host in list(_aims(built)):
        if host not in refused:
            continue
        why = f"It goes to {clean_text(host, 200)}, which may not be called."
        if kind == "auth":
            choices = built.partner["connection"]["auth"]
            built.partner["connection"]["auth"] = [choice for choice in choices if choice["name"] != name]
            built.left.append(Left(pointer="#/components/securitySchemes", what=name, why=why))
        else:
            parts: dict[str, dict[str, Any]] = getattr(built, kind)
            if parts.pop(name, None) is not None:
                endpoint = built.endpoints.pop(name, None)
                built.left.append(Left(pointer=endpoint.pointer if endpoint else "#", what=endpoint.call if endpoint else name, why=why))
    if not built.partner["connection"]["auth"]:
        built.partner["connection"]["auth"] = [{"name": "none", "label": "No authorisation", "scheme": {"kind": "none"}}]


def _aims(built: Built) -> Iterable[tuple[str, str, str]]:
    """What has an address of its own: its name, where it stands, the host."""
    for kind in ("actions", "triggers", "lists"):
        for name, part in getattr(built, kind).items():
            host = host_of(part["call"].get("url"))
            if host is not None:
                yield name, kind, host
    for choice in built.partner["connection"]["auth"]:
        for key in _URLS:
            host = host_of(choice["scheme"].get(key))
            if host is not None:
                yield choice["name"], "auth", host


def host_of(url: Any) -> str | None:
    """The host of an address in small letters, with its port where one stands there; templates stay in it as they are."""
    if not isinstance(url, str):
        return None
    try:
        found = urlsplit(url)
    except ValueError:
        return None
    return found.netloc.rpartition("@")[2].lower() or None


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _host_text(url: str) -> str:
    return host_of(url) or url


def _label(server: Server) -> str:
    return clean_text(server.description, 200) or server.url
