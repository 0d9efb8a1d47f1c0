"""What may be called: one policy for every address and every URL that leaves this server. Nothing here does I/O.

The ranges are written out instead of asking ``ipaddress.is_global``: that property changed between patch releases of Python, and it
calls 6to4, Teredo and multicast addresses global. Sources: IANA's IPv4 and IPv6 special-purpose registries (RFC 6890 and updates).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from polyport.errors import BlockedAddress, Details

_CLOSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, and "unspecified"
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers; one cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public by its number, yet the host agent of every machine in one large cloud
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; one cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112: answers locally
        "192.52.193.0/24",  # multicast tunnels (AMT)
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112: answers locally
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# The only range from which global IPv6 addresses are given out. Outside of it lie ::, ::1, IPv4-compatible addresses, NAT64 in both forms
# (64:ff9b::/96 and 64:ff9b:1::/48), discard-only, unique-local (fd00:ec2::254), link-local, site-local and multicast.
_OPEN_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "2620:4f:8000::/48",  # AS112: answers locally
        "3fff::/20",  # documentation
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")

_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f.]*:[0-9a-f:.]*)\]|(?P<host>[a-z0-9_.-]+))(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):", re.ASCII | re.IGNORECASE)
# A name whose last label is a number is an IPv4 address to browsers and to the system's resolver (127.1, 0x7f.1, 2130706433).
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.*", re.ASCII | re.IGNORECASE)
_NAME: Final = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.ASCII | re.IGNORECASE)
_FIX: Final = Details(suggested_fix="If this address is meant, the server's operator can allow its network with POLYPORT_ALLOW_NETWORKS.")


class EgressPolicy:
    """Public addresses, plus the networks that the operator allows.

    ``allow_networks`` are networks in CIDR form (``10.1.0.0/16``, ``fd00::/8``, a bare address is a network of one). An IPv4 network
    also covers its IPv4-mapped IPv6 form; an IPv6 network covers no IPv4 address. Raises ``ValueError`` for anything else.
    """

    __slots__ = ("_allowed_v4", "_allowed_v6", "_host_of", "_is_open", "allow_networks")

    def __init__(self, allow_networks: tuple[str, ...] = ()) -> None:
        self.allow_networks = allow_networks
        networks = [_unmapped(ip_network(text.strip(), strict=False)) for text in allow_networks]
        self._allowed_v4 = tuple(network for network in networks if isinstance(network, IPv4Network))
        self._allowed_v6 = tuple(network for network in networks if isinstance(network, IPv6Network))
        # The same few hosts are judged at every call, and a judgement never changes; what it refuses, check_url judges anew.
        self._is_open = lru_cache(maxsize=4096)(self._judge)
        self._host_of = lru_cache(maxsize=4096)(self._checked_host)

    def __repr__(self) -> str:
        return f"EgressPolicy({self.allow_networks!r})"

    def allows(self, ip_text: str) -> bool:
        """Whether this IP address may be called. What is not an IP address, or carries a zone id, may not."""
        return self._is_open(ip_text)

    def check_address(self, ip_text: str) -> None:
        """Raise ``BlockedAddress`` unless this IP address may be called."""
        if not self._is_open(ip_text):
            raise BlockedAddress(f"{_shown(ip_text)} is not a public address, and this server's operator has not allowed it.", _FIX)

    def check_url(self, url: str) -> str:
        """Raise ``BlockedAddress`` unless this absolute, encoded URL may be called; returns its host, without brackets.

        A literal address is judged here, in its one plain notation: any other notation is refused, whatever it means. A host name is
        accepted; the addresses it leads to are judged when it is resolved.
        """
        found = _ORIGIN.match(url)
        if found is None:
            raise BlockedAddress(_why_not(url))
        if not url.isascii() or not url.isprintable() or " " in url:
            raise BlockedAddress("The URL holds characters that have to be percent-encoded.")
        return self._host_of(found["v6"], found["host"], found["port"])

    def _checked_host(self, v6: str | None, host: str, port: str | None) -> str:
        if port is not None and not 0 < int(port) < 65536:
            raise BlockedAddress("The port of the URL is not between 1 and 65535.")
        if v6 is not None:
            self.check_address(v6)
            return v6
        if _NUMERIC.fullmatch(host):
            if not _is_plain_v4(host):
                raise BlockedAddress(f"{host} is not a plain address: write it as four decimal numbers.")
            self.check_address(host)
        elif len(host) > 254 or not _NAME.fullmatch(host):
            raise BlockedAddress("The host of the URL is not a valid name.")
        return host

    def _judge(self, ip_text: str) -> bool:
        try:
            address = ip_address(ip_text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return False
            if (mapped := address.ipv4_mapped) is None:
                return self._is_open_v6(address)
            address = mapped
        return any(address in network for network in self._allowed_v4) or not any(address in network for network in _CLOSED_V4)

    def _is_open_v6(self, address: IPv6Address) -> bool:
        if any(address in network for network in self._allowed_v6):
            return True
        return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """An IPv4-mapped network as the IPv4 network that it means."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _is_plain_v4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


def _shown(text: str) -> str:
    """A hostile text, safe for a message."""
    return text if len(text) <= 64 and text.isascii() and text.isprintable() else "This"


def _why_not(url: str) -> str:
    """Why a URL has no acceptable origin; its parts are not repeated, a password may be among them."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "The URL is not absolute: it has to begin with http:// or https://."
    if scheme["scheme"].lower() not in {"http", "https"}:
        return "Only http and https URLs may be called."
    authority = re.split(r"[/?#\\]", url[scheme.end() :].removeprefix("//"), maxsplit=1)[0]
    if "@" in authority:
        return "A URL must not carry a user name or a password."
    if not authority or not url[scheme.end() :].startswith("//"):
        return "The URL has no host."
    return 'The host or port of the URL is not valid: write names in ASCII ("xn--" form) and addresses in their plain form.'
