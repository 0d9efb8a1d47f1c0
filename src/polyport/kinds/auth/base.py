"""What every auth kind shares.

A kind is a generator without I/O: it yields requests and is sent answers; the answer to the last request it yields is the answer of the call. The
same code therefore serves real calls, refresh, tests and simulation.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from polyport.kinds.filters import FILTERS
from polyport.net.message import Reply, Request
from polyport.paths import MISSING
from polyport.template import RenderFault, Template, compile_value, to_text

Flow = Generator[Request, Reply, None]
Material = Mapping[str, Any]


class SchemeBase(BaseModel):
    """An auth kind as it stands in a partner's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def flow(self, request: Request, connection: Material) -> Flow:
        """Yield the request with what proves the connection. ``connection`` holds all its fields, secrets included."""
        raise NotImplementedError  # pragma: no cover  every kind has its own


def compiled(source: str) -> Template:
    """A template of an auth kind; it reads ``{{connection.<field>}}`` only."""
    return compile_value(source, FILTERS)


def rendered(template: Template, connection: Material) -> str:
    """The text of a template; raises ``RenderFault`` when the connection lacks what it needs."""
    value = template.render({"connection": connection})
    if value is MISSING or value is None:
        raise RenderFault("the connection lacks a field that its authorisation needs")
    return to_text(value)
