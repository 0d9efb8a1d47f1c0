"""Schemas of XML as those of the values that stand for it here.

Elements have the names that OpenAPI's ``xml`` gives them, attributes are ``@name``, lists stand in an element of their own where they have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.importers.views import View, Views

DEPTH_MOST: Final = 8
_KEPT: Final = ("description", "title", "readOnly", "writeOnly", "deprecated", "example")


def is_xml(media: str) -> bool:
    """Whether a media type is XML that is data."""
    return "xml" in media and "svg" not in media and not media.startswith("application/vnd.openxml")


class Markup:
    """Rewrites the schemas of one body. ``prefixes``: whether names have the prefixes of their namespaces, as what is sent has. ``lists`` collects elements that repeat."""

    def __init__(self, views: Views, *, prefixes: bool) -> None:
        self._views = views
        self._prefixes = prefixes
        self.lists: list[str] = []

    def root(self, schema: Any) -> tuple[str, Any] | None:
        """The name of the outermost element, and the schema of what stands in it; ``None`` for a schema without members."""
        view = self._views.look(schema)
        name = self._name(_xml(view), view.name or "root")
        if view.kind == "array":
            return name, {"type": "object", "properties": dict([self._repeated(view, name, 0)])}
        return (name, self._content(schema, 0)) if view.kind == "object" and view.properties else None

    def _content(self, schema: Any, depth: int) -> Any:
        view = self._views.look(schema)
        if view.kind != "object" or not view.properties or depth >= DEPTH_MOST:
            return schema
        properties: dict[str, Any] = {}
        needed: list[str] = []
        for word, value in _namespace(_xml(view)):
            properties[word] = {"type": "string", "enum": [value]}
            needed.append(word)
        for member, inner in view.properties.items():
            name, told = self._member(member, inner, depth)
            properties[name] = told
            if member in view.required:
                needed.append(name)
        kept = {word: view.told[word] for word in _KEPT if word in view.told}
        return {**kept, "type": "object", "properties": properties, "required": needed}

    def _member(self, member: str, schema: Any, depth: int) -> tuple[str, Any]:
        view = self._views.look(schema)
        xml = _xml(view)
        name = self._name(xml, member)
        if view.kind != "array":
            return (f"@{name}", schema) if xml.get("attribute") is True else (name, self._content(schema, depth + 1))
        if xml.get("wrapped") is not True:
            return self._repeated(view, member, depth)
        return name, {"type": "object", "properties": dict([self._repeated(view, member, depth)]), "required": []}

    def _repeated(self, view: View, member: str, depth: int) -> tuple[str, Any]:
        """A list: its element stands once for each item, called as the items are, or as the list itself."""
        name = self._name(_xml(self._views.look(view.items)), member)
        self.lists.append(name)
        kept = {word: view.told[word] for word in (*_KEPT, "minItems", "maxItems") if word in view.told}
        return name, {**kept, "type": "array", "items": self._content(view.items, depth + 1)}

    def _name(self, xml: Mapping[str, Any], otherwise: str) -> str:
        name, prefix = xml.get("name"), xml.get("prefix")
        own = name if isinstance(name, str) and name else otherwise
        return f"{prefix}:{own}" if self._prefixes and isinstance(prefix, str) and prefix else own


def _xml(view: View) -> Mapping[str, Any]:
    told = view.told.get("xml")
    return told if isinstance(told, dict) else {}


def _namespace(xml: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The namespace that an element says, as the attribute that does."""
    space, prefix = xml.get("namespace"), xml.get("prefix")
    if not isinstance(space, str) or not space:
        return []
    return [(f"@xmlns:{prefix}" if isinstance(prefix, str) and prefix else "@xmlns", space)]
