"""From a folder to a partner, or to every fault it has."""

import re

import pytest

from polyport.manifest.cases import load_cases
from polyport.manifest.load import load_partner, partner_folders

PARTNER = """
id: 9
slug: example
title: Example
owners: [tests]
base: "https://{{connection.domain}}.example.com"
headers: {X-Domain: "{{connection.domain}}"}
connection:
  fields: [{name: domain, type: string, label: Domain, required: true, pattern: "[a-z]+"}]
  auth:
    - name: token
      label: Token
      fields: [{name: token, type: string, label: Token, secret: true}]
      scheme: {kind: bearer, token: "{{connection.token}}"}
  verify: {call: {path: /me}, account: "{{answer.name}}"}
verified: {how: cases, on: "2026-11-24"}
"""
ACTION = """
id: 90001
name: make
title: Make
idempotent: false
fields:
  - {name: name, type: string, label: Name}
  - {name: owner, type: integer, label: Owner, list: owners}
sections:
  - name: rows
    label: Rows
    fields: [{name: value, type: string, label: Value}]
    sections: [{name: deep, label: Deep, fields: [{name: x, type: string, label: X}]}]
calls:
  - {method: POST, path: /things, body: {name: "{{name}}", rows: "{{rows}}"}, save: made}
  - {path: "/things/{{steps.made.id}}", when: {at: steps.made.id}}
result:
  fields: [{name: id, type: integer, label: ID}, {name: name, type: string, label: Name}]
  sections: [{name: rows, label: Rows, fields: [{name: value, type: string, label: Value}], sections: [{name: deep, label: D, fields: [{name: y, type: string, label: Y}]}]}]
"""
TRIGGER = """
id: 90051
name: new_things
title: New things
call: {path: /things, query: {page: "{{page.number}}", since: "{{window.from}}", n: "{{limit}}"}}
key: id
pager: {kind: page}
"""
LIST = """
name: owners
title: Owners
call: {path: /owners, query: {q: "{{query}}", page: "{{page.number}}"}}
"""
GOOD = {
    "partner.yaml": PARTNER,
    "actions/make.yaml": ACTION,
    "triggers/new_things.yaml": TRIGGER,
    "lists/owners.yaml": LIST,
    "icon.svg": "<svg/>",
}


@pytest.fixture
def folder(tmp_path):
    def make(**changes):
        files = GOOD | {name.replace("__", "/") + ("" if "." in name else ".yaml"): text for name, text in changes.items()}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


def problems(path):
    loaded = load_partner(path)
    assert loaded.partner is None
    return [str(problem) for problem in loaded.problems]


def test_a_good_folder_is_a_partner(folder):
    loaded = load_partner(folder())
    assert loaded.problems == ()
    assert (loaded.partner.file.id, len(loaded.partner.operations), list(loaded.partner.lists), loaded.partner.icon) == (
        9,
        2,
        ["owners"],
        "<svg/>",
    )


def test_the_digest_changes_with_any_file_and_only_then(folder):
    first = load_partner(folder()).partner.digest
    assert load_partner(folder()).partner.digest == first
    assert load_partner(folder(lists__owners=LIST + "# a remark")).partner.digest != first


def test_a_folder_without_its_partner_file_says_so(tmp_path):
    assert problems(tmp_path) == ["partner.yaml:1:1: A partner's folder needs this file; `polyport connector new` makes one."]


def test_a_partner_file_that_cannot_be_read_is_the_only_fault(folder):
    assert problems(folder(partner="a: [")) == ["partner.yaml:2:1: Not valid YAML: did not find expected node content."]


def test_an_icon_is_not_needed_but_has_to_be_text(folder):
    assert load_partner(folder(**{"icon.svg": None})).partner.icon is None
    assert problems(folder(**{"icon.svg": b"\xff"})) == ["icon.svg:1:1: The file is not UTF-8."]


def test_a_folder_called_like_a_file_is_passed_over(folder):
    path = folder()
    (path / "actions" / "odd.yaml").mkdir()
    (path / "actions" / "notes.txt").write_text("not ours")
    assert load_partner(path).partner is not None


def test_every_fault_of_every_file_comes_at_once_with_its_line(folder):
    found = problems(
        folder(
            partner=PARTNER.replace("title: Example", "titel: Example").replace("id: 9", "id: nine"),
            actions__make=ACTION.replace("type: integer, label: Owner", "type: int, label: Owner").replace("idempotent: false\n", ""),
            triggers__new_things=TRIGGER.replace("key: id\n", "key: [\n"),
            lists__owners=LIST.replace("name: owners", "name: people"),
        )
    )
    assert len(found) == 7
    assert 'partner.yaml:4:1: "titel" is not a key of the language here. Did you mean "title"?' in found
    assert 'partner.yaml:2:1: The key "title" is needed here.' in found
    assert any(line.startswith('partner.yaml:2:1: "id" has to be a whole number') for line in found)
    assert any(line.startswith('actions/make.yaml:7:19: "type": "int" is not a field type') for line in found)
    assert 'actions/make.yaml:2:1: The key "idempotent" is needed here.' in found
    assert any(line.startswith("triggers/new_things.yaml:") and "Not valid YAML" in line for line in found)
    assert 'lists/owners.yaml:2:1: The file has to be called "people.yaml", as the name in it says.' in found
    assert all(line.endswith((".", "?")) for line in found)


@pytest.mark.parametrize("text", ["", "[]", "text", "5"])
def test_a_file_that_holds_no_object_has_a_fault(folder, text):
    (found,) = problems(folder(actions__make=text))
    assert found.startswith("actions/make.yaml")
    assert "This file has to be an object" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: cursor", "needed here|next or header"),
        ("kind: page, next: 5", "not a key"),
        ("kind: next_url, next: 5", "a path is a text"),
        ("kind: magic", 'of another kind; "kind" is one of'),
    ],
)
def test_a_pager_that_is_none_has_a_fault_and_never_stops_the_loader(folder, text, words):
    found = problems(folder(lists__owners=LIST + f"pager: {{{text}}}\n"))
    assert any(re.search(words, line) for line in found)


def test_a_template_of_an_auth_kind_that_cannot_be_compiled_has_a_fault(folder):
    (found,) = problems(folder(partner=PARTNER.replace("{{connection.token}}", "{{connection.token")))
    assert "placeholder that is not closed" in found
    assert found.startswith("partner.yaml:14:")


# Checks: a good folder has been shown; each of these has one fault

BAD = [
    ("ids", {"triggers__new_things": TRIGGER.replace("90051", "90001")}, ["same id", "same id"]),
    ("names", {"triggers__make": TRIGGER.replace("new_things", "make"), "triggers__new_things": None}, ["same name", "same name"]),
    ("list", {"actions__make": ACTION.replace("list: owners", "list: people")}, ['There is no list "people"; add lists/people.yaml']),
    ("custom list", {"actions__make": ACTION + "customFields: {list: owners}\n"}, ['lists/owners.yaml has to exist and say "customFields"']),
    ("custom list gone", {"actions__make": ACTION + "customFields: {list: nope}\n"}, ["lists/nope.yaml has to exist"]),
    ("custom include", {"actions__make": ACTION + "customFields: {list: owners, include: {nope: x}}\n", "lists__owners": LIST + "customFields: {key: id, label: name, type: kind}\n"}, ['"nope" is not a field of this operation']),
    ("custom list depends", {"actions__make": ACTION + "customFields: {list: owners}\n", "lists__owners": LIST + "dependsOn: [name]\ncustomFields: {key: id, label: name}\n"}, ['depends on "name": make that a selector']),
    ("custom at outside", {"actions__make": ACTION + "customFields: {list: owners, at: x}\n", "lists__owners": LIST + "customFields: {key: id, label: name}\n"}, ['"at" says nothing here']),
    ("demand for nothing", {"actions__make": ACTION.replace("label: Deep, fields", "label: Deep, needsOneOf: [[[nope, x]]], fields")}, ['"nope" is no field or section of this level']),
    ("when of nothing", {"actions__make": ACTION.replace("label: Deep, fields", "label: Deep, when: {at: nope}, fields")}, ['"deep" applies by "nope", which is no field']),
    ("when of itself", {"actions__make": ACTION.replace("label: Name}\n", "label: Name, when: {at: name}}\n", 1)}, ["depends on itself"]),
    ("when of a list", {"actions__make": ACTION.replace("label: Name}\n", 'label: Name, when: {at: tags}}\n  - {name: tags, type: "string[]", label: Tags}\n', 1)}, ['"tags" cannot decide what applies']),
    ("when of another type", {"actions__make": ACTION.replace("label: Name}\n", "label: Name, when: {at: owner, in: [x]}}\n", 1)}, ["\"owner\" never has the value 'x'"]),
    ("when of no option", {"actions__make": ACTION.replace("label: Name}\n", "label: Name, when: {at: kind, equals: c}}\n  - {name: kind, type: string, label: Kind, options: [{key: a, label: A}]}\n", 1)}, ["\"kind\" never has the value 'c'"]),
    ("custom in lists", {"actions__make": ACTION.replace("{name: deep, label: Deep,", "{name: deep, label: Deep, shape: lists, customFields: {list: owners},", 1), "lists__owners": LIST + "customFields: {key: id, label: name}\n"}, ["In rows that are lists the custom fields stand behind the others"]),
    ("like nothing", {"actions__make": ACTION.replace("label: Deep, fields: [{name: x, type: string, label: X}]}", "label: Deep, fields: [{name: x, type: string, label: X}]}, {name: more, label: More, like: deep}", 1)}, ['"deep" is no section around this one']),
    ("custom include in a list", {"actions__make": ACTION + "customFields: {list: owners, shape: list, include: {name: x}}\n", "lists__owners": LIST + "customFields: {key: id, label: name}\n"}, ["has no keys under which other fields could join"]),
    ("custom list of rows", {"actions__make": ACTION.replace("    label: Rows\n", "    label: Rows\n    customFields: {list: owners, include: {x: y}, shape: pairs}\n", 1)}, ['lists/owners.yaml has to exist and say "customFields"', "In a section nothing joins", 'say with "at" where they stand']),
    ("double name", {"actions__make": ACTION.replace("name: owner,", "name: name,").replace("type: integer", "type: string", 1)}, ['The name "name" stands twice']),
    ("section like field", {"actions__make": ACTION.replace("- name: rows", "- name: name").replace("{{rows}}", "{{name}}")}, ['The name "name" stands twice']),
    ("double name in rows", {"actions__make": ACTION.replace("fields: [{name: x, type: string, label: X}]", "fields: [{name: x, type: string, label: X}, {name: x, type: string, label: X}]")}, ['"x" stands twice']),
    ("double output", {"actions__make": ACTION.replace("fields: [{name: id,", "fields: [{name: id, type: string, label: I}, {name: id,")}, ['"id" stands twice']),
    ("selector like field", {"actions__make": ACTION + "selectors: [{name: name, type: string, label: N}]\n"}, ['"name" stands twice']),
    ("reserved", {"actions__make": ACTION.replace("name: owner,", "name: page,")}, ['"page" is a word of the templates; call it "page_" here, and {{page_}} in them']),
    ("reserved selector", {"actions__make": ACTION + "selectors: [{name: steps, type: string, label: N}]\n"}, ['"steps" is a word']),
    ("at outside", {"actions__make": ACTION.replace("label: Name}\n  - {name: owner", "label: Name, at: x}\n  - {name: owner")}, ['"at" says nothing here']),
    ("section at outside", {"actions__make": ACTION.replace("    label: Rows\n", "    label: Rows\n    at: x\n", 1)}, ['"at" says nothing here']),
    ("value in value", {"actions__make": ACTION.replace("sections: [{name: deep, label: Deep,", "sections: [{name: deep, label: Deep, at: [value, deep],")}, ['"value" is a value here']),
    ("output type", {"actions__make": ACTION.replace("{name: name, type: string, label: Name}]", "{name: name, type: integer, label: Name}]")}, ['"name" is also an input, of type string']),
    ("deep output type", {"actions__make": ACTION.replace("{name: y, type: string", "{name: x, type: integer")}, ['"x" is also an input']),
    ("depends on nothing", {"actions__make": ACTION.replace("list: owners", "list: owners, dependsOn: [nope]")}, ['"owner" depends on "nope"']),
    ("list depends on nothing", {"lists__owners": LIST + "dependsOn: [nope]\n"}, ['"owner" depends on "nope"']),
    ("inside by a stranger", {"lists__owners": LIST + "inside: {at: parts, field: part}\n"}, ['name it under "dependsOn" too']),
    ("placeholder", {"actions__make": ACTION.replace('"{{name}}"', '"{{nmae}}"')}, ["{{nmae}} is not a field here; there are: captured, connection"]),
    ("placeholder in path", {"triggers__new_things": TRIGGER.replace("path: /things", 'path: "/things/{{x}}"')}, ["{{x}} is not a field here"]),
    ("page in action", {"actions__make": ACTION.replace('"{{name}}"', '"{{page.number}}"')}, ["{{page}} is not a field here"]),
    ("unclosed", {"actions__make": ACTION.replace('"{{name}}"', '"{{name"')}, ["placeholder that is not closed"]),
    ("filter", {"actions__make": ACTION.replace('"{{name}}"', '"{{name | nope}}"')}, ['"nope" is not a filter']),
    ("bad text", {"actions__make": ACTION.replace('"{{name}}"', """'{{name | default: "\\q"}}'""")}, ["is no text in JSON's writing"]),
    ("step", {"actions__make": ACTION.replace("{{steps.made.id}}", "{{steps.other.id}}")}, ['No earlier call saves its answer as "other"']),
    ("step too early", {"actions__make": ACTION.replace('"{{name}}"', '"{{steps.made.id}}"')}, ['No earlier call saves its answer as "made"']),
    ("bare steps", {"actions__make": ACTION.replace('"{{name}}"', '"{{steps}}"')}, ['No earlier call saves its answer as ""']),
    ("when", {"actions__make": ACTION.replace("when: {at: steps.made.id}", "when: {at: nope}")}, ['"when" reads "nope", which is not there']),
    ("when step", {"actions__make": ACTION.replace("when: {at: steps.made.id}", "when: {at: steps.x.id}")}, ['"when" reads "steps.x.id"']),
    ("when nothing", {"actions__make": ACTION.replace("when: {at: steps.made.id}", 'when: {at: ""}')}, ['"when" reads ""']),
    ("captured", {"actions__make": ACTION.replace("{{steps.made.id}}", "{{captured.etag}}")}, ['No earlier call captures a header as "etag"']),
    ("row outside", {"actions__make": ACTION.replace('"{{name}}"', '"{{each.value}}"')}, ["{{each}} is not a field here"]),
    ("row field", {"actions__make": ACTION.replace('"{{name}}", rows: "{{rows}}"}', '"{{each.nope}}"}, forEach: "{{rows}}"')}, ['A row of "rows" has no "nope"; it has: deep, value']),
    ("row condition", {"actions__make": ACTION.replace('"{{name}}", rows: "{{rows}}"}', '"{{each.value}}"}, when: {at: each.nope}, forEach: "{{rows}}"')}, ['A row of "rows" has no "nope"']),
    ("rows of nothing", {"actions__make": ACTION.replace('rows: "{{rows}}"}', 'rows: 1}, forEach: "{{nope}}"')}, ["{{nope}} is not a field here"]),
    ("result value", {"actions__make": ACTION.replace("result:\n", 'result:\n  value: "{{nope}}{{steps.made.id}}{{answer.id}}{{steps.other}}"\n')}, ["{{nope}} is not a field here", 'No earlier call saves its answer as "other"']),
    ("file of a list", {"lists__owners": LIST.replace("call: {", "call: {decode: file, ")}, ['"decode: file" is for the calls of operations']),
    ("file of verify", {"partner": PARTNER.replace("call: {path: /me}", "call: {path: /me, decode: file}")}, ['"decode: file" is for the calls of operations']),
    ("path with query", {"triggers__new_things": TRIGGER.replace("path: /things", 'path: "/things?a=1"')}, ['neither "?" nor "#"']),
    ("connection field", {"actions__make": ACTION.replace('"{{name}}"', '"{{connection.nope}}"')}, ["{{connection.nope}} is not a field of the connection"]),
    ("connection whole", {"actions__make": ACTION.replace('"{{name}}"', '"{{connection}}"')}, ["{{connection.}} is not a field of the connection"]),
    ("secret in call", {"actions__make": ACTION.replace('"{{name}}"', '"{{connection.token}}"')}, ["{{connection.token}} is a secret: only an auth kind may read it"]),
    ("secret in headers", {"partner": PARTNER.replace('X-Domain: "{{connection.domain}}"', 'X-Token: "{{connection.token}}"')}, ["is a secret"]),
    ("headers", {"partner": PARTNER.replace('X-Domain: "{{connection.domain}}"', 'X-Domain: "{{domain}}"')}, ["{{domain}} is not a field here"]),
    ("list placeholder", {"lists__owners": LIST.replace("{{query}}", "{{name}}")}, ["{{name}} is not a field here"]),
    ("list label", {"lists__owners": LIST + 'label: "{{name}}"\n'}, ["{{name}} is not a field here"]),
    ("verify", {"partner": PARTNER.replace("path: /me", 'path: "/me/{{x}}"')}, ["{{x}} is not a field here"]),
    ("account", {"partner": PARTNER.replace("{{answer.name}}", "{{name}}")}, ["{{name}} is not a field here"]),
    ("auth", {"partner": PARTNER.replace('token: "{{connection.token}}"', 'token: "{{connection.tokn}}{{x}}"')}, ["{{connection.tokn}} is not a field", "{{x}} is not a field"]),
    ("no calls", {"actions__make": ACTION[: ACTION.index("calls:")] + ACTION[ACTION.index("result:"):]}, ['either "call" (or "calls") or "compute"']),
    ("both", {"actions__make": ACTION + "compute: x\n"}, ['either "call" (or "calls") or "compute"']),
    ("compute", {"actions__make": ACTION[: ACTION.index("calls:")] + 'compute: "{{nope}}"\n'}, ["{{nope}} is not a field here"]),
    ("base secret", {"partner": PARTNER.replace("{{connection.domain}}.example", "{{connection.token}}.example")}, ["is a secret", 'field "token" stands in the base URL']),
    ("base open", {"partner": PARTNER.replace(', pattern: "[a-z]+"', "")}, ['The connection field "domain" stands in the base URL: it needs a pattern']),
    ("base unknown", {"partner": PARTNER.replace("https://{{connection.domain}}", "https://{{domain}}")}, ["{{domain}} is not a field here"]),
    ("base broken", {"partner": PARTNER.replace("https://{{connection.domain}}", "https://{{connection.domain")}, ["not closed"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_one_file_cannot_say_about_itself_is_checked(folder, changes, words):
    found = problems(folder(**changes))
    assert len(found) == len(words), found
    for wanted in words:
        assert any(wanted in line for line in found), found
    for line in found:
        assert ":0" not in line.split(": ")[0]
        assert line.endswith(".")


def test_without_a_base_every_path_has_a_fault(folder):
    found = problems(folder(partner=PARTNER.replace('base: "https://{{connection.domain}}.example.com"\n', "")))
    assert sorted(line.partition(":")[0] for line in found) == [
        "actions/make.yaml",
        "actions/make.yaml",
        "lists/owners.yaml",
        "partner.yaml",
        "triggers/new_things.yaml",
    ]
    assert all('needs "base"' in line for line in found)


def test_whole_addresses_need_no_base_and_a_verify_call_need_not_say_whose_the_connection_is(folder):
    bare = PARTNER.replace('base: "https://{{connection.domain}}.example.com"\n', "").replace(
        '{path: /me}, account: "{{answer.name}}"', "{url: https://x.example/me}"
    )
    whole = [text.replace("path: /", "url: https://x.example/") for text in (LIST, TRIGGER)]
    made = ACTION.replace("path: /things,", "url: https://x.example/things,").replace('path: "/things', 'url: "https://x.example/things')
    assert load_partner(folder(partner=bare, lists__owners=whole[0], triggers__new_things=whole[1], actions__make=made)).problems == ()


def test_a_partner_without_a_connection_needs_no_auth(folder):
    start, end = PARTNER.index("connection:"), PARTNER.index("verified:")
    bare = (
        (PARTNER[:start] + PARTNER[end:])
        .replace("{{connection.domain}}.", "")
        .replace('headers: {X-Domain: "{{connection.domain}}"}\n', "")
        .replace('headers: {X-Domain: "example.com"}\n', "")
    )
    bare = "\n".join(line for line in bare.splitlines() if not line.startswith("headers"))
    assert load_partner(folder(partner=bare)).problems == ()


def test_custom_fields_and_tools_and_choices_in_the_base_are_sound(folder):
    shape = "customFields: {key: id, label: name, type: kind}\n"
    tool = 'id: 90002\nname: tool\ntitle: Tool\nidempotent: true\nfields: [{name: a, type: string, label: A}]\ncompute: {out: "{{a}}"}\n'
    choices = PARTNER.replace('pattern: "[a-z]+"', "options: [{key: eu, label: EU}]")
    loaded = load_partner(
        folder(
            partner=choices,
            lists__owners=LIST + shape,
            actions__tool=tool,
            actions__make=ACTION + "customFields: {list: owners}\nselectors: [{name: sheet, type: string, label: S, list: owners}]\n",
        )
    )
    assert loaded.problems == ()


RECONCILE = """reconcile:
  call: {path: /things, query: {reference: "{{run.key}}"}}
  items: things
  marker: {at: reference, value: "{{run.key}}"}
"""


def test_only_an_action_that_may_leave_a_doubt_says_how_it_is_settled(folder):
    assert "idempotent: false" in ACTION
    assert load_partner(folder(actions__make=ACTION + RECONCILE)).problems == ()
    wrong = load_partner(folder(actions__make=(ACTION + RECONCILE).replace("idempotent: false", "idempotent: true")))
    assert ["leaves a doubt" in problem.message for problem in wrong.problems] == [True]
    unknown = load_partner(folder(actions__make=ACTION + RECONCILE.replace('value: "{{run.key}}"', 'value: "{{nobody}}"')))
    assert ["nobody" in problem.message for problem in unknown.problems] == [True]


def test_only_what_is_sent_says_how_it_is_tried_again(folder):
    assert load_partner(folder(actions__make=ACTION + "retry: {attempts: 3, within: 60}\n")).problems == ()
    tool = "id: 90002\nname: tool\ntitle: Tool\nidempotent: true\ncompute: {out: 1}\nretry: {attempts: 3}\n"
    found = [str(problem) for problem in load_partner(folder(actions__tool=tool)).problems]
    assert found == ['actions/tool.yaml:6:1: Only what is sent to the partner is tried again: without a call there is no "retry".']


@pytest.mark.parametrize(
    ("retry", "words"),
    [
        ("{attempts: 0}", "at least 1"),
        ("{attempts: 21}", "at most 20"),
        ("{attempts: -1}", "at least 1"),
        ("{attempts: always}", "whole number"),
        ("{firstWait: 0}", "at least 0.1"),
        ("{firstWait: 3601, longestWait: 9000}", "at most 3600"),
        ("{longestWait: 0.5, firstWait: 0.1}", "at least 1"),
        ("{longestWait: 1e9}", "at most 86400"),
        ("{within: 0}", "at least 1"),
        ("{within: 700000}", "at most 604800"),
        ("{firstWait: .nan}", "firstWait"),
        ("{longestWait: .inf}", "has to be a number"),
        ("{repeatable: true}", "repeatable"),
    ],
)
def test_words_on_retries_that_would_do_harm_are_refused(folder, retry, words):
    (found,) = [str(problem) for problem in load_partner(folder(actions__make=ACTION + f"retry: {retry}\n")).problems]
    assert "actions/make.yaml" in found
    assert words in found


def test_partner_folders_are_found_by_name(tmp_path):
    for name in ("b", "a", "_c", ".d"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.yaml").write_text("x")
    assert [entry.name for entry in partner_folders(tmp_path)] == ["a", "b"]
    assert partner_folders(tmp_path / "none") == []


# Cases


def test_cases_are_read_with_their_targets(tmp_path):
    for name, text in {
        "connection.yaml": "auth: token\nfields: {token: t}\n",
        "make/ok.yaml": "title: T\nresult: {}\n",
        "lists/owners/ok.yaml": "title: T\noptions: []\n",
        "verify/ok.yaml": "title: T\naccount: a\n",
        "make/notes.txt": "no",
    }.items():
        path = tmp_path / "cases" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = load_cases(tmp_path)
    assert found.problems == ()
    assert found.connection.auth == "token"
    assert [(case.target, case.name) for case in found.cases] == [("lists/owners", "ok"), ("make", "ok"), ("verify", "ok")]


def test_faults_of_cases_come_all_at_once(tmp_path):
    (tmp_path / "cases").mkdir()
    for name, text in {
        "a.yaml": "title: T\n",
        "b.yaml": "a: [",
        "c.yaml": "title: T\nresult: {}\nerror: {}\n",
        "d.yaml": "title: T\nreslt: {}\naccount: a\n",
    }.items():
        (tmp_path / "cases" / name).write_text(text)
    found = [str(problem) for problem in load_cases(tmp_path).problems]
    assert len(found) == 4
    assert sum("exactly one of result" in line for line in found) == 2
    assert any('"reslt" is not a key of the language here. Did you mean "result"?' in line for line in found)


def test_a_folder_without_cases_has_none(tmp_path):
    assert load_cases(tmp_path).cases == ()
