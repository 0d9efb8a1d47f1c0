"""Descriptions as data: JSON and YAML of anybody's making, read so that nothing in them can hang, crash or fill the memory."""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from typing import Any, Final

SIZE_LIMIT: Final = 64 * 1024 * 1024
NODES_LIMIT: Final = 8_000_000
DEPTH_LIMIT: Final = 200
MERGES_LIMIT: Final = 100_000


class Refused(ValueError):
    """A document that cannot be imported at all; the message says why, in a sentence."""


_ODD: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def read_document(content: bytes, name: str = "the document") -> dict[str, Any]:
    """The data of a description, JSON or YAML. Raises ``Refused``."""
    if len(content) > SIZE_LIMIT:
        raise Refused(f"{name} is larger than {SIZE_LIMIT // 1024 // 1024} MiB.")
    text = _decoded(content, name)
    data = _json(text, name) if text.lstrip()[:1] in {"{", "["} else None
    if data is None:
        data = _yaml(text, name)
    _check_size(data, name)
    if not isinstance(data, dict):
        raise Refused(f"{name} is no description of an API: it holds no object.")
    return data


def _decoded(content: bytes, name: str) -> str:
    """The text. What is not UTF-8 is most often one accent of a Western European Windows, in a description."""
    encoding = next((told for mark, told in _ENCODINGS if content.startswith(mark)), None)
    if encoding is not None:
        return content.decode(encoding, "replace").removeprefix("\ufeff")
    try:
        return content.decode()
    except UnicodeDecodeError:
        if b"\0" in content:
            raise Refused(f"{name} is not UTF-8.") from None
    return content.decode("cp1252", "replace")


_ENCODINGS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def _json(text: str, name: str) -> Any:
    try:
        data = json.loads(text)
    except RecursionError:
        raise Refused(f"{name} nests too deep.") from None
    except ValueError:
        return None  # YAML's flow style begins with a brace too
    if _SURROGATE.search(text):  # half a character may stand in JSON, and nowhere else
        data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    return data


def _yaml(text: str, name: str) -> Any:
    _check_nesting(text.encode(), name)
    import yaml  # noqa: PLC0415  servers load this module, and most never read a description

    from polyport.importers.yaml_words import Loader  # noqa: PLC0415  as above

    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506  it is a safe one
    except Refused:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problem = getattr(error, "problem", None)
        told = _ODD.sub("", problem)[:200] if isinstance(problem, str) else "it cannot be read"
        raise Refused(f"{name} is neither JSON nor YAML{where}: {told}.") from None
    except (ValueError, OverflowError, TypeError, KeyError) as error:
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


def one_line(value: str, longest: int) -> str:
    """A text of a person as it may be shown: on one line, without control characters, not too long. What looks like markup is text, and stays."""
    plain = _SPACE.sub(" ", _ODD.sub("", value[: 4 * longest])).strip()
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"


_SCRIPT: Final = re.compile(r"<(script|style)\b[^>]{0,500}>.{0,5000}?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,500}>|<!--.{0,1000}?-->")
_SPACE: Final = re.compile(r"\s+")
