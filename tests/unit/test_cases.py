"""The case runner: a case passes when, and only when, requests and results are what it says."""

import pytest

from polyport.manifest.cases import Case, CaseFile, ExpectedRequest
from polyport.testing.cases import main, run_case, run_cases
from polyport.testing.differences import same_json
from polyport.testing.keys import read_token
from samples import action, field, list_spec, partner, trigger

pytestmark = pytest.mark.anyio
CONNECTION = {"auth": "token", "fields": {"token": "t-1234"}}
AUTH = {
    "connection": {
        "auth": [
            {
                "name": "token",
                "label": "T",
                "fields": [field("token", secret=True)],
                "scheme": {"kind": "bearer", "token": "{{connection.token}}"},
            }
        ],
        "verify": {"call": {"path": "/me"}, "account": "{{answer.name}}"},
    }
}
MAKE = action(
    fields=[field("name", required=True)], call={"method": "POST", "path": "/things", "query": {"a": "1"}, "body": {"name": "{{name}}"}},
    result={"fields": [field("id", "integer")]},
)  # fmt: skip
READ = trigger(result={"fields": [field("id")]})
TOOL = action(id=10002, name="tool", fields=[field("a")], compute={"b": "{{a}}"}, result={"fields": [field("b")]})
FORM = action(
    id=10003, name="form", fields=[field("a")], call={"method": "POST", "path": "/form", "body": {"a": "{{a}}"}, "encoding": "form"}
)
TEXT = action(id=10004, name="text", fields=[field("a")], call={"method": "POST", "path": "/text", "body": "{{a}}", "encoding": "text"})
PARTS = action(
    id=10005, name="parts", fields=[field("a"), field("f", "file")],
    calls=[{"method": "POST", "path": "/parts", "body": {"a": "{{a}}", "f": "{{f}}"}, "encoding": "multipart"}, {"path": "/file", "decode": "file", "save": "got"}],
    result={"value": {"f": "{{steps.got}}", "all": ["{{steps.got}}"]}, "fields": [field("f", "file"), field("all", "file[]")]},
)  # fmt: skip
MARKUP = action(id=10006, name="markup", fields=[field("a")], call={"method": "POST", "path": "/x", "body": {"x:r": {"@xmlns:x": "u", "a": "{{a}}"}}, "encoding": "xml"})  # fmt: skip
PARTNER = partner(MAKE, READ, TOOL, FORM, TEXT, PARTS, MARKUP, lists={"owners": list_spec()}, **AUTH)
SENT = {
    "method": "POST",
    "url": "https://api.example.com/v1/things",
    "query": {"a": "1"},
    "json": {"name": "x"},
    "headers": {"Authorization": "Bearer t-1234"},
}
OK = {"title": "T", "input": {"name": "x"}, "exchanges": [{"request": SENT, "reply": {"json": {"id": 5}}}], "result": {"id": 5}}


async def differences(told, target="do_it", connection=CONNECTION):
    case = Case.model_validate({"title": "T", "connection": connection} | told, by_alias=True, by_name=False)
    report = await run_case(PARTNER, CaseFile(file="f", target=target, name="n", case=case), None)
    return list(report.differences)


async def test_a_case_that_is_so_passes():
    assert await differences(OK) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "PUT"}, "expected PUT"), ({"url": "https://api.example.com/v1/other"}, "/v1/other"), ({"query": {}}, "query.a: not expected, got"), ({"query": {"a": ["1", "2"]}}, "query"),
        ({"json": {"name": "y"}}, 'body.name: expected "y", got "x"'), ({"json": None}, "body: expected null, got"), ({"headers": {"X-A": "b"}}, 'header X-A: expected "b", but it is missing'),
        ({"text": "x", "json": ...}, "body differs (- expected, + got):\n    -x\n    +"), ({"form": {"a": "1"}, "json": ...}, 'form.a: expected ["1"], but it is missing'), ({"json": ...}, "body: expected none"),
    ],
)  # fmt: skip
async def test_a_request_that_differs_is_told(change, words):
    request = {key: value for key, value in (SENT | change).items() if value is not ...}
    found = await differences(OK | {"exchanges": [{"request": request, "reply": {"json": {"id": 5}}}]})
    assert any(words in line for line in found), found


async def test_a_result_that_differs_is_told():
    assert await differences(OK | {"result": {"id": 6}}) == ["result.id: expected 6, got 5"]
    assert await differences(OK | {"result": {"id": 5, "more": 1}}) != []


async def test_requests_that_are_missing_or_too_many_are_told():
    assert (await differences(OK | {"exchanges": OK["exchanges"] * 2}))[0] == "only 1 of 2 expected requests were sent"
    assert "one request more than expected" in (await differences(OK | {"exchanges": []}))[0]


async def test_an_error_is_compared_key_by_key():
    refusal = {"request": SENT, "reply": {"status": 422, "json": {"message": "bad"}}}
    told = {"input": {"name": "x"}, "exchanges": [refusal]}
    assert await differences(told | {"error": {"code": "partner_error", "upstream": {"status": 422, "message": "bad"}}}) == []
    assert await differences(told | {"error": {"code": "partner_error", "upstream": {"status": 400}}}) == [
        "error.upstream.status: expected 400, got 422"
    ]
    assert await differences(told | {"error": {"fields": [{"path": "a"}]}}) == ['error.fields: expected [{"path":"a"}], got null']
    assert (await differences(OK | {"result": None, "error": {"code": "x"}}))[0].startswith("expected an error, got")


async def test_a_failure_in_doubt_is_said_to_be_uncertain():
    told = {"input": {"name": "x"}, "exchanges": [{"request": SENT, "reply": {"status": 500}}]}
    assert await differences(told | {"error": {"code": "partner_unavailable", "outcome": "uncertain", "retryable": False}}) == []


async def test_inputs_that_never_leave_are_compared_with_their_paths():
    assert (
        await differences(
            {
                "input": {"nope": 1},
                "invalid": [{"path": "runnerData.nope", "code": "unknown_field"}, {"path": "runnerData.name", "code": "required"}],
            }
        )
        == []
    )
    assert await differences({"input": {}, "invalid": [{"path": "runnerData.name", "code": "wrong_type"}]}) != []
    assert await differences(OK | {"result": None, "invalid": []}) != []


async def test_triggers_lists_tools_and_verify_calls_have_cases_too():
    get = {"method": "GET", "url": "https://api.example.com/v1/things"}
    assert (
        await differences({"exchanges": [{"request": get, "reply": {"json": [{"id": "a"}]}}], "items": [{"id": "a"}]}, "new_things") == []
    )
    owners = get | {"url": "https://api.example.com/v1/owners"}
    told = {"exchanges": [{"request": owners, "reply": {"json": [{"id": 1, "name": "Ada"}]}}], "options": [{"key": 1, "label": "Ada"}]}
    assert await differences(told, "lists/owners") == []
    me = get | {"url": "https://api.example.com/v1/me"}
    assert await differences({"exchanges": [{"request": me, "reply": {"json": {"name": "Ada"}}}], "account": "Ada"}, "verify") == []
    assert await differences({"input": {"a": "x"}, "result": {"b": "x"}}, "tool") == []


async def parts(wanted, **given):
    told = {"name": "a.png", "contentType": "application/octet-stream", "size": 4}
    return await differences(
        {
            "input": {"a": "x", "f": {"url": "https://x.example/a.png"}} | given,
            "exchanges": [
                {"request": {"method": "POST", "url": "https://api.example.com/v1/parts", "multipart": wanted}, "reply": {"json": {}}},
                {
                    "request": {"method": "GET", "url": "https://api.example.com/v1/file"},
                    "reply": {"base64": "AAECAw==", "headers": {"Content-Disposition": "a; filename=a.png"}},
                },
            ],
            "result": {"f": {"fileId": "file_1", **told}, "all": [{"fileId": "file_1", **told}]},
        },
        "parts",
    )


async def test_parts_are_compared_by_name_and_files_by_what_is_wanted_of_them():
    assert await parts({"a": "x", "f": {"name": "a.png", "size": 40}}) == []
    assert await parts({"a": "x", "f": {"base64": "AAECAw=="}}, f={"base64": "AAECAw==", "name": "b"}) == []
    for wanted in ({"a": "y", "f": {}}, {"a": "x"}, {"a": "x", "f": {"name": "b.png"}}, {"a": "x", "f": {}, "g": "x"}):
        [found] = await parts(wanted)
        assert found.startswith("request 1: body.")


@pytest.mark.parametrize(("wanted", "same"), [({"r": {"a": "1"}}, True), ({"r": {"a": "2"}}, False), ({"q": {}}, False)])
async def test_markup_is_compared_without_prefixes(wanted, same):
    exchange = {"request": {"method": "POST", "url": "https://api.example.com/v1/x", "xml": wanted}, "reply": {"json": {}}}
    assert (await differences({"input": {"a": "1"}, "exchanges": [exchange], "result": {}}, "markup") == []) is same


async def test_a_body_of_another_kind_is_no_markup():
    sent = {"method": "POST", "url": "https://api.example.com/v1/form", "xml": {"a": "1"}}
    [found] = await differences({"input": {"a": "<"}, "exchanges": [{"request": sent, "reply": {"json": {}}}], "result": {}}, "form")
    assert found == 'request 1: body.a: expected "1", got "<"'


async def test_forms_and_texts_are_compared():
    form = {"method": "POST", "url": "https://api.example.com/v1/form", "form": {"a": "x"}}
    assert await differences({"input": {"a": "x"}, "exchanges": [{"request": form, "reply": {"text": "null"}}], "result": {}}, "form") == []
    text = {"method": "POST", "url": "https://api.example.com/v1/text", "text": "x"}
    assert await differences({"input": {"a": "x"}, "exchanges": [{"request": text, "reply": {}}], "result": {}}, "text") == []
    as_json = {"method": "POST", "url": "https://api.example.com/v1/text", "json": "x"}
    assert (
        "expected JSON"
        in (await differences({"input": {"a": "x"}, "exchanges": [{"request": as_json, "reply": {}}], "result": {}}, "text"))[0]
    )


SERVICE = {
    "auth": [
        {
            "name": "service",
            "label": "S",
            "fields": [field("key_file", secret=True)],
            "scheme": {"kind": "jwt_bearer", "tokenUrl": "https://api.example.com/token",
                       "assertion": {"keyFile": "{{connection.key_file}}", "header": {"kid": "{{key.kid}}"}, "claims": {"iss": "{{key.iss}}"}}},
        }
    ],
    "verify": {"call": {"path": "/me"}, "account": "{{answer.name}}"},
}  # fmt: skip
CLAIMS = {"iss": "robot", "aud": "https://api.example.com/token", "iat": 1795521600, "exp": 1795521900}


async def signed(token, form=None, key='{"iss": "robot", "kid": "k1", "private_key": "(a private key)"}'):
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"} if form is None else form
    told = {
        "title": "T",
        "connection": {"auth": "service", "fields": {"key_file": key}},
        "exchanges": [
            {"request": {"method": "POST", "url": "https://api.example.com/token", "form": grant, "tokens": token}, "reply": {"json": {"access_token": "t", "expires_in": 60}}},
            {"request": {"method": "GET", "url": "https://api.example.com/v1/me"}, "reply": {"json": {"name": "robot"}}},
        ],
        "account": "robot",
    }  # fmt: skip
    case = Case.model_validate(told, by_alias=True, by_name=False)
    report = await run_case(partner(MAKE, connection=SERVICE), CaseFile(file="f", target="verify", name="n", case=case), None)
    return list(report.differences)


async def test_a_signed_token_is_compared_by_what_it_says_and_its_key_is_a_stand_in():
    assert await signed({"assertion": {"claims": CLAIMS, "header": {"kid": "k1", "alg": "RS256"}}}) == []
    assert await signed({"assertion": {"claims": CLAIMS | {"iss": "x"}, "header": {"kid": "k2"}}}) == [
        'request 1: form.assertion.claims.iss: expected "x", got "robot"',
        'request 1: form.assertion.header.kid: expected "k2", got "k1"',
    ]
    [missing, _unexpected] = await signed({"ticket": {"claims": {}}})
    assert missing == "request 1: form.ticket: expected a signed token, got []"
    [none] = await signed({"grant_type": {"claims": {}}, "assertion": {"claims": CLAIMS}}, {})
    assert "form.grant_type: expected a signed token" in none


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "e30.e30", "!.!.!"])
def test_what_is_no_signed_token_is_not_read(token):
    with pytest.raises(ValueError, match="signed token"):
        read_token(token)


@pytest.mark.parametrize("told", [{}, {"form": {"a": "x"}}])
def test_expected_tokens_stand_in_a_form_and_once(told):
    with pytest.raises(ValueError, match="parameters of a form"):
        ExpectedRequest.model_validate({"method": "POST", "url": "u", "tokens": {"a": {"claims": {}}}} | told)


@pytest.mark.parametrize(("target", "words"), [("nope", "no operation nope"), ("lists/nope", "no list for lists/nope")])
async def test_a_case_of_nothing_is_told(target, words):
    assert words in (await differences({"result": {}}, target))[0]


async def test_a_clock_that_is_none_is_told_and_nothing_is_raised():
    assert "unusable" in (await differences(OK | {"now": "soon"}))[-1]


async def test_without_a_connection_nothing_is_signed():
    assert "header Authorization" in (await differences(OK, connection=None))[0]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, 0, False),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
    ],
)
def test_json_is_the_same_by_value_and_never_by_accident(one, two, same):
    assert same_json(one, two) is same


FOLDER = {
    "partner.yaml": 'id: 9\nslug: example\ntitle: Example\nowners: [t]\nbase: https://api.example.com\nverified: {how: cases, on: "2026-11-24"}\n',
    "actions/make.yaml": "id: 90001\nname: make\ntitle: Make\nidempotent: false\ncall: {path: /things}\nresult: {fields: [{name: id, type: integer, label: ID}]}\n",
    "cases/make/ok.yaml": "title: T\nexchanges: [{request: {method: GET, url: https://api.example.com/things}, reply: {json: {id: 5}}}]\nresult: {id: 5}\n",
}


def write(folder, **changes):
    for name, text in (FOLDER | changes).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


async def test_all_cases_of_a_folder_are_run(tmp_path):
    reports, problems = await run_cases(write(tmp_path))
    assert (problems, [(report.file, report.differences) for report in reports]) == ([], [("cases/make/ok.yaml", ())])


async def test_a_folder_with_faults_runs_nothing_and_tells_them(tmp_path):
    reports, problems = await run_cases(write(tmp_path, **{"actions/make.yaml": "id: 5", "cases/make/bad.yaml": "a: ["}))
    assert reports == []
    assert len(problems) >= 2


def test_the_command_says_what_failed_and_ends_with_one(tmp_path, capsys):
    assert main([str(write(tmp_path))]) == 0
    assert "1 cases, 1 passed" in capsys.readouterr().out
    assert (
        main([str(write(tmp_path, **{"cases/make/bad.yaml": FOLDER["cases/make/ok.yaml"].replace("result: {id: 5}", "result: {id: 6}")}))])
        == 1
    )
    shown = capsys.readouterr().out
    assert "FAILED cases/make/bad.yaml (T)" in shown
    assert "2 cases, 1 passed" in shown
    assert main([str(tmp_path / "none")]) == 1
    assert "needs this file" in capsys.readouterr().out
