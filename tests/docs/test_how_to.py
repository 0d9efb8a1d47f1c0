"""The how-to pages tell the truth: their commands are run as they stand, against a real server and the simulated Pipedrive."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from e2e.processes import FIRST_ACCOUNT, PATIENCE, PROGRAM, connect, environment, run, serving, simulating, towards

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
WITH_A_CONNECTION = ("run-an-action", "run-async", "repeat-safely", "read-a-trigger", "search-lists", "api-keys", "files")

# The README's api function; each answer is a line of a file, and the ids in it fill the words that stand for them on the pages.
PRELUDE = """
api() {
  local answer; answer=$(curl -sg "$SERVER$1" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "${@:2}"); echo "$answer" >> answers
  local id; id=$(sed -nE 's/.*"(runId|fileId)":"([^"]*)".*/\\2/p' <<< "$answer"); RUN_ID=${id:-$RUN_ID}; FILE_ID=$RUN_ID
  id=$(sed -nE 's/.*"id":([0-9]+),"title".*/\\1/p' <<< "$answer"); KEY_ID=${id:-$KEY_ID}
}
RUN_ID=; KEY_ID=
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Runs the commands of a page; gives every answer. ``reader(page)`` finds connection 1001 there already."""
    folder = tmp_path_factory.mktemp("reader")
    with simulating(folder) as simulator, serving(folder, **FIRST_ACCOUNT, **towards(simulator)) as server:
        (folder / "var").symlink_to(folder / "data")
        token = server.sign_in()
        yield lambda page: follow(page, folder, server, token)


def follow(page, folder, server, token):
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL))
    commands = re.sub(r"\b(RUN_ID|FILE_ID|KEY_ID)\b", r"'\"$\1\"'" if False else r"$\1", commands).replace(".venv/bin/polyport", str(PROGRAM))
    (folder / "answers").write_text("")
    given = {"SERVER": f"http://127.0.0.1:{server.port}", "TOKEN": token}
    done = subprocess.run(
        ["bash", "-euc", PRELUDE + commands], cwd=folder, env=environment(given), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "answers").read_text("utf-8").splitlines()]


def test_a_customer_is_connected_and_looked_after_as_the_page_says(reader):
    answers = reader("connect-a-customer")
    assert [answer for answer in answers if not answer["success"]] == []
    fields, made, read, listed, proved, titled, replaced, again, gone = (answer["data"] for answer in answers)
    assert {"api_token", "oauth2"} == {choice["auth"] for choice in fields}
    assert (made["credentialId"], made["status"], made["fields"]["api_token"]) == (1001, "active", "\u2022\u2022\u2022\u20226789")
    assert read["externalUserId"] == "customer-17"
    assert [item["credentialId"] for item in listed] == [1001]
    assert proved["ok"] is True
    assert titled["title"] == "Acme Ltd"
    assert replaced["fields"]["api_token"] == "\u2022\u2022\u2022\u20224321"
    assert again == {"updateStatus": 1}
    assert gone == []


@pytest.mark.parametrize("page", WITH_A_CONNECTION)
def test_the_commands_of_a_page_work(connected, page):
    answers = connected(page)
    assert answers
    assert [answer for answer in answers if not answer["success"]] == []


@pytest.fixture(scope="module")
def connected(tmp_path_factory):
    """The same with a connection, whose id is 1001 as on the pages."""
    folder = tmp_path_factory.mktemp("connected")
    with simulating(folder) as simulator, serving(folder, **FIRST_ACCOUNT, **towards(simulator)) as server:
        (folder / "var").symlink_to(folder / "data")
        token = server.sign_in()
        assert connect(server, token) == 1001
        yield lambda page: follow(page, folder, server, token)


def test_the_partner_of_the_page_has_no_faults_and_passes_its_case(tmp_path):
    text = (PAGES / "add-a-partner.md").read_text("utf-8")
    for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    commands = re.findall(r"^\.venv/bin/polyport (connector (?:lint|test) depot)$", text, re.MULTILINE)
    done = [run(*command.split(), cwd=tmp_path) for command in commands]
    assert [(each.returncode, each.stdout) for each in done] == [(0, "depot: 0 faults\n"), (0, "depot: 1 cases, 0 failed\n")]
