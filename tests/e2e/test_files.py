"""Files on their way to a partner: given whole, by address or by id, they arrive byte for byte, or the caller learns which cannot be had."""

from __future__ import annotations

import asyncio
import base64
import email
import json
import random
import time
from typing import Any

import pytest

from e2e.depot import FETCH, FILES, Bay, open_bay, open_depot
from e2e.served import Asked, Upstream, answer, upstream

pytestmark = pytest.mark.anyio

PHOTO = random.Random(7).randbytes(70_000)  # noqa: S311  any bytes do
TEXT = {"name": "note.txt", "contentType": "text/plain", "base64": base64.b64encode(b"19.90 EUR").decode()}


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bay")
    async with (
        open_depot() as depot,
        open_bay(folder, depot, allow_networks="127.0.0.1/32", partner_answer_limit=100_000, partner_file_limit=100_000) as found,
    ):
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


@pytest.fixture
async def shop(anyio_backend):
    """A server with files."""

    async def serve(asked: Asked) -> bytes:
        if asked.target.startswith("/photos/"):
            return answer(200, PHOTO, {"Content-Type": "image/png; charset=binary"})
        if asked.target == "/big":
            return answer(200, b"x" * 100_001)
        if asked.target == "/away":
            return answer(302, headers={"Location": "http://127.0.0.9/secret"})
        return answer(404)

    async with upstream(serve) as found:
        yield found


def _parts(asked: Asked) -> list[tuple[str | None, str | None, str, bytes]]:
    """Name, file name, type and content of each part."""
    message = email.message_from_bytes(b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type() if "content-type" in part else "",
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    ]


async def test_a_form_with_files_arrives_byte_for_byte(bay: Bay):
    data = {"title": "For Ada", "photo": TEXT}
    assert (await bay.run(FILES, data)).status == 200
    (asked,) = bay.depot.wire.asked
    boundary = asked.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    assert asked.body == (
        b'--%b\r\nContent-Disposition: form-data; name="title"\r\n\r\nFor Ada\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="photo"; filename="note.txt"\r\nContent-Type: text/plain\r\n\r\n19.90 EUR\r\n--%b--\r\n'
    ) % (boundary, boundary, boundary)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_files_by_address_by_id_and_whole_arrive_together(bay: Bay, shop: Upstream, mode: str):
    kept = await bay.served.fetch(
        "POST", "/files", {"name": "scan.png", "contentType": "image/png", "base64": base64.b64encode(PHOTO).decode()}
    )
    assert (kept.status, kept.json["data"]["size"]) == (201, len(PHOTO))
    data = {
        "photo": {"url": f"{shop.origin}/photos/ada%20l.png?size=2"},
        "others": [TEXT, {"fileId": kept.json["data"]["fileId"]}],
        "pages": [{"scan": {"url": f"{shop.origin}/photos/", "name": "page.png"}}],
    }
    told = await bay.run(FILES, data, mode=mode)
    run = await bay.until(told.json["data"]["runId"])
    assert run["status"] == "succeeded", run["error"]
    (asked,) = bay.depot.of("POST /files")
    assert _parts(asked) == [
        ("photo", "ada l.png", "image/png", PHOTO),
        ("others[]", "note.txt", "text/plain", b"19.90 EUR"),
        ("others[]", "scan.png", "image/png", PHOTO),
        ("pages[0][scan]", "page.png", "image/png", PHOTO),
    ]
    assert [fetched.headers.get("x-key") for fetched in shop.asked] == [None, None]


async def test_a_dry_run_fetches_nothing(bay: Bay, shop: Upstream):
    kept = await bay.served.fetch("POST", "/files", {"name": "a.txt", "contentType": "text/plain", "base64": TEXT["base64"]})
    data = {"photo": {"url": f"{shop.origin}/photos/a.png"}, "others": [{"fileId": kept.json["data"]["fileId"]}]}
    told = await bay.run(FILES, data, dryRun=True)
    (request,) = told.json["data"]["requests"]
    assert f"(the content of {shop.origin}/photos/a.png)" in request["body"]
    assert "19.90 EUR" in request["body"]
    assert (shop.asked, bay.depot.wire.asked) == ([], [])


async def test_every_file_that_cannot_be_had_is_named_with_its_path(bay: Bay, shop: Upstream):
    data = {
        "photo": {"url": f"{shop.origin}/nowhere"},
        "others": [TEXT, {"url": f"{shop.origin}/big"}, {"url": f"{shop.origin}/away"}],
        "pages": [{"scan": {"url": "http://localhost:9/x"}}, {"scan": {"url": "http://nowhere.invalid/x"}}],
    }
    told = await bay.run(FILES, data)
    assert told.status == 422
    assert [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]] == [
        ("runnerData.photo.url", "unreachable_file"),
        ("runnerData.others[1].url", "unreachable_file"),
        ("runnerData.others[2].url", "blocked_address"),
        ("runnerData.pages[0].scan.url", "unreachable_file"),
        ("runnerData.pages[1].scan.url", "unreachable_file"),
    ]
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "failed"
    assert bay.depot.wire.asked == []


async def test_a_file_that_does_not_come_takes_no_more_than_the_callers_time(bay: Bay):
    async def silence(_asked: Asked) -> None:
        await asyncio.sleep(20)

    async with upstream(silence) as slow:
        started = time.monotonic()
        told = await bay.run(FILES, {"photo": {"url": f"{slow.origin}/a"}}, timeoutMs=1_500)
        assert time.monotonic() - started < 15
        assert (told.status, told.json["error"]["fields"][0]["code"]) == (422, "unreachable_file")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a", "http://169.254.169.254/latest", "http://[::1]/a", "file:///etc/passwd", "http://0x7f.1/a"]
)
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_private_address_is_refused_before_a_run_is_made_of_it(bay: Bay, url: str, mode: str):
    before = await bay.count_runs()
    told = await bay.run(FILES, {"photo": {"url": url}, "others": [{"fileId": "file_nothing"}], "size": 1}, mode=mode)
    assert told.status == 422
    assert {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]} >= {
        ("runnerData.others[0].fileId", "not_found"),
        ("runnerData.size", "unknown_field"),
    }
    assert any(fault["path"].startswith("runnerData.photo") for fault in told.json["error"]["fields"])
    assert await bay.count_runs() == before


async def test_a_file_of_another_account_is_not_there(bay: Bay):
    token = await bay.served.second_account()
    body: dict[str, Any] = {"name": "a.txt", "contentType": "text/plain", "base64": TEXT["base64"]}
    theirs = (await bay.served.fetch("POST", "/files", body, token=token)).json["data"]["fileId"]
    told = await bay.run(FILES, {"photo": {"fileId": theirs}})
    assert (told.status, told.json["error"]["fields"][0]["code"]) == (422, "not_found")


async def test_a_kept_file_that_is_deleted_meanwhile_ends_the_queued_run_honestly(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=1) as bay:
        gate = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await gate.wait()
            return answer(200, {"ok": True})

        depot.answers["POST /files"] = late
        kept = (await bay.served.fetch("POST", "/files", {"name": "a", "contentType": "text/plain", "base64": ""})).json["data"]["fileId"]
        await bay.run(FILES, {"title": "first"}, mode="async")
        await depot.arrived("POST /files")
        second = (await bay.run(FILES, {"photo": {"fileId": kept}}, mode="async")).json["data"]["runId"]
        assert (await bay.served.fetch("DELETE", f"/files/{kept}")).status == 200
        gate.set()
        run = await bay.until(second)
        assert (run["status"], run["error"]["code"], run["error"]["fields"][0]["path"]) == (
            "failed",
            "validation_failed",
            "runnerData.photo.fileId",
        )
        assert depot.count("POST /files") == 1
        assert "base64" not in json.dumps(run)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_file_that_the_partner_gives_is_kept_and_can_be_sent(bay: Bay, mode: str):
    headers = {"Content-Type": "image/png", "Content-Disposition": 'attachment; filename="photo.png"'}
    bay.depot.answers["GET /report"] = answer(200, PHOTO, headers)
    told = await bay.run(FETCH, {"send": True}, mode=mode, raw=True)
    run = await bay.until(told.json["data"]["runId"])
    assert run["status"] == "succeeded", run["error"]
    report = run["result"]["report"]
    assert report == {"fileId": report["fileId"], "name": "photo.png", "contentType": "image/png", "size": len(PHOTO)}
    assert (await bay.served.fetch("GET", f"/files/{report['fileId']}")).json["data"] == report | {"externalUserId": None}
    (sent_on,) = bay.depot.of("POST /inbox")
    assert _parts(sent_on) == [("report", "photo.png", "image/png", PHOTO)]
    assert (await bay.run(FILES, {"photo": {"fileId": report["fileId"]}})).status == 200
    assert _parts(bay.depot.of("POST /files")[0]) == [("photo", "photo.png", "image/png", PHOTO)]
    assert (await bay.attempts(run["runId"]))[0]["exchanges"][0]["reply"]["body"] == f"({len(PHOTO)} bytes)"


BIG = 3 * 1024 * 1024


@pytest.fixture(scope="module")
async def wide(anyio_backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    settings = {"allow_networks": "127.0.0.1/32", "partner_answer_limit": 100_000, "partner_file_limit": 2 * BIG}
    async with open_depot() as depot, open_bay(folder, depot, **settings) as found:
        yield found


async def serve_large(asked: Asked) -> bytes:
    head = {"Content-Type": "video/mp4"}
    if asked.target == "/film.mp4":
        return answer(200, PHOTO * (BIG // len(PHOTO)), head)
    if asked.target == "/endless":
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (2 * BIG + 1)
    if asked.target == "/unsized":
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PHOTO
    if asked.target == "/broken":
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + b"x" * 1000
    return answer(200, b"x", {"Content-Length": str(2 * BIG + 1)})


async def test_a_file_larger_than_any_answer_is_sent_while_it_is_read(wide: Bay):
    bay = await wide.afresh()
    async with upstream(serve_large) as shop:
        data = {
            "title": "Film",
            "photo": {"url": f"{shop.origin}/film.mp4"},
            "others": [TEXT, {"url": f"{shop.origin}/unsized", "name": "u"}],
        }
        told = await bay.run(FILES, data)
        assert told.status == 200, told.content
        (asked,) = bay.depot.of("POST /files")
        assert _parts(asked) == [
            ("title", None, "", b"Film"),
            ("photo", "film.mp4", "video/mp4", PHOTO * (BIG // len(PHOTO))),
            ("others[]", "note.txt", "text/plain", b"19.90 EUR"),
            ("others[]", "u", "application/octet-stream", PHOTO),
        ]
        assert "content-length" not in asked.headers  # the size of one file was not told
        sent = (await bay.attempts(told.json["data"]["runId"]))[0]["exchanges"][0]["request"]["body"]
        assert f"(a file of {len(PHOTO) * (BIG // len(PHOTO))} bytes)" in sent
        assert "(a file)" in sent
        assert (await bay.run(FILES, {"photo": {"url": f"{shop.origin}/film.mp4"}})).status == 200
        assert int(bay.depot.of("POST /files")[1].headers["content-length"]) > BIG // 2


@pytest.mark.parametrize(("place", "words"), [("/endless", "larger than"), ("/broken", "broke off")])
async def test_a_file_that_breaks_while_it_is_sent_leaves_the_run_in_doubt(wide: Bay, place: str, words: str):
    bay = await wide.afresh()
    async with upstream(serve_large) as shop:
        told = await bay.run(FILES, {"photo": {"url": f"{shop.origin}{place}"}})
        assert told.json["error"]["outcome"] == "uncertain"
        assert words in told.json["error"]["message"]


async def test_files_that_break_are_not_held_against_the_partner_they_were_for(wide: Bay):
    bay = await wide.afresh()
    async with upstream(serve_large) as shop:
        for _run in range(bay.served.runtime.settings.partner.breaker_failures + 1):
            told = await bay.run(FILES, {"photo": {"url": f"{shop.origin}/broken"}})
            assert "broke off" in told.json["error"]["message"]
    assert bay.served.runtime.breakers.counts() == (0, 0)
    assert (await bay.run(FILES, {"photo": TEXT})).status == 200


async def test_a_file_that_is_too_large_is_a_fault_before_anything_is_sent(wide: Bay):
    bay = await wide.afresh()
    async with upstream(serve_large) as shop:
        told = await bay.run(FILES, {"photo": {"url": f"{shop.origin}/huge"}})
        assert [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]] == [("runnerData.photo.url", "unreachable_file")]
        assert bay.depot.wire.asked == []


async def _kept(bay: Bay, name: str, content_type: str, content: bytes = b"<b>19.90 EUR</b>") -> str:
    body = {"name": name, "contentType": content_type, "base64": base64.b64encode(content).decode()}
    return str((await bay.served.fetch("POST", "/files", body)).json["data"]["fileId"])


async def test_a_kept_file_is_downloaded_byte_for_byte_and_never_shown_in_a_browser(bay: Bay):
    told = await bay.served.fetch("GET", f"/files/{await _kept(bay, 'photo.png', 'image/png', PHOTO)}/content")
    assert (told.status, told.content) == (200, PHOTO)
    wanted = {
        "content-type": "image/png",
        "content-disposition": "attachment; filename=\"photo.png\"; filename*=UTF-8''photo.png",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "no-store",
    }
    assert {name: told.headers[name] for name in wanted} == wanted


async def test_a_file_that_an_operation_gave_can_be_downloaded(bay: Bay):
    bay.depot.answers["GET /report"] = answer(200, PHOTO, {"Content-Type": "image/png"})
    told = await bay.run(FETCH, {"send": True})
    assert (await bay.served.fetch("GET", f"/files/{told.json['data']['result']['report']['fileId']}/content")).content == PHOTO


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/csv", "text/csv"),
        ('text/csv; header=present; Charset = "ISO-8859-1"', "text/csv; charset=iso-8859-1"),
        ("text/csv; charset=a b", "text/csv"),
        ("application/json", "application/json"),
        ("text/html", "application/octet-stream"),
        ("Application/XHTML+XML", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("a/b\u00e9", "application/octet-stream"),
    ],
)
async def test_a_type_that_browsers_run_is_downloaded_as_bytes(bay: Bay, told: str, given: str):
    found = await bay.served.fetch("GET", f"/files/{await _kept(bay, 'a', told)}/content")
    assert (found.status, found.headers["content-type"]) == (200, given)


async def test_a_name_of_a_download_stays_in_its_place(bay: Bay):
    kept = await _kept(bay, 'à "; x=../b%.txt', "text/plain")
    found = await bay.served.fetch("GET", f"/files/{kept}/content")
    assert found.headers["content-disposition"] == (
        "attachment; filename=\"_ _; x=.._b_.txt\"; filename*=UTF-8''%C3%A0%20%22%3B%20x%3D..%2Fb%25.txt"
    )


async def test_nobody_downloads_a_file_of_another_account_or_one_that_is_gone(bay: Bay):
    kept = await _kept(bay, "a.txt", "text/plain")
    theirs = await bay.served.fetch("GET", f"/files/{kept}/content", token=await bay.served.second_account())
    assert (theirs.status, theirs.json["error"]["code"]) == (404, "not_found")
    await bay.served.fetch("DELETE", f"/files/{kept}")
    assert (await bay.served.fetch("GET", f"/files/{kept}/content")).status == 404
