"""The simulated partner without a network: routes, records, lists, refusals and recorded answers."""

import base64
import textwrap
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import quote

import msgspec
import pytest

from polyport.errors import SetupError
from polyport.manifest.simulation import Collection
from polyport.manifest.simulation_file import load_simulation
from polyport.testing.memory import RECORD_LIMIT, Refused, Table
from polyport.testing.simulated import SimulatedPartner
from polyport.testing.simulator import load_simulator
from polyport.testing.traffic import Incoming

SIMULATION = """
    auth: {headers: [x-token], query: [key], refused: [bad-token], refuse: {status: 401, json: {error: unauthorised}}}
    missing: {status: 404, json: {error: no such thing}}
    invalid: {status: 422, json: {error: invalid, field: "{{field}}", reason: "{{reason}}", expected: "{{expected}}"}}
    conflict: {status: 409, json: {error: conflict, field: "{{field}}"}}
    unknown: {status: 404, text: "nothing at {{now}}"}
    collections:
      teams: {seeds: [{id: 1, name: Blue}, {id: 2, name: Red}]}
      people:
        ids: {start: 10}
        required: [name]
        types: {name: string, age: integer, weight: number, active: boolean, tags: array, extra: object}
        unique: [email]
        defaults: {added: "{{now}}", age: null, extra: {a: 1}, phones: []}
        always: {changed: "{{now}}", first: "{{record.name | split: \\" \\" | first}}"}
        rows: [{at: phones, defaults: {label: work, primary: false}, first: primary}]
        links: {team: {in: teams, at: team_id}}
    routes:
      - {route: POST /people, do: create, in: people, reply: {status: 201, headers: {Location: "/people/{{id}}"}, json: {data: "{{record}}"}}}
      - {route: "GET /people/{id}", do: get, in: people, reply: {json: "{{record}}"}}
      - {route: GET /people/me, do: get, in: people, id: "10", reply: {json: {me: "{{record.name}}"}}}
      - {route: GET /by-email, do: get, in: people, find: email, id: "{{query.email}}", reply: {json: "{{record.id}}"}}
      - {route: GET /by-name, do: get, in: people, find: name, id: "{{query.name}}", reply: {json: "{{record.id}}"}}
      - {route: "PATCH /people/{id}", do: update, in: people, reply: {json: "{{record}}"}}
      - {route: "DELETE /people/{id}", do: delete, in: people, reply: {status: 204}}
      - route: GET /people
        do: list
        in: people
        filters:
          - {at: team_id, value: "{{query.team}}"}
          - {at: id, value: "{{query.ids}}", op: one_of}
          - {at: name, value: "{{query.like}}", op: contains}
          - {at: added, value: "{{query.since}}", op: at_least}
          - {at: added, value: "{{query.until}}", op: below}
          - {at: age, value: "{{query.most}}", op: at_most}
          - {at: tags, value: "{{query.tag}}"}
        sort: {by: "{{query.sort}}", direction: "{{query.direction}}", allowed: {id: id, name: name, added: added, age: age}, default: id}
        page: {at: "{{query.cursor}}", limit: "{{query.limit}}", size: 2, most: 3}
        item: {id: "{{record.id}}", team: "{{links.team.name}}"}
        reply: {json: {items: "{{items}}", total: "{{total}}", next: "{{page.next | default: null}}"}}
      - route: GET /offset
        do: list
        in: people
        page: {kind: offset, at: "{{query.start}}", limit: "{{query.limit}}", size: 2}
        reply: {json: {ids: "{{items[*].id}}", more: "{{page.more}}", next: "{{page.next}}"}}
      - route: GET /pages
        do: list
        in: people
        page: {kind: number, at: "{{query.page}}", size: 2}
        reply: {json: {ids: "{{items[*].id}}", pages: "{{page.pages}}", number: "{{page.number}}", next: "{{page.next}}"}}
      - {route: GET /teams, do: list, in: teams, sort: {newestFirst: true}, reply: {json: "{{items[*].name}}"}}
      - route: GET /search
        do: search
        in: people
        search: {term: "{{query.term}}", look: {name: name, extra: extra, phone: "phones[*].value"}, only: "{{query.only}}", exact: "{{query.exact}}", least: 2}
        reply: {json: "{{items[*].id}}"}
      - route: POST /join
        required: [body.person, query.token]
        needs: [{in: people, id: "{{body.person}}", reply: {status: 410, text: gone}}]
        refusals: [{when: [{at: body.person}, {at: body.team, equals: 3}], reply: {json: {ok: false}}}]
        reply: {json: {ok: true}}
      - {route: GET /open, auth: false, reply: {text: "{{query.name}}"}}
      - {route: POST /echo, reply: {json: "{{body}}"}}
      - {route: GET /bad, reply: {json: "{{query.n | int}}"}}
      - {route: GET /empty}
"""


class Partner:
    """A simulated partner with a clock that moves a second a request."""

    def __init__(self, folder, text=SIMULATION, cases=()):
        (folder / "simulator.yaml").write_text(textwrap.dedent(text), "utf-8")
        loaded = load_simulation(folder)
        assert loaded.problems == ()
        ticks = count()
        self.inner = SimulatedPartner(
            loaded.simulation,
            cases,
            clock=lambda: datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC) + timedelta(seconds=next(ticks)),
            fresh_id=lambda: "fresh",
        )

    def raw(self, method, path, body=b"", headers=None):
        path, _, query = path.partition("?")
        headers = {"x-token": "good-token", "content-type": "application/json"} if headers is None else headers
        return self.inner.answer(Incoming(method=method, path=path, query=query, headers=tuple(headers.items()), body=body))

    def ask(self, method, path, data=None, headers=None):
        answer = self.raw(method, path, b"" if data is None else msgspec.json.encode(data), headers)
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None


@pytest.fixture
def partner(tmp_path):
    return Partner(tmp_path)


@pytest.fixture
def crowd(partner):
    """Five people: 10 to 14."""
    for name, team, age in (("Ada", 1, 36), ("Bob", 2, 20), ("Cy", 1, None), ("Ada Two", 2, 50), ("Eve", 1, 5)):
        partner.ask("POST", "/people", {"name": name, "team_id": team, "age": age, "tags": [name[0]]})
    return partner


def ids(partner, query):
    status, answer = partner.ask("GET", f"/people?{query}")
    assert status == 200
    return [item["id"] for item in answer["items"]]


def test_a_created_record_gets_its_id_its_times_its_defaults_and_what_follows_from_it(partner):
    answer = partner.raw("POST", "/people", b'{"name": "Ada Example", "extra": {"b": 2}}')

    assert answer.status == 201
    assert (b"location", b"/people/10") in answer.headers
    assert msgspec.json.decode(answer.body)["data"] == {
        "id": 10, "name": "Ada Example", "first": "Ada", "age": None, "phones": [],
        "added": "2026-11-24T12:00:00Z", "changed": "2026-11-24T12:00:00Z", "extra": {"a": 1, "b": 2},
    }  # fmt: skip


def test_what_was_created_can_be_read(partner):
    partner.ask("POST", "/people", {"name": "Ada"})

    assert partner.ask("GET", "/people/10")[1]["name"] == "Ada"


def test_a_change_merges_objects_replaces_the_rest_and_keeps_the_id(partner):
    partner.ask("POST", "/people", {"name": "Ada One", "extra": {"b": 2}, "tags": ["x", "y"]})

    status, record = partner.ask("PATCH", "/people/10", {"id": 99, "name": "Eve Two", "extra": {"b": 3}, "tags": ["z"], "age": None})

    assert status == 200
    assert (record["id"], record["first"], record["extra"], record["tags"]) == (10, "Eve", {"a": 1, "b": 3}, ["z"])
    assert (record["added"], record["changed"]) == ("2026-11-24T12:00:00Z", "2026-11-24T12:00:01Z")


def test_a_deleted_record_is_gone(partner):
    partner.ask("POST", "/people", {"name": "Ada"})

    assert partner.ask("DELETE", "/people/10") == (204, None)
    assert partner.ask("GET", "/people/10") == (404, {"error": "no such thing"})


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_record_that_is_not_there_gets_the_partners_own_answer(partner, method):
    assert partner.ask(method, "/people/99", {}) == (404, {"error": "no such thing"})


def test_a_value_given_twice_finds_either_and_nothing_else(crowd):
    crowd.ask("POST", "/people", {"name": "Nobody's"})

    assert ids(crowd, "team=1&team=2&limit=3") == [10, 11, 12]
    assert ids(crowd, "like=bob&like=eve") == [11, 14]
    assert ids(crowd, "since=2026-11-24T12:00:00Z&since=x") == []


def test_texts_that_are_no_moments_are_compared_as_texts(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {things: {seeds: [{id: 1, code: b}, {id: 2, code: c}, {id: 3, code: 5}]}}
        routes: [{route: GET /things, do: list, in: things, filters: [{at: code, value: "{{query.from}}", op: above}], reply: {json: "{{items[*].id}}"}}]
        """,
    )

    assert partner.ask("GET", "/things?from=b") == (200, [2])


def test_a_record_is_looked_for_in_further_places(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {things: {seeds: [{id: 1, code: b}]}}
        routes: [{route: "GET /things/{id}", do: get, in: things, also: [name, code], reply: {json: "{{id}}"}}]
        """,
    )

    assert [partner.ask("GET", f"/things/{key}")[0] for key in ("1", "b", "c")] == [200, 200, 404]


def test_an_upsert_changes_the_record_that_is_meant_or_adds_one(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {people: {unique: [email]}}
        routes: [{route: PUT /people, do: upsert, in: people, find: email, id: "{{body.email}}", reply: {json: {id: "{{id}}", name: "{{record.name}}"}}}]
        """,
    )
    put = [
        partner.ask("PUT", "/people", {"email": email, "name": name}) for email, name in (("a@x", "Ada"), ("A@X", "Eve"), ("b@x", "Bob"))
    ]

    assert put == [(200, {"id": 1, "name": "Ada"}), (200, {"id": 1, "name": "Eve"}), (200, {"id": 2, "name": "Bob"})]


def test_conditions_have_to_be_a_list_of_groups(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {things: {seeds: [{id: 1, code: b}, {id: 2, code: c}]}}
        routes:
          - route: POST /things/search
            do: list
            in: things
            where: {at: body.groups, name: name, operator: op, value: value, operators: {is: equals}}
            reply: {json: "{{items[*].id}}"}
        """,
    )

    assert partner.ask("POST", "/things/search", {}) == (200, [1, 2])
    assert partner.ask("POST", "/things/search", {"groups": 5})[0] == 400
    assert partner.ask("POST", "/things/search", {"groups": [{"filters": [{"name": "code", "op": "is", "value": v}]} for v in "bx"]}) == (
        200,
        [1],
    )
    assert partner.ask("POST", "/things/search", {"groups": [{"filters": 5}]}) == (200, [1, 2])


def test_a_literal_segment_goes_before_a_parameter(partner):
    partner.ask("POST", "/people", {"name": "Ada"})

    assert partner.ask("GET", "/people/me") == (200, {"me": "Ada"})


def test_a_record_is_found_by_another_value_without_regard_to_case(partner):
    partner.ask("POST", "/people", {"name": "Ada", "email": "ADA@example.com"})

    assert partner.ask("GET", "/by-email?email=ada@EXAMPLE.com") == (200, 10)
    assert partner.ask("GET", "/by-name?name=ada") == (200, 10)
    assert partner.ask("GET", "/by-email?email=bob@example.com")[0] == 404


def test_a_value_that_has_to_be_unique_is_refused_the_second_time(partner):
    partner.ask("POST", "/people", {"name": "Ada", "email": "ada@example.com"})
    partner.ask("POST", "/people", {"name": "Bob", "email": "bob@example.com"})

    assert partner.ask("POST", "/people", {"name": "Eve", "email": "Ada@example.com"}) == (409, {"error": "conflict", "field": "email"})
    assert partner.ask("PATCH", "/people/11", {"email": "ada@example.com"})[0] == 409
    assert partner.ask("PATCH", "/people/10", {"email": "ada@example.com"})[0] == 200


def test_a_unique_value_is_free_again_after_its_record_changed_or_went(partner):
    partner.ask("POST", "/people", {"name": "Ada", "email": "a@example.com"})
    partner.ask("PATCH", "/people/10", {"email": "b@example.com"})

    assert partner.ask("POST", "/people", {"name": "Eve", "email": "a@example.com"})[0] == 201

    partner.ask("DELETE", "/people/10")

    assert partner.ask("POST", "/people", {"name": "Eve", "email": "b@example.com"})[0] == 201


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "required"),
        ({"name": None}, "name", "required"),
        ({"name": 5}, "name", "type"),
        ({"name": "x", "age": "5"}, "age", "type"),
        ({"name": "x", "age": True}, "age", "type"),
        ({"name": "x", "age": 1.5}, "age", "type"),
        ({"name": "x", "weight": "1"}, "weight", "type"),
        ({"name": "x", "active": 1}, "active", "type"),
        ({"name": "x", "tags": {}}, "tags", "type"),
        ({"name": "x", "extra": []}, "extra", "type"),
        ({"name": "x" * RECORD_LIMIT}, "body", "size"),
        ([], "body", "type"),
        (None, "body", "type"),
    ],
)
def test_what_a_record_may_not_be_gets_the_partners_own_refusal(partner, data, field, reason):
    status, answer = partner.ask("POST", "/people", data)

    assert (status, answer["field"], answer["reason"]) == (422, field, reason)
    assert len(partner.inner.tables["people"]) == 0


def test_values_of_all_declared_types_are_taken(partner):
    data = {"name": "x", "age": 5, "weight": 1.5, "active": True, "tags": [], "extra": {}}

    assert partner.ask("POST", "/people", data)[0] == 201


def test_rows_get_their_members_and_the_first_one_the_flag_if_none_has_it(partner):
    _, first = partner.ask("POST", "/people", {"name": "x", "phones": [{"value": "1"}, {"value": "2", "label": "home"}]})
    _, second = partner.ask("POST", "/people", {"name": "x", "phones": [{"value": "1"}, {"value": "2", "primary": True}]})

    assert first["data"]["phones"] == [
        {"value": "1", "label": "work", "primary": True},
        {"value": "2", "label": "home", "primary": False},
    ]
    assert [row["primary"] for row in second["data"]["phones"]] == [False, True]


def test_rows_that_are_no_objects_stay_as_they_are(partner):
    assert partner.ask("POST", "/people", {"name": "x", "phones": ["1", 2]})[1]["data"]["phones"] == ["1", 2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("team=1&limit=3", [10, 12, 14]),
        ("team=&limit=3", [10, 11, 12]),
        ("ids=14,10,999&limit=3", [10, 14]),
        ("ids=14&ids=11", [11, 14]),
        ("like=ADA", [10, 13]),
        ("since=2026-11-24T12:00:03Z", [13, 14]),
        ("until=2026-11-24T13:00:01%2B01:00", [10]),
        ("most=20", [11, 14]),
        ("tag=E", [14]),
    ],
)
def test_a_list_is_filtered_by_what_the_query_says(crowd, query, expected):
    assert ids(crowd, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=name&limit=3", [10, 13, 11]),
        ("sort=-name&limit=3", [14, 12, 11]),
        ("sort=name%20DESC&limit=3", [14, 12, 11]),
        ("sort=added&direction=desc&limit=3", [14, 13, 12]),
        ("sort=age&limit=3", [12, 14, 11]),
        ("direction=desc&limit=2", [14, 13]),
    ],
)
def test_a_list_has_the_order_that_was_asked_for(crowd, query, expected):
    assert ids(crowd, query) == expected


def test_records_of_the_same_moment_come_newest_first_too(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {things: {defaults: {when: "2026-11-24T12:00:00Z"}}}
        routes:
          - {route: POST /things, do: create, in: things}
          - {route: GET /things, do: list, in: things, sort: {default: when, newestFirst: true}, reply: {json: "{{items[*].id}}"}}
        """,
    )
    for _ in range(3):
        partner.ask("POST", "/things", {})

    assert partner.ask("GET", "/things") == (200, [3, 2, 1])


def test_an_unknown_order_is_refused(crowd):
    status, answer = crowd.ask("GET", "/people?sort=secret")

    assert (status, answer["field"], answer["expected"]) == (422, "sort", "id, name, added, age")


def test_a_listed_record_has_the_shape_of_the_route_with_its_links(crowd):
    assert crowd.ask("GET", "/people?limit=1&ids=11")[1]["items"] == [{"id": 11, "team": "Red"}]


def test_a_link_that_leads_nowhere_leaves_no_trace(partner):
    partner.ask("POST", "/people", {"name": "x", "team_id": 77})

    assert partner.ask("GET", "/people")[1]["items"] == [{"id": 10}]


def test_cursors_lead_through_all_pages(crowd):
    seen, cursor = [], ""
    for _ in range(3):
        _, answer = crowd.ask("GET", f"/people?cursor={cursor}")
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next"]

    assert seen == [10, 11, 12, 13, 14]
    assert cursor is None


def test_a_record_that_is_added_meanwhile_neither_repeats_nor_hides_others(crowd):
    _, first = crowd.ask("GET", "/people?direction=desc")
    crowd.ask("POST", "/people", {"name": "New"})

    assert ids(crowd, f"direction=desc&cursor={first['next']}") == [12, 11]


def test_a_cursor_goes_on_although_its_record_was_deleted(crowd):
    _, first = crowd.ask("GET", "/people")
    crowd.ask("DELETE", "/people/11")

    assert ids(crowd, f"cursor={first['next']}") == [13, 14]


@pytest.mark.parametrize("cursor", ["nonsense", "%00", "e30", quote(base64.b64encode(b"[1,2]")), "A" * 5_000])
def test_a_made_up_cursor_is_refused(crowd, cursor):
    status, answer = crowd.ask("GET", f"/people?cursor={cursor}")

    assert (status, answer["field"]) == (422, "cursor")


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "9" * 30])
def test_a_page_size_that_is_none_is_refused(crowd, limit):
    assert crowd.ask("GET", f"/people?limit={limit}")[1]["field"] == "limit"


def test_a_page_holds_at_most_what_the_partner_allows(crowd):
    assert len(ids(crowd, "limit=100")) == 3


def test_pages_by_offset_say_whether_there_is_more_and_where(crowd):
    assert crowd.ask("GET", "/offset") == (200, {"ids": [10, 11], "more": True, "next": 2})
    assert crowd.ask("GET", "/offset?start=4") == (200, {"ids": [14], "more": False})
    assert crowd.ask("GET", "/offset?start=40") == (200, {"ids": [], "more": False})
    assert crowd.ask("GET", "/offset?start=-1")[0] == 422


def test_pages_by_number_count_from_one(crowd):
    assert crowd.ask("GET", "/pages") == (200, {"ids": [10, 11], "pages": 3, "number": 1, "next": 2})
    assert crowd.ask("GET", "/pages?page=3") == (200, {"ids": [14], "pages": 3, "number": 3})
    assert crowd.ask("GET", "/pages?page=0")[0] == 422


def test_a_list_without_pages_gives_everything(partner):
    assert partner.ask("GET", "/teams") == (200, ["Red", "Blue"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("term=ada", [10, 13]),
        ("term=ada&exact=true", [10]),
        ("term=ada&only=phone", []),
        ("term=ada&only=name,extra", [10, 13]),
        ("term=zz", []),
    ],
)
def test_a_search_finds_texts_anywhere_or_where_it_was_told_to_look(crowd, query, expected):
    assert crowd.ask("GET", f"/search?{query}") == (200, expected)


def test_a_search_looks_into_rows_and_objects_and_numbers(partner):
    partner.ask("POST", "/people", {"name": "x", "phones": [{"value": "+44 123"}], "extra": {"code": 4567, "flag": True}})

    assert partner.ask("GET", "/search?term=44%201") == (200, [10])
    assert partner.ask("GET", "/search?term=4567") == (200, [10])
    assert partner.ask("GET", "/search?term=true") == (200, [])


def test_a_search_term_can_be_too_short(crowd):
    assert crowd.ask("GET", "/search?term=a")[0] == 422
    assert crowd.ask("GET", "/search?term=a&exact=true")[0] == 200
    assert crowd.ask("GET", "/search?exact=true")[0] == 422
    assert crowd.ask("GET", "/search?term=ab&term=cd")[0] == 422


def test_needed_keys_and_records_and_conditions_are_checked(crowd):
    assert crowd.ask("POST", "/join?token=t", {})[1]["field"] == "person"
    assert crowd.ask("POST", "/join", {"person": 10})[1]["field"] == "token"
    assert crowd.raw("POST", "/join?token=t", b'{"person": 99}').body == b"gone"
    assert crowd.ask("POST", "/join?token=t", {"person": 10, "team": 3}) == (200, {"ok": False})
    assert crowd.ask("POST", "/join?token=t", {"person": 10, "team": 4}) == (200, {"ok": True})


@pytest.mark.parametrize(
    "headers",
    [
        {"x-token": "abc"},
        {"authorization": "Bearer abc"},
        {"authorization": "Basic " + base64.b64encode(b"abc:").decode()},
        {"authorization": "Basic " + base64.b64encode(b":abc").decode()},
    ],
)
def test_a_token_passes_in_every_place_it_may_stand(partner, headers):
    assert partner.ask("GET", "/teams", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"x-token": ""}, {"x-token": "bad-token"}, {"authorization": "Bearer"}, {"authorization": "Bearer bad-token"},
        {"authorization": "Basic !"}, {"authorization": "Basic Og=="}, {"x-other": "abc"},
    ],
)  # fmt: skip
def test_no_token_and_a_refused_token_get_the_partners_own_answer(partner, headers):
    assert partner.ask("GET", "/teams", headers=headers) == (401, {"error": "unauthorised"})
    assert partner.ask("GET", "/nowhere", headers=headers)[0] == 401


def test_a_token_may_stand_in_the_query(partner):
    assert partner.ask("GET", "/teams?key=abc", headers={})[0] == 200
    assert partner.ask("GET", "/teams?key=bad-token", headers={})[0] == 401


def test_an_open_route_needs_no_token(partner):
    assert partner.raw("GET", "/open?name=Ada", headers={}).body == b"Ada"


def test_a_body_that_is_no_json_is_refused(partner):
    answer = partner.raw("POST", "/echo", b'{"name": NaN}')

    assert (answer.status, msgspec.json.decode(answer.body)["reason"]) == (422, "malformed")


def test_a_very_deep_body_is_refused(partner):
    assert partner.raw("POST", "/echo", b"[" * 100_000 + b"]" * 100_000).status == 422


def test_a_form_is_read_like_an_object(partner):
    headers = {"x-token": "t", "content-type": "application/x-www-form-urlencoded; charset=utf-8"}

    answer = partner.raw("POST", "/echo", b"name=Ada&tag=a&tag=b&tag=c&empty=", headers)

    assert msgspec.json.decode(answer.body) == {"name": "Ada", "tag": ["a", "b", "c"], "empty": ""}


def test_a_plain_text_is_read_as_it_is(partner):
    assert partner.raw("POST", "/echo", b"x", {"x-token": "t", "content-type": "text/plain"}).body == b'"x"'


def test_numbers_keep_all_their_digits(partner):
    assert partner.raw("POST", "/echo", b'{"n":12345678901234567890.123456789}').body == b'{"n":12345678901234567890.123456789}'


def test_a_value_that_does_not_fit_a_template_is_told_as_a_fault_of_the_simulation(partner):
    status, answer = partner.ask("GET", "/bad?n=x")

    assert status == 500
    assert answer["simulator"].startswith("GET /bad: ")


def test_an_answer_can_be_empty(partner):
    answer = partner.raw("GET", "/empty")

    assert (answer.status, answer.headers, answer.body) == (200, (), b"")


def test_a_header_cannot_be_broken_out_of(tmp_path):
    partner = Partner(tmp_path, 'routes: [{route: GET /x, reply: {headers: {X-A: "{{query.a}}", X-B: "{{query.b}}"}}}]')

    assert partner.raw("GET", "/x?a=1%0d%0aX-Evil:%202").headers == ((b"x-a", b"1  X-Evil: 2"),)


def test_what_no_route_knows_gets_the_declared_answer(partner):
    assert partner.raw("GET", "/nowhere").body == b"nothing at 2026-11-24T12:00:00Z"
    assert partner.raw("PUT", "/people").status == 404


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{kind: uuid}", ["fresh"]),
        ("{kind: counter, start: 5, text: true}", ["5", "6"]),
        ('{kind: pattern, pattern: "P-{{n}}", width: 3}', ["P-001", "P-002"]),
    ],
)
def test_ids_have_the_partners_form(tmp_path, spec, expected):
    partner = Partner(
        tmp_path,
        f"""
        collections: {{things: {{ids: {spec}}}}}
        routes: [{{route: POST /things, do: create, in: things, reply: {{json: "{{{{id}}}}"}}}}]
        """,
    )

    assert [partner.ask("POST", "/things", {})[1] for _ in expected] == expected


def test_a_new_id_passes_over_those_of_seeds(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {things: {seeds: [{id: 1}, {id: 2}]}}
        routes: [{route: POST /things, do: create, in: things, reply: {json: "{{id}}"}}]
        """,
    )

    assert partner.ask("POST", "/things", {}) == (200, 3)


def test_milliseconds_are_kept_where_the_partner_writes_them(tmp_path):
    partner = Partner(tmp_path, 'precision: milliseconds\nroutes: [{route: GET /now, reply: {json: "{{now}}"}}]')

    assert partner.ask("GET", "/now") == (200, "2026-11-24T12:00:00.123Z")


def test_the_oldest_records_give_way_and_seeds_stay():
    table = Table("things", Collection(limit=2, seeds=({"id": 1, "name": "seed"},), unique=(("name",),)))
    for name in "abc":
        table.create({"name": name}, {"now": "", "uuid": ""})

    assert [record["name"] for record in table] == ["seed", "b", "c"]
    assert table.created == 3
    assert table.find(("name",), "a") is None


def test_large_records_give_way_by_their_size():
    table = Table("things", Collection())
    for _ in range(40):
        table.create({"text": "x" * (RECORD_LIMIT - 100)}, {"now": "", "uuid": ""})

    assert 30 <= len(table) <= 32


def test_a_record_cannot_grow_without_end():
    table = Table("things", Collection(seeds=({"id": 1},)))
    grown = table.update(table.get(1), {"a": "x" * 600_000}, {"now": "", "uuid": ""})

    with pytest.raises(Refused, match="body size"):
        table.update(grown, {"b": "x" * 600_000}, {"now": "", "uuid": ""})


def test_changing_created_records_keeps_the_books():
    table = Table("things", Collection(limit=1))
    record = table.create({"name": "a"}, {"now": "", "uuid": ""})

    assert table.update(record, {"name": "b"}, {"now": "", "uuid": ""})["name"] == "b"
    assert len(table) == 1


def test_a_reset_brings_the_seeds_back(partner):
    partner.ask("POST", "/people", {"name": "Ada"})

    partner.inner.reset()

    assert len(partner.inner.tables["people"]) == 0
    assert [record["name"] for record in partner.inner.tables["teams"]] == ["Blue", "Red"]
    assert partner.ask("POST", "/people", {"name": "Ada"})[1]["data"]["id"] == 10


CASES = {
    "ok": "{request: {method: GET, url: 'https://api.example.com/v1/things'}, reply: {json: {all: true}}}",
    "page": "{request: {method: GET, url: 'https://api.example.com/v1/things', query: {page: '2'}}, reply: {json: {page: 2}}}",
    "down": "{request: {method: GET, url: 'https://api.example.com/v1/things'}, reply: {status: 503, text: down}}",
    "create": "{request: {method: POST, url: 'https://api.example.com/v1/things', json: {n: 1}}, reply: {status: 201, headers: {X-A: b}, json: {id: 1}}}",
    "form": "{request: {method: POST, url: 'https://api.example.com/v1/things', form: {n: '2'}}, reply: {json: {id: 2}}}",
    "text": "{request: {method: POST, url: 'https://api.example.com/v1/things', text: three}, reply: {text: done}}",
    "none": "{request: {method: DELETE, url: 'https://api.example.com/v1/things/a%20b'}, reply: {status: 204}}",
}


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "cases" / "thing"
    folder.mkdir(parents=True)
    for name, exchange in CASES.items():
        (folder / f"{name}.yaml").write_text(f"title: {name}\nexchanges: [{exchange}]\nresult: {{}}\n", "utf-8")
    partner = load_simulator(tmp_path, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC), fresh_id=lambda: "x").partner

    def ask(method, path, body=b"", content_type="application/json"):
        path, _, query = path.partition("?")
        return partner.answer(Incoming(method=method, path=path, query=query, headers=(("content-type", content_type),), body=body))

    return ask


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("GET", "/v1/things"), (200, b'{"all":true}')),
        (("GET", "/v1/things?page=2"), (200, b'{"page":2}')),
        (("GET", "/v1/things?page=3"), (200, b'{"all":true}')),
        (("POST", "/v1/things", b'{"n": 1.0}'), (201, b'{"id":1}')),
        (("POST", "/v1/things", b"n=2", "application/x-www-form-urlencoded"), (200, b'{"id":2}')),
        (("POST", "/v1/things", b"three", "text/plain"), (200, b"done")),
        (("DELETE", "/v1/things/a%20b"), (204, b"")),
    ],
)
def test_a_request_that_no_route_knows_is_answered_from_the_most_similar_case(recorded, request_, expected):
    answer = recorded(*request_)

    assert (answer.status, answer.body) == expected


def test_a_recorded_answer_brings_its_headers(recorded):
    assert (b"x-a", b"b") in recorded("POST", "/v1/things", b'{"n": 1}').headers


def test_a_broken_body_still_gets_a_recorded_answer(recorded):
    assert recorded("POST", "/v1/things", b"{").status in {200, 201}


def test_what_no_case_knows_is_not_found(recorded):
    assert recorded("GET", "/v2/things").status == 404


def test_a_folder_with_faults_cannot_be_simulated(tmp_path):
    (tmp_path / "simulator.yaml").write_text("routs: []", "utf-8")

    with pytest.raises(SetupError, match='"routs" is not a key'):
        load_simulator(tmp_path)
