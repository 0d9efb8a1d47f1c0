"""The benchmark's curves, as far as a test goes: two points of one of them, on real servers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench.growth.__main__ import Grown, keep
from bench.growth.served import Point
from bench.machine import describe_machine
from bench.processes import choose_cores

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc and pins processes to cores")
def test_a_curve_is_measured_drawn_and_kept(tmp_path):
    asked = ["--growth", "--only", "rows", "--most", "10", "--seconds", "0.1", "--into", str(tmp_path), "--keep", str(tmp_path / "page")]
    command = [sys.executable, "-m", "bench", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  our own program
    (figures,) = tmp_path.glob("growth-*.json")
    told = json.loads(figures.read_text("utf-8"))
    assert told["missing"] == [], done.stderr
    assert [point["x"] for point in told["curves"]["rows"]] == [1, 10]
    assert all(point["cpu_us"] > 0 and point["rate"] > 0 for point in told["curves"]["rows"])
    assert "![Rows that are sent](rows.svg)" in (tmp_path / "page" / "growth.md").read_text("utf-8")
    assert (tmp_path / "page" / "rows.svg").exists()


def test_a_curve_of_another_time_says_so(tmp_path):
    machine = describe_machine(tmp_path, choose_cores())
    points = [Point(x=x, rate=1, p50=1, p99=1, cpu_us=100 * x, mb=1, others=0) for x in (1, 10, 100)]
    earlier = replace(machine, date="2020-02-02T00:00:00+00:00", commit="0123abc")
    for made, name in ((earlier, "rows"), (machine, "fields")):
        keep(Grown(machine=made, made={name: made}, curves={name: points}, verdicts={name: "linear"}), tmp_path)
    page = (tmp_path / "growth.md").read_text("utf-8")
    fields, rows = page.partition("## Fields of an action")[2].split("## Rows that are sent")
    assert "0123abc" in rows
    assert "0123abc" not in fields
