"""What a run costs, beside the least that could stand in its place: nothing on its way became much dearer unseen."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc and pins processes to cores")
def test_a_run_costs_no_more_of_the_forwarders_cpu_time_than_its_bound():
    done = subprocess.run([sys.executable, "-m", "bench.guard"], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
