"""Filters over documents: rich text that partners keep as a tree of JSON instead of as a text."""

from __future__ import annotations

from typing import Any, Final

from polyport.kinds.filters.limits import ITEM_LIMIT, bounded, object_of, shallow, text_of
from polyport.template import Filter, RenderFault

_BLOCKS: Final = frozenset(
    {"paragraph", "heading", "codeBlock", "blockquote", "listItem", "taskItem", "decisionItem", "tableRow", "panel", "rule", "mediaSingle"}
)


def adf(value: Any) -> dict[str, Any]:
    """A text as a document of Atlassian (ADF, version 1): a paragraph for each block between empty lines.

    A new line inside a block stays one. At most 10,000 lines. ``{{" " | adf}}`` gives ``{"version": 1, "type": "doc", "content": []}``.
    """
    lines = text_of(value).replace("\r\n", "\n").split("\n")
    if len(lines) > ITEM_LIMIT:
        raise RenderFault(f"adf takes at most {ITEM_LIMIT} lines")
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return {"version": 1, "type": "doc", "content": [_paragraph(block) for block in blocks if block]}


def _paragraph(lines: list[str]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for line in lines:
        if content:
            content.append({"type": "hardBreak"})
        content.append({"type": "text", "text": line})
    return {"type": "paragraph", "content": content}


def adf_text(value: Any) -> str:
    """The readable text of a document of Atlassian (ADF): a new line where a block begins, marks and media left out.

    ``{{document | adf_text}}`` gives ``"Hi Ada"``.
    """
    pieces: list[str] = []
    pending: list[Any] = [shallow(object_of(value))]
    while pending:
        node = pending.pop()
        kind = node.get("type") if isinstance(node, dict) else None
        if not isinstance(kind, str):
            pending.extend(_inside(node))
            continue
        own = _own_text(kind, node)
        if kind in _BLOCKS and pieces and pieces[-1] != "\n":
            pieces.append("\n")
        if own:
            pieces.append(own)
        pending.extend(_inside(node))
    return bounded("".join(pieces)).strip("\n")


def _inside(node: Any) -> list[Any]:
    """What stands inside a node, the last first."""
    content = node.get("content") if isinstance(node, dict) else None
    return content[::-1] if isinstance(content, list) else []


def _own_text(kind: str, node: dict[str, Any]) -> str:
    """What a node says itself: its text, or the name of whom or what it shows."""
    if kind == "hardBreak":
        return "\n"
    attrs = node.get("attrs")
    shown = [node.get("text"), *((attrs.get(name) for name in ("text", "url", "shortName")) if isinstance(attrs, dict) else ())]
    return next((text for text in shown if isinstance(text, str)), "")


DOCUMENTS: Final[dict[str, Filter]] = {"adf": adf, "adf_text": adf_text}
