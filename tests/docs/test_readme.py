"""The README tells the truth: its commands are run as they stand, its table of partners is compared with the partners."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import bundled
from e2e.processes import PATIENCE, environment, free_port, until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BIN = Path(sys.executable).parent


def blocks():
    """The bash blocks of the five minutes, in order."""
    section = README.partition("## Five minutes\n")[2].partition("\n## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def values(output):
    """Every JSON value that stands in a text, in order."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := output.find("{\n", at)) >= 0:
        value, at = decoder.raw_decode(output, at)
        found.append(value)
    return found


class Newcomer:
    """Somebody who pastes the blocks: two terminals stay busy, the third is asked for everything else."""

    def __init__(self, folder):
        self.folder = folder
        self.ports = {"8080": str(free_port()), "8081": str(free_port())}
        self.environment = environment({})
        self.processes = []

    def text(self, block):
        """A block for this machine: free ports, the programs of this environment, and no installation."""
        block = re.sub(r"\b808[01]\b", lambda found: self.ports[found[0]], block)
        return block.replace(".venv/bin/", f"{BIN}/").replace("make setup\n", "")

    def leave_running(self, block, port):
        log = self.folder / f"{port}.log"
        command = ["bash", "-euc", self.text(block).rstrip().replace(f"{BIN}/polyport", f"exec {BIN}/polyport")]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=output, stderr=output)  # noqa: S603  the README's own
        self.processes.append(process)

        def listens():
            assert process.poll() is None, log.read_text("utf-8")
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", int(self.ports[port]))) == 0

        until(listens)

    def ask(self, *parts):
        command = ["bash", "-euo", "pipefail", "-c", "\n".join(map(self.text, parts))]
        done = subprocess.run(  # noqa: S603  the README's own
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
        )
        output = done.stdout.decode()
        assert done.returncode == 0, output
        return output

    def leave(self):
        for process in reversed(self.processes):
            process.terminate()
        return [process.wait(PATIENCE) for process in reversed(self.processes)]


@pytest.fixture
def newcomer(tmp_path):
    newcomer = Newcomer(tmp_path)
    yield newcomer
    newcomer.leave()


def test_the_five_minutes_of_the_readme_work_as_they_are_pasted(newcomer):
    simulator, server, *own = blocks()
    assert [block.partition(":")[0] for block in (simulator, server, own[0])] == ["# terminal 1", "# terminal 2", "# terminal 3"]
    newcomer.leave_running(simulator, "8081")
    newcomer.leave_running(server, "8080")
    answers = values(newcomer.ask(*own))
    assert [answer["success"] for answer in answers] == [True] * len(answers)
    partner, connection, operations, fields, done, queued, ended, new = (answer["data"] for answer in answers)
    assert [item["partnerId"] for item in partner] == [225]
    assert connection["status"] == "active"
    assert {2250101, 2250501} <= {item["triggerActionId"] for item in operations}
    assert "cf__f1b2cd22dd8e67362263467115f592c8" in [variable["name"] for variable in fields["triggerAction"]["variables"]]
    assert (done["status"], done["result"]["name"], done["result"]["phone"][0]["value_"]) == ("succeeded", "Ada Lovelace", "+442079460000")
    assert queued["status"] == "queued"
    assert (ended["runId"], ended["status"], ended["result"]["name"]) == (queued["runId"], "succeeded", "Augusta King")
    assert {item["name"] for item in new["result"]["items"]} >= {"Ada Lovelace", "Augusta King"}
    assert newcomer.leave()[0] == 0, "the server ends cleanly"


def test_the_table_of_partners_says_what_there_is():
    told = re.findall(r"^\| .+ \| (\d+) \| (\d+) actions, (\d+) triggers \| (\w+) \|$", README, re.MULTILINE)
    partners = bundled.partners().values()
    there = {(str(p.file.id), str(len(p.actions)), str(len(p.triggers)), p.file.verified.how) for p in partners}
    assert set(told) == there
