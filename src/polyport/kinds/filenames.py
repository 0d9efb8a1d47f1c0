"""What a file is called: told by the answer that brought it, or by the end of its address. Never a path, never more than one line."""

from __future__ import annotations

import mimetypes
import re
from typing import Final
from urllib.parse import unquote, urlsplit

LIMIT: Final = 255
_EXTENDED: Final = re.compile(r"""filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']{0,20}'([^;"\s]{1,1000})""", re.IGNORECASE)
_PLAIN: Final = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.){1,1000})"|([^;"\s]{1,1000}))', re.IGNORECASE)


def name_of(disposition: str | None, url: str, content_type: str | None = None) -> str:
    """The name in a ``Content-Disposition`` (RFC 6266, the extended form first), else the end of the address, else ``file`` with the ending of its type."""
    told = disposition or ""
    name = ""
    if (found := _EXTENDED.search(told)) is not None:
        name = _clean(unquote(found[2], encoding=found[1].lower(), errors="replace"))
    if not name and (found := _PLAIN.search(told)) is not None:
        name = _clean(re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2])
    return name or name_in_url(url) or f"file{mimetypes.guess_extension(content_type or '') or ''}"


def name_in_url(url: str) -> str:
    """The end of an address as a name; empty where there is none."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return _clean(unquote(path.rpartition("/")[2]))


def _clean(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if character.isprintable()).strip()[:LIMIT]
    return "" if shown in {".", ".."} else shown
