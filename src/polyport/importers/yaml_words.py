"""YAML of anybody's making, with the words of YAML 1.2."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from polyport.importers.documents import NODES_LIMIT, Refused


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # whichever there is; the one in C is ten times as fast
    """YAML with the words of YAML 1.2: ``NO`` is a country, a day is a text, and keys are texts. What it merges is counted."""

    merged = 0

    def flatten_mapping(self, node: Any) -> None:
        """Resolve ``<<``; a document that multiplies itself by it is refused."""
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _value in node.value) or self.merged > NODES_LIMIT:
            raise Refused("The document multiplies itself by YAML merges.")

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """An object; a key is the text that stands there: ``200``, ``null`` and ``true`` too."""
        for key, _value in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag in _NO_TEXTS:
                key.tag = f"{_YAML}str"
        return dict(super().construct_mapping(node, deep=deep))

    def plain_int(self, node: Any) -> int:
        """A whole number."""
        return int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10))

    def plain_float(self, node: Any) -> float:
        """A number with a point."""
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def plain(self, node: Any) -> Any:
        """What stands under a tag of any kind, without it."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        return self.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else self.construct_scalar(node)


_YAML: Final = "tag:yaml.org,2002:"
_NO_TEXTS: Final = frozenset(f"{_YAML}{name}" for name in ("null", "bool", "int", "float"))
_WORDS: Final = (  # as YAML 1.2 knows them: 12:30 is no number of seconds, "=" is a text; and 0123 is one too, as everywhere but there
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?(?:0|[1-9][0-9]*)[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"^<<$"), ["<"]),
)
Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _firsts in _WORDS:
    Loader.add_implicit_resolver(_YAML + _name, _pattern, _firsts)
Loader.add_constructor(f"{_YAML}int", Loader.plain_int)
Loader.add_constructor(f"{_YAML}float", Loader.plain_float)
for _name in ("binary", "timestamp", "omap", "pairs", "set"):
    Loader.add_constructor(_YAML + _name, Loader.plain)
Loader.add_constructor(None, Loader.plain)
