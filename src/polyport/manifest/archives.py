"""A partner's folder as one archive: the same bytes for the same files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Final

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows: an archive says nothing of when it was made


def pack(files: Mapping[str, str]) -> bytes:
    """The files as an archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            told = zipfile.ZipInfo(name, _MOMENT)
            told.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(told, text)
    return held.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive that ``pack`` made, by their names."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
