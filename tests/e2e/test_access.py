import asyncio
import base64
import threading
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from e2e.served import EMAIL, PASSWORD, Clock, Served, running_server
from polyport.store.base import Stale

pytestmark = pytest.mark.anyio

WRONG = "another password"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def status_with(served: Served, authorization: str) -> int:
    return (await served.fetch("GET", "/partners/info", headers={"Authorization": authorization})).status


async def try_password(served: Served, password: str, email: str = EMAIL):
    return await served.fetch("POST", "/user/auth", {"email": email, "password": password}, token=None)


async def test_signing_in_gives_tokens_and_when_they_end(house: Served):
    status, headers, answer = await house.call("POST", "/user/auth", {"email": EMAIL, "password": PASSWORD}, token=None)

    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert set(answer["data"]) == {"authToken", "expiresAt", "refreshToken"}
    assert isinstance(answer["data"]["expiresAt"], int)
    assert 86_000 < answer["data"]["expiresAt"] - time.time() <= 86_400


@pytest.mark.parametrize(
    "form",
    [
        lambda token: f"Bearer {token}",
        lambda token: f"bearer {token}",
        lambda token: f"BEARER  {token} ",
        lambda token: basic(f"{token}:"),
        basic,
        lambda token: f"Basic {token}",
        lambda token: f"basic {token}",
    ],
)
async def test_each_form_of_authorization_that_clients_use_is_taken(house: Served, form):
    assert await status_with(house, form(house.token)) == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic !!!",
        "Digest x",
        "Token x",
        "ppt_x",
        "Bearer " + "x" * 6000,
        basic("nobody:"),
    ],
)
async def test_anything_else_is_refused_with_a_challenge(house: Served, header: str):
    found = await house.fetch("GET", "/partners/info", headers={"Authorization": header})

    assert found.status == 401
    assert found.json["error"]["code"] == "unauthenticated"
    assert found.headers["www-authenticate"] == "Bearer"


async def test_without_a_token_nothing_but_open_paths_is_answered(house: Served):
    found = await house.fetch("GET", "/partners/info", token=None)

    assert found.status == 401
    assert found.headers["www-authenticate"] == "Bearer"


async def test_a_refresh_token_opens_nothing(house: Served):
    refresh = (await house.sign_in())["refreshToken"]

    assert await status_with(house, f"Bearer {refresh}") == 401


async def test_a_token_in_the_query_is_not_taken(house: Served):
    assert (await house.fetch("GET", f"/partners/info?token={house.token}&access_token={house.token}", token=None)).status == 401


@pytest.mark.parametrize("email", ["Owner@Example.COM", " owner@example.com "])
async def test_an_email_address_is_taken_in_any_case(house: Served, email: str):
    assert (await try_password(house, PASSWORD, email)).status == 200


async def test_a_wrong_email_and_a_wrong_password_answer_alike_in_the_same_time(tmp_path: Path):
    async with running_server(tmp_path) as served:
        took: dict[str, list[float]] = {EMAIL: [], "nobody@example.com": []}
        bodies = []
        for _ in range(6):
            for email, times in took.items():
                started = time.perf_counter()
                found = await try_password(served, WRONG, email)
                times.append(time.perf_counter() - started)
                bodies.append((found.status, {name: value for name, value in found.json["error"].items() if name != "requestId"}))

    assert bodies[0][0] == 401
    assert bodies[0][1]["code"] == "unauthenticated"
    assert all(body == bodies[0] for body in bodies)
    fast, slow = sorted(min(times) for times in took.values())  # the shortest: a machine that is busy makes some longer, none shorter
    assert slow < fast * 3


async def test_tries_are_limited_for_each_account(tmp_path: Path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock, login_attempts=3, login_window=600) as served:
        token = await served.second_account()
        tries = [await try_password(served, WRONG) for _ in range(3)]
        limited = await try_password(served, PASSWORD)
        others = await try_password(served, PASSWORD, "other@example.com")
        still_open = await served.fetch("GET", "/partners/info", token=token)
        clock.forward(601)
        later = await try_password(served, PASSWORD)

    assert [found.status for found in tries] == [401, 401, 401]
    assert limited.status == 429
    error = limited.json["error"]
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["retryAfterMs"] <= 600_000
    assert 0 < int(limited.headers["retry-after"]) <= 600
    assert limited.headers["ratelimit"] == f'"sign-in";r=0;t={limited.headers["retry-after"]}'
    assert limited.headers["ratelimit-policy"] == '"sign-in";q=3;w=600'
    assert (others.status, still_open.status, later.status) == (200, 200, 200)


@pytest.mark.parametrize("email", ["OWNER@example.com", " owner@example.com", "\uff4fwner@example.com"])
async def test_writing_the_email_another_way_gives_no_further_tries(tmp_path: Path, email: str):
    async with running_server(tmp_path, login_attempts=2) as served:
        for _ in range(2):
            await try_password(served, WRONG)
        found = await try_password(served, PASSWORD, email)

    assert found.status in {401, 429}


async def test_an_unknown_account_is_limited_just_the_same(tmp_path: Path):
    async with running_server(tmp_path, login_attempts=2) as served:
        tries = [await try_password(served, WRONG, "nobody@example.com") for _ in range(3)]

    assert [found.status for found in tries] == [401, 401, 429]


async def test_tries_are_limited_for_each_address(tmp_path: Path):
    async with running_server(tmp_path, login_attempts_per_address=3) as served:
        tries = [await try_password(served, WRONG, f"user{number}@example.com") for number in range(4)]

    assert [found.status for found in tries] == [401, 401, 401, 429]
    assert tries[-1].headers["ratelimit-policy"].startswith('"sign-in";q=3;')


async def test_a_right_password_forgets_the_wrong_ones(tmp_path: Path):
    async with running_server(tmp_path, login_attempts=2) as served:
        tries = [(await try_password(served, password)).status for password in (WRONG, PASSWORD, WRONG, PASSWORD, WRONG)]

    assert tries == [401, 200, 401, 200, 401]


async def test_many_tries_at_once_are_not_more_than_the_limit(tmp_path: Path):
    async with running_server(tmp_path, login_attempts=3) as served:
        tries = await asyncio.gather(*(try_password(served, WRONG) for _ in range(10)))

    assert sorted(found.status for found in tries) == [401] * 3 + [429] * 7


async def test_refreshing_gives_new_tokens_and_ends_the_old_ones(house: Served):
    first = await house.sign_in()
    status, _headers, answer = await house.call("POST", "/user/refresh", {"refreshToken": first["refreshToken"]}, token=None)

    second = answer["data"]
    assert status == 200
    assert set(second) == {"authToken", "expiresAt", "refreshToken"}
    assert await status_with(house, f"Bearer {second['authToken']}") == 200
    assert await status_with(house, f"Bearer {first['authToken']}") == 401


async def test_a_refresh_token_works_once(house: Served):
    first = await house.sign_in()
    tries = await asyncio.gather(
        *(house.fetch("POST", "/user/refresh", {"refreshToken": first["refreshToken"]}, token=None) for _ in range(5))
    )
    again = await house.fetch("POST", "/user/refresh", {"refreshToken": first["refreshToken"]}, token=None)

    assert sorted(found.status for found in tries) == [200, 401, 401, 401, 401]
    assert again.status == 401


async def test_neither_a_session_token_nor_a_made_up_one_refreshes(house: Served):
    for token in (house.token, "ppr_nonsense", "x" * 512):
        found = await house.fetch("POST", "/user/refresh", {"refreshToken": token}, token=None)
        assert (found.status, found.json["error"]["code"]) == (401, "unauthenticated")


async def test_signing_out_ends_the_tokens_of_that_sign_in_only(house: Served):
    first, second = await house.sign_in(), await house.sign_in()

    status, _headers, answer = await house.call("POST", "/user/logout", token=first["authToken"])

    assert (status, answer) == (200, {"success": True, "data": []})
    assert await status_with(house, f"Bearer {first['authToken']}") == 401
    assert (await house.fetch("POST", "/user/refresh", {"refreshToken": first["refreshToken"]}, token=None)).status == 401
    assert await status_with(house, f"Bearer {second['authToken']}") == 200


async def test_a_new_password_ends_every_sign_in_and_the_old_password(tmp_path: Path):
    async with running_server(tmp_path) as served:
        other = await served.sign_in()
        key = (await served.call("POST", "/api-keys", {"title": "k", "scopes": ["catalog:read"]}))[2]["data"]["key"]
        status, _headers, answer = await served.call("POST", "/user/password", {"password": PASSWORD, "newPassword": "a new password"})

        assert (status, answer) == (200, {"success": True, "data": []})
        assert await status_with(served, f"Bearer {served.token}") == 401
        assert await status_with(served, f"Bearer {other['authToken']}") == 401
        assert (await served.fetch("POST", "/user/refresh", {"refreshToken": other["refreshToken"]}, token=None)).status == 401
        assert (await try_password(served, PASSWORD)).status == 401
        assert (await try_password(served, "a new password")).status == 200
        assert await status_with(served, f"Bearer {key}") == 200


async def test_the_password_changes_only_for_who_knows_the_present_one(tmp_path: Path):
    async with running_server(tmp_path, login_attempts=3) as served:
        body = {"password": WRONG, "newPassword": "a new password"}
        tries = [(await served.fetch("POST", "/user/password", body)).status for _ in range(5)]

        assert tries == [401, 401, 401, 429, 429]
        assert await status_with(served, f"Bearer {served.token}") == 200


async def test_a_password_that_was_hashed_with_less_is_hashed_anew_at_the_next_sign_in_and_no_other_one_ends(tmp_path: Path):
    weaker = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    async with running_server(tmp_path) as served:
        accounts = served.runtime.repo.accounts
        user = await accounts.user_by_email(EMAIL)
        assert user is not None
        await accounts.rehash_password(user, weaker)
        earlier = await served.session()
        statuses = [(await try_password(served, password)).status for password in (WRONG, PASSWORD, PASSWORD)]
        now = await accounts.user_by_email(EMAIL)
        still_open = await served.fetch("GET", "/partners/info", token=earlier)
        with pytest.raises(Stale):
            await accounts.rehash_password(user, weaker)

    assert statuses == [401, 200, 200]
    assert now is not None
    assert "$m=64,t=1," in weaker
    assert "$m=24576,t=3," in now.password_hash
    assert still_open.status == 200


async def test_a_few_passwords_are_hashed_at_once_however_many_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    under_way, most, lock = 0, 0, threading.Lock()

    def slowly(_stored: str | None, _password: str) -> bool:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return False

    monkeypatch.setattr("polyport.server.access.verify_password", slowly)
    async with running_server(tmp_path, login_attempts=100, login_attempts_per_address=100) as served:
        tries = await asyncio.gather(*(try_password(served, WRONG) for _ in range(12)))

    assert {found.status for found in tries} == {401}
    assert most == 2


async def test_a_new_password_that_is_too_short_is_refused_by_name(house: Served):
    status, _headers, answer = await house.call("POST", "/user/password", {"password": PASSWORD, "newPassword": "short"})

    assert status == 422
    assert [fault["path"] for fault in answer["error"]["fields"]] == ["newPassword"]
    assert "short" not in str(answer["error"]["fields"][0]["message"]).replace("too short", "")


async def test_an_expired_token_is_told_apart_and_can_be_refreshed_until_that_expires_too(tmp_path: Path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock, login_token_lifetime=60, login_refresh_lifetime=120) as served:
        tokens = await served.sign_in()
        before = await served.fetch("GET", "/partners/info", token=tokens["authToken"])
        clock.forward(61)
        after = await served.fetch("GET", "/partners/info", token=tokens["authToken"])
        refreshed = await served.fetch("POST", "/user/refresh", {"refreshToken": tokens["refreshToken"]}, token=None)
        clock.forward(121)
        late = await served.fetch("POST", "/user/refresh", {"refreshToken": refreshed.json["data"]["refreshToken"]}, token=None)

    assert before.status == 200
    assert (after.status, after.json["error"]["code"], after.headers["www-authenticate"]) == (401, "token_expired", "Bearer")
    assert refreshed.status == 200
    assert (late.status, late.json["error"]["code"]) == (401, "token_expired")


async def test_no_token_or_password_is_in_the_data_folder(house: Served):
    tokens = await house.sign_in()
    data = b"".join(path.read_bytes() for path in house.runtime.settings.data.rglob("*") if path.is_file())

    for secret in (tokens["authToken"], tokens["refreshToken"], PASSWORD):
        assert secret.encode() not in data
    assert b"$argon2id$" in data
