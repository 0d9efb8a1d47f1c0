"""What may go wrong below an exchange, and the sentence for it. The lower layers' own texts are left out: they may hold the URL."""

from __future__ import annotations

from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ServerDisconnectedError,
)
from aiohttp.http import HttpProcessingError

FAILURES: Final = (ClientError, HttpProcessingError, OSError, ValueError, RuntimeError)
# The first class that fits gives the sentence.
_SENTENCES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ClientConnectorDNSError, "The name {host} could not be resolved."),
    (ClientConnectorCertificateError, "The certificate of {host} is not valid."),
    (ClientConnectorSSLError, "No secure connection to {host} could be made."),
    (ClientConnectorError, "No connection to {host} could be made."),
    (ServerDisconnectedError, "{host} closed the connection before it had answered."),
    (ClientPayloadError, "The answer of {host} broke off or could not be decoded."),
    (ClientResponseError, "The answer of {host} is not valid HTTP."),
    (HttpProcessingError, "The answer of {host} is not valid HTTP."),
    (ValueError, "The request to {host} is not valid HTTP."),
    (BaseException, "The connection to {host} broke."),
)


def sentence_of(error: BaseException) -> str:
    """The sentence, with ``{host}`` for whose exchange it was."""
    return next(text for kind, text in _SENTENCES if isinstance(error, kind))
