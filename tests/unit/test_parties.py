"""Whom an address belongs to where callers are counted by it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.net.parties import party_of


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:0DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_an_address_is_of(address, party):
    assert party_of(address) == party


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_addresses_of_one_network_are_of_one_party_and_no_other_network_is(address, last):
    first = int(address) >> 64 << 64
    same, next_to_it = ipaddress.IPv6Address(first | last), ipaddress.IPv6Address((first ^ (1 << 64)) | last)
    if address.ipv4_mapped is None and same.ipv4_mapped is None:
        assert party_of(str(same)) == party_of(str(address))
    assert party_of(str(next_to_it)) != party_of(str(address))
