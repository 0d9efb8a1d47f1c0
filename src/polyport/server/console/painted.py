"""Code and JSON in colours: by Pygments, as HTML with classes, which the strict policy of the pages allows. All text in it is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from markupsafe import Markup

LONGEST: Final = 60_000  # characters; what is longer is shown without colours
LANGUAGES: Final = {
    "json": "JsonLexer",
    "curl": "BashLexer",
    "Python": "PythonLexer",
    "JavaScript": "JavascriptLexer",
    "YAML": "YamlLexer",
    "nginx": "NginxConfLexer",
}


def painted(text: str, language: str) -> Markup:
    """The text as HTML, its parts in classes (``k`` a keyword, ``s2`` a text, ...)."""
    from markupsafe import Markup, escape  # noqa: PLC0415  the server starts faster without them
    from pygments import highlight, lexers  # noqa: PLC0415  as above
    from pygments.formatters import HtmlFormatter  # noqa: PLC0415  as above

    if len(text) > LONGEST:
        return escape(text)
    lexer = getattr(lexers, LANGUAGES[language])(stripnl=False, ensurenl=False)
    made = highlight(text, lexer, HtmlFormatter(nowrap=True))  # it ends the last line, whether the text does or not
    return Markup(made if text.endswith("\n") else made.removesuffix("\n"))  # noqa: S704  Pygments escapes every text that it puts into a class


def as_json(text: str) -> Markup:
    """A body as it was sent: in lines and colours if it is JSON, else as it is."""
    from markupsafe import escape  # noqa: PLC0415  as above

    if text[:1] in {"{", "["} and len(text) <= LONGEST:
        try:
            return painted(msgspec.json.format(text.encode("utf-8", "replace"), indent=2).decode(), "json")
        except msgspec.DecodeError:
            pass
    return escape(text)


def ticked(text: str) -> Markup:
    """A sentence in which what stands in backticks is code."""
    from markupsafe import Markup, escape  # noqa: PLC0415  as above

    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
