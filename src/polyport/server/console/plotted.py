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
        words = _escaped([words for _at, words, _cells in told])
        hovers = "\n".join(
            f'<rect x="{index}" width="1" height="100"><title data-slot="{at}">{self._words[at]}: {words[index]}</title></rect>'
            for index, (at, _words, _cells) in enumerate(told)
        )
        filled = [(at, cells) for at, _words, cells in told if cells is not None]
        shown = iter(_escaped([cell for _at, cells in filled for cell in cells]))
        rows = "\n".join(
            f'<tr><th scope="row">{self._heads[at]}</th>' + "".join([f'<td class="number">{next(shown)}</td>' for _cell in cells]) + "</tr>"
            for at, cells in filled
        )
        return Plot(hovers=_markup(hovers), rows=_markup(rows))


def _escaped(texts: Sequence[str]) -> list[str]:
    """The texts, escaped all at once: one by one it takes longer than all else here."""
    return escape("\0".join(text.replace("\0", "") for text in texts)).split("\0")


def _markup(made: str) -> Markup:
    from markupsafe import Markup  # noqa: PLC0415  the server starts faster without it

    return Markup(made)  # noqa: S704  every text in it was escaped above
