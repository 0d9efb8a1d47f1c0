"""The leak detector finds what it claims to find, and says where without saying what."""

import base64
import gzip
import html
import json
import zlib
from urllib.parse import quote

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.testing.leaks import Leak, find_leaks

CANARY = "cnry/7f3Q+x9=Zk2&mW8tLpR4"
CANARIES = {"api key": CANARY}

ENCODERS = {
    "plain": str.encode,
    "escaped": lambda s: quote(s, safe="").encode(),
    "escaped by JSON": lambda s: json.dumps(s).replace("/", "\\/").encode(),
    "escaped by HTML": lambda s: html.escape(s).encode(),
    "percent": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()).encode(),
    "unicode": lambda s: "".join(f"\\u{ord(char):04x}" for char in s).encode(),
    "html": lambda s: "".join(f"&#{ord(char)};" for char in s).encode(),
    "hex": lambda s: s.encode().hex().encode(),
    "base64": lambda s: base64.b64encode(s.encode()),
    "base64 of user and secret": lambda s: base64.urlsafe_b64encode(f"user:{s}".encode()),
    "utf-16": lambda s: s.encode("utf-16-le"),
    "utf-16, big end first": lambda s: s.encode("utf-16-be"),
}


def form_of(name):
    return name.split(" ")[0].rstrip(",")


@pytest.mark.parametrize("name", ENCODERS)
def test_every_form_is_found_at_its_place(name):
    (leak,) = find_leaks(CANARIES, b"before:" + ENCODERS[name](CANARY) + b":after")
    assert (leak.canary, leak.sink, leak.form) == ("api key", "#1", form_of(name))
    assert 6 <= leak.offset <= 14


@given(
    st.text(st.sampled_from("aAzZ09 /+=&%\"'<>#:-_.~é😀"), min_size=8, max_size=40),
    st.sampled_from(sorted(set(ENCODERS) - {"unicode"})),
    st.binary(),
    st.binary(),
)
def test_every_form_of_any_secret_is_found_in_any_bytes(secret, name, before, after):
    assert find_leaks({"c": secret}, before + ENCODERS[name](secret) + after)


@given(st.binary(max_size=5000))
def test_bytes_without_a_canary_have_no_leak(data):
    assert find_leaks(CANARIES, data) == []


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda data: zlib.compress(data, 1), lambda data: gzip.compress(data)[:-9]])
@pytest.mark.parametrize("name", ["plain", "base64"])
def test_a_canary_in_compressed_bytes_is_found(pack, name):
    text = " ".join(map(str, range(100_000))).encode()
    data = b"x" * 50 + pack(text + ENCODERS[name](CANARY) + text) + b"tail"
    assert find_leaks(CANARIES, data) == [Leak(canary="api key", sink="#1", offset=50, form=f"gzip/{name}")]


def test_a_canary_behind_a_compressed_stream_is_found():
    data = gzip.compress(b"harmless") + gzip.compress(CANARY.encode())
    (leak,) = find_leaks(CANARIES, data)
    assert leak.offset == len(gzip.compress(b"harmless"))


def test_a_canary_before_the_break_in_a_broken_stream_is_found():
    packed = zlib.compress(" ".join(map(str, range(50_000))).encode() + CANARY.encode() + bytes(1 << 20))
    assert [leak.form for leak in find_leaks(CANARIES, packed[:-4] + b"oops")] == ["gzip/plain"]


def test_what_unpacks_to_too_much_is_searched_as_far_as_it_goes():
    bomb = gzip.compress(CANARY.encode() + bytes(80 << 20))
    assert [leak.form for leak in find_leaks(CANARIES, bomb)] == ["gzip/plain"]


def test_half_a_canary_is_found_where_something_cut_it():
    (leak,) = find_leaks(CANARIES, "...", f"a log line that ends in {CANARY[:14]}")
    assert (leak.sink, leak.form) == ("#2", "part")
    assert [leak.form for leak in find_leaks(CANARIES, CANARY[12:])] == ["part"]


def test_half_of_a_short_canary_proves_nothing():
    assert find_leaks({"c": "0123456789ab"}, "012345") == []


def test_a_canary_is_found_in_a_database_file_also_across_pages(tmp_path):
    database = apsw.Connection(str(tmp_path / "polyport.db"))
    database.execute("PRAGMA page_size = 512")
    database.execute("CREATE TABLE t (x TEXT)")
    # At one of these places the canary lies across two overflow pages.
    with database:
        database.executemany("INSERT INTO t VALUES (?)", [("x" * (900 + place) + CANARY[::-1],) for place in range(600)])
    database.close()
    assert find_leaks(CANARIES, tmp_path) == []
    forms = {leak.form for leak in find_leaks({"c": CANARY[::-1]}, tmp_path)}
    assert forms == {"plain"}


def test_a_folder_is_searched_with_all_that_is_in_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "log").write_text(f"x {CANARY}")
    (tmp_path / "clean").write_text("nothing")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b" / "log")
    assert find_leaks(CANARIES, tmp_path) == [Leak(canary="api key", sink=str(tmp_path / "a" / "b" / "log"), offset=2, form="plain")]
    assert find_leaks(CANARIES, tmp_path / "clean") == []


def test_a_canary_in_a_file_name_is_found_and_not_repeated(tmp_path):
    path = tmp_path / "export-cnry7f3Qx9Zk2.json"
    path.write_text("{}")
    (leak,) = find_leaks({"c": "cnry7f3Qx9Zk2"}, tmp_path)
    assert leak.form == "name/plain"
    assert "cnry7f3Qx9Zk2" not in repr(leak)


def test_a_leak_never_shows_the_secret():
    leaks = find_leaks(CANARIES, CANARY, ENCODERS["base64"](CANARY), CANARY[:14])
    assert len(leaks) == 3
    assert CANARY[:12] not in repr(leaks)


def test_each_canary_and_each_form_is_reported_once():
    leaks = find_leaks({"a": "canary-number-one", "b": "canary-number-two"}, "canary-number-two canary-number-two canary%2Dnumber-two")
    assert [(leak.canary, leak.form, leak.offset) for leak in leaks] == [("b", "plain", 0), ("b", "escaped", 36)]


def test_a_canary_that_could_be_found_by_chance_is_refused():
    with pytest.raises(ValueError, match="the canary pin is too short"):
        find_leaks({"pin": "1234567"}, b"")


def test_a_search_of_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        find_leaks(CANARIES, tmp_path / "missing")
