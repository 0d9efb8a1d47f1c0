"""What is refused of a partner's connections when its folder is read: names that are not there, secrets that could be shown, values that could leave a host."""

import json

import pytest

from polyport.manifest.load import load_partner

KEY = {"name": "key", "type": "string", "label": "Key", "secret": True}
SHOP = {"name": "shop", "type": "string", "label": "Shop"}
BEARER = {"kind": "bearer", "token": "{{connection.key}}"}
CLIENT = {"kind": "oauth2", "grant": "client_credentials", "tokenUrl": "https://login.example.com/token"}
SESSION = {
    "kind": "session",
    "steps": [{"save": "login", "url": "https://api.example.com/login", "body": {"key": "{{connection.key}}"}}],
    "keep": {"token": "{{steps.login.body.token}}"},
    "place": [{"in": "header", "param": "X-Token", "value": "{{grant.token}}"}],
    "learn": {"site": "{{steps.login.body.site}}"},
}


def problems(tmp_path, scheme=BEARER, fields=(KEY,), base="https://api.example.com", **connection):
    told = {
        "id": 950,
        "slug": "checked",
        "title": "Checked",
        "owners": ["me"],
        "base": base,
        "connection": {"auth": [{"name": "key", "label": "Key", "fields": list(fields), "scheme": scheme}], **connection},
        "verified": {"how": "cases", "on": "2026-11-25"},
    }
    folder = tmp_path / "checked"
    folder.mkdir(exist_ok=True)
    (folder / "partner.yaml").write_text(json.dumps(told))  # JSON is YAML
    return [str(problem) for problem in load_partner(folder).problems]


@pytest.mark.parametrize(
    "scheme", [BEARER, SESSION, {"kind": "jwt", "algorithm": "HS256", "key": "{{connection.key}}", "claims": {"iat": "{{now}}"}}]
)
def test_a_kind_may_read_the_fields_of_its_choice_and_what_it_knows_itself(tmp_path, scheme):
    assert problems(tmp_path, scheme) == []


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (BEARER | {"token": "{{connection.gone}}"}, "{{connection.gone}} is not a field"),
        (BEARER | {"token": "{{key}}"}, "{{key}} is not a field"),
        (BEARER | {"token": "{{connection}}"}, "{{connection}} is not a field"),
        (
            {
                "kind": "api_key",
                "in": "header",
                "param": "X",
                "value": "{{connection.key}}",
                "also": [{"in": "query", "param": "a", "value": "{{connection.no}}"}],
            },
            "{{connection.no}}",
        ),
        (SESSION | {"steps": [SESSION["steps"][0] | {"body": {"{{connection.name}}": "x"}}]}, "{{connection.name}}"),
        (CLIENT, 'reads the field "client_id"'),
        (CLIENT, 'reads the field "client_secret"'),
        ({"kind": "sigv4", "service": "s3", "region": "eu"}, 'reads the field "access_key_id"'),
    ],
)
def test_a_kind_that_reads_what_is_not_there_is_a_fault_at_its_place(tmp_path, scheme, said):
    found = problems(tmp_path, scheme)
    assert any(said in problem for problem in found), found
    assert all("partner.yaml:1:" in problem for problem in found)


def test_a_value_in_the_host_of_an_exchange_is_bound_to_a_form(tmp_path):
    told = CLIENT | {"tokenUrl": "https://{{connection.shop}}.example.com/token", "clientId": "a", "clientSecret": "{{connection.key}}"}
    (fault,) = problems(tmp_path, told, [KEY, SHOP])
    assert '"shop" stands in the host' in fault


def test_a_bound_one_is_fine(tmp_path):
    told = CLIENT | {
        "tokenUrl": "https://{{connection.shop}}.example.com/{{connection.key}}",
        "clientId": "a",
        "clientSecret": "{{connection.key}}",
    }
    assert problems(tmp_path, told, [KEY, SHOP | {"pattern": "[a-z]+"}]) == []


def test_what_is_learned_may_be_read_by_base_and_headers_when_it_has_a_pattern(tmp_path):
    learn = [{"name": "centre", "label": "Centre", "value": "{{connection.key}}", "pattern": "us[0-9]"}]
    assert problems(tmp_path, base="https://{{connection.centre}}.example.com", learn=learn) == []


@pytest.mark.parametrize(
    ("learn", "said"),
    [
        ([{"name": "centre", "label": "Centre", "value": "{{connection.key}}"}], '"centre" stands in the base URL'),
        ([{"name": "key", "label": "Key", "value": "{{connection.key}}"}], '"key" is taken'),
        ([{"name": "a", "label": "A", "value": "x"}, {"name": "a", "label": "A", "value": "y"}], '"a" is taken'),
        ([{"name": "a", "label": "A", "value": "{{connection.gone}}"}], "{{connection.gone}} is no field"),
        ([{"name": "a", "label": "A", "value": "{{answer.x}}"}], "{{answer.x}} is no field"),
        ([{"name": "a", "label": "A", "value": "{{connection.key"}], "not closed"),
    ],
)
def test_what_is_learned_badly_is_a_fault(tmp_path, learn, said):
    base = "https://{{connection.centre}}.example.com" if learn[0]["name"] == "centre" else "https://api.example.com"
    found = problems(tmp_path, base=base, learn=learn)
    assert any(said in problem for problem in found), found


def test_an_answer_is_read_where_there_is_a_verify_call(tmp_path):
    learn = [{"name": "a", "label": "A", "value": "{{answer.x}}"}]
    assert problems(tmp_path, learn=learn, verify={"call": {"path": "/me"}}) == []


def test_what_a_grant_tells_has_a_name_of_its_own_and_needs_a_pattern_in_the_base(tmp_path):
    found = problems(tmp_path, SESSION, [KEY, SHOP | {"name": "site"}])
    assert any('"site" is taken by a field' in problem for problem in found), found


def test_a_learned_site_without_a_pattern_does_not_make_the_base(tmp_path):
    found = problems(tmp_path, SESSION, base="https://{{connection.site}}.example.com")
    assert any('"site" stands in the base URL' in problem for problem in found), found


def test_texts_that_are_no_templates_are_passed_over(tmp_path):
    told = SESSION | {
        "learn": {"site": {"value": "{{steps.login.body.site}}", "pattern": "[{]{2}"}, "other": {"value": "x", "pattern": "a{{2}"}}
    }
    assert problems(tmp_path, told) == []


def test_no_secret_is_read_outside_of_auth_kinds_even_through_prefixes(tmp_path):
    found = problems(tmp_path, verify={"call": {"path": "/me", "query": {"k": "{{connection.key}}"}}})
    assert any("only an auth kind may read it" in problem for problem in found), found


IN_PATH = {"kind": "api_key", "in": "path", "param": ":token", "value": "{{connection.key}}"}


def test_a_call_that_has_no_place_for_the_key_in_its_path_is_a_fault(tmp_path):
    (fault,) = problems(tmp_path, IN_PATH, verify={"call": {"path": "/me"}})
    assert 'the path says ":token"' in fault


@pytest.mark.parametrize(
    "call", [{"path": "/bot:token/me"}, {"path": "/me", "auth": False}, {"url": "https://files.example.com/:token/me"}]
)
def test_one_that_has_it_or_is_not_signed_is_fine(tmp_path, call):
    assert problems(tmp_path, IN_PATH, verify={"call": call}) == []


def test_the_base_may_hold_the_marker_for_all(tmp_path):
    assert problems(tmp_path, IN_PATH, base="https://api.example.com/bot:token", verify={"call": {"path": "/me"}}) == []


def test_calls_of_operations_and_lists_are_looked_at_too(tmp_path):
    folder = tmp_path / "checked"
    for name, told in (
        (
            "actions/go.yaml",
            {"id": 95001, "name": "go", "title": "Go", "idempotent": True, "calls": [{"path": "/:token/a"}, {"path": "/b"}]},
        ),
        ("lists/things.yaml", {"name": "things", "title": "Things", "call": {"path": "/things"}}),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(told))
    found = problems(tmp_path, IN_PATH)
    assert [problem.partition(":")[0].rpartition("/")[2] for problem in found if ":token" in problem] == ["go.yaml", "things.yaml"]
