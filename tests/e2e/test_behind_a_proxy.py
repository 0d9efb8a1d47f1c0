"""Requests that a reverse proxy hands on: whom it had them from is believed of proxies that the operator names, and of nobody else."""

from __future__ import annotations

import pytest

from e2e.served import make_settings, running_server
from polyport.cli.serving import make_config

pytestmark = pytest.mark.anyio
WRONG = {"email": "nobody@example.com", "password": "not-the-password"}


@pytest.mark.parametrize(
    ("proxies", "statuses"),
    [("127.0.0.1,::1", [401, 401, 429]), ("127.0.0.0/8", [401, 401, 429]), ("192.0.2.9", [401, 429, 429]), ("", [401, 429, 429])],
)
async def test_attempts_to_sign_in_are_counted_for_the_client_that_a_known_proxy_names(tmp_path, proxies, statuses):
    async with running_server(tmp_path, http_proxies=proxies, login_attempts_per_address=1) as served:
        for address, status in zip(("203.0.113.1", "203.0.113.2", "198.51.100.9, 203.0.113.2"), statuses, strict=True):
            told = await served.fetch("POST", "/user/auth", WRONG, token=None, headers={"X-Forwarded-For": address})
            assert told.status == status, address


async def test_a_client_that_changes_its_address_within_its_network_of_ipv6_is_the_same_client(tmp_path):
    async with running_server(tmp_path, login_attempts_per_address=1) as served:
        for address, status in (("2001:db8:0:1::1", 401), ("2001:db8:0:1:ffff::9", 429), ("2001:db8:0:2::1", 401)):
            told = await served.fetch("POST", "/user/auth", WRONG, token=None, headers={"X-Forwarded-For": address})
            assert told.status == status, address


def test_a_proxy_on_this_machine_is_believed_by_either_of_its_addresses(tmp_path):
    assert make_config(None, make_settings(tmp_path)).forwarded_allow_ips == ["127.0.0.1", "::1"]
