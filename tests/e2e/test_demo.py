"""`polyport demo`: what a newcomer sees first, on real ports."""

import re
import signal

import pytest

from e2e.processes import FIRST_ACCOUNT, free_port, run, serving, started, taken_port, until


def demo(folder, *arguments, ports=(0, 0)):
    return run("demo", "--once", "--port", ports[0], "--simulator-port", ports[1], "--data", folder / "data", *arguments)


@pytest.fixture
def free_ports():
    """Two ports that are free."""
    return free_port(), free_port()


def test_every_step_works_and_again_on_the_same_data(tmp_path, free_ports):
    for _time in range(2):
        done = demo(tmp_path, ports=free_ports)
        assert done.returncode == 0, done.stdout
        assert "Every step worked" in done.stdout
        assert f"GET http://127.0.0.1:{free_ports[0]}/partners/info?filter[title][like]=pipedrive\n" in done.stdout
        assert [number for number in range(1, 6) if f"Step {number}." not in done.stdout] == []
        assert re.findall(r"(?m)^(\d{3}) in ", done.stdout) == ["200", "200", "201", "200", "200", "202", "200"]
        assert done.stderr == ""
        assert not re.search(r"(?:authToken|refreshToken)\": \"[^\"]{12,}\"", done.stdout), "no token is shown"


@pytest.mark.parametrize("which", [0, 1], ids=["server", "simulator"])
def test_a_taken_port_is_said_with_the_way_out(tmp_path, free_ports, which):
    with taken_port() as port:
        ports = (port, free_ports[1]) if which == 0 else (free_ports[0], port)
        done = demo(tmp_path, ports=ports)
    assert done.returncode == 2
    assert "The demo could not start" in done.stdout
    assert f"127.0.0.1:{port}" in done.stdout
    assert ("--port" if which == 0 else "--simulator-port") in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_step_that_fails_is_named_and_ends_the_demo_with_its_own_exit_code(tmp_path, free_ports):
    with serving(tmp_path, **FIRST_ACCOUNT) as server:
        server.stop()
    done = demo(tmp_path, ports=free_ports)
    assert done.returncode == 1
    assert "A step failed" in done.stdout
    assert "POST /user/auth answered 401 instead of 200." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_without_once_it_keeps_serving_until_it_is_stopped(tmp_path, free_ports):
    given = ("demo", "--port", free_ports[0], "--simulator-port", free_ports[1], "--data", tmp_path / "data")
    with started(tmp_path / "demo.log", *given, pattern=r"server +http://127\.0\.0\.1:(?P<port>\d+)") as running:
        until(lambda: "The server keeps running" in running.told())
        assert running.ask("GET", "/readyz")[0] == 200
        assert running.stop(signal.SIGINT) == 130
        assert "Traceback" not in running.told()
