"""Client certificates: a TLS context for each that is in use. Knows no sockets."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from polyport.net.message import Certificate, NetworkFault

CONTEXTS_MOST: Final = 64


class ShownCertificates:
    """The contexts of the certificates that were used last; connections made with one are never used with another.

    ``make`` gives a fresh context, with the trust store that holds.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        self._make = make
        self._contexts: OrderedDict[Certificate, ssl.SSLContext] = OrderedDict()

    def context(self, certificate: Certificate) -> ssl.SSLContext:
        """The context that shows a certificate. Raises ``NetworkFault`` when its parts do not belong together."""
        found = self._contexts.get(certificate)
        if found is None:
            found = self._contexts[certificate] = self._made(certificate)
        self._contexts.move_to_end(certificate)
        while len(self._contexts) > CONTEXTS_MOST:
            self._contexts.popitem(last=False)
        return found

    def _made(self, certificate: Certificate) -> ssl.SSLContext:
        found = self._make()
        try:
            _load(found, f"{certificate.chain.strip()}\n{certificate.key.strip()}\n".encode())
        except (ssl.SSLError, ValueError):
            message = "The connection's certificate cannot be used: certificate and private key have to belong together, both in PEM."
            raise NetworkFault(message, reached=False) from None
        return found


def _load(context: ssl.SSLContext, content: bytes) -> None:
    """Python reads certificates from files alone: this one lives in memory where the system can do that, and only while it is read."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("polyport"), "wb") as file:
            file.write(content)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
            return
    with tempfile.NamedTemporaryFile() as named:  # pragma: no cover  where there is no such memory; readable by its owner alone
        named.write(content)
        named.flush()
        context.load_cert_chain(named.name, password=_no_password)


def _no_password() -> bytes:
    """Instead of a question at the terminal."""
    raise ValueError("the key is encrypted")
