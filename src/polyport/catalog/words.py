"""Texts as the words by which they are found: small letters and digits, without accents."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    folded = text.casefold()
    if not folded.isascii():
        plain = "".join(each for each in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(each))
        folded = plain.casefold()
    return _WORD.findall(folded)


def line_of(*texts: str, most: int = 200) -> str:
    """The words of texts on one line, each once, so many at most. Of ``HubSpot`` there are three: the whole and its parts."""
    found: dict[str, None] = {}
    for text in texts:
        found |= dict.fromkeys(words_of(text))
        found |= dict.fromkeys(words_of(_HUMP.sub(" ", text)))
    return " ".join(list(found)[:most])


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """What else a word may stand for: each line of ``synonyms.txt`` is a group of words that mean much the same."""
    found: dict[str, dict[str, None]] = {}
    for line in files("polyport.catalog").joinpath("synonyms.txt").read_text("utf-8").splitlines():
        group = words_of(line.partition("#")[0])
        for word in group:
            found.setdefault(word, {}).update(dict.fromkeys(group))
    return {word: tuple(each for each in group if each != word) for word, group in found.items()}
