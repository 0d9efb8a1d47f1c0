"""R10's table of addresses and notations, judged without I/O."""

import pytest

from polyport.errors import BlockedAddress
from polyport.net.egress import EgressPolicy

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::a00:1",
    "64:ff9b:1:ffff::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]

OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "3ffe::1",
]

NO_ADDRESS = [
    "",
    "localhost",
    "127.1",
    "0x7f.1",
    "2130706433",
    "127.0.0.01",
    "127.0.0.1.",
    " 8.8.8.8",
    "8.8.8.8/32",
    "fe80::1%eth0",
    "2606:4700:4700::1111%1",
    "8.8.8",
]

ODD_HOSTS = [
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "017700000001",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "127.0.0.1..",
    "2130706433.",
    "0x7f.1.",
    "0",
    "0.",
    "0x",
    "1.2.3.4.5",
    "256.1.1.1",
    "127.0.0.256",
    "4294967297",
    "134744072",
    "example.0x7f",
    "127.0.0.\uff11",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "%31%32%37.0.0.1",
    "127%2e0.0.1",
    "loc%61lhost",
    "[::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "[v1.fe80]",
    "[127.0.0.1]",
    "[::1",
    "::1",
    "[]",
    "[::]]",
    "[::1]x",
]


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_blocked(address):
    with pytest.raises(BlockedAddress):
        EgressPolicy().check_address(address)


@pytest.mark.parametrize("address", CLOSED)
def test_a_url_of_an_address_that_is_not_public_is_blocked(address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BlockedAddress):
        EgressPolicy().check_url(f"https://{host}:8443/hook?x=1")


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_and_its_url_pass(address):
    policy = EgressPolicy()
    policy.check_address(address)
    assert policy.check_url(f"http://[{address}]/" if ":" in address else f"http://{address}/") == address


@pytest.mark.parametrize("text", NO_ADDRESS)
def test_what_is_not_a_plain_address_is_blocked_even_if_everything_is_allowed(text):
    with pytest.raises(BlockedAddress):
        EgressPolicy(("0.0.0.0/0", "::/0")).check_address(text)


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_an_odd_notation_is_refused_even_if_everything_is_allowed(host):
    with pytest.raises(BlockedAddress):
        EgressPolicy(("0.0.0.0/0", "::/0")).check_url(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:text/plain,x",
        "unix:/var/run/docker.sock",
        "ws://example.com/",
        "http:example.com",
        "http:/example.com",
        "http:///example.com",
        "http://",
        "http://?x",
        "http://#x",
        "http://:80/",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:99999/",
        "http://example.com:8x/",
        "http://example.com:-1/",
        "http://example.com:80:80/",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/a\r\nX: y",
        "http://example.com\n",
        "http://example.com/\n",
        " http://example.com/",
        "http://example.com/\u00e9",
        "http://b\u00fccher.example/",
        "http://example..com/",
        "http://.example.com/",
        "http://./",
        "http://exa\tmple.com/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
    ],
)
def test_a_url_that_is_not_a_plain_http_url_is_refused(url):
    with pytest.raises(BlockedAddress):
        EgressPolicy(("0.0.0.0/0", "::/0")).check_url(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/v1?x=%20", "api.example.com"),
        ("HTTPS://API.Example.com:8443", "API.Example.com"),
        ("http://example.com?x=1", "example.com"),
        ("http://example.com#top", "example.com"),
        ("http://example.com./", "example.com."),
        ("http://a_b.example-1.com/@127.0.0.1", "a_b.example-1.com"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://1and1.example/", "1and1.example"),
        ("http://localhost/", "localhost"),
        ("http://example.com:65535/", "example.com"),
    ],
)
def test_a_name_passes_and_is_left_to_the_resolver(url, host):
    assert EgressPolicy().check_url(url) == host


def test_an_allowed_network_opens_that_network_alone():
    policy = EgressPolicy(("10.1.0.0/16", "fd00:1::/32"))
    assert policy.check_url("http://10.1.2.3:9000/") == "10.1.2.3"
    assert policy.check_url("http://[fd00:1::5]/") == "fd00:1::5"
    assert not policy.allows("10.2.0.1")
    assert not policy.allows("fd00:2::1")
    assert not policy.allows("127.0.0.1")


def test_an_allowed_ipv4_network_covers_its_mapped_form_and_no_other_form():
    policy = EgressPolicy(("127.0.0.0/8",))
    assert policy.allows("::ffff:127.0.0.1")
    assert not policy.allows("::127.0.0.1")
    assert not policy.allows("64:ff9b::127.0.0.1")
    assert not policy.allows("2002:7f00:1::")
    assert not policy.allows("::1")


def test_a_mapped_network_means_its_ipv4_network():
    policy = EgressPolicy(("::ffff:10.0.0.0/104",))
    assert policy.allows("10.9.9.9")
    assert policy.allows("::ffff:10.9.9.9")
    assert not policy.allows("127.0.0.1")


def test_an_allowed_ipv6_network_covers_no_ipv4_address():
    policy = EgressPolicy(("::/0",))
    assert policy.allows("fe80::1")
    assert not policy.allows("::ffff:127.0.0.1")


def test_a_bare_address_is_a_network_of_one():
    policy = EgressPolicy((" 127.0.0.1 ",))
    assert policy.allows("127.0.0.1")
    assert not policy.allows("127.0.0.2")


def test_a_wrong_network_is_refused_when_the_policy_is_made():
    with pytest.raises(ValueError, match="not-a-network"):
        EgressPolicy(("not-a-network",))


def test_a_refusal_repeats_neither_password_nor_query():
    for url in (
        "https://user:canary-word@example.com/",
        "ftp://h/?token=canary-word",
        "http://127.0.0.1/?token=canary-word",
        "http://h/ ?canary-word",
    ):
        with pytest.raises(BlockedAddress) as refusal:
            EgressPolicy().check_url(url)
        assert "canary-word" not in str(refusal.value.as_record())


def test_a_refusal_names_the_address_and_what_the_operator_can_do():
    with pytest.raises(BlockedAddress, match=r"127\.0\.0\.1 is not a public address") as refusal:
        EgressPolicy().check_url("http://127.0.0.1/")
    assert "POLYPORT_ALLOW_NETWORKS" in refusal.value.as_record()["suggestedFix"]


def test_a_hostile_address_text_is_not_repeated():
    with pytest.raises(BlockedAddress, match=r"^This is not"):
        EgressPolicy().check_address("\x1b[31m" + "x" * 500)


def test_a_fragment_or_a_path_does_not_hide_the_host():
    for url in ("http://127.0.0.1#@example.com/", "http://127.0.0.1?@example.com/", "http://127.0.0.1/@example.com/"):
        with pytest.raises(BlockedAddress, match=r"127\.0\.0\.1 is not"):
            EgressPolicy().check_url(url)


def test_the_repr_tells_what_is_allowed():
    assert repr(EgressPolicy(("10.0.0.0/8",))) == "EgressPolicy(('10.0.0.0/8',))"
