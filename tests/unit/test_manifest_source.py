"""Partner files as data that knows its lines: a plain subset of YAML that nothing can blow up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import little_time
from polyport.manifest.source import LIMIT, PROBLEMS_LIMIT, Problem, Unreadable, read_source


def data(text):
    return read_source("a.yaml", text if isinstance(text, bytes) else text.encode()).data


def problems(content):
    with pytest.raises(Unreadable) as caught:
        data(content)
    return [(found.line, found.column, found.message) for found in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("True", "True"), ("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("# only a comment", None),
        ("2026-11-24", "2026-11-24"), ("12:30:00", "12:30:00"), ("007", "007"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("1e5", "1e5"), (".5", ".5"), (".inf", ".inf"), (".nan", ".nan"),
        ("3", 3), ("-3", -3), ("0", 0), ("1.50", Decimal("1.50")), ("+3", "+3"), ("9" * 40, "9" * 40),
        ("'3'", "3"), ('"true"', "true"), ("|\n  3", "3"), (">\n  null", "null"), ("[a, 1, null]", ["a", 1, None]), ("{a: 1, 2: b}", {"a": 1, "2": "b"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}), ("a: {}\nb: []", {"a": {}, "b": []}), ("é: 😀", {"é": "😀"}), ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_only_what_is_plainly_a_number_or_a_word_is_no_text(text, value):
    assert data(text) == value
    assert type(data(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: &x 1\nb: *x", [(1, 4, "Anchors and"), (2, 4, "Anchors and")]),
        ("a: &x 1", [(1, 4, "Anchors and")]),
        ("&x a: 1", [(1, 1, "Anchors and")]),
        ("*x", [(1, 1, "Anchors and")]),
        ("a: &x [*x]", [(1, 4, "Anchors and"), (1, 8, "Anchors and")]),
        ("a: !!int '3'", [(1, 4, "Tags are")]),
        ("a: !evil {b: 1}", [(1, 4, "Tags are")]),
        ("!!python/object:os.system a: 1", [(1, 1, "Tags are")]),
        ("a: 1\nb:\n  c: 1\n  c: 2\na: 2", [(4, 3, 'The key "c" stands here twice'), (5, 1, 'The key "a" stands here twice')]),
        ("? [a]\n: 1", [(1, 3, "A key is a plain text")]),
        ("? {a: 1}\n: 1\nb: &x 1", [(1, 3, "A key is a plain text"), (3, 4, "Anchors and")]),
        ("a: 1\n---\nb: 2", [(2, 1, "A file holds one document")]),
        ("a: [", [(2, 1, "Not valid YAML: did not find expected node content")]),
        ("a: 1\n b: 2", [(2, 3, "Not valid YAML: mapping values are not allowed")]),
        ("a:\tb: c", [(1, 5, "Not valid YAML")]),
        ('a: "\\q"', [(1, 5, "Not valid YAML: found unknown escape")]),
        ('a: "\\ud800"', [(1, 7, "Not valid YAML: found invalid Unicode")]),
    ],
)
def test_every_fault_has_its_line_and_column(text, found):
    got = problems(text)
    assert len(got) == len(found)
    for (line, column, message), (wanted_line, wanted_column, start) in zip(got, found, strict=True):
        assert (line, column) == (wanted_line, wanted_column)
        assert message.startswith(start)
        assert message.endswith(".")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff", "The file is not UTF-8."),
        (b"a: \xed\xa0\x80", "The file is not UTF-8."),
        (b"a: \x00", "Not valid YAML: ReaderError."),
        (b"a" * (LIMIT + 1), "is larger than"),
    ],
)
def test_a_file_that_is_no_text_has_a_fault_as_a_whole(content, message):
    ((line, column, found),) = problems(content)
    assert (line, column) == (1, 1)
    assert message in found


@pytest.mark.parametrize(
    "content",
    [b"[" * LIMIT, b"{a: " * (LIMIT // 4), b"- " * (LIMIT // 2), b"[" * 42 + b"]" * 42],
    ids=["flow", "maps", "block", "just over"],
)
def test_nesting_is_bounded_before_it_costs_any_stack(content):
    with little_time():
        (found,) = problems(content)
    assert found[2] == "This nests more than 40 levels."


def test_forty_levels_are_taken():
    assert data("[" * 40 + "]" * 40)


def test_a_billion_laughs_stay_a_few():
    lines = ["a0: &a0 [lol, lol]"] + [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 30)]
    with little_time():
        assert len(problems("\n".join(lines))) == 30 + 29 * 9


def test_the_number_of_faults_that_are_told_is_bounded():
    assert len(problems("\n".join(f"a{number}: &x{number} 1" for number in range(PROBLEMS_LIMIT + 500)))) == PROBLEMS_LIMIT


def test_a_part_knows_where_it_stands_and_what_is_not_there_is_near_its_place():
    source = read_source("a.yaml", b"a:\n  b:\n    - c: 1\n    - d")
    assert str(source.problem("M.", "a", "b", 0, "c")) == "a.yaml:3:7: M."
    assert str(source.problem("M.", "a", "b", 1)) == "a.yaml:4:7: M."
    assert str(source.problem("M.", "a", "b", 7, "x")) == "a.yaml:2:3: M."
    assert str(source.problem("M.", "nope")) == "a.yaml:1:1: M."
    assert str(read_source("a.yaml", b"").problem("M.", "a")) == "a.yaml:1:1: M."


def test_all_faults_are_in_the_message():
    assert (
        str(Unreadable([Problem(file="a", message="One."), Problem(file="b", line=1, column=2, message="Two.")]))
        == "a:1:1: One.; b:1:2: Two."
    )


@given(st.text(alphabet="ab:-[]{}&*!#|>'\"? \n\t,%@`~<", max_size=60) | st.binary(max_size=40))
def test_no_content_makes_reading_fail_in_any_other_way(content):
    found = ()
    try:
        read_source("a.yaml", content if isinstance(content, bytes) else content.encode())
    except Unreadable as error:
        found = error.problems
    assert all(problem.message.endswith(".") for problem in found)
