"""Phone numbers in their one international form, E.164. Imported only where a field needs it: the library's tables cost 20 MB.

``phonenumbers`` reads a number in ten passes, whatever it looks like. One that says its country, and has nothing in front of it that the country's numbers
drop, is what its digits say: that is told from the library's own tables in one pass. Everything else is the library's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

_INTERNATIONAL: Final = re.compile(r"\+[1-9][0-9 .()-]*[0-9]", re.ASCII)
_BETWEEN: Final = str.maketrans("", "", "+ .()-")


def e164_of(text: str, region: str | None) -> str | None:
    """The number in E.164, if it can be read as a possible one; ``region`` is where it is dialled that names no country."""
    return _plain(text) or _read(text, region)


def _plain(text: str) -> str | None:
    """The number if it is one in plain international writing."""
    if not _INTERNATIONAL.fullmatch(text):
        return None
    digits = text.translate(_BETWEEN)
    for width in (1, 2, 3):
        if (code := digits[:width]) in _CODES:
            dropped, lengths = _numbering(code)
            national = digits[width:]
            if len(national) in lengths and (dropped is None or not dropped.match(national)):
                return f"+{digits}"
            return None
    return None


_CODES: Final = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))


@lru_cache(maxsize=1024)
def _numbering(code: str) -> tuple[re.Pattern[str] | None, frozenset[int]]:
    """What the numbers of a country drop at their beginning, and how many digits they may have."""
    region = phonenumbers.region_code_for_country_code(int(code))
    found = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if found is None or found.general_desc is None:
        return None, frozenset()
    dropped = found.national_prefix_for_parsing
    return re.compile(dropped) if dropped else None, frozenset(found.general_desc.possible_length)


def _read(text: str, region: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
