"""Pictures of series: what lies where."""

from __future__ import annotations

import re

import pytest

from polyport.server.console.charts import area, bars, lines, part, parts, rounded
from polyport.server.console.plotted import Clock


@pytest.mark.parametrize(("value", "edge"), [(0, 1), (1, 1), (7, 8), (11, 15), (120, 150), (2500, 3000), (99_000, 100_000), (101, 150)])
def test_an_axis_ends_at_a_number_that_people_like_to_read(value: float, edge: float):
    assert rounded(value) == edge


def test_what_is_well_lies_above_the_line_and_what_is_not_below():
    picture = bars([("succeeded", [10, 0])], [("failed", [0, 2]), ("uncertain", [0, 1])], 2)
    assert [shape.name for shape in picture.shapes] == ["succeeded", "failed", "uncertain"]
    assert picture.shapes[0].path.count("M") == 1
    assert f" {picture.zero:.4g}h" in picture.shapes[1].path
    assert picture.zero < 100
    assert picture.most >= 10


def test_without_anything_bad_the_line_is_the_lower_edge():
    picture = bars([("succeeded", [3])], [("failed", [0])], 1)
    assert (picture.zero, picture.least, picture.most) == (100, 0, 3)
    assert not picture.empty
    assert bars([("succeeded", [0])], [("failed", [0])], 1).empty


def test_one_failure_among_a_million_runs_is_seen():
    picture = bars([("succeeded", [1_000_000])], [("failed", [1])], 1)
    assert "v1.5h" in picture.shapes[1].path


def test_a_line_breaks_where_nothing_is_known():
    picture = lines([("p50", [1, None, 1, 1])], 4)
    assert [(shape.name, shape.path) for shape in picture.shapes] == [("p50", "M2.5 0L3.5 0"), ("p50 dot", "M0.5 0h0.01")]
    assert lines([("p50", [None])], 1).empty


def test_the_first_of_several_lines_lies_on_top():
    picture = lines([("p50", [1, 1]), ("p99", [2, 2])], 2)
    assert [shape.name for shape in picture.shapes if shape.path] == ["p99", "p50"]


def test_values_are_stretches_of_one_bar():
    assert parts([1, 0, 3]) == [(0, 25), (25, 0), (25, 75)]
    assert parts([0, 0]) == [(0, 0), (0, 0)]
    assert parts([]) == []


def test_an_area_has_a_step_for_each_slot():
    assert area("waiting", [0, 4, 1], 3).shapes[0].path == "M1 0h1v100h-1zM2 75h1v25h-1z"


def test_a_part_stays_within_the_whole():
    assert (part(1, 4), part(9, 4), part(0, 0)) == (25, 100, 0)


def test_the_table_of_a_picture_leaves_out_slots_without_anything():
    clock = Clock([0, 900], "day")
    rows = clock.rows([(0, None), (900, ["1", "<i>"])])
    head = '<time datetime="1970-01-01T00:15:00Z" title="1970-01-01T00:15:00Z" data-clock="day-row">Thu 00:15</time>'
    assert rows == f'<tr><th scope="row">{head}</th><td class="number">1</td><td class="number">&lt;i&gt;</td></tr>'
    assert clock.rows([(900, ["1"])], link=lambda at: f"/x?a={at}&b=<") == (
        f'<tr><th scope="row"><a href="/x?a=900&amp;b=&lt;">{head}</a></th><td class="number">1</td></tr>'
    )
    assert ">00:15<" in clock.time(900)
    assert 'datetime="1970-01-01T00:15:00Z"' in clock.time(900)
    assert ">01 Jan<" in Clock([0], "month").time(0)


@pytest.mark.parametrize(("span", "step", "slots"), [("hour", 60, 60), ("day", 900, 96), ("month", 21_600, 120)])
def test_no_two_rows_of_a_table_have_the_same_time(span: str, step: int, slots: int):
    times = [step * number for number in range(slots)]
    rows = Clock(times, span).rows([(at, ["1"]) for at in times])
    heads = re.findall(r">([^<>]+)</time>", rows)
    assert len(set(heads)) == len(heads) == slots
