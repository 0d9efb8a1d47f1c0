"""The languages of the connect page: which one a customer reads, and its words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final = {"en": "English", "es": "Español", "pt": "Português", "de": "Deutsch", "fr": "Français"}
_TOLD_MOST: Final = 20
_WEIGHT: Final = re.compile(r"(?:q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")


@cache
def words_of(language: str) -> Mapping[str, str]:
    """Every sentence of the page by its name; ``{...}`` in them is filled in."""
    return tomllib.loads(files("polyport.server.connect").joinpath("words", f"{language}.toml").read_text("utf-8"))


def known_language(told: str | None) -> str | None:
    """A language of the page: ``pt-BR`` is ``pt``; ``None`` for what is none."""
    language = (told or "").strip().lower().replace("_", "-").partition("-")[0]
    return language if language in LANGUAGES else None


def choose_language(*told: str | None, accepted: str = "") -> str:
    """The first that is known of what was told, then of what the browser accepts (RFC 9110, 12.5.4), then English."""
    for language in told:
        if found := known_language(language):
            return found
    weighed: list[tuple[float, int, str]] = []
    for index, part in enumerate(accepted[:500].split(",")[:_TOLD_MOST]):
        name, _, weight = part.partition(";")
        found, wanted = known_language(name), _weight(weight)
        if found is not None and wanted > 0:
            weighed.append((-wanted, index, found))
    return min(weighed)[2] if weighed else "en"


def _weight(text: str) -> float:
    """How much a language is wanted: 1 where nothing is said, 0 (not at all) for what cannot be read."""
    found = _WEIGHT.fullmatch(text.strip())
    return float(found[1] or 1) if found else 0.0
