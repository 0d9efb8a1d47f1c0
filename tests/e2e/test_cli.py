"""The commands beside `serve` and `demo`, as a shell meets them: output, errors, exit codes."""

import json

import pytest
from typer.testing import CliRunner

import bundled
from e2e.processes import FIRST_ACCOUNT, connect, run, serving, simulating, taken_port, towards
from polyport import __version__
from polyport.cli.app import app

COMMANDS = [
    (),
    ("serve",),
    ("run",),
    ("backup",),
    ("restore",),
    ("demo",),
    ("version",),
    ("connector",),
    ("connector", "list"),
    ("connector", "new"),
    ("connector", "lint"),
    ("connector", "test"),
    ("connector", "score"),
    ("connector", "schema"),
    ("connector", "simulate"),
    ("connector", "import"),
    ("oauth-app",),
    ("oauth-app", "set"),
    ("oauth-app", "list"),
    ("oauth-app", "remove"),
    ("keys",),
    ("keys", "list"),
    ("keys", "new"),
    ("keys", "rotate"),
    ("keys", "drop"),
    ("console-user",),
    ("console-user", "add"),
    ("console-user", "link"),
    ("console-user", "list"),
    ("console-user", "role"),
    ("console-user", "remove"),
    ("audit",),
    ("audit", "verify"),
    ("catalog",),
    ("catalog", "show"),
    ("catalog", "refresh"),
    ("catalog", "rebuild"),
    ("catalog", "allow"),
    ("catalog", "allowed"),
    ("partners",),
    ("partners", "import"),
    ("partners", "list"),
    ("partners", "versions"),
    ("partners", "changes"),
    ("partners", "publish"),
    ("partners", "deprecate"),
    ("partners", "undeprecate"),
    ("partners", "remove"),
]
CREATE_PERSON = 2250101
CHANGE_CASE = 10302


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """`polyport run` over the data of a server that runs beside it, its Pipedrive simulated; with the connection's id and the simulator."""
    folder = tmp_path_factory.mktemp("shell")
    with simulating(folder) as simulator, serving(folder, **FIRST_ACCOUNT, **towards(simulator)) as server:
        connection = connect(server, server.sign_in())

        def call(operation, data=None, *arguments, **settings):
            given = () if data is None else ("--data", data if isinstance(data, str) else json.dumps(data))
            return run("run", operation, *given, "--folder", folder / "data", *arguments, **{**towards(simulator), **settings})

        call.connection, call.simulator, call.server, call.folder = connection, simulator, server, folder
        yield call


def arrivals(simulator):
    found = simulator.ask("GET", "/_simulator/requests")[1]
    listed = found if isinstance(found, list) else found["requests"]
    return [request for request in listed if request["method"] == "POST"]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "polyport")
def test_every_command_explains_itself(words):
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    assert "Usage: " in done.output
    assert len(done.output.split()) > 15


def test_the_list_of_commands_in_this_file_is_whole():
    named = {(command.name,) for command in app.registered_commands}
    for group in app.registered_groups:
        named |= {(group.name,)} | {(group.name, command.name) for command in group.typer_instance.registered_commands}
    assert named == set(COMMANDS) - {()}


def test_the_program_prints_its_version():
    done = run("version", anew=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_a_command_that_is_none_is_told_apart_from_one_that_failed():
    assert run("nonsense", anew=True).returncode == 2


def test_a_tool_runs_without_a_connection(shell):
    done = shell(CHANGE_CASE, {"text": "ada lovelace", "case": "upper"})
    assert done.returncode == 0, done.stderr
    assert "ADA LOVELACE" in json.loads(done.stdout).values()


def test_an_action_runs_beside_the_server_and_is_among_its_runs(shell):
    done = shell(CREATE_PERSON, {"name": "Shell Example", "email": [{"value": "shell@example.com"}]}, "--connection", shell.connection)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "Shell Example"
    assert arrivals(shell.simulator)[-1]["path"] == "/api/v2/persons"
    newest = shell.server.ask("GET", "/runs?per-page=1", token=shell.server.sign_in())[1]["data"][0]
    assert (newest["triggerActionId"], newest["credentialId"], newest["status"]) == (CREATE_PERSON, shell.connection, "succeeded")


def test_fields_are_read_from_a_file(shell):
    (shell.folder / "fields.json").write_text(json.dumps({"name": "From a file"}))
    done = shell(CREATE_PERSON, f"@{shell.folder / 'fields.json'}", "--connection", shell.connection)
    assert json.loads(done.stdout)["name"] == "From a file"


def test_a_dry_run_shows_the_request_without_its_secrets_and_sends_nothing(shell):
    before = len(arrivals(shell.simulator))
    done = shell(CREATE_PERSON, {"name": "Nobody"}, "--connection", shell.connection, "--dry-run")
    assert done.returncode == 0, done.stderr
    [request] = json.loads(done.stdout)
    assert (request["method"], request["body"]) == ("POST", '{"name":"Nobody"}')
    assert "any-token-0123456789" not in done.stdout
    assert ["x-api-token", "[secret]"] in request["headers"]
    assert len(arrivals(shell.simulator)) == before


def test_faulty_fields_are_all_named_on_standard_error(shell):
    done = shell(CREATE_PERSON, {"nam": "Ada", "visible_to": "9"}, "--connection", shell.connection)
    assert (done.returncode, done.stdout) == (1, "")
    error = json.loads(done.stderr)
    assert error["code"] == "validation_failed"
    assert {fault["path"] for fault in error["fields"]} == {"runnerData.name", "runnerData.nam", "runnerData.visible_to"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{name: Ada}", "malformed_json"),
        ("[1]", "validation_failed"),
        ('{"name": "a", "name": "b"}', "validation_failed"),
        ("@/nowhere/fields.json", "No such file or directory: /nowhere/fields.json"),
    ],
    ids=["no JSON", "no object", "a key twice", "no file"],
)
def test_data_that_cannot_be_read_is_said(shell, data, told):
    done = shell(CREATE_PERSON, data, "--connection", shell.connection)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_fails_at_the_partner_ends_with_its_error(shell):
    shell.simulator.ask("POST", "/_simulator/faults", {"kind": "error_before", "match": "POST /api/v2/persons"})
    done = shell(CREATE_PERSON, {"name": "Ada"}, "--connection", shell.connection)
    error = json.loads(done.stderr)
    assert done.returncode == 1
    assert (error["code"], error["outcome"], error["retryable"]) == ("partner_unavailable", "uncertain", False)
    assert error["upstream"]["status"] == 500


def test_an_address_that_is_not_allowed_is_not_called(shell):
    before = len(arrivals(shell.simulator))
    done = shell(CREATE_PERSON, {"name": "Ada"}, "--connection", shell.connection, POLYPORT_ALLOW_NETWORKS="")
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "blocked_address"
    assert len(arrivals(shell.simulator)) == before


@pytest.mark.parametrize("arguments", [("--connection", 987654), ("--account", 77, "--connection", 1001)], ids=["connection", "account"])
def test_what_is_not_there_is_said(shell, arguments):
    done = shell(CREATE_PERSON, {"name": "Ada"}, *arguments)
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "not_found"


def test_the_bundled_partners_are_listed_a_line_each():
    done = run("connector", "list", COLUMNS="40")
    assert done.returncode == 0
    partners = bundled.partners().values()
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[str(partner.file.id), partner.file.slug] for partner in partners]
    assert all(line.endswith(f"verified by {partner.file.verified.how}") for line, partner in zip(lines, partners, strict=True))


def test_a_partner_that_is_none_is_answered_with_those_there_are():
    done = run("connector", "lint", "pipedrvie")
    assert done.returncode == 1
    known = ", ".join(bundled.FOLDERS)
    assert done.stderr.startswith(f'polyport: There is no partner "pipedrvie". Bundled: {known};')


def test_a_sound_partner_has_no_faults_and_its_cases_pass():
    lint, test = run("connector", "lint", "http"), run("connector", "test", "http")
    assert (lint.returncode, lint.stdout) == (0, "http: 0 faults\n")
    assert test.returncode == 0
    assert test.stdout.endswith(" cases, 0 failed\n")


@pytest.fixture
def partner(tmp_path):
    """A small partner of one's own, with one action and one case."""
    folder = tmp_path / "depot"
    for name, text in {
        "partner.yaml": """\
id: 901
slug: depot
title: Depot
owners: [me]
base: "https://api.depot.example"
verified: {how: cases, on: 2026-11-24}
""",
        "actions/add_box.yaml": """\
id: 9010101
name: add_box
title: Add a box
idempotent: false
fields:
  - {name: label, type: string, label: Label, required: true}
call: {method: POST, path: /boxes, body: {label: "{{label}}"}}
result:
  fields:
    - {name: id, type: integer, label: Box ID}
""",
        "cases/add_box/ok.yaml": """\
title: A box is added
input: {label: blue}
exchanges:
  - request: {method: POST, url: "https://api.depot.example/boxes", json: {label: blue}}
    reply: {status: 201, json: {id: 7}}
result: {id: 7}
""",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_case_that_differs_is_shown_with_the_difference(partner):
    assert run("connector", "test", partner).returncode == 0
    case = partner / "cases" / "add_box" / "ok.yaml"
    case.write_text(case.read_text().replace("result: {id: 7}", "result: {id: 8}"))
    done = run("connector", "test", partner)
    assert done.returncode == 1
    assert "FAILED cases/add_box/ok.yaml (A box is added)" in done.stdout
    assert done.stdout.endswith("1 cases, 1 failed\n")


def test_every_fault_of_a_folder_is_shown_with_its_line(partner):
    action = partner / "actions" / "add_box.yaml"
    action.write_text(action.read_text().replace("title: Add a box", "titel: Add a box").replace("{{label}}", "{{labl}}"))
    done = run("connector", "lint", partner)
    assert done.returncode == 1
    assert "actions/add_box.yaml:3:1" in done.stdout
    assert "titel" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_partner_of_ones_own_is_simulated_from_its_cases(partner, tmp_path):
    with simulating(tmp_path, str(partner)) as simulator:
        assert simulator.ask("POST", "/boxes", {"label": "blue"}) == (201, {"id": 7})


def test_a_simulator_whose_port_is_taken_says_so():
    with taken_port() as port:
        done = run("connector", "simulate", "slack", "--port", port)
    assert done.returncode == 1
    assert f"polyport: Cannot listen on 127.0.0.1:{port}: " in done.stderr
    assert done.stderr.rstrip().endswith("Choose another with --port.")
