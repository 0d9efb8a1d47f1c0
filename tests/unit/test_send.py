"""The sender against real servers on loopback that misbehave in every way we know of."""

import asyncio
import contextlib
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import struct
import tracemalloc
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from polyport import __version__
from polyport.errors import BlockedAddress
from polyport.net.egress import EgressPolicy
from polyport.net.message import Certificate, NetworkFault, Request, Stream
from polyport.net.send import Sender

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
MIB = 2**20
LOOPBACK = ("127.0.0.1/32",)


def make_sender(allow=LOOPBACK, **changes):
    options = {"connections": 20, "connections_per_host": 10, "answer_limit": MIB, "timeout_limit": 60.0} | changes
    return Sender(EgressPolicy(allow), **options)


def answer(body=b"", *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def redirect(place, status="302 Found"):
    return answer(b"moved", f"Location: {place}", status=status)


async def one_request(reader):
    """The bytes of one request, or nothing when the peer is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        return head + await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


class Partner:
    """A raw server. ``script(request bytes, writer, partner)`` answers; ``arrivals`` and ``connections`` are counted."""

    def __init__(self, script):
        self.script = script
        self.arrivals = []
        self.connections = 0
        self.sent = 0
        self.port = 0

    def url(self, path="/", host="127.0.0.1", scheme="http"):
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while request := await one_request(reader):
                self.arrivals.append(request)
                if isinstance(self.script, bytes):
                    writer.write(self.script)
                    await writer.drain()
                elif await self.script(request, writer, self) is False:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def partner(script=OK, hosts=("127.0.0.1",), tls=None):
    made = Partner(script)
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError):
            await made.serve(reader, writer)

    server = await asyncio.start_server(serve, hosts[0], 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    others = [await asyncio.start_server(serve, host, made.port) for host in hosts[1:]]
    try:
        yield made
    finally:
        for each in (server, *others):
            each.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer):
    """Close with a RST instead of a FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def fault_of(sender, request):
    with pytest.raises(NetworkFault) as caught:
        await sender.send(request)
    return caught.value


def get(url, **changes):
    return Request(method="GET", url=url, **changes)


def always(*addresses):
    async def resolve(host):
        return list(addresses)

    return resolve


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of localhost and 127.0.0.1: its file, and the server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=30))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


# One exchange


async def test_a_call_arrives_as_written_and_the_answer_comes_back_whole():
    async def script(request, writer, _):
        writer.write(answer(b'{"id":1}', "Content-Type: application/json", "X-Two: a", "X-Two: b", status="201 Created"))

    async with partner(script) as server, make_sender() as sender:
        url = server.url("/a%2Fb/%7e;x=(1)?q=a+b%20c&e=%C3%A9&r=[1]|")
        headers = (("X-Order", "1"), ("x-order", "2"), ("Content-Type", "application/json"), ("accept-encoding", "identity"))
        reply = await sender.send(Request(method="POST", url=url, headers=headers, body=b'{"name":"Ann"}'))
    assert reply.status == 201
    assert reply.body == b'{"id":1}'
    assert [value for name, value in reply.headers if name == "X-Two"] == ["a", "b"]
    assert reply.url == url
    assert reply.elapsed > 0
    head, body = server.arrivals[0].split(b"\r\n\r\n")
    assert body == b'{"name":"Ann"}'
    assert head.decode().split("\r\n") == [
        "POST /a%2Fb/%7e;x=(1)?q=a+b%20c&e=%C3%A9&r=[1]| HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "X-Order: 1",
        "X-Order: 2",
        "Content-Type: application/json",
        "accept-encoding: identity",
        f"User-Agent: polyport/{__version__}",
        "Content-Length: 14",
    ]


async def test_no_header_is_added_beyond_host_agent_encoding_and_length():
    async with partner() as server, make_sender() as sender:
        await sender.send(Request(method="POST", url=server.url("?x=1"), body=b"x"))
        await sender.send(Request(method="PATCH", url=server.url()))
        await sender.send(get(server.url(), headers=(("user-agent", "mine"), ("accept-encoding", "identity"))))
    names = [
        [line.split(b":")[0].decode().lower() for line in arrival.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]] for arrival in server.arrivals
    ]
    assert names == [
        ["host", "user-agent", "accept-encoding", "content-length"],
        ["host", "user-agent", "accept-encoding", "content-length"],
        ["host", "user-agent", "accept-encoding"],
    ]
    assert server.arrivals[0].startswith(b"POST /?x=1 HTTP/1.1\r\n")


async def test_a_connection_is_kept_for_the_next_call():
    async with partner() as server, make_sender() as sender:
        for _ in range(5):
            assert (await sender.send(get(server.url()))).body == b"ok"
    assert server.connections == 1


async def test_cookies_are_neither_kept_nor_sent():
    async with partner(answer(b"ok", "Set-Cookie: session=canary; Path=/")) as server, make_sender() as sender:
        await sender.send(get(server.url()))
        await sender.send(get(server.url()))
    assert b"canary" not in server.arrivals[1]


async def test_a_proxy_of_the_environment_is_ignored(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with partner() as server, make_sender() as sender:
        assert (await sender.send(get(server.url()))).status == 200


async def test_a_large_body_arrives_whole():
    body = bytes(range(256)) * 4096 * 3
    async with partner() as server, make_sender() as sender:
        reply = await sender.send(Request(method="PUT", url=server.url(), body=body))
    assert reply.status == 200
    assert server.arrivals[0].endswith(body)
    assert f"Content-Length: {len(body)}\r\n".encode() in server.arrivals[0]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(b"hello" * 1000, mtime=0)), ("deflate", zlib.compress(b"hello" * 1000)), ("identity", b"hello" * 1000)],
)
async def test_a_compressed_answer_is_decompressed(encoding, packed):
    async with partner(answer(packed, f"Content-Encoding: {encoding}")) as server, make_sender() as sender:
        assert (await sender.send(get(server.url()))).body == b"hello" * 1000


async def test_html_is_an_answer_like_any_other():
    page = answer(b"<html>Bad gateway</html>", "Content-Type: text/html", status="502 Bad Gateway")
    async with partner(page) as server, make_sender() as sender:
        reply = await sender.send(get(server.url()))
    assert (reply.status, reply.header("content-type"), reply.body) == (502, "text/html", b"<html>Bad gateway</html>")


async def test_answers_without_a_body_are_read():
    async def script(request, writer, _):
        head = request.startswith(b"HEAD")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" if head else b"HTTP/1.1 204 No Content\r\n\r\n")

    async with partner(script) as server, make_sender() as sender:
        head = await sender.send(Request(method="HEAD", url=server.url()))
        deleted = await sender.send(Request(method="DELETE", url=server.url()))
    assert (head.status, head.body, deleted.status, deleted.body) == (200, b"", 204, b"")


async def test_a_header_of_broken_bytes_can_still_be_encoded():
    raw = b"HTTP/1.1 200 OK\r\nX-Raw: \xff\xe9\r\nX-Text: \xc3\xa9\r\nContent-Length: 0\r\n\r\n"
    async with partner(raw) as server, make_sender() as sender:
        reply = await sender.send(get(server.url()))
    assert reply.header("x-raw") == "\xff\xe9"
    assert reply.header("x-text") == "\xe9"
    assert all(value.encode("utf-8") for _, value in reply.headers)


async def test_a_sender_opens_nothing_before_its_first_call_and_sends_nothing_after_its_end():
    sender = make_sender()
    await sender.close()
    async with partner() as server:
        fault = await fault_of(sender, get(server.url()))
    assert (fault.reached, fault.stopped) == (False, True)
    assert server.connections == 0


@pytest.mark.parametrize("way", ["first", "kept", "stream", "connecting", "body"])
async def test_a_sender_that_closes_fails_what_is_under_way_and_says_that_it_was_its_own_doing(way):
    arrived, hangs = asyncio.Event(), False

    async def script(request, writer, _):
        if hangs:
            if way == "body":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            arrived.set()
            await asyncio.sleep(60)
        writer.write(answer(b"ok"))

    async def resolve(_host):
        if way == "connecting":
            arrived.set()
            await asyncio.sleep(60)
        return ["127.0.0.1"]

    async with partner(script) as server, make_sender(resolve=resolve) as sender:
        request = Request(method="POST", url=f"http://partner.example:{server.port}/", body=b"x", timeout=30)
        if way == "kept":
            await sender.send(request)
        if way == "stream":
            request = replace(request, body=None, stream=Stream(parts=(b"x",)))
        hangs = True
        call = asyncio.create_task(fault_of(sender, request))
        await arrived.wait()
        await asyncio.sleep(0.05)  # half an answer is to be read
        await sender.close()
        fault = await call
    assert (fault.reached, fault.timed_out, fault.stopped) == (way != "connecting", False, True)
    assert fault.message == "This server was stopped while it waited for partner.example."


# What may be called

BLOCKED_URLS = [
    "http://127.0.0.2:{port}/",
    "http://127.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://2130706433:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0.0.0.0:{port}/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://user:word@127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "http:///x",
    "http://127.0.0.1:0/",
    "http://localhost:{port}/",
    "http://LocalHost:{port}/",
]


@pytest.mark.parametrize("template", BLOCKED_URLS)
async def test_a_forbidden_url_makes_no_connection(template):
    async with partner(hosts=("127.0.0.1", "127.0.0.2")) as server, make_sender(allow=()) as sender:
        with pytest.raises(BlockedAddress):
            await sender.send(Request(method="POST", url=template.format(port=server.port), body=b"x"))
    assert server.connections == 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fe80::1%lo", "64:ff9b::7f00:1", "fd00:ec2::254", "not an address"],
)
async def test_a_name_that_leads_to_a_forbidden_address_makes_no_connection(address):
    async with partner() as server, make_sender(allow=(), resolve=always(address)) as sender:
        with pytest.raises(BlockedAddress, match=r"^innocent\.example leads") as refusal:
            await sender.send(get(server.url(host="innocent.example")))
    assert server.connections == 0
    assert address not in refusal.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
async def test_an_allowed_network_is_reached_by_literal_mapped_form_and_name(host):
    async with partner() as server, make_sender() as sender:
        assert (await sender.send(get(server.url(host=host)))).body == b"ok"


@pytest.mark.parametrize("address", ["127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.2", "169.254.169.254"])
async def test_no_socket_is_made_for_a_forbidden_address_whoever_asks(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(BlockedAddress):
        make_sender()._make_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80)))


async def test_a_resolver_that_changes_its_mind_is_judged_anew():
    asked = []

    async def resolve(host):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with (
        partner(answer(b"ok", "Connection: close"), hosts=("127.0.0.1", "127.0.0.2")) as server,
        make_sender(resolve=resolve) as sender,
    ):
        url = server.url(host="rebind.example")
        assert (await sender.send(get(url))).status == 200
        assert (await sender.send(get(url))).status == 200
        assert asked == ["rebind.example"]
        sender.opened.connector.clear_dns_cache()
        with pytest.raises(BlockedAddress):
            await sender.send(get(url))
    assert len(asked) == 2
    assert len(server.arrivals) == 2


async def test_of_a_name_with_addresses_of_both_kinds_only_the_allowed_ones_are_called():
    peers = []

    async def script(request, writer, _):
        peers.append(writer.get_extra_info("sockname")[0])
        writer.write(OK)

    resolve = always("127.0.0.2", "169.254.169.254", "127.0.0.1", "::1")
    async with partner(script, hosts=("127.0.0.1", "127.0.0.2")) as server, make_sender(resolve=resolve) as sender:
        await sender.send(get(server.url(host="mixed.example")))
    assert peers == ["127.0.0.1"]


# Redirects


async def test_a_redirect_is_followed_and_the_last_url_is_told():
    async def script(request, writer, _):
        path = request.split(b" ")[1].decode()
        writer.write({"/": redirect("next?a=%2F"), "/next?a=%2F": redirect(f"//127.0.0.1:{server.port}/end")}.get(path, OK))

    async with partner(script) as server, make_sender() as sender:
        reply = await sender.send(get(server.url(), headers=(("Authorization", "Bearer word"),)))
    assert (reply.status, reply.url, reply.body) == (200, server.url("/end"), b"ok")
    assert all(b"Bearer word" in arrival for arrival in server.arrivals)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:{port}/",
        "http://169.254.169.254/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
        "http://u:p@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://\u00e9vil.local:{port}/",
    ],
)
async def test_a_redirect_to_a_forbidden_place_is_refused(place):
    async def script(request, writer, made):
        writer.write(redirect(place.format(port=made.port).encode().decode("latin-1")))

    async with partner(script, hosts=("127.0.0.1", "127.0.0.2")) as server, make_sender() as sender:
        with pytest.raises((BlockedAddress, NetworkFault)) as refusal:
            await sender.send(get(server.url()))
    assert isinstance(refusal.value, BlockedAddress) or "vil" in place
    assert len(server.arrivals) == 1


async def test_a_redirect_by_name_to_a_forbidden_address_is_refused():
    async def resolve(host):
        return ["127.0.0.1"] if host == "good.example" else ["10.0.0.1"]

    async def script(request, writer, made):
        writer.write(redirect(made.url(host="inside.example")))

    async with partner(script) as server, make_sender(resolve=resolve) as sender:
        with pytest.raises(BlockedAddress, match=r"inside\.example"):
            await sender.send(get(server.url(host="good.example")))


async def test_another_origin_gets_no_credentials_and_no_body():
    async def script(request, writer, made):
        writer.write(redirect(made.url("/there", host="other.example")) if b"GET / " in request else OK)

    headers = (
        ("Authorization", "Bearer canary"),
        ("Cookie", "a=canary"),
        ("X-Api-Key", "canary"),
        ("X-Encoded", "Y2FuYXJ5"),
        ("Host", "good.example"),
        ("Accept", "text/plain"),
        ("Accept-Language", "canary"),
    )
    async with partner(script) as server, make_sender(resolve=always("127.0.0.1")) as sender:
        url = server.url(host="good.example")
        reply = await sender.send(get(url, headers=headers, body=b"canary", secrets=frozenset({"canary"})))
    assert reply.url == server.url("/there", host="other.example")
    first, second = server.arrivals
    assert first.count(b"canary") == 5
    assert b"canary" not in second
    assert b"Y2FuYXJ5" not in second
    assert b"Accept: text/plain" in second
    assert f"Host: other.example:{server.port}".encode() in second


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_redirect_of_another_method_is_returned_as_it_is(method):
    async with partner(redirect("http://169.254.169.254/")) as server, make_sender() as sender:
        reply = await sender.send(Request(method=method, url=server.url()))
    assert (reply.status, reply.header("location"), reply.body) == (302, "http://169.254.169.254/", b"moved")


async def test_a_redirect_is_returned_when_the_request_does_not_follow():
    async with partner(redirect("/next")) as server, make_sender() as sender:
        assert (await sender.send(get(server.url(), follow_redirects=False))).status == 302
    assert len(server.arrivals) == 1


async def test_redirects_without_end_are_cut_after_five():
    async with partner(redirect("/again")) as server, make_sender() as sender:
        fault = await fault_of(sender, get(server.url()))
    assert "more than 5" in fault.message
    assert fault.reached
    assert len(server.arrivals) == 6


async def test_a_fault_after_a_redirect_has_reached():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with partner(redirect(f"http://127.0.0.1:{port}/")) as server, make_sender() as sender:
        assert (await fault_of(sender, get(server.url()))).reached


async def test_a_redirect_to_what_is_not_a_url_is_a_fault():
    async with partner(redirect("http://[::1/")) as server, make_sender() as sender:
        fault = await fault_of(sender, get(server.url()))
    assert fault.reached
    assert "not a URL" in fault.message


# TLS


async def test_https_is_spoken_with_a_trusted_partner_and_never_left_for_http(certificate):
    path, context = certificate
    async with partner() as plain, make_sender(tls=lambda: ssl.create_default_context(cafile=path)) as sender:

        async def script(request, writer, _):
            writer.write(redirect(plain.url()) if b"/leave" in request else OK)

        async with partner(script, tls=context) as server:
            assert (await sender.send(get(server.url(scheme="https")))).body == b"ok"
            fault = await fault_of(sender, get(server.url("/leave", scheme="https")))
    assert "from https to http" in fault.message
    assert fault.reached
    assert plain.arrivals == []


async def test_a_certificate_that_is_not_trusted_is_a_fault_before_the_request(certificate):
    async with partner(tls=certificate[1]) as server, make_sender() as sender:
        fault = await fault_of(sender, Request(method="POST", url=server.url(scheme="https"), body=b"x"))
    assert fault.message == "The certificate of 127.0.0.1 is not valid."
    assert not fault.reached
    assert server.arrivals == []


async def test_a_server_that_speaks_no_tls_is_a_fault_before_the_request():
    async def serve(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, make_sender() as sender:
        fault = await fault_of(sender, get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    assert not fault.reached
    assert not fault.timed_out


# Faults before the request


async def test_a_refused_connection_has_not_reached():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with make_sender() as sender:
        fault = await fault_of(sender, Request(method="POST", url=f"http://127.0.0.1:{port}/?token=canary", body=b"x"))
    assert (fault.reached, fault.timed_out) == (False, False)
    assert fault.message == "No connection to 127.0.0.1 could be made."


async def test_a_name_without_addresses_has_not_reached():
    async def resolve(host):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with make_sender(resolve=resolve) as sender:
        fault = await fault_of(sender, get("http://nowhere.example/"))
    assert (fault.reached, fault.timed_out) == (False, False)
    assert fault.message == "The name nowhere.example could not be resolved."


async def test_a_resolver_that_hangs_has_not_reached():
    async def resolve(host):
        await asyncio.Event().wait()

    async with make_sender(resolve=resolve) as sender:
        fault = await fault_of(sender, get("http://slow.example/", timeout=0.2))
    assert (fault.reached, fault.timed_out) == (False, True)


async def test_a_tls_handshake_that_hangs_has_not_reached():
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, make_sender() as sender:
        fault = await fault_of(sender, get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout=0.3))
    assert (fault.reached, fault.timed_out) == (False, True)


async def test_connecting_has_its_own_shorter_limit():
    async def resolve(host):
        await asyncio.Event().wait()

    async with make_sender(resolve=resolve, connect_limit=0.1) as sender:
        fault = await fault_of(sender, get("http://slow.example/", timeout=5))
    assert (fault.reached, fault.timed_out) == (False, True)
    assert fault.message == "No connection to slow.example could be made in time."


async def test_waiting_for_a_free_connection_has_not_reached():
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def script(request, writer, _):
        arrived.set()
        await leave.wait()
        return False

    async with partner(script) as server, make_sender(connections_per_host=1) as sender:
        first = asyncio.create_task(fault_of(sender, get(server.url(), timeout=60)))
        await arrived.wait()
        second = await fault_of(sender, get(server.url(), timeout=0.2))
        leave.set()
        assert (second.reached, second.timed_out) == (False, True)
        assert ((await first).reached, (await first).timed_out) == (True, False)
    assert len(server.arrivals) == 1


@pytest.mark.parametrize(
    "header",
    [
        ("X-Bad", "a\r\nX-Injected: 1"),
        ("X-Bad", "a\nb"),
        ("X-Bad", "a\0b"),
        ("X-Bad", "\u20ac"),
        ("X-Bad", "a\x7f"),
        ("X Bad", "a"),
        ("X-Bad:", "a"),
        ("X-Bad\r\nX", "a"),
        ("", "a"),
        ("X-B\u00e4d", "a"),
        ("Content-Length", "3"),
        ("content-length", "+2"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "Authorization"),
        ("Upgrade", "websocket"),
        ("Expect", "100-continue"),
    ],
)
async def test_a_header_that_would_break_the_message_is_not_sent(header):
    async with partner() as server, make_sender() as sender:
        fault = await fault_of(sender, Request(method="POST", url=server.url(), headers=(header,), body=b"xy"))
    assert (fault.reached, fault.timed_out) == (False, False)
    assert server.connections == 0


async def test_harmless_connection_headers_pass():
    headers = (("Content-Length", "2"), ("Connection", "keep-alive"), ("hOsT", "one.example"), ("X-Latin", "\xe9"))
    async with partner() as server, make_sender() as sender:
        assert (await sender.send(Request(method="POST", url=server.url(), headers=headers, body=b"xy"))).status == 200
    assert server.arrivals[0].lower().count(b"host:") == 1
    assert server.arrivals[0].lower().count(b"content-length:") == 1
    assert b"Host: one.example\r\n" in server.arrivals[0]


@pytest.mark.parametrize("method", ["", "GET /", "G\r\nET", "CONNECT", "connect"])
async def test_a_method_that_would_break_the_message_is_not_sent(method):
    async with partner() as server, make_sender() as sender:
        fault = await fault_of(sender, Request(method=method, url=server.url()))
    assert not fault.reached
    assert server.connections == 0


# Faults after the request left


async def _reset_at_once(request, writer, _):
    return reset(writer)


async def _close_at_once(request, writer, _):
    return False


async def _half_a_head(request, writer, _):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    return False


async def _cut_body(request, writer, _):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    return False


async def _cut_chunks(request, writer, _):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    return False


async def _reset_in_body(request, writer, _):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.05)
    return reset(writer)


BREAKS = [_reset_at_once, _close_at_once, _half_a_head, _cut_body, _cut_chunks, _reset_in_body]


@pytest.mark.parametrize(
    ("script", "method"),
    # The answer to HEAD ends with its head: a body cannot break.
    [(script, method) for script in BREAKS for method in ("GET", "POST", "PUT", "DELETE")] + [(script, "HEAD") for script in BREAKS[:3]],
)
async def test_a_connection_that_breaks_has_reached_and_nothing_is_sent_twice(script, method):
    async with partner(script) as server, make_sender() as sender:
        fault = await fault_of(sender, Request(method=method, url=server.url("/?token=canary")))
        await asyncio.sleep(0.05)
    assert (fault.reached, fault.timed_out) == (True, False)
    assert "canary" not in fault.message
    assert len(server.arrivals) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("ending", [_close_at_once, _reset_at_once])
async def test_a_kept_connection_that_is_dropped_gets_no_second_arrival(method, ending):
    async def script(request, writer, made):
        if len(made.arrivals) > 1:
            return await ending(request, writer, made)
        writer.write(OK)
        return True

    async with partner(script) as server, make_sender() as sender:
        await sender.send(get(server.url()))
        fault = await fault_of(sender, Request(method=method, url=server.url(), body=None if method in {"GET", "HEAD"} else b"x"))
        await asyncio.sleep(0.05)
    assert fault.reached
    assert server.connections == 1
    assert len(server.arrivals) == 2


async def test_a_request_that_wants_a_connection_of_its_own_meets_no_end_of_a_kept_one():
    async with partner() as server, make_sender() as sender:
        await asyncio.gather(*(sender.send(get(server.url())) for _ in range(2)))
        kept = server.connections
        assert (await sender.send(Request(method="POST", url=server.url(), body=b"x", fresh=True))).status == 200
        assert server.connections == kept + 1
        assert (await sender.send(get(server.url()))).status == 200
    assert server.connections == kept + 1


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced():
    async def script(request, writer, _):
        writer.write(OK)
        return False

    async with partner(script) as server, make_sender() as sender:
        await sender.send(get(server.url()))
        await asyncio.sleep(0.05)
        assert (await sender.send(Request(method="POST", url=server.url(), body=b"x"))).status == 200
    assert server.connections == 2


async def test_an_answer_that_nobody_asked_for_is_never_given_to_the_next_call():
    poisoned = asyncio.Event()

    async def script(request, writer, made):
        writer.write(OK)
        await writer.drain()
        if len(made.arrivals) == 1:
            await asyncio.sleep(0.05)
            writer.write(answer(b"poison"))
            await writer.drain()
            poisoned.set()

    async with partner(script) as server, make_sender() as sender:
        assert (await sender.send(get(server.url()))).body == b"ok"
        await poisoned.wait()
        await asyncio.sleep(0.05)  # it is there: the loop reads it before it wakes anybody
        assert (await sender.send(get(server.url()))).body == b"ok"
    assert server.connections == 2


async def test_two_answers_at_once_are_one_answer():
    async with partner(OK + answer(b"poison")) as server, make_sender() as sender:
        assert (await sender.send(get(server.url()))).body == b"ok"
        assert (await sender.send(get(server.url()))).body == b"ok"
    assert server.connections == 2


async def _silence(request, writer, _):
    await asyncio.sleep(60)


async def _slow_head(request, writer, _):
    for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        writer.write(bytes([letter]))
        await asyncio.sleep(0.03)


async def _slow_body(request, writer, _):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(999):
        writer.write(b"x")
        await asyncio.sleep(0.03)


async def _endless_hints(request, writer, _):
    for _ in range(1000):
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.03)


@pytest.mark.parametrize("script", [_silence, _slow_head, _slow_body, _endless_hints], ids=lambda script: script.__name__)
async def test_the_timeout_covers_the_whole_exchange(script):
    async with partner(script) as server, make_sender() as sender:
        started = asyncio.get_running_loop().time()
        fault = await fault_of(sender, Request(method="POST", url=server.url(), body=b"x", timeout=1.9))
        took = asyncio.get_running_loop().time() - started
    assert (fault.reached, fault.timed_out) == (True, True)
    assert fault.message == "127.0.0.1 did not answer within 1.9 seconds."
    assert 1.8 < took < 20
    assert len(server.arrivals) == 1


async def test_the_timeout_is_shared_by_all_redirects():
    async def script(request, writer, _):
        await asyncio.sleep(1)
        writer.write(redirect("/again"))

    async with partner(script) as server, make_sender() as sender:
        fault = await fault_of(sender, get(server.url(), timeout=2.5))
    assert fault.timed_out
    assert 2 <= len(server.arrivals) <= 3  # two on a machine that is busy


async def test_the_servers_own_timeout_caps_what_a_request_asks_for():
    async with partner(_silence) as server, make_sender(timeout_limit=0.2) as sender:
        assert (await fault_of(sender, get(server.url(), timeout=60))).timed_out


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=lambda raw: raw[:60].decode("latin-1").replace("\r\n", " ").replace("\0", ""),
)
async def test_an_answer_that_is_not_http_has_reached(raw):
    async with partner(raw) as server, make_sender() as sender:
        fault = await fault_of(sender, Request(method="PUT", url=server.url(), body=b"x", timeout=30))
    assert (fault.reached, fault.timed_out) == (True, False)
    assert len(server.arrivals) == 1


# Limits of the answer


async def _hundred_megabytes(request, writer, made):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    for _ in range(1600):
        writer.write(piece)
        await writer.drain()
        made.sent += 65536
    writer.write(b"0\r\n\r\n")


@contextlib.contextmanager
def peak_below(limit):
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


async def test_a_hundred_megabytes_are_cut_at_the_limit():
    async with partner(_hundred_megabytes) as server, make_sender() as sender:
        with peak_below(8 * MIB):
            fault = await fault_of(sender, get(server.url()))
        await asyncio.sleep(0.05)
    assert fault.reached
    assert "larger than 1048576 bytes" in fault.message
    assert server.sent < 20 * MIB


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_cut_at_the_limit(encoding):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join([packer.compress(bytes(MIB)) for _ in range(100)]) + packer.flush()
    async with partner(answer(bomb, f"Content-Encoding: {encoding}")) as server, make_sender() as sender:
        with peak_below(8 * MIB):
            fault = await fault_of(sender, get(server.url()))
    assert len(bomb) < MIB
    assert fault.reached
    assert "larger than" in fault.message


@pytest.mark.parametrize("length", ["1048577", "99999999999999999999"])
async def test_a_declared_length_beyond_the_limit_is_refused_unread(length):
    async def script(request, writer, _):
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nfirst".encode())
        await asyncio.sleep(60)

    async with partner(script) as server, make_sender() as sender:
        fault = await fault_of(sender, get(server.url(), timeout=30))
    assert (fault.reached, fault.timed_out) == (True, False)


async def test_a_body_of_exactly_the_limit_is_read_and_a_request_may_set_its_own():
    async with partner(answer(b"x" * 1000)) as server, make_sender(answer_limit=10) as sender:
        assert len((await sender.send(get(server.url(), answer_limit=1000))).body) == 1000
        assert "larger than 999" in (await fault_of(sender, get(server.url(), answer_limit=999))).message
        assert "larger than 10" in (await fault_of(sender, get(server.url()))).message


@pytest.mark.parametrize("way", ["new", "kept", "large", "stream", "open"])
async def test_it_is_told_that_a_request_leaves_before_anything_of_it_arrives_and_after_the_connection_is_there(way):
    bodies = {"large": {"body": b"x" * 2 * MIB}, "stream": {"body": None, "stream": Stream(parts=(b"x" * 1000,))}}
    async with partner(answer(b"ok")) as server, make_sender() as sender:
        if way == "kept":
            await sender.send(Request(method="POST", url=server.url()))
        told = []
        arrived = len(server.arrivals)
        request = replace(Request(method="POST", url=server.url(), **bodies.get(way, {})), leaves=lambda: told.append(len(server.arrivals)))
        if way == "open":
            (await sender.open(request)).close()
        else:
            await sender.send(request)
        assert (told, len(server.arrivals)) == ([arrived], arrived + 1)
        blocked = replace(Request(method="POST", url="http://127.0.0.1:1/"), leaves=lambda: told.append(-1))
        await fault_of(sender, blocked)
        assert told == [arrived]


async def test_a_caller_that_gives_up_leaves_no_connection_in_doubt():
    async def script(request, writer, made):
        if len(made.arrivals) == 1:
            await asyncio.sleep(0.3)
            writer.write(answer(b"late"))
        else:
            writer.write(OK)

    async with partner(script) as server, make_sender() as sender:
        first = asyncio.create_task(sender.send(get(server.url())))
        while not server.arrivals:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await sender.send(get(server.url()))).body == b"ok"


async def test_no_repr_shows_a_secret():
    async with partner(answer(b"canary", "Set-Cookie: a=canary")) as server, make_sender() as sender:
        request = get(server.url("/?k=canary"), headers=(("Authorization", "canary"),), secrets=frozenset({"canary"}))
        reply = await sender.send(request)
    assert "canary" not in repr(request) + repr(reply) + repr(sender)


async def test_a_client_certificate_is_shown_to_the_first_address_and_to_no_other(certificate, tmp_path):
    path, _context = certificate
    both = path.read_text()
    start = both.index("-----BEGIN PRIVATE KEY")
    mine = Certificate(chain=both[:start], key=both[start:])
    seen = []

    def context(verify):
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(path)
        found.load_verify_locations(path)
        found.verify_mode = verify
        return found

    async def script(_request, writer, _):
        seen.append(writer.get_extra_info("ssl_object").getpeercert() or None)
        writer.write(OK if len(seen) > 1 else redirect(f"https://127.0.0.1:{second.port}/"))

    async with (
        partner(script, tls=context(ssl.CERT_OPTIONAL)) as second,
        partner(script, tls=context(ssl.CERT_REQUIRED)) as first,
        make_sender(tls=lambda: ssl.create_default_context(cafile=path)) as sender,
    ):
        told = Request(method="GET", url=f"https://127.0.0.1:{first.port}/", certificate=mine)
        assert (await sender.send(told)).body == b"ok"
        with pytest.raises(NetworkFault):
            await sender.send(replace(told, certificate=None))
    assert seen[0]["subject"] == ((("commonName", "localhost"),),)
    assert seen[1] is None
