"""Where in an input files stand whose content is elsewhere: what is fetched later takes their places. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polyport.kinds.fields import FileValue
from polyport.paths import Step

Where = tuple[Step, ...]
# What holds the file, under which key or index, the file, and where the caller wrote it.
FilePlace = tuple[Any, Any, FileValue, Where]


def follow_files(files: list[FilePlace], start: int, own: dict[str, Any], row: Any) -> None:
    """Custom files were noted where they stood before the row was written: note where they stand now."""
    for index in range(start, len(files)):
        holder, _key, file, where = files[index]
        if holder is own:
            files[index] = (*_holder_of(row, file), file, where)


def _holder_of(value: Any, file: FileValue) -> tuple[Any, Any]:
    """Where a file stands that is somewhere inside."""
    pending = [value]
    while True:
        holder = pending.pop()
        for key, inner in _members(holder):
            if inner is file:
                return holder, key
            if isinstance(inner, dict | list):
                pending.append(inner)


def _members(holder: Any) -> Iterable[tuple[Any, Any]]:
    return holder.items() if isinstance(holder, dict) else enumerate(holder)


def note_files(value: Any, values: dict[str, Any], at: tuple[str, ...], where: Where, files: list[FilePlace]) -> None:
    """Note the files of a value that was put into ``values`` at a place, those whose content is elsewhere."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, FileValue) and item.content is None:
                files.append((value, index, item, (*where, index)))
    elif value.content is None:
        holder = values
        for step in at[:-1]:
            holder = holder[step]
        files.append((holder, at[-1], value, where))
