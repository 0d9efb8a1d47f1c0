"""The sentences of the connect page: the same ones in every language, with the same gaps."""

import re
from importlib.resources import files

import pytest

from polyport.server.connect.show import brand_css
from polyport.server.connect.words import LANGUAGES, choose_language, words_of

PAGE = "\n".join(
    entry.read_text("utf-8")
    for folder in ("", "templates")
    for entry in files("polyport.server.connect").joinpath(folder).iterdir()
    if entry.name.endswith((".py", ".html"))
)


def gaps(sentence):
    return sorted(re.findall(r"\{\w+\}", sentence))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_sentence_with_its_gaps(language):
    assert {name: gaps(sentence) for name, sentence in words_of(language).items()} == {
        name: gaps(sentence) for name, sentence in words_of("en").items()
    }


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_no_sentence_was_left_in_english(language):
    same = {name for name, sentence in words_of(language).items() if sentence == words_of("en")[name]}
    assert same <= {"error_prefix"}


def test_no_sentence_is_without_use():
    made_up = ("fault_", "problem_", "ended")
    assert [name for name in words_of("en") if not name.startswith(made_up) and not re.search(rf"words\.{name}\b|\"{name}\"", PAGE)] == []


@pytest.mark.parametrize(
    ("told", "accepted", "language"),
    [
        ((None, "fr-CA"), "de", "fr"),
        (("", "PT_br"), "", "pt"),
        ((None,), "en;q=0.1, de ;q=0.5,fr; q=0.4", "de"),
        ((None,), "de, fr", "de"),
        ((None,), "nl, *;q=0.5", "en"),
        ((None,), "fr;q=0", "en"),
        ((None,), "x" * 100_000 + ",de", "en"),
        ((None,), "fr;q=7, de;q=1.000", "de"),
        ((None,), "fr;q=nan, es;q=0.1", "es"),
    ],
)
def test_the_language_is_the_one_asked_for_then_the_browsers_then_english(told, accepted, language):
    assert choose_language(*told, accepted=accepted) == language


def luminance(color):
    parts = [int(color[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", ["000000", "ffffff", "777777", "ff0000", "00ff00", "0000ff", "1f4fd8", "FFCC00", "7f7f00"])
def test_a_button_can_be_read_on_any_colour(color):
    text = re.search(r"--on-brand: #(\w{6})", brand_css(color))[1]
    lighter, darker = sorted((luminance(color), luminance(text)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
