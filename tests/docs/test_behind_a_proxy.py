"""The page about proxies tells the truth: its configurations are given to the proxies, where this machine has them, and clients are served through them."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ipaddress
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.processes import FIRST_ACCOUNT, connect, free_port, serving, simulating, towards, until
from first_day import EMAIL

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "behind-a-proxy.md").read_text("utf-8")
CLIENT = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"  # another address than the proxy's, where a machine has a second one
CREATE_PERSON = "/partners/trigger-actions/2250101"


def block(language):
    """The configuration of a proxy as the page has it."""
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]


def certify(folder):
    """A certificate of this machine, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = made.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for ending, content in (("crt", certificate), ("key", secret), ("pem", certificate + secret)):
        (folder / f"polyport.{ending}").write_bytes(content)


def nginx(folder, port, server):
    told = (
        block("nginx")
        .replace("127.0.0.1:8080", f"127.0.0.1:{server}")
        .replace("listen 443", f"listen 127.0.0.1:{port}")
        .replace("/etc/ssl", str(folder))
    )
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not write into the test's folder
    main = f"{user} daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {temporary}\n{told} }}"
    (folder / "nginx.conf").write_text(main, "utf-8")
    return ["-c", folder / "nginx.conf", "-e", "stderr"]


def haproxy(folder, port, server):
    told = (
        block("haproxy")
        .replace("127.0.0.1:8080", f"127.0.0.1:{server}")
        .replace("bind :443", f"bind 127.0.0.1:{port}")
        .replace("/etc/ssl", str(folder))
    )
    (folder / "haproxy.cfg").write_text(told, "utf-8")
    return ["-f", folder / "haproxy.cfg"]


def caddy(folder, port, server):
    told = block("caddy").replace("127.0.0.1:8080", f"127.0.0.1:{server}").replace("polyport.example.com", f"https://127.0.0.1:{port}")
    own = f"    tls {folder}/polyport.crt {folder}/polyport.key\n    reverse_proxy"  # it would ask an authority for one
    general = f"{{\n    admin off\n    auto_https disable_redirects\n    storage file_system {folder}/caddy\n}}\n"
    (folder / "Caddyfile").write_text(general + told.replace("    reverse_proxy", own), "utf-8")
    return ["run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


@contextlib.contextmanager
def proxy(arguments, folder, server):
    """A proxy in front of a server, as the page sets it up; connects to it."""
    program = shutil.which(arguments.__name__)
    if program is None:
        pytest.skip(f"{arguments.__name__} is not on this machine")
    certify(folder)
    port = free_port()
    context = ssl.create_default_context(cafile=folder / "polyport.crt")
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments(folder, port, server)], stdout=log, stderr=log, env={"HOME": str(folder)})  # noqa: S603  the proxy under test
        try:
            until(lambda: _answers(port) or process.poll() is not None)
            assert process.poll() is None, (folder / "proxy.log").read_text("utf-8")
            yield lambda: http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60, source_address=(CLIENT, 0))
        finally:
            process.terminate()
            process.wait(30)


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.mark.parametrize("arguments", [nginx, haproxy, caddy])
def test_clients_are_served_through_a_proxy_that_is_set_up_as_the_page_says(tmp_path, arguments):
    with (
        simulating(tmp_path) as simulator,
        serving(tmp_path, **FIRST_ACCOUNT, **towards(simulator)) as server,
        proxy(arguments, tmp_path, server.port) as reach,
    ):
        token = server.sign_in()
        connection = connect(server, token)
        client = reach()

        def ask(method, path, body=None):
            client.request(
                method,
                path,
                json.dumps(body) if body is not None else None,
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

        run = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
        assert ask("POST", f"{CREATE_PERSON}/run/sync", run)[0] == 200
        assert ask("POST", "/files", {"name": "large", "base64": "A" * 5_000_000})[0] == 201
        status, told = ask("POST", "/files", {"name": "too large", "base64": "A" * 6_500_000})
        assert (status, told["error"]["code"]) == (413, "payload_too_large")
        client.close()
        status, told = ask("GET", "/nothing")
        assert (status, told["error"]["code"]) == (404, "not_found")

        status, told = ask("POST", f"{CREATE_PERSON}/run/async", {**run, "notBefore": int(time.time()) + 3_600})
        assert status == 202
        following = reach()
        following.request("GET", f"/runs/{told['data']['runId']}/events", headers={"Authorization": f"Bearer {token}"})
        events = following.getresponse()
        lines = iter(events.readline, b"")
        assert next(line for line in lines if line.startswith(b"event: ")) == b"event: queued\n"  # it has come while the stream goes on
        assert ask("POST", f"/runs/{told['data']['runId']}/cancel", {})[0] == 200
        assert [line for line in lines if line.startswith(b"event: ")][-1] == b"event: cancelled\n"
        following.close()

        assert ask("POST", "/api-keys", {"title": "A key", "scopes": ["runs:read"]})[0] == 201
        (entry, *_earlier) = ask("GET", "/audit")[1]["data"]
        assert (entry["actorName"], entry["address"]) == (EMAIL, CLIENT)
        client.close()
