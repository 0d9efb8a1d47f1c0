"""Descriptions as data: JSON and YAML of anybody's making, read so that nothing in them can hang, crash or fill the memory."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any, Final

import yaml

SIZE_LIMIT: Final = 64 * 1024 * 1024
NODES_LIMIT: Final = 8_000_000
DEPTH_LIMIT: Final = 200
MERGES_LIMIT: Final = 100_000


class Refused(ValueError):
    """A document that cannot be imported at all; the message says why, in a sentence."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # whichever there is; the one in C is ten times as fast
    """YAML with the words of YAML 1.2: ``NO`` is a country, a day is a text, and keys are texts. What it merges is counted."""

    merged = 0

    def flatten_mapping(self, node: Any) -> None:
        """Resolve ``<<``; a document that multiplies itself by it is refused."""
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _value in node.value) or self.merged > NODES_LIMIT:
            raise Refused("The document multiplies itself by YAML merges.")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}]
    for first, found in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_ODD: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def read_document(content: bytes, name: str = "the document") -> dict[str, Any]:
    """The data of a description, JSON or YAML. Raises ``Refused``."""
    if len(content) > SIZE_LIMIT:
        raise Refused(f"{name} is larger than {SIZE_LIMIT // 1024 // 1024} MiB.")
    data = _json(content, name) if content.lstrip()[:1] in {b"{", b"["} else None
    if data is None:
        data = _yaml(content, name)
    _check_size(data, name)
    if not isinstance(data, dict):
        raise Refused(f"{name} is no description of an API: it holds no object.")
    return data


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise Refused(f"{name} nests too deep.") from None
    except ValueError:
        return None  # YAML's flow style begins with a brace too


def _yaml(content: bytes, name: str) -> Any:
    _check_nesting(content, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{name} is not UTF-8.") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  it is a safe one
    except Refused:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problem = getattr(error, "problem", None)
        told = _ODD.sub("", problem)[:200] if isinstance(problem, str) else "it cannot be read"
        raise Refused(f"{name} is neither JSON nor YAML{where}: {told}.") from None
    except (ValueError, OverflowError, TypeError) as error:
        raise Refused(f"{name} holds something that YAML cannot give: {type(error).__name__}.") from None
    except RecursionError:
        raise Refused(f"{name} nests too deep.") from None


def _check_nesting(content: bytes, name: str) -> None:
    """Whether the reader in C can be let near it: it goes down by calls, one for each level, and a stack has an end.

    Levels come from brackets and from indentation; both are counted too high rather than too low, quotes are not looked at.
    """
    deepest = open_now = 0
    for byte in content.translate(None, _NO_BRACKETS):
        open_now = open_now + 1 if byte in b"[{" else max(0, open_now - 1)
        deepest = max(deepest, open_now)
    lines = max((line.count(b"- ") + line.count(b"? ") for line in _BLOCKS.findall(content)), default=0)
    indented = max((len(space) for space in _INDENTED.findall(content)), default=0)
    if deepest > 20 * DEPTH_LIMIT or lines > DEPTH_LIMIT or indented > 20 * DEPTH_LIMIT:
        raise Refused(f"{name} nests too deep.")


_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BLOCKS: Final = re.compile(rb"^[ ]*(?:[-?] ){2,}", re.MULTILINE)
_INDENTED: Final = re.compile(rb"^ +", re.MULTILINE)


def _check_size(data: Any, name: str) -> None:
    """Whether walking through the data ends: aliases make a document of a few lines as large as anyone likes."""
    seen: set[int] = set()
    waiting, nodes = deque([(data, 0)]), 0
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict | list):
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        nodes += len(node)
        if nodes > NODES_LIMIT or depth > DEPTH_LIMIT:
            raise Refused(f"{name} is too large or nests too deep.")
        waiting.extend((inner, depth + 1) for inner in (node.values() if isinstance(node, dict) else node))


def clean_text(value: Any, longest: int = 2_000) -> str:
    """A text as it may be shown: no markup, no control characters, not too long."""
    if not isinstance(value, str):
        return ""
    plain = _ODD.sub("", value[: 4 * longest])
    plain = _TAG.sub(" ", _SCRIPT.sub(" ", plain))
    plain = _SPACE.sub(" ", plain).strip()
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"


_SCRIPT: Final = re.compile(r"<(script|style)\b[^>]{0,500}>.{0,5000}?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,500}>|<!--.{0,1000}?-->")
_SPACE: Final = re.compile(r"\s+")
