"""What a GraphQL request asks for, as far as a simulated partner has to know: the operation's name and its top-level fields. One pass, no parser."""

from __future__ import annotations

import re
from typing import Any, Final

from polyport.paths import get

LIMIT: Final = 200_000
# A text that does not end reaches as far as it may: nothing is tried again, however many quotes there are.
_WORD: Final = re.compile(
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:""")?|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|#[^\n]*|[{}():]|@?[A-Za-z_]\w*|\.\.\.',
    re.ASCII | re.DOTALL,
)


def asked_for(body: Any) -> frozenset[str]:
    """The operation names and the top-level fields of a GraphQL request; empty for anything else."""
    document, name = get(body, ("query",)), get(body, ("operationName",))
    if not isinstance(document, str):
        return frozenset()
    return frozenset({name} if isinstance(name, str) else ()) | _names(document[:LIMIT])


def _names(document: str) -> frozenset[str]:
    found: set[str] = set()
    braces, parens, is_fragment = 0, 0, False
    before = ""
    for word in (match[0] for match in _WORD.finditer(document)):
        if word[0] in '"#@':
            continue
        if word in "()":
            parens = max(0, parens + (1 if word == "(" else -1))
        elif parens:
            pass
        elif word in "{}":
            braces = max(0, braces + (1 if word == "{" else -1))
            is_fragment = is_fragment and braces > 0
        elif braces == 0 and before in {"query", "mutation", "subscription"}:
            found.add(word)
        elif braces == 0:
            is_fragment = is_fragment or word == "fragment"
        elif braces == 1 and not is_fragment and before != "..." and word.isidentifier():
            found.add(word)  # an alias counts too: the field behind it stands there as well
        if before != "..." or word != "on":  # what stands behind "... on" is a type
            before = word
    return frozenset(found)
