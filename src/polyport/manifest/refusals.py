"""What a partner's refusals mean: rules that tell the kind of an error, the field it concerns and how long to wait."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

import re2
from pydantic import Field as Key
from pydantic import model_validator

from polyport.manifest.base import At, Match, Node, Pattern


class RetryAfter(Node):
    """Where a partner says how long to wait. ``unit``: ``seconds``, ``milliseconds``, ``date`` (HTTP date), ``unix`` or ``unix_ms`` (a moment).

    ``fixed`` is for a partner whose documentation, and not its answer, says how many seconds.
    """

    header: str | None = None
    at: At | None = None
    fixed: float | None = Key(default=None, gt=0, le=86_400)
    unit: Literal["seconds", "milliseconds", "date", "unix", "unix_ms", "auto"] = "auto"

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if [self.header, self.at, self.fixed].count(None) != 2:
            raise ValueError("say one of header, at and fixed")
        return self


ErrorKind = Literal[
    "invalid_input", "not_found", "conflict", "expired_token", "invalid_connection", "forbidden", "rate_limited", "unavailable", "failed"
]

Status = Annotated[int, Key(ge=100, le=999)] | Annotated[str, Key(pattern=r"^[1-9](xx|\d\d)$")]


class FaultList(Node):
    """Where a partner lists several faulty fields at once: a list, or an object with a member for each field, ``at`` a path.

    In a list, ``field`` is the path of the field's name in each element; in an object the names are the fields. ``message`` and ``code`` are
    paths in each element (default: the element itself, or the first of its texts).
    """

    at: At
    field: At | None = None
    message: At = ()
    code: At | None = None


class ErrorRule(Node):
    """What an answer means. Rules are tried in order: the operation's, the partner's, then the built-in ones by status.

    ``status`` lists codes (``429``) and classes (``"4xx"``); none given means any. ``body`` and ``header`` are further conditions. ``message``
    and ``code`` are paths in the answer; ``field`` is the path of the name of the faulty field, ``fields`` maps the partner's names to ours.
    ``faults``: where the answer lists several faulty fields. ``field_pattern`` finds the name inside the text that stands there; its first group is the name.
    A refusal that is plain text is a text: its path is the empty one.
    """

    status: tuple[Status, ...] = ()
    body: Match | None = None
    header: str | None = None
    kind: ErrorKind
    message: At | None = None
    code: At | None = None
    field: At | None = None
    fields: dict[str, str] = Key(default_factory=dict)
    field_pattern: Pattern | None = None
    faults: FaultList | None = None
    retry_after: RetryAfter | None = None
    suggested_fix: str | None = None

    @cached_property
    def concerns_success(self) -> bool:
        """Whether the rule can fit a status of 200 to 299; most cannot, and are not looked at then."""
        return not self.status or any(str(status).startswith("2") for status in self.status)

    def name_of(self, told: str) -> str | None:
        """Our name of the field that the partner names in this text; ``None`` where the pattern finds no name in it."""
        if self.field_pattern is not None:
            found = re2.search(self.field_pattern, told)
            told = found[1] if found is not None else ""
        return self.fields.get(told, told) or None

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not self.status and self.body is None and self.header is None:
            raise ValueError("a rule says at least one of status, body and header; else it would refuse every answer")
        if self.field_pattern is not None:
            if self.field is None and self.faults is None:
                raise ValueError('"fieldPattern" needs a "field" or "faults" whose text it reads')
            if re2.compile(self.field_pattern).groups < 1:
                raise ValueError('"fieldPattern" has a group around the name: (\\w+)')
        return self
