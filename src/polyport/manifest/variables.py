"""The variables of the language: fields and sections of inputs and outputs, and the fields that a partner's account defines."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.kinds.fields import ARRAY, TYPES
from polyport.manifest.base import At, Match, Name, Node, Option, Pattern, Place, Scalar, Text, TypeName

_CHECKED_FORMATS: Final = frozenset({"email", "uri", "uuid", "hostname"})


class InputField(Node):
    """A variable of an operation or of a connection.

    ``name`` is the public name and what ``{{name}}`` reads. ``at`` is where the value stands inside a section's row on the wire (a list of keys;
    default: its name). ``wire`` is the format it is written in (the type's default if not given). ``list`` names a dynamic list. ``default`` is used
    when the caller sends nothing. ``min`` and ``max`` bound a number, the lengths bound a text (in characters). ``separator``: a list is written as
    one text with this between its elements.
    """

    name: Name
    type: TypeName
    label: Text
    required: bool = False
    hint: str | None = None
    default: Any = None
    sample: Any = None
    options: tuple[Option, ...] | None = None
    list: Name | None = None
    depends_on: tuple[Name, ...] = ()
    format: Literal["email", "uri", "uuid", "hostname", "multiline", "html", "json", "code"] | None = None
    min: int | float | None = None
    max: int | float | None = None
    min_length: int | None = Key(default=None, ge=0)
    max_length: int | None = Key(default=None, ge=1)
    max_items: int | None = Key(default=None, ge=1)
    pattern: Pattern | None = None
    secret: bool = False
    at: Place | None = None
    wire: str | None = None
    separator: Text | None = None

    @property
    def base_type(self) -> str:
        """The type without ``[]``."""
        return self.type.removesuffix("[]")

    @property
    def is_array(self) -> bool:
        """Whether the field takes several values."""
        return self.type.endswith("[]")

    @property
    def code(self) -> int:
        """The wire code of the type: 1 to 10, plus 100 for arrays."""
        return TYPES[self.base_type].code + (ARRAY if self.is_array else 0)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.wire is not None and self.wire not in TYPES[self.base_type].wires:
            raise ValueError(f'"{self.wire}" is not a wire format of {self.base_type}; there are: {", ".join(TYPES[self.base_type].wires)}')
        if self.options is not None and self.list is not None:
            raise ValueError("a field has options or a list, not both")
        if self.options is not None and len({str(option.key) for option in self.options}) != len(self.options):
            raise ValueError("two options of a field have the same key")
        if self.base_type not in {"integer", "decimal"} and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max bound a number; a {self.base_type} has none")
        measured = (self.min_length, self.max_length, self.pattern, self.format if self.format in _CHECKED_FORMATS else None)
        if self.base_type != "string" and any(limit is not None for limit in measured):
            raise ValueError(f"lengths, pattern and format are for texts; a {self.base_type} has none")
        if self.max_items is not None and not self.is_array:
            raise ValueError("maxItems is for lists, such as string[]")
        if self.separator is not None and (not self.is_array or self.base_type in {"object", "file"}):
            raise ValueError("a separator is for lists of texts, numbers and the like, such as string[]")
        return self


class OutputField(Node):
    """A variable of a result: what stands ``at`` a path of the item (default: the name). ``exists`` gives whether there is anything there."""

    name: Name
    type: TypeName
    label: Text
    hint: str | None = None
    at: At | None = None
    exists: bool = False
    sample: Any = None

    @property
    def code(self) -> int:
        """The wire code of the type: 1 to 10, plus 100 for arrays."""
        return TYPES[self.type.removesuffix("[]")].code + (ARRAY if self.type.endswith("[]") else 0)


class InputSection(Node):
    """Rows that a caller sends: a list of objects, each made of ``fields`` and deeper ``sections``.

    ``at`` is where the rows stand inside the row around them (a list of keys; default: the name).
    """

    name: Name
    label: Text
    hint: str | None = None
    required: bool = False
    fields: tuple[InputField, ...] = ()
    sections: tuple[InputSection, ...] = ()
    at: Place | None = None
    min_rows: int = Key(default=0, ge=0)
    max_rows: int | None = Key(default=None, ge=1)


class OutputSection(Node):
    """Rows of a result: the list ``at`` a path of the item (default: the name). A single object there counts as one row."""

    name: Name
    label: Text
    hint: str | None = None
    fields: tuple[OutputField, ...] = ()
    sections: tuple[OutputSection, ...] = ()
    at: At | None = None


class CustomFields(Node):
    """Fields that the partner's account defines. They appear as ``cf__`` + MD5 of the partner's key and are collected under ``{{custom}}``.

    ``shape`` of ``{{custom}}``: ``object`` (``{key: value}``) or ``pairs`` (a list of objects with the key under ``pair_key`` and the value
    under ``pair_value``). ``result_at`` is where the result's item holds them, in the same shape; they come back under the same names.
    ``include`` maps fields of the operation to the partner's keys under which they join the custom ones. ``cleared`` is what a value that the
    caller clears (null) is written as.
    """

    list: Name
    shape: Literal["object", "pairs"] = "object"
    pair_key: str = "id"
    pair_value: str = "value"
    result_at: At | None = None
    writable: bool = True
    required: tuple[str, ...] = ()
    include: dict[str, str] = Key(default_factory=dict)
    cleared: Scalar = None


class CustomFieldShape(Node):
    """How the items of a list become field definitions.

    ``type`` is the path of the partner's type word, ``types`` maps it to ours (``default_type`` otherwise). ``options`` is the path of the choices, with
    ``option_key`` and ``option_label`` inside each. ``where`` are conditions an item has to meet; ``read_only`` marks those that cannot be written.
    ``variant`` is the path of a second word that tells types apart: ``types``, ``wires`` and ``separators`` are then asked for ``type.variant`` before
    ``type``. ``separators`` holds what stands between the elements of lists that the partner writes as one text.
    """

    key: At
    label: At
    type: At
    types: dict[str, TypeName] = Key(default_factory=dict)
    default_type: TypeName = "string"
    hint: At | None = None
    required: Match | None = None
    read_only: Match | None = None
    options: At | None = None
    option_key: At = ("id",)
    option_label: At = ("label",)
    where: tuple[Match, ...] = ()
    wires: dict[str, str] = Key(default_factory=dict)
    variant: At | None = None
    separators: dict[str, Text] = Key(default_factory=dict)

    @model_validator(mode="after")
    def _wires_fit_types(self) -> Self:
        known = {wire for kind in (*self.types.values(), self.default_type) for wire in TYPES[kind.removesuffix("[]")].wires}
        for word, wire in self.wires.items():
            if wire not in known:
                raise ValueError(f'"{wire}" (for "{word}") is not a wire format of any of the types; there are: {", ".join(sorted(known))}')
        return self
