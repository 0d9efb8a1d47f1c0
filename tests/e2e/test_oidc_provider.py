"""What the real OAuth server of these tests does, so that what is proved against it means something."""

from __future__ import annotations

import aiohttp
import pytest

from oidc.provider import Provider, running_provider

pytestmark = pytest.mark.anyio


async def refresh(provider: Provider, token: str) -> tuple[int, str | None]:
    """Status of a refresh, and the next refresh token or the error."""
    told = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app", "client_secret": "secret-of-app"}
    async with aiohttp.ClientSession() as client, client.post(f"{provider.origin}/token", data=told) as answer:
        found = await answer.json()
        return answer.status, found.get("refresh_token") or found.get("error")


async def test_a_refresh_token_that_is_used_twice_ends_everything_that_came_of_the_consent():
    async with running_provider(accessSeconds=5) as provider:
        await provider.add_client("app")
        tokens = await provider.tokens("app")
        status, second = await refresh(provider, tokens["refresh_token"])
        assert (status, second != tokens["refresh_token"]) == (200, True)
        assert await refresh(provider, tokens["refresh_token"]) == (400, "invalid_grant")
        assert await refresh(provider, str(second)) == (400, "invalid_grant")
        assert [(each["grant"], each["status"]) for each in await provider.asked()] == [
            ("refresh_token", status) for status in (200, 400, 400)
        ]


async def test_it_can_be_slow_down_and_forgetful():
    async with running_provider(faults=["unavailable", "drop_after"]) as provider:
        await provider.add_client("app")
        tokens = await provider.tokens("app")
        assert (await refresh(provider, tokens["refresh_token"]))[0] == 503
        with pytest.raises(aiohttp.ClientError):
            await refresh(provider, tokens["refresh_token"])
        assert await refresh(provider, tokens["refresh_token"]) == (400, "invalid_grant"), "it had carried out what it did not answer"
        await provider.set(tokenDelayAfterMs=1)
        await provider.revoke(tokens["grant_id"])
