"""How ``simulator.yaml`` is read: every fault with its line and a sentence that helps."""

import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from polyport.manifest.simulation import Answer
from polyport.manifest.simulation_file import load_simulation


def load(tmp_path, text):
    (tmp_path / "simulator.yaml").write_text(textwrap.dedent(text), "utf-8")
    return load_simulation(tmp_path)


def problems(tmp_path, text):
    loaded = load(tmp_path, text)
    assert loaded.simulation is None
    return [str(problem) for problem in loaded.problems]


WHOLE = """
    auth: {headers: [x-token], refuse: {status: 401, json: {why: "{{now}}"}}}
    collections:
      teams: {seeds: [{id: 1, name: Blue}]}
      people:
        required: [name]
        defaults: {added: "{{now}}"}
        always: {changed: "{{now}}", label: "{{record.name | upper}}"}
        links: {team: {in: teams, at: team_id}}
    routes:
      - {route: POST /people, do: create, in: people, reply: {status: 201, json: "{{record}}"}}
      - route: GET /people
        do: search
        in: people
        search: {term: "{{query.term}}", look: {name: name}, only: "{{query.only}}", exact: "{{query.exact}}"}
        filters: [{at: team_id, value: "{{query.team}}"}]
        sort: {by: "{{query.sort}}", allowed: {name: name}, default: id}
        page: {at: "{{query.cursor}}", limit: "{{query.limit}}"}
        needs: [{in: teams, id: "{{query.team}}", reply: {status: 404}}]
        refusals: [{when: [{at: query.term, equals: no}], reply: {status: 400, text: "no {{query.term}}"}}]
        item: {name: "{{record.name}}", team: "{{links.team.name}}"}
        reply: {json: {items: "{{items}}", next: "{{page.next}}"}}
"""


def test_a_folder_without_the_file_has_an_empty_simulation(tmp_path):
    loaded = load_simulation(tmp_path)

    assert loaded.problems == ()
    assert loaded.simulation is not None
    assert loaded.simulation.routes == ()


def test_a_whole_file_loads(tmp_path):
    loaded = load(tmp_path, WHOLE)

    assert loaded.problems == ()
    route = loaded.simulation.routes[1]
    assert (route.method, route.path, route.do, route.collection) == ("GET", "/people", "search", "people")


def test_the_examples_of_the_reference_load(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "reference" / "simulator.md"
    examples = [block.split("```")[0] for block in page.read_text("utf-8").split("```yaml\n")[1:]]

    assert len(examples) >= 3
    assert [load(tmp_path, example).problems for example in examples] == [()] * len(examples)


def test_a_file_without_auth_loads(tmp_path):
    assert load(tmp_path, "routes: [{route: GET /x}]").problems == ()


def test_broken_yaml_is_told_with_its_line(tmp_path):
    assert problems(tmp_path, "routes: [")[0].startswith("simulator.yaml:2:1: Not valid YAML")


def test_a_misspelt_key_is_told_with_its_line_and_the_right_word(tmp_path):
    assert problems(tmp_path, "routes:\n  - {route: GET /x, repy: {}}") == [
        'simulator.yaml:2:21: "repy" is not a key of the language here. Did you mean "reply"?'
    ]


def test_a_collection_that_is_not_there_is_told_where_it_is_named(tmp_path):
    found = problems(
        tmp_path,
        """\
        collections:
          people: {links: {team: {in: teams, at: team_id}}}
        routes:
          - {route: GET /a, do: list, in: persons}
          - {route: GET /b, do: list, in: people, needs: [{in: groups, id: "{{query.id}}"}]}
        """,
    )

    assert found == [
        'simulator.yaml:2:27: There is no collection "teams".',
        'simulator.yaml:4:31: There is no collection "persons".',
        'simulator.yaml:5:52: There is no collection "groups".',
    ]


def test_a_route_may_stand_once(tmp_path):
    assert problems(tmp_path, "routes:\n  - {route: GET /x}\n  - {route: GET /x}") == ["simulator.yaml:3:6: This route stands here twice."]


def test_a_template_that_cannot_be_read_is_told_where_it_stands(tmp_path):
    found = problems(tmp_path, 'routes:\n  - {route: GET /x, reply: {json: "{{query.a | nosuch}}"}}')

    assert found[0].startswith('simulator.yaml:2:29: "nosuch" is not a filter')


def test_a_name_that_nothing_gives_is_told_with_the_names_there_are(tmp_path):
    found = problems(tmp_path, 'unknown: {json: {id: "{{nme}}"}}')

    assert found[0].startswith('simulator.yaml:1:11: "nme" is nothing that can be read here; there are: base, body, expected, field,')


def test_a_record_cannot_be_read_before_there_is_one(tmp_path):
    found = problems(tmp_path, 'collections:\n  people: {defaults: {a: "{{record.b}}"}}')

    assert found[0].startswith('simulator.yaml:2:12: "record" is nothing that can be read here')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("routes: [{route: GET /x, in: people}]", 'all verbs but "static", "token" and "authorize" work on a collection'),
        ("routes: [{route: GET /x, do: list}]", 'all verbs but "static", "token" and "authorize" work on a collection'),
        ("routes: [{route: GET /x, do: search, in: people}]", 'goes with the verb "search" alone'),
        ("collections: {people: {seeds: [{name: Ada}]}}", 'each seed needs its "id"'),
        ("unknown: {json: 1, text: x}", "an answer has one body"),
        ("routes: [{route: FETCH /x}]", "has to be a text that matches ^(GET|HEAD|POST|PUT|PATCH|DELETE) /"),
        ("routes: [{route: GET x}]", "has to be a text that matches ^(GET|HEAD|POST|PUT|PATCH|DELETE) /"),
    ],
)
def test_what_does_not_agree_is_refused_with_a_sentence(tmp_path, text, sentence):
    assert sentence in problems(tmp_path, text)[0]


def test_an_answer_knows_a_json_null_from_no_body():
    assert "json_body" in Answer.model_validate({"json": None}).model_fields_set
    assert "json_body" not in Answer().model_fields_set


def test_an_answer_is_no_informational_status():
    with pytest.raises(ValidationError, match="greater than or equal to 200"):
        Answer(status=101)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("auth: {signed: {kind: hmac}}", '"signature" says how an hmac is made'),
        ("auth: {signed: {kind: sigv4, signature: {header: X-S}}}", '"signature" says how an hmac is made'),
        ("routes: [{route: GET /x, token: {}}]", '"token" says how tokens are handed out'),
        ('auth: {path: ["/bot"]}', "has to be a text that matches ^/"),
        ('auth: {signed: {kind: hmac, keyId: "{{nme}}", signature: {header: X-S}}}', '"nme" is nothing that can be read here'),
        ('auth: {signed: {kind: hmac, signature: {header: X-S, signed: "{{nme}}"}}}', '"nme" is nothing that can be read here'),
        ('routes: [{route: POST /t, do: token, token: {grant: "{{nme}}"}}]', '"nme" is nothing that can be read here'),
        ("collections: {a: {hooks: [{to: a, send: {}, headers: {X-A: '{{nme}}'}}]}}", '"nme" is nothing that can be read here'),
    ],
)
def test_credentials_tokens_and_hooks_are_checked(tmp_path, text, sentence):
    (message,) = problems(tmp_path, text)
    assert sentence in message


def test_a_simulator_may_only_ask_for_aws_signatures(tmp_path):
    assert load(tmp_path, "auth: {accounts: {AKID: s}, signed: {kind: sigv4}}").problems == ()
