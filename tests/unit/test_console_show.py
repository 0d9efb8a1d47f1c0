"""What templates of the console have at hand: times, durations, texts that are too long, browsers by name."""

from __future__ import annotations

import re
from decimal import Decimal
from importlib.resources import files

import pytest

from polyport.server.console.qr import QUIET, qr_path
from polyport.server.console.show import asked_name, browser_name, cut, iso, moment, pretty, readable, took


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (119_999, "120.0 s"),
        (120_000, "2 min"),
        (7_200_000, "2.0 h"),
        (Decimal(5), "5 ms"),
    ],
)
def test_how_long_something_took_is_told_in_the_unit_that_suits_it(milliseconds: float | None, told: str):
    assert took(milliseconds) == told


def test_a_time_is_told_for_machines_and_for_people():
    assert (iso(Decimal("1700000000.5")), moment(1_700_000_000)) == ("2023-11-14T22:13:20Z", "14 Nov 2023, 22:13 UTC")


@pytest.mark.parametrize(("text", "told"), [("short", "short"), ("x" * 10, "x" * 10), ("x" * 11, "x" * 9 + "\u2026"), (5, "5")])
def test_a_long_text_is_cut(text: object, told: str):
    assert cut(text, 10) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
        ("{broken", "{broken"),
        ("<a/>", "<a/>"),
        ("", ""),
        ("[" * 9_000, "[" * 9_000),
        ("[" * 9_000 + "]" * 9_000, "[" * 9_000 + "]" * 9_000),
        ("[" * 200 + "]" * 200, "[" * 200 + "]" * 200),
    ],
)
def test_a_body_is_laid_out_where_it_is_json(body: str, told: str):
    assert readable(body) == told


def test_json_that_is_too_long_to_be_looked_at_says_how_much_is_missing():
    shown = pretty(["x" * 300_000])
    assert len(shown) < 201_000
    assert shown.endswith("more characters")


def test_json_that_nests_without_end_says_so():
    value: list[object] = []
    for _level in range(20_000):
        value = [value]
    assert pretty(value) == "(It nests too deeply to be shown.)"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.0", "curl/8.0"),
        ("", "Unknown"),
        ("Firefox/1", "Firefox"),
    ],
)
def test_a_browser_is_called_by_its_name(told: str, name: str):
    assert browser_name(told) == name


def test_a_code_is_a_path_within_its_square_with_a_margin_around():
    code = qr_path("https://polyport.example/connect?id=1&token=ppl_" + "x" * 43)
    numbers = [int(part) for move in code.d.split("h1v1h-1z")[:-1] for part in move.removeprefix("M").split()]
    assert min(numbers) == QUIET
    assert max(numbers) == code.size - QUIET - 1


def test_only_signing_in_touches_the_store_and_every_other_page_acts_through_the_api():
    folder = files("polyport.server.console")
    modules = [path for place in (folder, folder.joinpath("settings")) for path in place.iterdir() if path.name.endswith(".py")]
    touching = {path.name for path in modules if re.search(r"\.repo\b|\.database\b", path.read_text("utf-8"))}
    assert len(modules) > 30
    assert touching == {"entrance.py", "member.py"}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("ACME  GmbH", "ACME GmbH"),
        (" a\tb\nc ", "a b c"),
        ("\u202eevil", "evil"),
        ("\u200b", "nameless"),
        ("x" * 200, "x" * 80),
        ("x" * 79 + " y", "x" * 79),
        ("Äpfel & <b>", "Äpfel & <b>"),
    ],
)
def test_the_name_that_is_asked_for_is_one_that_can_be_typed(name: str, asked: str) -> None:
    assert asked_name(name) == asked


def test_what_turns_the_direction_of_a_text_round_turns_nothing_where_it_is_shown() -> None:
    assert cut("\u202eevil") == "\\u202eevil"
    assert cut("שלום") == "שלום"
