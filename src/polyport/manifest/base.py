"""What every part of the connector language is made of: names, paths, patterns, options, conditions."""

from __future__ import annotations

from typing import Annotated, Any, Final

import re2
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic import Field as Key
from pydantic.alias_generators import to_camel

from polyport.kinds.fields import TYPES
from polyport.paths import MISSING, Path, get, read_path

_QUIET: Final = re2.Options()
_QUIET.log_errors = False  # the fault is told with its line; the library would write it to standard error besides


class Node(BaseModel):
    """What every part of the language shares."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # most are parts of others, and a start with an index of the catalogue reads none
    )


def _keys(value: Path) -> Path:
    if not value or not all(isinstance(step, str) for step in value):
        raise ValueError('a place on the wire is made of keys alone: "name", "outer.name", or a list such as ["a.b", "c"]')
    return value


def _linear(value: str) -> str:
    try:
        re2.compile(value, _QUIET)
    except re2.error as error:
        (reason,) = error.args
        told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"the pattern is not a linear-time regular expression (RE2 syntax): {told}") from None
    return value


def _type(value: str) -> str:
    if value.removesuffix("[]") not in TYPES:
        raise ValueError(f'"{value}" is not a field type; there are: {", ".join(TYPES)}, each also as a list with [] behind it')
    return value


# What stands in the file, for editors: a path is written as a text or as a list.
WrittenPath = str | list[str | int]

At = Annotated[Path, BeforeValidator(read_path, json_schema_input_type=WrittenPath)]

Place = Annotated[Path, BeforeValidator(read_path, json_schema_input_type=WrittenPath), AfterValidator(_keys)]

Pattern = Annotated[str, AfterValidator(_linear)]

TypeName = Annotated[
    str, AfterValidator(_type), WithJsonSchema({"type": "string", "enum": [name + many for many in ("", "[]") for name in TYPES]})
]

Name = Annotated[str, Key(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]

Slug = Annotated[str, Key(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]

Scalar = str | int | bool | None

Text = Annotated[str, Key(min_length=1)]


class Option(Node):
    """One choice of a field: ``key`` is what the partner gets, ``label`` what people see."""

    key: str | int | bool
    label: Text


class Match(Node):
    """A condition on JSON: the value at ``at`` equals one of the given values, or is there at all, or contains a text.

    With none of ``equals``, ``in``, ``contains`` given, the value has to be there and not be null. ``negate`` turns the answer round.
    """

    at: At
    equals: Scalar = None
    one_of: tuple[Scalar, ...] | None = Key(default=None, alias="in")
    contains: str | None = None
    negate: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the condition is true of this JSON."""
        found = get(value, self.at)
        if self.one_of is not None:
            true = any(_same(found, wanted) for wanted in self.one_of)
        elif self.contains is not None:
            true = isinstance(found, str) and self.contains in found
        elif "equals" in self.model_fields_set:
            true = _same(found, self.equals)
        else:
            true = found is not MISSING and found is not None
        return true is not self.negate


def _same(found: Any, wanted: Scalar) -> bool:
    """Equality that keeps ``true`` apart from ``1``."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)
