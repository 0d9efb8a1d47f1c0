"""References inside a description and to files beside it. Nothing here reaches the network, and no reference leaves the document's folder."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from polyport.importers.documents import Refused, read_document

HOPS: Final = 32
FILES_MOST: Final = 2_000

ReadFile = Callable[[str], bytes]


class Dangling(ValueError):
    """A reference that leads nowhere; the message says which, in a sentence."""


def no_files(name: str) -> bytes:
    """The reader of a document that stands alone."""
    raise Dangling(f'The reference to "{name[:200]}" leads to another file; only this document was given.')


class References:
    """Finds what references point to. ``read`` gives the bytes of a file by its path relative to the document's folder."""

    def __init__(self, data: Mapping[str, Any], read: ReadFile = no_files, behind: Mapping[str, Any] | None = None) -> None:
        """``behind`` is where a reference looks that finds nothing in ``data``: the document that it was rewritten from."""
        self.data = data
        self.read = read
        self._behind = behind
        self._files: dict[str, Any] = {}
        self._found: dict[str, Any] = {}

    def resolve(self, reference: Any) -> Any:
        """What a reference points to. Raises ``Dangling``."""
        if not isinstance(reference, str):
            raise Dangling("A reference that is no text leads nowhere.")
        if reference not in self._found:
            name, _, pointer = reference.partition("#")
            self._found[reference] = self._look(name, pointer, reference)
        return self._found[reference]

    def _look(self, name: str, pointer: str, reference: str) -> Any:
        if name:
            return _inside(self._file(name), pointer, reference)
        try:
            return _inside(self.data, pointer, reference)
        except Dangling:
            if self._behind is None:
                raise
            return _inside(self._behind, pointer, reference)

    def follow(self, node: Any) -> Any:
        """What stands behind references, however many there are in a row. Raises ``Dangling``."""
        for _hop in range(HOPS):
            if not isinstance(node, dict) or "$ref" not in node:
                return node
            node = self.resolve(node["$ref"])
        raise Dangling("References lead round in a circle.")

    def _file(self, name: str) -> Any:
        parts = urlsplit(name)
        path = posixpath.normpath(unquote(parts.path))
        if parts.scheme or parts.netloc or path.startswith(("/", "../")) or path == "..":
            raise Dangling(f'The reference to "{name[:200]}" leads out of the document\'s folder.')
        if path not in self._files:
            if len(self._files) >= FILES_MOST:
                raise Dangling("The document consists of too many files.")
            try:
                found = read_document(self.read(path), path[:200])
            except Refused as error:
                raise Dangling(str(error)) from None
            except OSError:
                raise Dangling(f'There is no file "{path[:200]}" beside the document.') from None
            _anchor(found, path)
            self._files[path] = found
        return self._files[path]


def _inside(node: Any, pointer: str, reference: str) -> Any:
    for step in pointer.strip("/").split("/") if pointer.strip("/") else ():
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif (isinstance(node, dict) and name.isdecimal() and int(name) in node) or (
            isinstance(node, list) and name.isascii() and name.isdecimal() and int(name) < len(node)
        ):
            node = node[int(name)]
        else:
            raise Dangling(f'The reference "{reference[:200]}" leads nowhere.')
    return node


def _anchor(data: Any, path: str) -> None:
    """References of another file as they are seen from the document: each with its file in front."""
    folder = posixpath.dirname(path)
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            told = node.get("$ref")
            if isinstance(told, str):
                name, mark, pointer = told.partition("#")
                whole = posixpath.join(folder, name) if name and not urlsplit(name).scheme else name or path
                node["$ref"] = f"{whole}{mark}{pointer}"
            waiting.extend(node.values())
        else:
            waiting.extend(node)
