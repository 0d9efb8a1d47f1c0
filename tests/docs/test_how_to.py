"""The quickstart and the how-to pages tell the truth: their commands are run as they stand, against a real server and the simulated Pipedrive."""

import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from e2e.processes import EMAIL, FIRST_ACCOUNT, PASSWORD, PATIENCE, connect, environment, run, serving, simulating, towards
from e2e.starter import standing_in

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "quickstart",
    "how-to/connect-by-link",
    "how-to/connect-by-oauth",
    "how-to/connection-data",
    "how-to/connection-health",
    "how-to/catalogue",
    "how-to/console",
    "how-to/run-an-action",
    "how-to/run-async",
    "how-to/run-many",
    "how-to/pass-through",
    "how-to/repeat-safely",
    "how-to/read-a-trigger",
    "how-to/search-lists",
    "how-to/api-keys",
    "how-to/files",
    "how-to/end-users",
    "how-to/lists",
    "how-to/import-into-a-server",
)

# Each answer in JSON is a line of a file too, and the ids in it fill the words that stand for them on the pages.
PRELUDE = """
curl() {
  local answer; answer=$(command curl -s "$@"; echo .); answer=${answer%.}; printf %s "$answer"
  case $answer in '{"success"'*) echo "$answer" >> answers;; esac
  local id; id=$(sed -nE 's/.*"(runId|fileId)":"([^"]*)".*/\\2/p' <<< "$answer"); RUN_ID=${id:-$RUN_ID}; FILE_ID=$RUN_ID
  id=$(sed -nE 's/.*"endpointId":"([^"]*)".*/\\1/p' <<< "$answer"); ENDPOINT_ID=${id:-$ENDPOINT_ID}
  id=$(sed -nE 's/.*"eventId":"([^"]*)".*/\\1/p' <<< "$answer"); EVENT_ID=${id:-$EVENT_ID}
  id=$(sed -nE 's/.*"id":([0-9]+),"title".*/\\1/p' <<< "$answer"); KEY_ID=${id:-$KEY_ID}
  id=$(sed -nE 's/.*"importId":"([^"]*)".*/\\1/p' <<< "$answer"); IMPORT_ID=${id:-$IMPORT_ID}
  id=$(sed -nE 's/.*"partnerId":(2[0-9]{9}).*/\\1/p' <<< "$answer"); PARTNER_ID=${id:-$PARTNER_ID}
}
RUN_ID=; KEY_ID=; ENDPOINT_ID=; EVENT_ID=; IMPORT_ID=; PARTNER_ID=
"""


@contextlib.contextmanager
def reading(folder, *, connected):
    """Something that runs the commands of a page and gives every answer. ``connected``: there is a connection, 1001 as on the pages."""
    with simulating(folder) as simulator, serving(folder, **FIRST_ACCOUNT, **towards(simulator)) as server:
        (folder / "var").symlink_to(folder / "data")
        token = server.sign_in()
        if connected:
            assert connect(server, token) == 1001
        (folder / "bin").mkdir()
        with standing_in(folder / "bin") as program:
            yield lambda page: follow(page, folder, server, token, program)


@pytest.fixture
def reader(tmp_path):
    with reading(tmp_path, connected=False) as reader:
        yield reader


@pytest.fixture(scope="module")
def connected_reader(tmp_path_factory):
    with reading(tmp_path_factory.mktemp("connected"), connected=True) as reader:
        yield reader


def follow(page, folder, server, token, program):
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / f"{page}.md").read_text("utf-8"), re.DOTALL)
    commands = "\n".join(block for block in blocks if not re.search(r"polyport (?:serve|connector simulate)", block))
    commands = commands.replace("you@example.com", EMAIL).replace("choose-a-longer-one", PASSWORD)
    commands = re.sub(r"\b(RUN_ID|FILE_ID|KEY_ID|ENDPOINT_ID|EVENT_ID|IMPORT_ID|PARTNER_ID)\b", r"$\1", commands).replace(
        ".venv/bin/polyport", str(program)
    )
    (folder / "answers").write_text("")
    given = {"SERVER": f"http://127.0.0.1:{server.port}", "POLYPORT_TOKEN": token}
    done = subprocess.run(  # noqa: S603  the page's own commands
        ["bash", "-euc", PRELUDE + commands],  # noqa: S607  any bash will do
        cwd=folder,
        env=environment(given),
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "answers").read_text("utf-8").splitlines()]


def test_a_customer_is_connected_and_looked_after_as_the_page_says(reader):
    answers = reader("how-to/connect-a-customer")
    assert [answer for answer in answers if not answer["success"]] == []
    fields, made, read, listed, proved, titled, replaced, again, gone = (answer["data"] for answer in answers)
    assert {"api_token", "oauth2"} == {choice["auth"] for choice in fields}
    assert (made["credentialId"], made["status"], made["fields"]["api_token"]) == (1001, "active", "••••6789")
    assert read["externalUserId"] == "customer-17"
    assert [item["credentialId"] for item in listed] == [1001]
    assert proved["ok"] is True
    assert titled["title"] == "Acme Ltd"
    assert replaced["fields"]["api_token"] == "••••7654"
    assert again == {"updateStatus": 1}
    assert gone == []


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(connected_reader, page):
    answers = connected_reader(page)
    assert answers
    assert [answer for answer in answers if not answer["success"]] == []


def test_the_commands_of_the_page_on_events_work(connected_reader):
    answers = connected_reader("how-to/receive-events")
    refused = [answer["error"]["code"] for answer in answers if not answer["success"]]
    types = {answer["data"].get("type") for answer in answers if isinstance(answer.get("data"), dict)}
    assert set(refused) <= {"conflict"}  # what is being sent at this moment is not sent anew
    assert "endpoint.test" in types
    assert len(answers) == 12


def test_the_partner_of_the_page_has_no_faults_and_passes_its_case(tmp_path):
    text = (DOCS / "how-to" / "add-a-partner.md").read_text("utf-8")
    for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    commands = re.findall(r"^\.venv/bin/polyport (connector (?:lint|test) depot)$", text, re.MULTILINE)
    done = [run(*command.split(), cwd=tmp_path) for command in commands]
    assert [(each.returncode, each.stdout) for each in done] == [(0, "depot: 0 faults\n"), (0, "depot: 1 cases, 0 failed\n")]
