"""What is told of each slot of a picture: what shows on hover, and the rows of its table. Pure.

An overview has four hundred of them, and templates make such small parts ten times slower than this does. Every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What stands under a picture: ``hovers`` are the shapes that say on hover what was in their slot, ``rows`` those of the table."""

    hovers: Markup
    rows: Markup


class Clock:
    """The times of slots as pages show them: each is made once, however many pictures show it."""

    def __init__(self, times: Iterable[int], span: str) -> None:
        self._moments = {at: datetime.fromtimestamp(at, UTC) for at in times}
        self._span = span
        form = "%d %b" if span == "month" else "%H:%M"
        self._heads = {at: self._head(moment, form) for at, moment in self._moments.items()}
        self._words = {at: moment.strftime("%d %b %Y, %H:%M UTC") for at, moment in self._moments.items()}

    def _head(self, moment: datetime, form: str) -> str:
        iso = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f'<time datetime="{iso}" title="{iso}" data-clock="{escape(self._span)}">{moment.strftime(form)}</time>'

    def time(self, at: int) -> Markup:
        """A time at an axis: the clock of the hour or the day, the day of the month."""
        return _markup(self._heads[at])

    def plot(self, told: Sequence[tuple[int, str, Sequence[str] | None]]) -> Plot:
        """What is told of each slot: its time, words for it, and the cells of its row; ``None`` for a slot that the table leaves out."""
        hovers = "\n".join(
            f'<rect x="{index}" width="1" height="100"><title data-slot="{at}">{self._words[at]}: {escape(words)}</title></rect>'
            for index, (at, words, _cells) in enumerate(told)
        )
        rows = "\n".join(self._row(at, cells) for at, _words, cells in told if cells is not None)
        return Plot(hovers=_markup(hovers), rows=_markup(rows))

    def _row(self, at: int, cells: Sequence[str]) -> str:
        shown = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
        return f'<tr><th scope="row">{self._heads[at]}</th>{shown}</tr>'


def _markup(made: str) -> Markup:
    from markupsafe import Markup  # noqa: PLC0415  the server starts faster without it

    return Markup(made)  # noqa: S704  every text in it was escaped above
