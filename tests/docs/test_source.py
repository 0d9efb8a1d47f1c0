"""The house rules for source text that no linter checks."""

import ast
import re
import tokenize
from pathlib import Path
from re._constants import ATOMIC_GROUP, POSSESSIVE_REPEAT  # where CPython keeps them: there is no public way to look into a pattern
from re._parser import SubPattern, parse

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "polyport"
MODULES = sorted(SOURCE.rglob("*.py"))
CHECKED = sorted(path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "legacy"}
MODULE_LIMIT = 500
FUNCTION_LIMIT = 60
# A switched-off check names its rule and then says why, apart by two blanks (and maybe a #) or a dash.
EXCUSED = re.compile(r"# (?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])(?:  (?:# )?| - )[^\s#-].+")
EXCUSE = re.compile(r"#\s*(?:noqa\b|type:\s*ignore\b)", re.IGNORECASE)


def shown(path):
    return str(path.relative_to(ROOT))


def comments(path):
    with tokenize.open(path) as file:
        return [(token.start[0], token.string) for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT]


def functions(path):
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_every_module_is_short():
    sizes = {shown(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in sizes.items() if lines >= MODULE_LIMIT} == {}


def test_every_function_is_short():
    sizes = {f"{shown(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1 for path in MODULES for node in functions(path)}
    assert {name: lines for name, lines in sizes.items() if lines >= FUNCTION_LIMIT} == {}


def test_no_module_has_a_name_that_says_nothing():
    assert [shown(path) for path in MODULES if VAGUE & {path.stem, path.parent.name}] == []


def possessive(pattern):
    """Whether a pattern of ``re`` repeats something possessively, or has an atomic group."""

    def inside(part):
        if isinstance(part, tuple | list):
            return any(inside(piece) for piece in part)
        return any(inside(piece) for piece in part.data) if isinstance(part, SubPattern) else part in {POSSESSIVE_REPEAT, ATOMIC_GROUP}

    return inside(parse(pattern))


def test_no_pattern_is_possessive():
    """CPython before 3.11.5, Debian 12's among them, misses what such patterns should find (gh-101955, gh-106052)."""
    compiled = [
        (f"{shown(path)}:{node.lineno}", node.args[0].value)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile" and isinstance(node.args[0], ast.Constant)
    ]
    assert len(compiled) > 50
    assert [place for place, pattern in compiled if possessive(pattern)] == []
    assert possessive("a(?:b|c)*+d")
    assert possessive("(?>ab)")


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "BaseHTTPMiddleware"])
def test_no_source_holds_a_word_that_is_refused(word):
    texts = [path for path in SOURCE.rglob("*") if path.suffix in {".py", ".toml", ".yaml", ".sql", ".html", ".css", ".js", ".md"}]
    assert [shown(path) for path in texts if re.search(rf"\b{word}\b", path.read_text("utf-8"))] == []


def test_every_switched_off_check_names_its_rule_and_its_reason():
    bare = [
        f"{shown(path)}:{line} {text}"
        for path in CHECKED
        for line, text in comments(path)
        if EXCUSE.search(text) and not EXCUSED.search(text)
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("comment", "excused"),
    [
        ("# noqa: PLC0415  its tables cost 20 MB", True),
        ("# type: ignore[attr-defined]  # read by the compiler", True),
        ("# noqa: PLR0913 - the limits of one thing", True),
        ("# noqa: S608", False),
        ("# noqa: S608  -", False),
        ("# noqa", False),
        ("# type: ignore", False),
        ("# type: ignore  # because", False),
        ("#noqa: S608  close to it", False),
    ],
)
def test_the_form_of_a_switched_off_check_is_told_apart(comment, excused):
    assert EXCUSE.search(comment)
    assert bool(EXCUSED.search(comment)) is excused
