"""What has to be known of a GraphQL document to send it: its one operation and the variables it declares. Not a parser of GraphQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 50_000

# Texts and comments, also those that are not closed: one pass, whatever the document.
_ASIDE: Final = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*(?:"""|\Z)|"(?:[^"\\\n]|\\.)*(?:"|$|\Z)|#[^\n]*', re.DOTALL | re.MULTILINE)
_OPERATION: Final = re.compile(r"(?<![$@\w])(query|mutation|subscription|fragment)\b\s*([A-Za-z_]\w*)?", re.ASCII)
_VARIABLE: Final = re.compile(r"\$([A-Za-z_]\w*)\s*:\s*([\[\]\w!]+)\s*(=)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """A document: the name of its operation, if it has one, and its variables, each with whether it has to be given."""

    operation: str | None
    variables: Mapping[str, bool]


def read_document(text: str) -> Document:
    """What a document says. Raises ``ValueError`` with a sentence when it has no operation, several, or braces that do not pair."""
    if len(text) > LIMIT:
        raise ValueError(f"a GraphQL document has at most {LIMIT} characters")
    outer, blocks = _outside_of_braces(_ASIDE.sub(" ", text))
    found = list(_OPERATION.finditer(outer))
    operations = [match for match in found if match[1] != "fragment"]
    nameless = blocks - len(found)
    if nameless < 0 or len(operations) + nameless != 1:
        raise ValueError("a GraphQL document has one operation: a query or a mutation, and maybe fragments")
    if any(match[1] == "subscription" for match in operations):
        raise ValueError("a GraphQL subscription is no call: it does not end")
    name = operations[0][2] if operations else None
    return Document(name, {match[1]: match[2].endswith("!") and match[3] is None for match in _VARIABLE.finditer(outer)})


def _outside_of_braces(text: str) -> tuple[str, int]:
    """What stands outside of braces, and how many blocks stand side by side; braces of defaults (inside parentheses) do not count."""
    outer: list[str] = []
    depth = blocks = rounds = 0
    for piece in re.split(r"([{}()])", text):
        if piece == "{":
            blocks += depth == 0 and rounds == 0
            depth += 1
        elif piece == "}":
            depth -= 1
        elif depth == 0:
            rounds += (piece == "(") - (piece == ")")
            outer.append(piece)
        if depth < 0 or rounds < 0:
            break
    if depth or rounds:
        raise ValueError("the braces or parentheses of the GraphQL document do not pair")
    return "".join(outer), blocks
