"""What lint says about webhook triggers."""

import textwrap

import pytest

from polyport.manifest.load import load_partner

PARTNER = """
id: 9
slug: hooky
title: Hooky
owners: [me]
base: "https://hooky.example"
connection:
  auth:
    - name: key
      label: Key
      fields: [{name: hook_key, type: string, label: Key, secret: true, required: true}]
      scheme: {kind: none}
verified: {how: cases, on: "2026-11-25"}
"""
WHOLE = """
subscribe: {method: POST, path: /hooks, body: {target: "{{hook.url}}", secret: "{{hook.secret}}", board: "{{board}}"}}
unsubscribe: {method: DELETE, path: "/hooks/{{subscription.id}}"}
renew: {method: POST, path: "/hooks/{{subscription.id}}/renew"}
followUp: {path: "/things/{{item.id}}"}
subscriptionId: id
expiry: {seconds: 86400}
secret: {from: generated}
signature: [{header: X-Sign}, {header: X-Old, key: "{{connection.hook_key}}"}]
handshake: [{when: [{at: query.challenge}], reply: {text: "{{query.challenge}}"}}]
filter: [{at: item.id}]
"""


def problems(folder, hook, fields="[{name: board, type: string, label: Board}]"):
    (folder / "triggers").mkdir()
    (folder / "partner.yaml").write_text(PARTNER)
    text = (
        f"id: 90001\nname: new_things\ntitle: New things\ntype: webhook\nfields: {fields}\nhook:\n{textwrap.indent(hook.strip(), '  ')}\n"
    )
    (folder / "triggers" / "new_things.yaml").write_text(text)
    return [str(problem) for problem in load_partner(folder).problems]


def test_a_whole_webhook_trigger_has_no_faults(tmp_path):
    assert problems(tmp_path, WHOLE) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{hook.url}}", "{{hok.url}}", "{{hok}} is not a field here"),
        ("{{board}}", "{{item.id}}", "{{item}} is not a field here"),
        ("{{board}}", "{{connection.hook_key}}", "is a secret: only an auth kind may read it"),
        ("/things/{{item.id}}", "/things/{{subscription.id}}", "{{subscription}} is not a field here"),
        ("subscriptionId: id", "", "{{subscription.id}} is read"),
        ("expiry: {seconds: 86400}", "", 'Say under "expiry" when a subscription ends'),
        ('unsubscribe: {method: DELETE, path: "/hooks/{{subscription.id}}"}', "", "A subscription has to end"),
        ("header: X-Sign", 'header: X-Sign, signed: "{{boddy}}"', "{{boddy}} is nothing that can be read here; there are: body,"),
        ("header: X-Sign", 'header: X-Sign, signed: "{{body | nosuch}}"', '"nosuch" is not a filter'),
        ("{{connection.hook_key}}", "{{connection.other}}", "{{connection.other}} is not a field of the connection."),
        ("{{connection.hook_key}}", "{{connection}}{{secret}}", "{{connection}} is not a field of the connection."),
        ("when: [{at: query.challenge}]", "when: [{at: secret}]", "A condition here reads one of: body, header, method, query."),
        ("filter: [{at: item.id}]", "filter: [{at: method}]", "A condition here reads one of: body, header, item, query."),
        ("secret: {from: generated}", "secret: {from: connection, field: other}", 'The connection has no field "other".'),
        ("secret: {from: generated}", "secret: {from: handshake}", "The secret comes with a handshake"),
        ('text: "{{query.challenge}}"', 'text: "{{item}}"', "{{item}} is nothing that can be read here"),
        ('DELETE, path: "/hooks/{{subscription.id}}"', 'DELETE, path: "/hooks/{{subscription.id | nosuch}}"', '"nosuch" is not a filter'),
    ],
)
def test_a_fault_is_told_with_a_sentence(tmp_path, old, new, message):
    assert old in WHOLE

    found = problems(tmp_path, WHOLE.replace(old, new))

    assert len(found) == 1, found
    assert found[0].startswith("triggers/new_things.yaml:")
    assert message in found[0]


def test_without_a_subscribe_call_people_are_told_what_to_paste_where(tmp_path):
    found = problems(tmp_path, "unsubscribe: {path: /x}\nitems: events")

    assert [message.partition(": ")[2] for message in found] == [
        'Without a "subscribe" call people have to paste the address somewhere: say where under "manual".',
        'Without a "subscribe" call there is nothing that "unsubscribe" could be about.',
    ]


def test_a_manual_hook_needs_no_more_than_its_text(tmp_path):
    assert problems(tmp_path, "manual: Paste the address under Settings.\nfollowUp: {path: '/things/{{item.id}}'}") == []


def test_a_field_may_not_have_a_name_that_templates_reserve(tmp_path):
    (message,) = problems(tmp_path, "manual: Paste it.", fields="[{name: hook, type: string, label: Hook}]")

    assert '"hook" is a word of a webhook trigger\'s templates' in message


def test_a_call_with_a_path_needs_a_base(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PARTNER", PARTNER.replace('base: "https://hooky.example"\n', ""))
    found = problems(tmp_path, "manual: Paste it.\nsubscribe: {method: POST, path: /hooks}")

    assert found[0].endswith('A call with a path needs "base" in partner.yaml.')
