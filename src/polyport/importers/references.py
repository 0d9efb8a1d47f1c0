"""References inside a description and to files beside it. Nothing here reaches the network, and no reference leaves the document's folder."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from polyport.importers.documents import Refused, read_document

HOPS: Final = 32
_DEFINED: Final = ("$defs", "definitions")
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
        if name and name not in self._names:
            return _inside(self._file(name), pointer, reference)
        if name or (pointer and not pointer.startswith("/")):
            return self._named(name, pointer, reference)
        try:
            return _inside(self.data, pointer, reference)
        except Dangling:
            if self._behind is not None:
                return _inside(self._behind, pointer, reference)
            return self._defined(pointer, reference)

    def _named(self, name: str, pointer: str, reference: str) -> Any:
        """What has a name of its own (``$id``, ``$anchor``), or stands inside of that."""
        if name:
            return _inside(self._names[name], pointer, reference)
        if f"#{pointer}" not in self._names:
            raise Dangling(f'The reference "{reference[:200]}" leads nowhere.')
        return self._names[f"#{pointer}"]

    def _defined(self, pointer: str, reference: str) -> Any:
        """What a schema defines for itself under ``$defs``: generators that put schemas together leave such references as they are."""
        first, _, rest = pointer.removeprefix("/").partition("/")
        name, _, rest = rest.partition("/")
        if first not in _DEFINED or f"$defs/{name}" not in self._names:
            raise Dangling(f'The reference "{reference[:200]}" leads nowhere.')
        return _inside(self._names[f"$defs/{name}"], rest, reference)

    @cached_property
    def _names(self) -> dict[str, Any]:
        """Whatever in the document has a name of its own: ``$id`` as it is written, ``#anchor``, ``$defs/name``. The first of a name has it."""
        found: dict[str, Any] = {}
        for node in objects_of(self.data):
            if isinstance(node.get("$id"), str):
                found.setdefault(node["$id"], node)
            for word in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(word), str):
                    found.setdefault(f"#{node[word]}", node)
            for word in _DEFINED:
                if isinstance(node.get(word), dict):
                    for name, inner in node[word].items():
                        found.setdefault(f"$defs/{name}", inner)
        return found

    def follow(self, node: Any) -> Any:
        """What stands behind references, however many there are in a row. Raises ``Dangling``."""
        for _hop in range(HOPS):
            if not isinstance(node, dict) or "$ref" not in node:
                return node
            node = self.resolve(node["$ref"])
        raise Dangling("References lead round in a circle.")

    def _file(self, name: str) -> Any:
        bare = _bare(name)
        path = posixpath.normpath(unquote(bare or ""))
        if bare is None or path.startswith(("/", "../")) or path == "..":
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


def pointed_at(data: Any, reference: str) -> Any:
    """What stands at the pointer of a reference, and there alone. Raises ``Dangling``."""
    return _inside(data, reference.partition("#")[2], reference)


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


def _bare(name: str) -> str | None:
    """The path of a file that is named without a scheme and a host; ``None`` for whatever else stands there."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return None
    return parts.path if not parts.scheme and not parts.netloc else None


def files_of(data: Any, path: str = "") -> set[str]:
    """The files that a document refers to, by their paths from the folder of the first one, in whose file ``path`` it stands; none outside of it."""
    folder, found = posixpath.dirname(path), set[str]()
    for _node, told in nodes_with_references(data):
        bare = _bare(told.partition("#")[0])
        name = posixpath.normpath(posixpath.join(folder, unquote(bare or "")))
        if bare and not name.startswith(("/", "../")) and name != "..":
            found.add(name)
    return found


def _anchor(data: Any, path: str) -> None:
    """References of another file as they are seen from the document: each with its file in front."""
    folder = posixpath.dirname(path)
    for node, told in nodes_with_references(data):
        name, mark, pointer = told.partition("#")
        whole = posixpath.join(folder, name) if name and _bare(name) is not None else name or path
        node["$ref"] = f"{whole}{mark}{pointer}"


def nodes_with_references(data: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object that refers to something, once, and what it refers to; an object may be changed as it comes."""
    for node in objects_of(data):
        if isinstance(node.get("$ref"), str):
            yield node, node["$ref"]


def objects_of(data: Any) -> Iterator[dict[str, Any]]:
    """Every object in the data, once."""
    seen: set[int] = set()
    waiting = deque([data])
    while waiting:
        node = waiting.popleft()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        else:
            waiting.extend(node)
