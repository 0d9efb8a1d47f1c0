"""What a picture shows, as the rows of its table. Pure.

An overview has two hundred of them, and templates make such small parts ten times slower than this does. Every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markupsafe import Markup


# What the script writes in the viewer's zone, in UTC until then.
_TICKS: Final = {"hour": "%H:%M", "day": "%H:%M", "month": "%d %b"}
_ROWS: Final = {"hour": "%H:%M", "day": "%a %H:%M", "month": "%d %b, %H:%M"}


class Clock:
    """The times of slots as pages show them: each is made once, however many pictures show it."""

    def __init__(self, times: Iterable[int], span: str) -> None:
        self._span = span
        moments = {at: datetime.fromtimestamp(at, UTC) for at in times}
        self._ticks = {at: _time(moment, span, _TICKS[span]) for at, moment in moments.items()}
        self._heads = {at: _time(moment, f"{span}-row", _ROWS[span]) for at, moment in moments.items()}

    def time(self, at: int) -> Markup:
        """A time at an axis: the clock of the hour or the day, the day of the month."""
        return _markup(self._ticks[at])

    def _head(self, at: int, link: Callable[[int], str] | None) -> str:
        return self._heads[at] if link is None else f'<a href="{escape(link(at))}">{self._heads[at]}</a>'

    def rows(self, told: Sequence[tuple[int, Sequence[str] | None]], link: Callable[[int], str] | None = None) -> Markup:
        """The rows of a table: the time of each slot, which may lead somewhere, and its cells; ``None`` for a slot that is left out. No two rows have the same time."""
        filled = [(at, cells) for at, cells in told if cells is not None]
        shown = iter(_escaped([cell for _at, cells in filled for cell in cells]))
        return _markup(
            "\n".join(
                f'<tr><th scope="row">{self._head(at, link)}</th>'
                + "".join([f'<td class="number">{next(shown)}</td>' for _cell in cells])
                + "</tr>"
                for at, cells in filled
            )
        )


def _time(moment: datetime, look: str, form: str) -> str:
    iso = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{iso}" title="{iso}" data-clock="{escape(look)}">{moment.strftime(form)}</time>'


def _escaped(texts: Sequence[str]) -> list[str]:
    """The texts, escaped all at once: one by one it takes longer than all else here."""
    return escape("\0".join(text.replace("\0", "") for text in texts)).split("\0")


def _markup(made: str) -> Markup:
    from markupsafe import Markup  # noqa: PLC0415  the server starts faster without it

    return Markup(made)  # noqa: S704  every text in it was escaped above
