"""What a browser sends of a form: the names and texts of its controls, as the HTML standard says (line ends, the first line end of a text area, what is chosen)."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class _Select:
    name: str
    options: list[tuple[str, bool]] = field(default_factory=list)


class Controls(HTMLParser):
    """Collects the controls of all forms of a page. Buttons send nothing: none was pressed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pairs: list[tuple[str, str]] = []
        self._select: _Select | None = None
        self._area: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: text or "" for name, text in attrs}
        if tag == "input" and "name" in given and "disabled" not in given:
            self._input(given)
        elif tag == "select" and "name" in given:
            self._select = _Select(given["name"])
        elif tag == "option" and self._select is not None:
            self._select.options.append((given.get("value", ""), "selected" in given))
        elif tag == "textarea":
            self._area = (given.get("name", ""), [])

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind in {"checkbox", "radio"}:
            if "checked" in given:
                self.pairs.append((given["name"], given.get("value", "on")))
        elif kind not in {"submit", "button", "file"}:
            text = given.get("value", "")
            self.pairs.append((given["name"], text if kind == "hidden" else text.replace("\r", "").replace("\n", "")))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select is not None:
            chosen = [text for text, selected in self._select.options if selected] or [text for text, _selected in self._select.options[:1]]
            self.pairs += [(self._select.name, chosen[-1])] if chosen else []
            self._select = None
        elif tag == "textarea" and self._area is not None:
            name, parts = self._area
            text = "".join(parts).replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")
            self.pairs.append((name, text.replace("\n", "\r\n")))
            self._area = None


def sent_of(html: str) -> list[tuple[str, str]]:
    """The names and texts that a browser would send of the forms in a page."""
    parser = Controls()
    parser.feed(html)
    parser.close()
    return parser.pairs
