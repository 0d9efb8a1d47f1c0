"""What the console does is what the API can: it reads and changes the account's things by asking endpoints, and has no other way to them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import polyport.server.console
from polyport.server.app import ENDPOINTS
from polyport.server.console.pages import SCREENS
from polyport.server.console.screen import Screen

FOLDER = Path(polyport.server.console.__file__).parent
PACKAGE = "polyport.server.console"
ITS_OWN = {"entrance.py", "member.py"}  # who is signed in to the console itself
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")
THERE = {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS if not endpoint.path.startswith("/console/")}
# What asks no endpoint, and why: each is of this browser alone, or its counterpart gives what a browser must not hold.
OF_THE_BROWSER = {
    "/console/sign-in": "a cookie, where POST /user/auth gives tokens; passwords are looked at and tries are counted by the same function",
    "/console/you/look": "light or dark, in a cookie of this browser",
}

# Forms whose endpoint is put together of parts, which reading does not find.
IN_PARTS = {f"/console/settings/partners/{{partnerId}}/{deed}" for deed in ("deprecation", "undeprecate")}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(FOLDER.rglob("*.py")):
        yield path.relative_to(FOLDER).as_posix(), ast.parse(path.read_text("utf-8"))


def test_whatever_the_console_asks_for_is_an_endpoint_of_the_api():
    asked = {
        argument.value
        for _name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value.startswith(METHODS)
    }

    assert len(asked) > 40
    assert asked - THERE == set()


def test_no_page_reaches_for_what_is_stored_past_the_api():
    found = {
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"repo", "vault", "transaction"}
    }

    assert found == ITS_OWN


@cache
def asked_by(function: Callable[..., Any]) -> frozenset[str]:
    """The endpoints that a function asks: by itself, and by the functions of the console that it calls."""
    return frozenset(_asked(function, set()))


def _asked(function: Any, seen: set[Any]) -> Iterator[str]:
    if not inspect.isfunction(function) or function in seen or not function.__module__.startswith(PACKAGE):
        return
    seen.add(function)
    names = function.__globals__
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Name):
            yield from _asked(names.get(node.id), seen)
        for value in (node.value if isinstance(node, ast.Constant) else "", names.get(node.id) if isinstance(node, ast.Name) else ""):
            if isinstance(value, str) and value in THERE:
                yield value
        if isinstance(node, ast.JoinedStr):
            yield from {_joined(node, names)} & THERE


def _joined(node: ast.JoinedStr, names: dict[str, Any]) -> str:
    """A text that is put together of what stands in its module: ``f"GET {_PARTNER}"``."""
    parts = [
        str(part.value) if isinstance(part, ast.Constant) else str(names.get(getattr(getattr(part, "value", None), "id", ""), "?"))
        for part in node.values
    ]
    return "".join(parts)


def handler_of(screen: Screen) -> Callable[..., Any]:
    """What a page is made by: ``screen`` and ``open_screen`` put a guard around it."""
    found: Callable[..., Any] = inspect.getclosurevars(screen.endpoint.handler).nonlocals["handler"]
    return found


LOOKING = {"/console/settings/connect-page/preview", "/console/settings/audit/verify"}  # they change nothing
ACTING = [screen for screen in SCREENS if screen.endpoint.method != "GET"]


@pytest.mark.parametrize("screen", ACTING, ids=lambda screen: screen.endpoint.path)
def test_every_form_asks_an_endpoint(screen: Screen):
    asked = asked_by(handler_of(screen))
    assert bool(asked) is (screen.endpoint.path not in OF_THE_BROWSER), asked
    acts = any(not each.startswith("GET ") for each in asked)
    assert acts or screen.endpoint.path in OF_THE_BROWSER.keys() | IN_PARTS | LOOKING, asked


def test_what_asks_none_is_there_and_says_why():
    assert OF_THE_BROWSER.keys() <= {screen.endpoint.path for screen in ACTING}


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/console/sign-out", "POST /user/logout"),
        ("/console/sign-out-everywhere", "POST /user/logout-everywhere"),
        ("/console/you/sessions/{id}/sign-out", "DELETE /user/sessions/{id}"),
        ("/console/you/password", "POST /user/password"),
        ("/console/welcome", "POST /user/welcome"),
        ("/console/catalogue/{partnerId}/practice", "POST /credentials"),
        ("/console/settings/people/{consoleUserId}/role", "PATCH /console-users/{consoleUserId}"),
    ],
)
def test_a_form_asks_the_endpoint_that_does_the_same(path: str, endpoint: str):
    screen = next(screen for screen in ACTING if screen.endpoint.path == path)
    assert endpoint in asked_by(handler_of(screen))
