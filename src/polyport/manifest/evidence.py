"""What a partner's folder says of how it was checked, and of the description that its service publishes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator
from pydantic import Field as Key

from polyport.manifest.base import Node, Text


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("a day is written as in 2026-11-24") from None


class Verified(Node):
    """How the partner was checked, and when. Never more than what was done. ``spec`` needs a ``spec`` that names the description.

    ``imported``: the folder was made from the service's description, and nobody has looked at it.
    """

    how: Literal["imported", "cases", "spec", "sandbox", "live"]
    on: Annotated[date, BeforeValidator(_day)]


class Deprecation(Node):
    """What users of a deprecated partner are told, and from which day on it may be gone."""

    message: Text
    on: Annotated[date, BeforeValidator(_day)] | None = None


class SpecDifference(Node):
    """A point in which the description is known to be too old or wrong, and ``why``, with the page that tells.

    ``call`` is method and path as the description writes them (``POST /chat.postMessage``), where it does not know the call as they are sent, with
    ``{x}`` for a part that varies; any, if not given. ``at`` are places in the request
    such as ``body.blocks``, ``body.rows[].kind``, ``query.limit`` and ``header.token``; what stands beneath them is let go too. Without ``at`` the whole
    call is let go: one that the description does not know. A difference that no request shows any longer fails the partner's tests.
    """

    call: Text | None = None
    at: tuple[Text, ...] = ()
    why: Text

    def covers(self, call: str, at: str) -> bool:
        """Whether a difference at this place of this call is the one that is meant."""
        if self.call is not None and not _same_call(self.call, call):
            return False
        return not self.at or any(at == place or at.startswith((f"{place}.", f"{place}[")) for place in self.at)

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.call is None and not self.at:
            raise ValueError("a difference says a call, places in the request, or both; else it would excuse everything")
        return self


def _same_call(told: str, call: str) -> bool:
    """Whether a call is the one that is told, whose parts in braces stand for any."""
    ours, theirs = told.split("/"), call.split("/")
    return len(ours) == len(theirs) and all(
        one == other or (one.startswith("{") and one.endswith("}")) for one, other in zip(ours, theirs, strict=True)
    )


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Spec(Node):
    """The service's own description (OpenAPI 3, Swagger 2, Google discovery, Telegram's JSON, GraphQL SDL): tests hold every rendered request against it.

    ``corpus`` names one file or several under the folder of descriptions (``POLYPORT_CORPUS``). ``base`` is the address beneath which the paths of the
    description stand, where it names none or another one; ``{x}`` in it is a part that varies.
    """

    corpus: Annotated[tuple[Text, ...], BeforeValidator(_several, json_schema_input_type=str | list[str]), Key(min_length=1)]
    base: Text | None = None
    differences: tuple[SpecDifference, ...] = ()
