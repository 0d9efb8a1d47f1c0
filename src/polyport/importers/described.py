"""A service as its description tells of it, whatever the format: endpoints with parameters, bodies and answers; ways to authorise; what had to be left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_HOLE: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A part of the description that is not in the partner. ``pointer`` says where it stands, ``what`` names the part, ``why`` is a sentence."""

    pointer: str
    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. ``place`` is ``path``, ``query``, ``header`` or ``cookie``; ``style`` as OpenAPI 3 names them; ``as_json``: its value is JSON in a text."""

    name: str
    place: str
    required: bool
    schema: Any
    description: str = ""
    style: str = "form"
    explode: bool = True
    as_json: bool = False
    sample: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What an endpoint takes.

    ``styles`` maps members of a form to how they are written: ``repeat``, ``brackets``, ``comma``, ``spaceDelimited``, ``pipeDelimited`` or ``json``.
    """

    media: str
    schema: Any
    required: bool
    sample: Any = None
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint gives on success; ``media`` is empty where it gives nothing."""

    media: str
    schema: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the paths stand; ``{name}`` in ``url`` is a part that varies, described under ``variables`` (``default``, ``enum``, ``description``)."""

    url: str
    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    description: str = ""

    @property
    def usual(self) -> str:
        """The address with the parts that vary as they usually are; those that nothing is said of stay."""
        return _HOLE.sub(lambda hole: str(self.variables.get(hole[1], {}).get("default", hole[0])), self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation. ``server`` is its own address where it is not the service's; ``security`` are the names of schemes it can go with, ``None``: as all do."""

    method: str
    path: str
    pointer: str
    id: str = ""
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    answer: Answer = Answer(media="", schema=None)
    link_header: bool = False
    server: Server | None = None
    open: bool = False

    @property
    def call(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The whole. ``schemes`` are security schemes in the words of OpenAPI 3, ``security`` the alternatives, each the names that go together."""

    title: str
    description: str
    version: str
    docs: str | None
    servers: tuple[Server, ...]
    schemes: Mapping[str, Mapping[str, Any]]
    security: tuple[tuple[str, ...], ...]
    endpoints: tuple[Endpoint, ...]
    left: tuple[Left, ...]
