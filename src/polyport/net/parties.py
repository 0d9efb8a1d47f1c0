"""Whom an address belongs to, where callers are counted by it."""

from __future__ import annotations

import ipaddress
from typing import Final

_OF_ONE: Final = 64  # bits: what a household or a rented machine is given, to take addresses from as it likes (RFC 6177, RFC 7934)


def party_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, also one that is written as IPv6, or the network of 64 bits that an IPv6 address is of.

    What is no address comes back as it is.
    """
    if ":" not in address:
        return address
    try:
        told = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if told.ipv4_mapped is not None:
        return str(told.ipv4_mapped)
    network = ipaddress.IPv6Address(int(told) >> (128 - _OF_ONE) << (128 - _OF_ONE))
    return f"{network}/{_OF_ONE}"
