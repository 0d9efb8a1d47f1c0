"""The variables of the language: fields and sections of inputs and outputs, and the fields that a partner's account defines."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, model_validator
from pydantic import Field as Key

from polyport.kinds.fields import ARRAY, TYPES
from polyport.kinds.filters import FILTERS
from polyport.kinds.wires import Form, check_pattern
from polyport.manifest.base import At, Match, Name, Node, Option, Pattern, Place, Scalar, Text, TypeName
from polyport.template import Template, TemplateError, compile_value

_KEY_TYPES: Final = frozenset({"string", "integer", "date", "datetime"})
_CHECKED_FORMATS: Final = frozenset({"email", "uri", "uuid", "hostname", "regex"})


def _reads_only(template: Any, names: frozenset[str]) -> Any:
    try:
        heads = {str(name[0]) for name in compile_value(template, FILTERS).names}
    except TemplateError as error:
        raise ValueError(str(error)) from None
    if "value" not in heads or not heads <= names:
        raise ValueError(f"this template reads {{{{value}}}}, and nothing but {', '.join(sorted(names))}")
    return template


def _on_a_field(match: Match) -> Match:
    if len(match.at) != 1 or not isinstance(match.at[0], str) or match.contains is not None:
        raise ValueError(
            "a field applies when another field has a value: {at: NAME, in: [...]}, {at: NAME, equals: ...} or {at: NAME}, each maybe with negate"
        )
    return match


# Sets of names, of which all of one set have to be given.
Sets = Annotated[tuple[Annotated[tuple[Name, ...], Key(min_length=1)], ...], Key(min_length=1)]

When = Annotated[Match, AfterValidator(_on_a_field)]

Writing = Annotated[Any, AfterValidator(lambda template: _reads_only(template, frozenset({"key", "value"})))]

Reading = Annotated[str, AfterValidator(lambda template: _reads_only(template, frozenset({"value"})))]


class Variable(Node):
    """What inputs and outputs share: a public name, a type, and how the partner writes the value.

    ``wire`` is a wire format of the type; for a datetime and a date also a pattern such as ``%d.%m.%Y %H:%M``. ``zone`` is an IANA time zone: that of
    times which the partner writes without one. ``scale``: the partner counts a decimal in its smallest unit, so many decimal places down (cents: 2).
    ``words`` are what the partner says for true and for false. ``decimal_point`` and ``thousands`` write a number as text with these signs. ``region``
    (``GB``) is where phone numbers without a country code belong. ``separator``: a list is written as one text with this between its elements.
    """

    name: Name
    type: TypeName
    label: Text
    hint: str | None = None
    sample: Any = None
    wire: str | None = None
    zone: str | None = None
    scale: int | None = Key(default=None, ge=1, le=18)
    words: tuple[str | int, str | int] | None = None
    decimal_point: Literal[".", ","] | None = None
    thousands: Literal[".", ",", " ", "'"] | None = None
    region: str | None = Key(default=None, pattern=r"^[A-Z]{2}$")
    separator: Text | None = None

    @property
    def base_type(self) -> str:
        """The type without ``[]``."""
        return self.type.removesuffix("[]")

    @property
    def is_array(self) -> bool:
        """Whether there are several values."""
        return self.type.endswith("[]")

    @property
    def code(self) -> int:
        """The wire code of the type: 1 to 10, plus 100 for arrays."""
        return TYPES[self.base_type].code + (ARRAY if self.is_array else 0)

    @property
    def form(self) -> Form:
        """How the values are written."""
        return Form(
            type=self.base_type,
            wire=self.wire,
            zone=self.zone,
            scale=self.scale,
            words=self.words,
            point=self.decimal_point,
            thousands=self.thousands,
            region=self.region,
        )

    @model_validator(mode="after")
    def _form_fits_type(self) -> Self:
        _check_wire(self.wire, self.base_type, reads=not isinstance(self, InputField))
        for key, value, types in (
            ("zone", self.zone, {"datetime"}),
            ("scale", self.scale, {"decimal"}),
            ("words", self.words, {"boolean", "nullable_boolean"}),
            ("decimalPoint", self.decimal_point, {"integer", "decimal"}),
            ("thousands", self.thousands, {"integer", "decimal"}),
            ("region", self.region, {"phone"}),
        ):
            if value is not None and self.base_type not in types:
                raise ValueError(f'"{key}" is for {" and ".join(sorted(types))}; this is a {self.base_type}')
        if self.zone is not None and self.zone not in available_timezones():
            raise ValueError(f'"{self.zone}" is not a time zone of the IANA database; one is Europe/Berlin')
        if self.wire is not None and (self.words, self.decimal_point, self.thousands) != (None, None, None):
            raise ValueError("words, decimalPoint and thousands are wire formats of their own: leave out wire")
        if (self.decimal_point or ".") == self.thousands:
            raise ValueError(
                "the decimal point and the sign between thousands are two signs; the decimal point is . if decimalPoint says nothing"
            )
        if self.words is not None and str(self.words[0]).casefold() == str(self.words[1]).casefold():
            raise ValueError("the words for true and false are two")
        if self.separator is not None and (not self.is_array or self.base_type in {"object", "file"}):
            raise ValueError("a separator is for lists of texts, numbers and the like, such as string[]")
        return self


def _check_wire(wire: str | None, base_type: str, *, reads: bool) -> None:
    """Raises ``ValueError`` for a wire format that the type does not have."""
    if wire is None or wire in TYPES[base_type].wires:
        return
    if "%" not in wire or base_type not in {"datetime", "date"}:
        pattern = ", and patterns such as %d.%m.%Y" if base_type in {"datetime", "date"} else ""
        raise ValueError(f'"{wire}" is not a wire format of {base_type}; there are: {", ".join(TYPES[base_type].wires)}{pattern}')
    check_pattern(wire, reads=reads)


class InputField(Variable):
    """A variable of an operation or of a connection.

    ``name`` is the public name and what ``{{name}}`` reads. ``at`` is where the value stands inside a section's row on the wire (a list of keys;
    default: its name). ``list`` names a dynamic list. ``default`` is used when the caller sends nothing. ``min`` and ``max`` bound a number, with ``multiple_of`` it goes in steps of this size (counted from 0, exactly: 0.3 is three steps of 0.1), the lengths
    bound a text (in characters), ``min_items`` and ``max_items`` a list that is given; with ``unique_items`` no value stands in it twice. ``holds``: of all JSON, a field of the type object takes only an object, or only a list. ``when`` is a condition on another field of the same level, or on one of the operation: the field applies only if it holds,
    and only then counts as ``required`` and has its ``default``. With ``sent: false`` a field of a row only chooses what else applies, and is no part of the row on the wire. How the value is written (``wire``, ``zone``, ``scale``, ``words``, ``decimal_point``, ``thousands``, ``region``, ``separator``):
    see [Variable](#variable).
    """

    required: bool = False
    default: Any = None
    options: tuple[Option, ...] | None = None
    list: Name | None = None
    depends_on: tuple[Name, ...] = ()
    format: Literal["email", "uri", "uuid", "hostname", "regex", "multiline", "html", "json", "code"] | None = None
    min: int | float | None = None
    max: int | float | None = None
    multiple_of: int | float | None = Key(default=None, gt=0)
    min_length: int | None = Key(default=None, ge=0)
    max_length: int | None = Key(default=None, ge=1)
    min_items: int | None = Key(default=None, ge=1)
    max_items: int | None = Key(default=None, ge=1)
    unique_items: bool = False
    holds: Literal["object", "list"] | None = None
    pattern: Pattern | None = None
    secret: bool = False
    when: When | None = None
    sent: bool = True
    at: Place | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.sent and len(self.at or (self.name,)) > 1:
            raise ValueError('a field that is not sent stands nowhere: leave out "at"')
        if self.options is not None and self.list is not None:
            raise ValueError("a field has options or a list, not both")
        if self.options is not None and len({str(option.key) for option in self.options}) != len(self.options):
            raise ValueError("two options of a field have the same key")
        if self.base_type not in {"integer", "decimal"} and (self.min, self.max, self.multiple_of) != (None, None, None):
            raise ValueError(f"min, max and multipleOf bound a number; a {self.base_type} has none")
        measured = (self.min_length, self.max_length, self.pattern, self.format if self.format in _CHECKED_FORMATS else None)
        if self.base_type != "string" and any(limit is not None for limit in measured):
            raise ValueError(f"lengths, pattern and format are for texts; a {self.base_type} has none")
        if (self.max_items is not None or self.min_items is not None) and not self.is_array:
            raise ValueError("minItems and maxItems are for lists, such as string[]")
        if self.unique_items and (not self.is_array or self.base_type in {"object", "file"}):
            raise ValueError("uniqueItems is for lists of single values, such as string[]")
        if self.holds is not None and self.base_type != "object":
            raise ValueError('"holds" says what JSON a field of the type object takes')
        return self


class OutputField(Variable):
    """A variable of a result: what stands ``at`` a path of the item (default: the name). ``exists`` gives whether there is anything there.

    How the partner writes the value: see [Variable](#variable).
    """

    at: At | None = None
    exists: bool = False


Shape = Literal["objects", "object", "lists", "map", "values"]
_BARE_OBJECTS: Final = frozenset({"objects", "object"})


def is_scalar_map(section: InputSection | OutputSection) -> bool:
    """Whether the rows are a map whose values are bare: a key, one more field and nothing else."""
    return section.shape == "map" and len(section.fields) == 2 and not section.sections and section.custom_fields is None


def _check_shape(section: InputSection | OutputSection) -> None:
    """Raises ``ValueError`` for fields and sections that rows of the shape cannot have."""
    shape, deeper = section.shape, bool(section.sections)
    if section.like is not None:
        demands = section.needs_one_of if isinstance(section, InputSection) else ()
        if section.fields or deeper or demands or section.custom_fields is not None or shape not in _BARE_OBJECTS:
            raise ValueError(
                f'the rows are like those of "{section.like}": leave out fields, sections and customFields, and any shape but "object"'
            )
    elif shape in {"lists", "values"} and deeper:
        raise ValueError(f'rows of the shape "{shape}" hold values, no sections')
    elif shape == "values" and (len(section.fields) != 1 or section.custom_fields is not None):
        raise ValueError('rows of the shape "values" have exactly one field')
    elif shape == "map":
        if not section.fields or section.fields[0].base_type not in _KEY_TYPES or section.fields[0].is_array:
            raise ValueError("the first field of a map is its key: a text, a whole number, a day or a time")
        if len(section.fields) == 1 and not deeper and section.custom_fields is None:
            raise ValueError("a map has a key and something under it: one field for a bare value, several for an object")


class CustomFields(Node):
    """Fields that the partner's account defines. They appear as ``cf__`` + MD5 of the partner's key.

    Those of an operation are collected under ``{{custom}}``. Those of a section belong to each of its rows and stand in the row on the wire, under the keys
    of ``at`` or, without it, among the row's own members. ``shape`` of the collection: ``object`` (``{key: value}``), ``pairs`` (a list of objects with
    the key under ``pair_key`` and the value under ``pair_value``) or ``list`` (the values alone, in the order of the definitions, null where none is
    given); with an empty ``pair_value`` the value is the pair itself: what ``writes`` makes of it, an object, gets the key as a further member, and ``reads`` reads the
    whole pair; with ``numeric_keys`` the keys of pairs that are whole numbers are written as such. ``result_at`` is where the result's item, or the section's row, holds them, in the same shape; they come back under the same names. The row of a
    result's section is looked into itself if it does not say where. ``include`` maps fields of the operation to the partner's keys under which they join
    the custom ones. ``cleared`` is what a value that the caller clears (null) is written as. Where several places of an operation have custom
    fields, those of the second have ``_`` behind their names, those of the third ``__``: inputs first, in the order of the file.
    """

    list: Name
    shape: Literal["object", "pairs", "list"] = "object"
    at: Place | None = None
    pair_key: str = "id"
    pair_value: str = "value"
    numeric_keys: bool = False
    result_at: At | None = None
    writable: bool = True
    required: tuple[str, ...] = ()
    include: dict[str, str] = Key(default_factory=dict)
    cleared: Scalar = None


class InputSection(Node):
    """Rows that a caller sends: a list of objects, each made of ``fields`` and deeper ``sections``.

    ``at`` is where the rows stand inside the row around them (a list of keys; default: the name). ``custom_fields`` are variables of each row that the
    partner's account defines: the columns of a sheet, the fields of a table. ``shape`` is what the rows are on the wire: ``objects``; ``lists`` (each row
    an array of its values in the order of the fields, null where none is given, custom fields behind them); ``map`` (one object: the first field is the
    key; one more field is the value, several are an object); ``values`` (an array of the values of the one field); ``object`` (one row at most, and the row
    itself stands there, not a list). ``needs_one_of`` are demands on each row beside what is ``required``: of each, all variables of one set have to be given. ``like`` names a section around this one: its rows are like the rows of that section, down to any depth (16 levels are
    taken); with ``shape: object`` it is one such row, where those around are ``objects`` or an ``object``. ``when``: as of a field.
    """

    name: Name
    label: Text
    hint: str | None = None
    required: bool = False
    fields: tuple[InputField, ...] = ()
    sections: tuple[InputSection, ...] = ()
    custom_fields: CustomFields | None = None
    shape: Shape = "objects"
    like: Name | None = None
    needs_one_of: tuple[Sets, ...] = ()
    when: When | None = None
    at: Place | None = None
    min_rows: int = Key(default=0, ge=0)
    max_rows: int | None = Key(default=None, ge=1)

    @property
    def rows_least(self) -> int:
        """How many rows there have to be where there are any; only ``required`` says that there are."""
        return max(self.min_rows, 1 if self.required else 0)

    @property
    def rows_most(self) -> int | None:
        """How many rows there may be, if there is a bound."""
        return 1 if self.shape == "object" else self.max_rows

    @model_validator(mode="after")
    def _shape_is_sound(self) -> Self:
        _check_shape(self)
        if self.shape == "object" and (self.min_rows > 1 or self.max_rows is not None):
            raise ValueError('the shape "object" is one row: leave out minRows and maxRows, and say "required: true" if it has to be there')
        bare = self.fields if self.shape in {"lists", "values"} else self.fields[1:] if is_scalar_map(self) else ()
        placed = (*bare, *(self.fields[:1] if self.shape == "map" else ()))
        if any(field.at is not None for field in placed):
            raise ValueError(f'the shape "{self.shape}" says where its values stand: leave out "at"')
        if any(field.base_type == "file" for field in placed):
            raise ValueError(f'in the shape "{self.shape}" no value is a file')
        if self.shape == "map" and not self.fields[0].required:
            raise ValueError(f'"{self.fields[0].name}" is the key of a map: it says "required: true"')
        return self


class OutputSection(Node):
    """Rows of a result: the list ``at`` a path of the item (default: the name). A single object there counts as one row.

    ``custom_fields`` are variables of each row that the partner's account defines. ``shape`` is what stands there: ``objects``; ``lists`` (each row an array, a field
    is ``at`` its position if it does not say where); ``map`` (one object: the first field is the key, one more field the value itself, several are looked for in it);
    ``values`` (an array of bare values, for one field); ``object`` (one object; ``objects`` takes one as well). ``like`` names a section around this one: its
    rows are like the rows of that section.
    """

    name: Name
    label: Text
    hint: str | None = None
    fields: tuple[OutputField, ...] = ()
    sections: tuple[OutputSection, ...] = ()
    custom_fields: CustomFields | None = None
    shape: Shape = "objects"
    like: Name | None = None
    at: At | None = None

    @model_validator(mode="after")
    def _shape_is_sound(self) -> Self:
        _check_shape(self)
        return self


class CustomFieldShape(Node):
    """How the items of a list become field definitions.

    ``key`` and ``label`` are paths in the item; the empty path is the item itself, for lists of bare names.
    ``type`` is the path of the partner's type word, ``types`` maps it to ours (``default_type`` otherwise). ``options`` is the path of the choices, with
    ``option_key`` and ``option_label`` inside each. ``where`` are conditions an item has to meet; ``read_only`` marks those that cannot be written.
    ``variant`` is the path of a second word that tells types apart: ``types``, ``wires`` and ``separators`` are then asked for ``type.variant`` before
    ``type``; so are ``writes``, ``reads`` and ``clears``. ``separators`` holds what stands between the elements of lists that the partner writes as one text.
    ``writes`` holds what a value is written as, a template over ``{{value}}`` (in its wire format) and ``{{key}}``; ``reads`` a template over ``{{value}}``, what stands in an answer,
    that gives the bare value back; ``clears`` what null is written as, in place of ``cleared``.
    """

    key: At
    label: At
    type: At | None = None
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
    writes: dict[str, Writing] = Key(default_factory=dict)
    reads: dict[str, Reading] = Key(default_factory=dict)
    clears: dict[str, Any] = Key(default_factory=dict)

    @cached_property
    def writers(self) -> dict[str, Template]:
        """``writes``, compiled."""
        return {word: compile_value(template, FILTERS) for word, template in self.writes.items()}

    @cached_property
    def readers(self) -> dict[str, Template]:
        """``reads``, compiled."""
        return {word: compile_value(template, FILTERS) for word, template in self.reads.items()}

    @model_validator(mode="after")
    def _wires_fit_types(self) -> Self:
        kinds = {kind.removesuffix("[]") for kind in (*self.types.values(), self.default_type)}
        known = {wire for kind in kinds for wire in TYPES[kind].wires}
        for word, wire in self.wires.items():
            if "%" in wire and kinds & {"datetime", "date"}:
                check_pattern(wire, reads=True)
            elif wire not in known:
                raise ValueError(f'"{wire}" (for "{word}") is not a wire format of any of the types; there are: {", ".join(sorted(known))}')
        for word in (*self.writes, *self.reads):
            if self.types.get(word, self.default_type).startswith("file"):
                raise ValueError(f'"{word}" is of type file: a file is written and read as it is')
        return self
