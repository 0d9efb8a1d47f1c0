"""A document as the mock can read it: one file, OpenAPI 3, every reference to a place inside, no part of a path that holds slashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from polyport.importers.references import Dangling, References, pointed_at

_LONG: Final = re.compile(r"\^((?:[A-Za-z0-9_.-]+/\[\^/\](?:\+|\*)/?)+)\$")

_HOLE: Final = re.compile(r"\{[^{}]*\}")


class Bundle:
    """Copies a document. What it refers to by other ways than a pointer stands beneath its schemas, by number; a reference that leads nowhere is left out.

    Paths that differ only by the names of their parts, or by what stands behind # or ?, are one to the mock, which knows the first alone: each further one stands beneath a
    segment of its own, which ``beneath`` has by the path.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []
        self.beneath: dict[str, str] = {}

    def whole(self) -> dict[str, Any]:
        """The document."""
        data = dict(self._references.data)
        if isinstance(data.get("paths"), dict):  # the mock follows no references to whole paths
            data["paths"] = {path: self._item(item) for path, item in data["paths"].items()}
        found = {str(key): self._copy(value) for key, value in data.items()}
        parts: dict[str, Any] = {}
        while self._waiting:
            reference = self._waiting.pop()
            parts[self._names[reference]] = self._copy(self._references.resolve(reference))
        if parts:
            found.setdefault("components", {}).setdefault("schemas", {}).update(parts)
        if isinstance(found.get("paths"), dict):
            found["paths"] = dict(self._apart(found["paths"]))
        return found

    def _item(self, item: Any) -> Any:
        try:
            return self._references.follow(item)
        except Dangling:
            return item

    def _apart(self, paths: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        taken: set[str] = set()
        for path, item in paths.items():
            shown, whole = _short(path, item)
            shape = _HOLE.sub("{}", shown.partition("#")[0].partition("?")[0])
            if shape in taken:
                self.beneath[path] = f"/apart-{len(self.beneath) + 1}"
            taken.add(shape)
            yield self.beneath.get(path, "") + shown.partition("#")[0], whole

    def _copy(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._copy(one) for one in node]
        if not isinstance(node, dict):
            return node
        told = node.get("$ref", node.get("$dynamicRef"))
        rest = {str(key): self._copy(value) for key, value in node.items() if key not in {"$ref", "$dynamicRef"}}
        if not isinstance(told, str):
            return {**rest, **{key: self._copy(node[key]) for key in ("$ref", "$dynamicRef") if key in node}}
        try:
            self._references.resolve(told)
        except Dangling:
            return rest
        if _is_inside(self._references.data, told):
            return {**rest, "$ref": told}
        if told not in self._names:
            self._names[told] = f"part_{len(self._names) + 1}"
            self._waiting.append(told)
        return {**rest, "$ref": f"#/components/schemas/{self._names[told]}"}


def _is_inside(data: Any, reference: str) -> bool:
    try:
        pointed_at(data, reference)
    except Dangling:
        return False
    return reference.startswith("#/")


def _short(path: str, item: Any) -> tuple[str, Any]:
    """A path whose parts hold no slashes: Google's are several segments in one, and their pattern tells which."""
    if not isinstance(item, dict):
        return path, item
    for operation in item.values():
        for one in operation.get("parameters", ()) if isinstance(operation, dict) else ():
            match = _LONG.fullmatch(str(one.get("schema", {}).get("pattern", ""))) if one.get("in") == "path" else None
            if match is None:
                continue
            words = re.findall(r"([A-Za-z0-9_.-]+)/\[\^/\]", match[1])
            longer = "/".join(f"{word}/{{{one['name']}_{word}}}" for word in words)
            if f"{{{one['name']}}}" in path:
                path = path.replace(f"{{{one['name']}}}", longer)
            operation["parameters"] = [
                *(other for other in operation["parameters"] if other is not one),
                *({"name": f"{one['name']}_{word}", "in": "path", "required": True, "schema": {"type": "string"}} for word in words),
            ]
    return path, item
