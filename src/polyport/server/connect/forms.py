"""A partner's connection fields as a form, and a form's content as fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from polyport.errors import Details, Fault, PayloadTooLarge, PolyportError
from polyport.manifest.model import ConnectionField

MARK: Final = "field."  # in front of the names of a partner's fields, so that they clash with none of the page's own
FIELDS_MOST: Final = 200
_LONG: Final = frozenset({"multiline", "json", "code", "html"})
_MODES: Final = {"integer": "numeric", "decimal": "decimal", "phone": "tel"}
_FORMATS: Final = {"email": "email", "uri": "url"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One thing that the form asks for. ``kind``: ``text``, ``secret``, ``area``, ``select`` or ``check``. A secret has no ``value``."""

    name: str
    kind: str
    label: str
    hint: str | None
    required: bool
    secret: bool
    value: str = ""
    prefix: str | None = None
    suffix: str | None = None
    mode: str | None = None
    sample: str | None = None
    options: Sequence[tuple[str, str]] = ()
    error: str | None = field(default=None)

    @property
    def id(self) -> str:
        """What labels, hints and errors refer to."""
        return f"field-{self.name}"

    @property
    def described_by(self) -> str:
        """The ids of what a screen reader reads after the label."""
        parts = [
            *([f"{self.id}-error"] if self.error else []),
            *([f"{self.id}-hint"] if self.hint else []),
            *([f"{self.id}-prefix"] if self.prefix else []),
            *([f"{self.id}-suffix"] if self.suffix else []),
        ]
        return " ".join(parts)


def control(variable: ConnectionField, value: Any = None) -> Control:
    """How a field is asked for."""
    shown = variable.default if value is None else value
    text = "" if shown is None or variable.secret else str(shown).lower() if isinstance(shown, bool) else str(shown)
    sample = variable.sample
    return Control(
        name=variable.name,
        kind=_kind(variable),
        label=variable.label,
        hint=variable.hint,
        required=variable.required,
        secret=variable.secret,
        value=text,
        prefix=variable.prefix,
        suffix=variable.suffix,
        mode=_MODES.get(variable.base_type) or _FORMATS.get(variable.format or ""),
        sample=str(sample) if isinstance(sample, str | int) and not isinstance(sample, bool) and not variable.secret else None,
        options=tuple((str(option.key), option.label) for option in variable.options or ()),
    )


def _kind(variable: ConnectionField) -> str:
    if variable.options is not None and not variable.is_array:
        return "select"
    if variable.base_type in {"boolean", "nullable_boolean"} and not variable.is_array:
        return "check"
    if variable.format in _LONG or variable.base_type == "object":
        return "area"
    return "secret" if variable.secret else "text"


def read_form(content: bytes, most: int = FIELDS_MOST) -> dict[str, str]:
    """What a form sent, by name; of a name that stands twice the last counts. Raises ``PayloadTooLarge`` for too many names."""
    return dict(read_pairs(content, most))


def read_pairs(content: bytes, most: int = FIELDS_MOST) -> list[tuple[str, str]]:
    """What a form sent, in its order: names and texts. Raises ``PayloadTooLarge`` for too many names."""
    try:
        return parse_qsl(content.decode("ascii", "replace"), keep_blank_values=True, errors="replace", max_num_fields=most)
    except ValueError:
        raise PayloadTooLarge(f"A form has at most {most:,} fields.") from None


def given_fields(form: Mapping[str, str], variables: Sequence[ConnectionField]) -> dict[str, Any]:
    """The fields that were filled in. What people paste has blanks and line ends around it; those inside a long text stay."""
    found: dict[str, Any] = {}
    for variable in variables:
        text = form.get(MARK + variable.name, "").replace("\r\n", "\n").strip()
        if _kind(variable) == "check":
            found[variable.name] = text == "true"
        elif text:
            found[variable.name] = text
    return found


def with_errors(
    controls: Sequence[Control], error: PolyportError, words: Mapping[str, str], partner: str
) -> tuple[tuple[Control, ...], tuple[str, ...]]:
    """The controls with what is wrong with each, and what belongs to none of them; in the customer's language."""
    by_name: dict[str, str] = {}
    rest: list[str] = []
    known = {each.name for each in controls}
    for fault in error.details.fields:
        name = fault.path.removeprefix("fields.").partition("[")[0]
        sentence = _sentence(fault, error.details, words, partner)
        if fault.path.startswith("fields.") and name in known:
            by_name.setdefault(name, sentence)
        else:
            rest.append(sentence)
    if not error.details.fields:
        rest.append(_partner_sentence(error, words, partner))
    return tuple(replace(each, error=by_name.get(each.name)) for each in controls), tuple(dict.fromkeys(rest))


def _sentence(fault: Fault, details: Details, words: Mapping[str, str], partner: str) -> str:
    if fault.code == "refused_by_partner":
        told = details.upstream.message.strip() if details.upstream is not None else ""
        return words["refused_because" if told else "refused"].format(partner=partner, message=told)
    known = words.get(f"fault_{fault.code}")
    return known if known is not None else fault.message


def _partner_sentence(error: PolyportError, words: Mapping[str, str], partner: str) -> str:
    told = error.details.upstream.message.strip() if error.details.upstream is not None else ""
    sentence = words.get(f"problem_{error.code}", words["problem"])
    return sentence.format(partner=partner, message=told or error.message)
