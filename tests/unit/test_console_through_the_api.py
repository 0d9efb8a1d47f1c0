"""What the console does is what the API can: it reads and changes the account's things by asking endpoints, and has no other way to them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import polyport.server.console
from polyport.server.app import ENDPOINTS

FOLDER = Path(polyport.server.console.__file__).parent
ITS_OWN = {"entrance.py", "member.py"}  # who is signed in to the console itself
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(FOLDER.rglob("*.py")):
        yield path.relative_to(FOLDER).as_posix(), ast.parse(path.read_text("utf-8"))


def test_whatever_the_console_asks_for_is_an_endpoint_of_the_api():
    there = {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS if not endpoint.path.startswith("/console/")}
    asked = {
        argument.value
        for _name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value.startswith(METHODS)
    }

    assert len(asked) > 40
    assert asked - there == set()


def test_no_page_reaches_for_what_is_stored_past_the_api():
    found = {
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"repo", "vault", "transaction"}
    }

    assert found == ITS_OWN
