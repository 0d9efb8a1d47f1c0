"""What a simulated partner hears and says: one request as it arrived, one answer ready to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polyport.testing.bodies import grouped, json_bytes, read_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One request as it arrived: ``path`` and ``query`` are still percent-encoded, header names are lower case."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    scheme: str = "http"

    def header(self, name: str) -> str:
        """The first value of a header (its name in lower case), or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def named_headers(self) -> dict[str, str]:
        """The first value of each header."""
        return dict(reversed(self.headers))

    def parameters(self) -> dict[str, Any]:
        """The query: a text for each name, a list of texts where a name stands several times."""
        return grouped(self.query)

    def content(self) -> Any:
        """The body as its content type says (``bodies.read_body``). Raises ``Malformed``."""
        return read_body(self.header("content-type"), self.body)

    def base(self) -> str:
        """Our address as the caller knows it."""
        return f"{self.scheme}://{self.header('host') or 'localhost'}"

    def url(self) -> str:
        """The whole URL as the caller wrote it."""
        return f"{self.base()}{self.path}{'?' if self.query else ''}{self.query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One answer, ready to be written."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = field(default=b"", repr=False)


def json_answer(status: int, value: Any) -> Outgoing:
    """An answer in JSON."""
    return Outgoing(status=status, headers=((b"content-type", b"application/json"),), body=json_bytes(value))
