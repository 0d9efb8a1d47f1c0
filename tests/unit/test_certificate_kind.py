"""Client certificates: shown to the partner's own address, checked before anything is sent, told to nobody."""

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import TypeAdapter

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import Moment
from polyport.net.message import Certificate, NetworkFault, Request
from polyport.net.tls import ShownCertificates
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
MOMENT = Moment(now=dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC))
REQUEST = Request(method="GET", url="https://api.example.com/things")


def made(passphrase=None, name="client"):
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    signed = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=30)).sign(key, hashes.SHA256())
    form = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return signed.public_bytes(Encoding.PEM).decode(), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form).decode()


CHAIN, KEY = made()


def signed(material, **keys):
    return SCHEME.validate_python({"kind": "certificate"} | keys).sign(REQUEST, material, MOMENT)


def test_a_request_carries_the_certificate_and_shows_it_to_nobody():
    also = [{"in": "header", "param": "X-Account", "value": "{{connection.account}}"}]
    found = signed({"certificate": CHAIN, "private_key": KEY, "account": "a-1"}, also=also)
    assert found.certificate == Certificate(chain=CHAIN.strip(), key=KEY)
    assert found.header("X-Account") == "a-1"
    assert "BEGIN" not in repr(found) + repr(found.certificate)
    assert found.with_header("X", "1").certificate is found.certificate


def test_a_key_on_one_line_and_an_encrypted_one_are_opened():
    assert signed({"certificate": CHAIN.replace("\n", "\\n"), "private_key": KEY.replace("\n", "\\n")}).certificate.key == KEY
    chain, key = made("open sesame")
    found = signed(
        {"c": chain, "k": key, "p": "open sesame"}, certificate="{{connection.c}}", key="{{connection.k}}", passphrase="{{connection.p}}"
    )
    assert "ENCRYPTED" not in found.certificate.key
    assert signed({"certificate": CHAIN, "private_key": KEY}, passphrase="{{connection.gone}}").certificate is not None


@pytest.mark.parametrize(
    "material",
    [
        {"certificate": CHAIN, "private_key": made()[1]},
        {"certificate": CHAIN, "private_key": "no key"},
        {"certificate": "no certificate", "private_key": KEY},
        {"certificate": CHAIN, "private_key": made("secret")[1]},
        {"certificate": CHAIN, "private_key": made("secret")[1], "passphrase": "wrong"},
    ],
)
def test_parts_that_do_not_belong_together_are_told_and_not_repeated(material):
    with pytest.raises(RenderFault, match="both in PEM") as fault:
        signed(material, passphrase="{{connection.passphrase}}")
    assert "BEGIN" not in str(fault.value)


def test_what_is_read_without_being_spelt_out():
    told = SCHEME.validate_python({"kind": "certificate"})
    assert told.needed == {"certificate", "private_key"}
    assert (
        SCHEME.validate_python({"kind": "certificate", "certificate": "{{connection.c}}", "key": "{{connection.k}}"}).needed == frozenset()
    )


def test_a_certificate_has_one_context_and_those_used_last_are_kept(monkeypatch):
    monkeypatch.setattr("polyport.net.tls.CONTEXTS_MOST", 3)  # each context reads every certificate authority
    shown = ShownCertificates()
    certificate = Certificate(chain=CHAIN, key=KEY)
    first = shown.context(certificate)
    assert shown.context(Certificate(chain=CHAIN, key=KEY)) is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    for number in range(3):
        shown.context(Certificate(chain=CHAIN, key=KEY + "\n" * number + "x"))
    assert shown.context(certificate) is not first


@pytest.mark.parametrize("key", [made()[1], "no key", made("secret")[1]])
def test_a_context_that_cannot_be_made_is_a_fault_before_the_request(key):
    with pytest.raises(NetworkFault, match="belong together") as fault:
        ShownCertificates().context(Certificate(chain=CHAIN, key=key))
    assert not fault.value.reached
