"""The quality scale: each rule is met by a partner that is whole, and finds the one thing that is taken away."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from partner_folder import CLAIMS, IDS, evidence, ok, write_box
from polyport.manifest.rules import LEVELS, RULES, judge

FIXED = {"claims": CLAIMS, "ids": IDS}
TOKEN = "[{name: api_token, type: string, label: API token, secret: true}]"

FINDINGS = [
    ("manifest-valid", {"cases__odd__ok": "title: T\nresult: {}\n"}, "lint: cases/odd/ok.yaml:1:1: There is no operation"),
    ("manifest-valid", {"notes.md": ("A hundred", "todo: A hundred")}, "there is a mark left at notes.md:13"),
    ("unique-ids", {"quality": (IDS, "")}, "the partner's id is not recorded"),
    ("unique-ids", {"quality": (", told_items: 90012", "")}, "no id is recorded of told_items"),
    ("titles-and-descriptions", {"partner": ("description: Items and groups.\n", "")}, "the partner has no description"),
    ("titles-and-descriptions", {"triggers__told_items": ("description: Sent by Box.\n", "")}, "told_items has no description"),
    ("titles-and-descriptions", {"actions__create_item": ("label: Group", "label: group_id")}, "create_item: the label of group_id is only its name"),
    ("auth-declared", {"partner": ('  verify: {call: {path: /me}, account: "{{answer.name}}"}\n', "")}, "the connection has no verify call"),
    ("ok-case", {"cases__create_item__ok": None}, "create_item has no case ok"),
    ("ok-case", {"cases__new_items__ok": "title: T\nerror: {}\n"}, "the case ok of new_items states no items"),
    ("ok-case", {"cases__find_items__ok": "title: T\nerror: {}\n"}, "the case ok of find_items states no result"),
    ("ok-case", {"cases__find_items__ok": "title: T\nresult: {}\n"}, "the case ok of find_items states no request"),
    ("error-rules", {"partner": ("  - {status: [5xx], kind: unavailable, message: error}\n", "")}, "no error rule is for 5xx (unavailable)"),
    ("secrets-marked", {"partner": (", secret: true", "")}, "the connection field api_token is not marked as a secret"),
    ("secrets-marked", {"partner": (TOKEN, TOKEN.replace("api_token", "word").replace(", secret: true", "")), "cases__connection": "auth: token\n", "partner.yaml": ("connection.api_token", "connection.word")}, "the way to authorise token has no secret"),
    ("secrets-marked", {"cases__find_items__ok": ok("GET") + "now: " + "AKIA" + "A" * 16 + "\n"}, "cases/find_items/ok.yaml holds what looks like a real AWS access key"),
    ("secrets-marked", {"cases__connection": "auth: token\nfields: {api_token: '-----BEGIN PRIVATE " + "KEY-----'}\n"}, "cases/connection.yaml holds what looks like a real private key"),
    ("secrets-marked", {"notes.md": ("A hundred", "ghp_" + "a" * 36)}, "notes.md holds what looks like a real GitHub token"),
    ("https-and-public-hosts", {"partner": ("docs: https", "docs: http")}, "docs: this address does not begin with https://"),
    ("https-and-public-hosts", {"partner": ("https://docs.box.com", "https://10.0.0.1")}, "docs: an address names its host, not a number"),
    ("https-and-public-hosts", {"partner": ("https://docs.box.com", "https://docs.box.example")}, 'docs: "docs.box.example" is no public host'),
    ("https-and-public-hosts", {"partner": ("https://box.com/token", "https://box/token")}, 'connection.auth.token_url: "box" is no public host'),
    ("https-and-public-hosts", {"lists__fields": ("path: /fields", "url: https://box.local/fields")}, 'lists/fields: "box.local" is no public host'),
    ("owner-named", {"partner": ("[ada, bob]", "[todo]")}, "the owner is still to be named"),
    ("credentials-how-to", {"notes.md": ("## Get credentials", "## Begin")}, "notes.md has no section on credentials or connections"),
    ("credentials-how-to", {"notes.md": ("Log in, open Settings, copy the token.", "No.")}, "notes.md has no section on credentials or connections"),
    ("sources-cited", {"notes.md": ("told_items:", "told:")}, "notes.md cites no page for told_items"),
    ("idempotent-flag", {"actions__delete_item": ("\ndestructive: true", "")}, "delete_item deletes and is not marked as destructive"),
    ("idempotent-flag", {"actions__find_items": ("\nreadOnly: true", "")}, "find_items only reads and is not marked as readOnly"),
    ("failure-cases", {"cases__create_item__refused_token": None}, "no case shows a refused token"),
    ("failure-cases", {"cases__create_item__too_many": None}, "no case shows too many calls"),
    ("failure-cases", {"cases__create_item__too_many": ('{Retry-After: "5"}', "{}")}, "no case shows too many calls with the time to wait from a header"),
    ("failure-cases", {"cases__create_item__refused_value": None}, "no case shows a value that the partner refuses"),
    ("failure-cases", {"cases__create_item__down": None}, "no case shows a partner that is down"),
    ("pager-case", {"cases__new_items__ok": None}, "no case reads a second page; no case shows an empty page"),
    ("rate-limit-header", {"partner": (", retryAfter: {header: Retry-After}", "")}, 'no error rule of the kind rate_limited has "retryAfter"'),
    ("error-fields", {"partner": (", field: field", "")}, 'no error rule of the kind invalid_input has "field" or "faults"'),
    ("optional-fields-omitted", {"cases__update_item__ok": None}, "no case of update_item leaves an optional field out"),
    ("optional-fields-omitted", {"cases__update_item__ok": ("json: {name: Blue}", 'json: {name: Blue, group_id: ""}')}, "a case of update_item sends an empty text that nobody gave"),
    ("zones-and-formats", {"notes.md": ("## Times and numbers", "## Other")}, "notes.md has no section on times, numbers or formats"),
    ("least-scopes", {"notes.md": ("## Scopes", "## Other")}, "notes.md has no section on scopes or rights"),
    ("least-scopes", {"partner": ("scopes: [items]", "scopes: [items, groups]")}, "the scope groups is not explained in notes.md"),
    ("minimum-operations", {"actions__update_item": None, "cases__update_item__ok": None, "quality": ("update_item: 90002, ", "")}, "no action updates"),
    ("minimum-operations", {"triggers__new_items": None, "triggers__told_items": None, "cases__new_items__ok": None, "quality": (", new_items: 90011, told_items: 90012", "")}, "there is no trigger"),
    ("dynamic-lists", {"lists__more": "name: more\ntitle: More\ncall: {path: /more}\n"}, "nothing uses the list more"),
    ("dynamic-lists", {"actions__create_item": (", list: groups", "")}, "group_id of create_item could name the list groups"),
    ("row-sections", {"actions__create_item": ("customFields", "  - {name: rows, type: 'object[]', label: Rows}\ncustomFields")}, "rows of create_item is a list of raw objects"),
    ("sample-output", {"actions__create_item": ("sample: Blue", "sample: Red")}, "the samples of create_item are not those of its case ok: name"),
    ("depends-on", {"cases__lists__groups__ok": None}, "no case of the list groups gives name"),
    ("notes-complete", {"notes.md": ("## Known gaps", "## Other")}, "notes.md has no section on known gaps"),
    ("version-pinned", {"lists__fields": ("path: /fields", "path: /v2/fields")}, "the version stands in the paths of 1 calls, beginning with lists/fields"),
    ("version-pinned", {"notes.md": ("## Versions", "## Other")}, "notes.md has no section on versions"),
    ("exempt-with-link", {"quality": ("pager-case: done", "pager-case: {status: exempt, comment: No pages.}")}, "the exemption from pager-case has no link"),
    ("verified-live", {"partner": ("how: live", "how: cases")}, "it is verified by cases, not live"),
    ("verified-live", {"partner": ("2026-11-24", "2026-01-01")}, "the last live run was on 2026-01-01, more than 180 days ago"),
    ("schema-drift", {"partner": ("how: live", "how: cases")}, "it is verified by cases, not held against the partner's description"),
    ("two-owners", {"partner": ("[ada, bob]", "[ada]")}, "there is one owner"),
]  # fmt: skip


def findings(folder, rule, **more):
    return "; ".join(RULES[rule].check(evidence(folder, **more)))


def write(folder, changes):
    told = dict(changes)
    if "partner.yaml" in told:  # a second change of the same file
        box = write_box(folder, **{name: change for name, change in told.items() if name != "partner.yaml"})
        text = (box / "partner.yaml").read_text()
        (box / "partner.yaml").write_text(text.replace(*told["partner.yaml"]))
        return box
    return write_box(folder, **told)


def test_a_partner_that_is_whole_is_platinum(tmp_path):
    score = judge(evidence(write_box(tmp_path)))
    assert [(verdict.rule.name, verdict.findings) for verdict in score.verdicts if verdict.findings] == []
    assert (score.tier, score.claimed, score.false_claims, score.next_tier) == ("platinum", None, (), None)


@pytest.mark.parametrize(("rule", "changes", "words"), FINDINGS, ids=[f"{case[0]}-{case[2][:40]}" for case in FINDINGS])
def test_a_rule_finds_what_is_missing(tmp_path, rule, changes, words):
    assert words in findings(write(tmp_path, changes), rule)


def test_every_rule_has_a_partner_that_breaks_it():
    elsewhere = {"custom-fields", "render-property"}
    assert {case[0] for case in FINDINGS} | elsewhere == set(RULES)


def test_a_case_that_fails_is_no_case(tmp_path):
    assert findings(write_box(tmp_path), "ok-case", failing=("cases/create_item/ok.yaml",)) == "cases/create_item/ok.yaml does not pass"


def test_random_inputs_that_were_not_tried_prove_nothing(tmp_path):
    box = write_box(tmp_path)
    assert findings(box, "render-property", random_faults=None) == "random inputs were not tried: Hypothesis is not installed"
    assert findings(box, "render-property", random_faults=("create_item left its host",)) == "create_item left its host"


def bare(folder):
    """A partner that only computes."""
    for name, text in {
        "partner.yaml": 'id: 9\nslug: bare\ntitle: Bare\nowners: [ada]\nverified: {how: cases, on: "2026-11-24"}\n',
        "actions/add.yaml": 'id: 90001\nname: add\ntitle: Add\nidempotent: true\nfields: [{name: a, type: string, label: A}]\ncompute: {result: "{{a}}"}\n',
        "notes.md": "# Bare\n\n## Rights\n\nNone at all are needed here.\n",
        "cases/add/ok.yaml": "title: T\ninput: {a: x}\nresult: {}\n",
    }.items():
        path = folder / "bare" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "bare"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("auth-declared", "there is no connection in partner.yaml"),
        ("secrets-marked", ""),
        ("https-and-public-hosts", ""),
        ("ok-case", ""),
        ("failure-cases", "no case shows too many calls"),
        ("pager-case", ""),
        ("error-fields", ""),
        ("optional-fields-omitted", ""),
        ("least-scopes", ""),
        ("dynamic-lists", "there are no lists"),
        ("custom-fields", "no operation has customFields"),
        ("sample-output", ""),
    ],
)
def test_a_partner_that_only_computes_is_looked_at_for_what_it_is(tmp_path, rule, words):
    found = findings(bare(tmp_path), rule)
    assert found.startswith(words)
    assert bool(found) is bool(words)


def test_a_list_with_pages_and_a_case_with_a_cursor_or_nothing_count(tmp_path):
    pages = "\npager: {kind: page}\n"
    box = write_box(
        tmp_path,
        lists__groups=("dependsOn: [name]\n", "dependsOn: [name]" + pages),
        cases__new_items__ok="title: T\ncursor: abc\nitems: []\n",
    )
    assert findings(box, "pager-case") == ""


def test_a_null_that_clears_may_be_an_empty_text_on_the_wire(tmp_path):
    case = (
        ok("PATCH", path="/items/7").replace("input: {name: Blue}", "input: {name: null}").replace("json: {name: Blue}", 'json: {name: ""}')
    )
    assert findings(write_box(tmp_path, cases__update_item__ok=case), "optional-fields-omitted") == ""


def test_sections_and_their_fields_are_looked_at_too(tmp_path):
    rows = (
        "sections:\n  - name: rows\n    label: Rows\n    required: true\n    fields: [{name: group_id, type: integer, label: group_id}]\n"
    )
    box = write_box(tmp_path, actions__create_item=("customFields", rows + "customFields"))
    assert findings(box, "titles-and-descriptions") == "create_item: the label of group_id is only its name"
    assert "could name the list groups" in findings(box, "dynamic-lists")


def test_way_to_authorise_that_is_none_reads_no_secret(tmp_path):
    plain = ("    - name: sign_in", "    - {name: open, label: Open, scheme: {kind: none}}\n    - name: sign_in")
    assert findings(write_box(tmp_path, partner=plain), "secrets-marked") == ""


# The tier, and the claims


@pytest.mark.parametrize(
    ("claim", "tier", "words"),
    [
        ("ok-case: todo", "none", ()),
        ("pager-case: todo", "bronze", ()),
        ("depends-on: todo", "silver", ()),
        ("two-owners: todo", "gold", ()),
        ("pager-case: {status: todo, comment: Later.}", "bronze", ()),
        ("pager-case: {status: exempt, comment: 'See https://docs.box.com'}", "platinum", ()),
        ("owner-named: {status: exempt, comment: 'See https://docs.box.com'}", "none", ("owner-named applies to every partner; nothing is exempt from it.",)),
    ],
)  # fmt: skip
def test_the_tier_is_the_highest_whose_rules_are_all_met(tmp_path, claim, tier, words):
    rule = claim.partition(":")[0]
    score = judge(evidence(write_box(tmp_path, quality=(f"{rule}: done", claim))))
    assert score.tier == tier
    assert score.false_claims == words
    if tier != "platinum":
        above = LEVELS[LEVELS.index(tier) + 1] if tier != "none" else "bronze"
        assert score.next_tier == (above, (rule,))


def test_a_claim_that_the_folder_does_not_bear_out_is_named(tmp_path):
    score = judge(evidence(write_box(tmp_path, partner=("[ada, bob]", "[ada]"), quality="tier: platinum\n" + CLAIMS + IDS)))
    assert score.tier == "gold"
    assert score.false_claims == (
        "two-owners is said to be done, but there is one owner.",
        'The tier is said to be platinum and is gold: write "tier: gold".',
    )


def test_a_rule_that_is_left_out_is_still_to_be_done(tmp_path):
    score = judge(evidence(write_box(tmp_path, quality=IDS)))
    assert {verdict.status for verdict in score.verdicts} == {"todo"}
    assert (score.tier, score.false_claims) == ("none", ())


def test_rules_are_numbered_in_order_and_say_what_and_why():
    assert [rule.number for rule in RULES.values()] == list(range(1, 33))
    assert [LEVELS.index(rule.tier) for rule in RULES.values()] == sorted(LEVELS.index(rule.tier) for rule in RULES.values())
    for rule in RULES.values():
        what, why = rule.text.split("\n\n")
        assert what.endswith((".", ":"))
        assert len(why) > 20


def test_a_way_to_authorise_that_obtains_tokens_shows_a_renewal(tmp_path):
    found = evidence(write_box(tmp_path))
    scheme = SimpleNamespace(exchanges=True)
    choice = found.partner.file.connection.auth[0].model_copy(update={"scheme": scheme})
    connection = found.partner.file.connection.model_copy(update={"auth": (choice,)})
    partner = found.partner.model_copy(update={"file": found.partner.file.model_copy(update={"connection": connection})})
    assert RULES["failure-cases"].check(replace(found, partner=partner)) == ["no case shows a token that has expired and is renewed"]
    renewed = "{request: {method: GET, url: x}, reply: {status: 401}}"
    again = evidence(write_box(tmp_path, cases__find_items__renewed=f"title: T\nexchanges: [{renewed}]\nresult: {{}}\n"))
    assert RULES["failure-cases"].check(replace(again, partner=partner)) == []


def test_a_host_that_is_chosen_is_looked_at_in_each_choice(tmp_path):
    base = ("base: https://api.box.com/v1", 'base: "https://{{connection.company}}{{connection.host | default: \\"api.box.com\\"}}"')
    company, host = (
        "{name: company, type: string, label: C, pattern: a+}",
        "{name: host, type: string, label: Region, options: [{key: api.box.com, label: A}, {key: eu.box.%s, label: B}]}",
    )
    field = f"  fields: [{company}, {host}]\n  auth:\n"
    assert findings(write(tmp_path, {"partner": base, "partner.yaml": ("  auth:\n", field % "com")}), "https-and-public-hosts") == ""
    inside = findings(write(tmp_path, {"partner": base, "partner.yaml": ("  auth:\n", field % "local")}), "https-and-public-hosts")
    assert inside == 'base: "xeu.box.local" is no public host'


@pytest.mark.parametrize(("sample", "found"), [("box.acme.com", ""), ("box.local", 'base: "box.local" is no public host')])
def test_a_host_that_is_given_whole_is_looked_at_in_its_sample(tmp_path, sample, found):
    base = ("base: https://api.box.com/v1", 'base: "https://{{connection.domain}}"')
    field = f"  fields: [{{name: domain, type: string, label: Domain, pattern: a+, sample: {sample}}}]\n  auth:\n"
    assert findings(write(tmp_path, {"partner": base, "partner.yaml": ("  auth:\n", field)}), "https-and-public-hosts") == found


def test_what_is_left_out_of_a_row_counts(tmp_path):
    fields = "[{name: a, type: string, label: A}, {name: b, type: string, label: B}]"
    rows = ("customFields", f"sections:\n  - {{name: rows, label: Rows, required: true, fields: {fields}}}\ncustomFields")
    whole = ok("PATCH", path="/items/7").replace("input: {name: Blue}", "input: {name: Blue, group_id: 7, rows: ROWS}")
    for given, left_out in (("[{a_: x, b: y}]", False), ("[{a: x}]", True), ("[5]", False), ("5", False)):
        box = write_box(tmp_path, actions__update_item=rows, cases__update_item__ok=whole.replace("ROWS", given))
        assert bool(findings(box, "optional-fields-omitted")) is not left_out
