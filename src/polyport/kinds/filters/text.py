"""Filters over texts. A text has at most 1,048,576 characters, before a filter and after it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from polyport.kinds.filters.limits import ITEM_LIMIT, TEXT_LIMIT, argument_of, bounded, choice_of, text_of, whole_number_of
from polyport.kinds.filters.markup import readable
from polyport.paths import MISSING
from polyport.template import Filter, RenderFault

PAD_LIMIT: Final = 10_000
SLUG_LIMIT: Final = 1_000
PHONE_LIMIT: Final = 64

_NO_SLUG: Final = re2.compile(r"[^\pL\pN]+")


def text(value: Any) -> str:
    """A number, a boolean or a text as text.

    ``{{42 | text}}`` gives ``"42"``.
    """
    return text_of(value)


def trim(value: Any) -> str:
    """The text without white space around it.

    ``{{"  Ada " | trim}}`` gives ``"Ada"``.
    """
    return text_of(value).strip()


def upper(value: Any) -> str:
    """The text in capitals.

    ``{{"Ada" | upper}}`` gives ``"ADA"``.
    """
    return bounded(text_of(value).upper())


def lower(value: Any) -> str:
    """The text in small letters.

    ``{{"Ada" | lower}}`` gives ``"ada"``.
    """
    return bounded(text_of(value).lower())


def capitalize(value: Any) -> str:
    """The text with a capital first letter and small ones behind it.

    ``{{"ada LOVELACE" | capitalize}}`` gives ``"Ada lovelace"``.
    """
    return bounded(text_of(value).capitalize())


def title(value: Any) -> str:
    """The text with a capital at the beginning of every word and small letters behind it; words are what white space separates.

    ``{{"it's ADA" | title}}`` gives ``"It's Ada"``.
    """
    letters: list[str] = []
    inside = False
    for letter in text_of(value):
        letters.append(letter.lower() if inside else letter.title())
        inside = not letter.isspace()
    return bounded("".join(letters))


def slug(value: Any) -> str:
    """The text as it can stand in a web address: small letters and digits of any script without accents, a hyphen between words.

    Takes at most 1,000 characters. ``{{"Crème brûlée, 2 x" | slug}}`` gives ``"creme-brulee-2-x"``.
    """
    given = text_of(value)
    if len(given) > SLUG_LIMIT:
        raise RenderFault(f"slug takes at most {SLUG_LIMIT} characters")
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", given).lower() if not unicodedata.combining(letter))
    return str(_NO_SLUG.sub("-", unicodedata.normalize("NFC", plain))).strip("-")


_CASES: Final[Mapping[str, Callable[[Any], str]]] = {
    "upper": upper,
    "lower": lower,
    "title": title,
    "capitalize": capitalize,
    "slug": slug,
}


def case(value: Any, kind: Any) -> str:
    """The text in a case that is itself a value: upper, lower, title, capitalize or slug.

    ``{{"Ada" | case: "upper"}}`` gives ``"ADA"``.
    """
    return choice_of(kind, _CASES, "case")(value)


def replace(value: Any, old: Any, new: Any = "") -> str:
    """The text with every place of one literal text replaced by another.

    Arguments: what is looked for (not empty, and not a pattern), and what takes its place. ``{{"a-b-c" | replace: "-", "+"}}`` gives ``"a+b+c"``.
    """
    given, old, new = text_of(value), text_of(old), text_of(new)
    if not old:
        raise RenderFault("replace needs a text to look for")
    if len(given) + given.count(old) * (len(new) - len(old)) > TEXT_LIMIT:
        raise RenderFault(f"a text has at most {TEXT_LIMIT} characters here")
    return given.replace(old, new)


def split(value: Any, separator: Any = ",") -> list[str]:
    """The parts of a text, trimmed, without empty ones. At most 10,000, the empty ones counted.

    Argument: the literal text between the parts (not empty). ``{{"a, b,,c" | split}}`` gives ``["a", "b", "c"]``.
    """
    given, separator = text_of(value), argument_of(separator)
    if not separator:
        raise RenderFault("split needs a separator")
    if given.count(separator) >= ITEM_LIMIT:
        raise RenderFault(f"split gives at most {ITEM_LIMIT} parts")
    return [part.strip() for part in given.split(separator) if part.strip()]


def length(value: Any) -> int:
    """How many characters a text has, how many elements a list or how many members an object.

    ``{{"Ada" | length}}`` gives ``3``.
    """
    return len(value) if isinstance(value, list | dict) else len(text_of(value))


def cut(value: Any, start: Any, count: Any = TEXT_LIMIT) -> str:
    """A part of the text; places that are not there give nothing.

    Arguments: where it begins (0 is the first character, below zero counts from the end), and how many characters at most.
    ``{{"2026-11-24" | slice: 5, 2}}`` gives ``"11"``.
    """
    given = text_of(value)
    first = whole_number_of(start, least=-TEXT_LIMIT, most=TEXT_LIMIT)
    first = max(first + len(given), 0) if first < 0 else first
    return given[first : first + whole_number_of(count, least=0, most=TEXT_LIMIT)]


def contains(value: Any, part: Any) -> bool:
    """Whether a text has a literal text in it.

    ``{{"Ada Lovelace" | contains: "Love"}}`` gives ``true``.
    """
    return text_of(part) in text_of(value)


def pad(value: Any, width: Any, fill: Any = " ", side: Any = "left") -> str:
    """The text made as long as a width by one character in front of it or behind it.

    Arguments: the width (at most 10,000), the character, and the side it goes to: left or right. ``{{7 | pad: 3, "0"}}`` gives ``"007"``.
    """
    given, filler = text_of(value), text_of(fill)
    if len(filler) != 1:
        raise RenderFault("pad fills with one character")
    padded = choice_of(side, {"left": given.rjust, "right": given.ljust}, "side")
    return padded(whole_number_of(width, least=0, most=PAD_LIMIT), filler)


def strip_html(value: Any) -> str:
    """The text of a piece of HTML: no tags, comments, scripts and styles, entities as characters, a new line where a block begins or ends.

    A way to make text readable, not a way to make HTML safe. ``{{"<p>A &amp; <b>B</b></p>" | strip_html}}`` gives ``"A & B"``.
    """
    return bounded(readable(text_of(value)))


def e164(value: Any, region: Any = "ZZ") -> str:
    """A phone number in the international form E.164.

    Argument: the region (two capital letters) whose numbers come without a country code; ZZ for none.
    ``{{"020 7946 0000" | e164: "GB"}}`` gives ``"+442079460000"``.
    """
    return str(phone(value, region)["e164"])


def phone(value: Any, region: Any = "ZZ") -> dict[str, Any]:
    """A phone number taken apart: e164, international, national, rfc3966, countryCode (a number), region, and valid (whether it can be in use).

    Argument: the region (two capital letters) whose numbers come without a country code; ZZ for none.
    ``{{"+442079460000" | phone | item: "national"}}`` gives ``"020 7946 0000"``.
    """
    import phonenumbers  # noqa: PLC0415  its tables cost 20 MB: only who formats phone numbers pays

    given, region = text_of(value).strip(), argument_of(region)
    if len(given) > PHONE_LIMIT:
        raise RenderFault(f"a phone number has at most {PHONE_LIMIT} characters")
    if region != "ZZ" and region not in phonenumbers.SUPPORTED_REGIONS:
        raise RenderFault("a region is written with two capital letters, such as GB")
    try:
        parsed = phonenumbers.parse("+" + given[2:] if given.startswith("00") else given, region)
    except phonenumbers.NumberParseException:
        raise RenderFault("this is no phone number, or its country code is missing") from None
    if not phonenumbers.is_possible_number(parsed):
        raise RenderFault("this phone number is too short or too long")
    forms = phonenumbers.PhoneNumberFormat
    found = {
        "e164": phonenumbers.format_number(parsed, forms.E164),
        "international": phonenumbers.format_number(parsed, forms.INTERNATIONAL),
        "national": phonenumbers.format_number(parsed, forms.NATIONAL),
        "rfc3966": phonenumbers.format_number(parsed, forms.RFC3966),
        "countryCode": parsed.country_code,
        "region": phonenumbers.region_code_for_number(parsed) or MISSING,
        "valid": phonenumbers.is_valid_number(parsed),
    }
    return {name: part for name, part in found.items() if part is not MISSING}


TEXT: Final[dict[str, Filter]] = {
    "text": text,
    "trim": trim,
    "upper": upper,
    "lower": lower,
    "capitalize": capitalize,
    "title": title,
    "slug": slug,
    "case": case,
    "replace": replace,
    "split": split,
    "length": length,
    "slice": cut,
    "contains": contains,
    "pad": pad,
    "strip_html": strip_html,
    "e164": e164,
    "phone": phone,
}
