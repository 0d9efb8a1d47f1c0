"""How the pages look: templates, the headers that go with them, colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from unicodedata import bidirectional
from urllib.parse import urlsplit

from polyport.accounts import Branding
from polyport.server.connect.words import LANGUAGES, words_of
from polyport.server.routing import Answer, Call

if TYPE_CHECKING:
    from jinja2 import Environment

COOKIE: Final = "polyport_connect"

# A page that asks for secrets: nothing from elsewhere, nothing inline, in nobody's frame. Where the browser goes after a form is this server
# alone: the way to a partner is a link on a page of ours, since browsers hold redirects after a form against form-action.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What every page of a link has: the language, and the company it speaks for. A ``preview`` is looked at alone."""

    language: str = "en"
    branding: Branding = field(default_factory=Branding)
    preview: bool = False

    @property
    def words(self) -> Mapping[str, str]:
        """The sentences in the customer's language."""
        return words_of(self.language)


def base_path(call: Call) -> str:
    """The path under which this server is reached, if it has none of its own to itself."""
    return urlsplit(call.engine.runtime.settings.origin).path.rstrip("/")


def page(name: str, look: Look, *, status: int = 200, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    """A page of a template, with all that goes with it."""
    html = _environment().get_template(name).render(look=look, words=look.words, languages=LANGUAGES, **more)
    return Answer(content=html.encode(), status=status, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS | dict(headers or {}))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415  the server starts faster without it

    folder = files("polyport.server.connect").joinpath("templates")
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
    )
    made.filters["own"] = own
    return made


# Embeddings, overrides and isolates of a direction, and their ends: as an escape they turn nothing.
_TURNING: Final = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_FROM_THE_RIGHT: Final = frozenset({"R", "AL", "AN"})


def own(name: str) -> str:
    """Somebody else's name within a sentence of ours: it turns the direction of its own text alone."""
    if name.isascii():
        return name
    shown = name.translate(_TURNING)
    return f"\u2068{shown}\u2069" if any(bidirectional(char) in _FROM_THE_RIGHT for char in shown) else shown


def brand_css(color: str) -> str:
    """A style sheet that gives the page a colour (six hexadecimal digits), and buttons a text that can be read on it."""
    return f":root {{ --brand: #{color}; --on-brand: {_readable_on(color)}; }}\n"


def _readable_on(color: str) -> str:
    """Black or white, whichever has the greater contrast (WCAG 2.2, relative luminance); it is 4.5 to 1 at least."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"
