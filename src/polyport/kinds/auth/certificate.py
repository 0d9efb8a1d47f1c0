"""Client certificates (mutual TLS): the connection shows a certificate whose key it holds."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from msgspec.structs import replace
from pydantic import PrivateAttr

from polyport.kinds.auth.base import Material, Moment, SchemeBase, Source, compiled, rendered
from polyport.kinds.auth.places import Placement
from polyport.net.message import Certificate, Request
from polyport.paths import MISSING
from polyport.template import RenderFault, Template, to_text


class ClientCertificate(SchemeBase):
    """``certificate`` (with its chain, if it has one) and ``key`` in PEM; ``{{connection.certificate}}`` and ``{{connection.private_key}}`` if not given.

    ``passphrase`` opens an encrypted key. ``also`` are values that go with each request, each with a place of its own.
    """

    kind: Literal["certificate"]
    certificate: Source | None = None
    key: Source | None = None
    passphrase: Source | None = None
    also: tuple[Placement, ...] = ()
    _certificate: Template = PrivateAttr()
    _key: Template = PrivateAttr()
    _passphrase: Template | None = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._certificate = compiled(self.certificate or "{{connection.certificate}}")
        self._key = compiled(self.key or "{{connection.private_key}}")
        self._passphrase = compiled(self.passphrase) if self.passphrase is not None else None

    @property
    def needed(self) -> frozenset[str]:
        """The fields that are read without being spelt out."""
        names = {"certificate": self.certificate, "private_key": self.key}
        return frozenset(name for name, told in names.items() if told is None)

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the certificate that its connection shows."""
        told = self._passphrase.render({"connection": material}) if self._passphrase is not None else MISSING
        passphrase = None if told is MISSING or told is None or told == "" else to_text(told)
        shown = opened(rendered(self._certificate, material), rendered(self._key, material), passphrase)
        request = replace(request, certificate=shown)
        for placement in self.also:
            request = placement.put(request, material)
        return request


@lru_cache(maxsize=64)
def opened(chain: str, key: str, passphrase: str | None) -> Certificate:
    """A certificate that is sound and whose key fits it; the key in the clear. Raises ``RenderFault``."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  few partners want certificates: a server starts faster without what reads them
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415  as above

    chain, key = (text.replace("\\n", "\n").strip() for text in (chain, key))
    try:
        first = load_pem_x509_certificates(chain.encode())[0]
        private = load_pem_private_key(key.encode(), passphrase.encode() if passphrase is not None else None)
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        fits = first.public_key().public_bytes(*form) == private.public_key().public_bytes(*form)
        bare = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    except (ValueError, TypeError):
        fits, bare = False, ""
    if not fits:
        raise RenderFault(
            "the connection needs a certificate and the private key that belongs to it, both in PEM, and the passphrase if there is one"
        )
    return Certificate(chain=chain, key=bare)
