"""What the generated pages of the docs are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def page(title: str, introduction: str, *parts: str) -> str:
    """A whole page that is made by the program."""
    return "\n\n".join((f"# {title}", "<!-- Made by `make docs`; change the source instead. -->", introduction, *parts)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays in its cell: bars are escaped, and angle brackets too where they are not code."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "\\<") for number, part in enumerate(parts))
