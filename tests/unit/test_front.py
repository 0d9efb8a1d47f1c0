"""The way of a run past the framework: which paths take it, what they are told of, and that made-up paths do not fill the memory. On routes that say what they got."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from polyport.server.app import PATH_LONGEST, PATHS_MOST, Front

pytestmark = pytest.mark.anyio


class Asked:
    """A front with one direct route, and what each side got."""

    def __init__(self) -> None:
        self.direct: list[dict[str, str]] = []
        self.elsewhere: list[str] = []

        async def run(http: Request) -> Response:
            self.direct.append(dict(http.path_params))
            return Response(status_code=204)

        async def others(scope: Any, _receive: Any, _send: Any) -> None:
            self.elsewhere.append(scope["path"])

        self.front = Front(others, [Route("/things/{id}/run/sync", run, methods=["POST"])])

    async def ask(self, path: str, method: str = "POST") -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_message: Any) -> None:
            """Whoever asked does not look at the answer."""

        await self.front({"type": "http", "method": method, "path": path, "headers": []}, receive, send)


async def test_a_path_gives_its_parameters_the_first_time_and_every_other():
    asked = Asked()
    for number in ("1", "2", "1", "2"):
        await asked.ask(f"/things/{number}/run/sync")
    assert asked.direct == [{"id": "1"}, {"id": "2"}, {"id": "1"}, {"id": "2"}]
    assert asked.elsewhere == []


async def test_a_known_path_by_another_method_goes_the_long_way():
    asked = Asked()
    await asked.ask("/things/1/run/sync")
    await asked.ask("/things/1/run/sync", "GET")
    assert (len(asked.direct), asked.elsewhere) == (1, ["/things/1/run/sync"])


async def test_what_only_ends_alike_goes_the_long_way_each_time():
    asked = Asked()
    for _ in range(2):
        await asked.ask("/others/1/run/sync")
    assert asked.elsewhere == ["/others/1/run/sync"] * 2


async def test_paths_that_somebody_makes_up_are_forgotten_and_still_answered():
    asked = Asked()
    for number in range(PATHS_MOST + 10):
        await asked.ask(f"/things/{number}/run/sync")
    assert len(asked.front._known) == 10
    long = "x" * PATH_LONGEST
    await asked.ask(f"/things/{long}/run/sync")
    assert len(asked.front._known) == 10
    assert (len(asked.direct), asked.direct[-1]) == (PATHS_MOST + 11, {"id": long})
