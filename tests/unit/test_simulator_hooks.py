"""Hooks of simulated partners: who is called, how it is signed, twice and never, and where nobody is called."""

import asyncio
import contextlib
import textwrap

import msgspec
import pytest

from polyport.engine.signatures import Incoming, SignatureCheck
from polyport.manifest.hooks import Signature
from polyport.manifest.simulation_file import load_simulation
from polyport.testing.deliveries import Courier, Parcel
from polyport.testing.server import open_simulator
from polyport.testing.simulator import load_simulator
from simulated_partner import NOW, Partner

pytestmark = pytest.mark.anyio

SIMULATION = """
    collections:
      subscriptions: {}
      people:
        hooks:
          - on: [create, update]
            to: subscriptions
            when: [{at: record.hidden, negate: true}]
            headers:
              X-Event: "person.{{event}}"
              X-Delivery: "{{delivery}}"
              X-None: "{{record.none}}"
              X-Signature: "t={{timestamp}},v1={{signed | hmac: subscription.secret}}"
            signed: "{{timestamp}}.{{body}}"
            send: {json: {data: "{{record}}"}}
          - {on: [delete], to: subscriptions, send: {text: gone}}
    routes:
      - {route: POST /subscriptions, do: create, in: subscriptions, reply: {json: "{{record}}"}}
      - {route: POST /people, do: create, in: people, reply: {json: "{{record}}"}}
      - {route: "PATCH /people/{id}", do: update, in: people}
      - {route: "DELETE /people/{id}", do: delete, in: people}
"""
# The listener is a simulator too: it keeps what arrives, and refuses what says so.
LISTENER = "routes: [{route: POST /in, reply: {status: 204}}, {route: POST /never, reply: {status: 500}}]"
CHECK = SignatureCheck(
    Signature.model_validate(
        {
            "header": "X-Signature",
            "separator": ",",
            "part": "v1",
            "signed": "{{timestamp}}.{{body}}",
            "timestamp": {"header": "X-Signature", "part": "t"},
        }
    )
)


def test_every_subscription_gets_a_signed_parcel(tmp_path):
    partner = Partner(tmp_path, SIMULATION)
    for name in ("a", "b"):
        partner.ask("POST", "/subscriptions", {"url": f"http://127.0.0.1:9/{name}", "secret": f"secret-{name}"})
    partner.ask("POST", "/people", {"name": "Ada"})
    first, second = partner.inner.parcels()

    assert [first.url, second.url] == ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
    assert first.delivery != second.delivery
    assert msgspec.json.decode(first.body) == {"data": {"name": "Ada", "id": 1}}
    headers = dict(first.headers)
    assert (headers["X-Event"], headers["Content-Type"], "X-None" in headers) == ("person.create", "application/json; charset=utf-8", False)
    CHECK.check(Incoming(method="POST", url=first.url, headers=first.headers, body=first.body), "secret-a", NOW)
    assert partner.inner.parcels() == []


def test_only_what_was_meant_is_posted(tmp_path):
    partner = Partner(tmp_path, SIMULATION)
    partner.ask("POST", "/subscriptions", {"url": "http://127.0.0.1:9/", "secret": "s"})
    partner.ask("POST", "/subscriptions", {"url": ["no", "address"], "secret": "s"})
    partner.ask("POST", "/subscriptions", {"secret": ["no secret"], "url": "http://127.0.0.1:9/"})
    partner.ask("POST", "/people", {"hidden": True})
    assert partner.inner.parcels() == []
    partner.ask("PATCH", "/people/1", {"hidden": None})
    partner.ask("DELETE", "/people/1")

    assert [parcel.body for parcel in partner.inner.parcels()] == [b'{"data":{"hidden":null,"id":1}}', b"gone", b"gone"]


def test_a_reset_forgets_what_waits(tmp_path):
    partner = Partner(tmp_path, SIMULATION)
    partner.ask("POST", "/subscriptions", {"url": "http://127.0.0.1:9/", "secret": "s"})
    partner.ask("POST", "/people", {})
    partner.inner.reset()

    assert partner.inner.parcels() == []


def test_a_hook_names_a_collection_and_reads_what_there_is(tmp_path):
    (tmp_path / "simulator.yaml").write_text('collections: {people: {hooks: [{to: nobody, send: {json: "{{body}}"}}]}}')

    messages = [str(problem).partition(": ")[2] for problem in load_simulation(tmp_path).problems]
    assert messages[0] == 'There is no collection "nobody".'
    assert messages[1].startswith('"body" is nothing that can be read here')


@contextlib.asynccontextmanager
async def simulators(folder):
    for name, text in (("partner", SIMULATION), ("listener", LISTENER)):
        (folder / name).mkdir()
        (folder / name / "simulator.yaml").write_text(textwrap.dedent(text))
    partner, listener = load_simulator(folder / "partner"), load_simulator(folder / "listener")
    partner.courier = Courier(pause=0.01)
    async with open_simulator(partner) as url, open_simulator(listener) as own:
        yield Pair(partner, listener, url, own)


class Pair:
    def __init__(self, partner, listener, url, own):
        self.partner, self.listener, self.url, self.own = partner, listener, url, own

    async def post(self, path, data, *headers):
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = msgspec.json.encode(data)
        head = [
            f"POST {path} HTTP/1.1",
            "Host: x",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    async def attempts(self):
        await asyncio.wait_for(self.partner.courier.idle(), 60)
        return self.partner.courier.shown()


@pytest.mark.parametrize(("fault", "times"), [((), 1), (("X-Simulate: duplicate_hook",), 2), (("X-Simulate: error_after",), 1)])
async def test_a_created_record_reaches_its_subscriber_as_often_as_was_asked_for(tmp_path, fault, times):
    async with simulators(tmp_path) as pair:
        await pair.post("/subscriptions", {"url": f"{pair.own}/in", "secret": "s-1"})
        await pair.post("/people", {"name": "Ada"}, *fault)
        attempts = await pair.attempts()

        assert [attempt["status"] for attempt in attempts] == [204] * times
        assert len({attempt["delivery"] for attempt in attempts}) == 1
        assert [arrival["path"] for arrival in pair.listener.arrivals.shown()] == ["/in"] * times


async def test_a_hook_may_be_lost(tmp_path):
    async with simulators(tmp_path) as pair:
        await pair.post("/subscriptions", {"url": f"{pair.own}/in", "secret": "s-1"})
        assert await pair.post("/people", {"name": "Ada"}, "X-Simulate: lost_hook") == 200
        await pair.post("/people", {"name": "Bob"})

        (attempt,) = await pair.attempts()
        assert attempt["status"] == 204
        assert pair.listener.arrivals.total == 1


async def test_what_is_not_taken_comes_again_with_the_same_id(tmp_path):
    async with simulators(tmp_path) as pair:
        await pair.post("/subscriptions", {"url": f"{pair.own}/never", "secret": "s-1"})
        await pair.post("/people", {"name": "Ada"})
        attempts = await pair.attempts()

        assert [(attempt["attempt"], attempt["status"]) for attempt in attempts] == [(1, 500), (2, 500), (3, 500)]
        assert len({attempt["delivery"] for attempt in attempts}) == 1


@pytest.mark.parametrize("url", ["https://example.com/in", "http://10.0.0.1/", "http://127.evil.example/", "http://[::1", "nonsense"])
async def test_nobody_beyond_this_machine_is_called(url):
    courier = Courier()
    courier.take([Parcel(delivery="d", url=url, method="POST", headers=(), body=b"")], times=1)
    await asyncio.wait_for(courier.idle(), 60)
    await courier.close()

    assert courier.shown()[0]["error"] == "the simulator delivers to this machine alone"


async def test_an_address_where_nobody_listens_is_told():
    courier = Courier(pause=0)
    courier.take([Parcel(delivery="d", url="http://127.0.0.1:9/", method="POST", headers=(), body=b"")], times=1)
    await asyncio.wait_for(courier.idle(), 60)
    await courier.close()

    assert all("error" in attempt for attempt in courier.shown())
    courier.reset()
    assert courier.shown() == []


async def test_what_is_under_way_ends_with_the_simulator():
    courier = Courier(pause=60)
    courier.take([Parcel(delivery="d", url="http://127.0.0.1:9/", method="POST", headers=(), body=b"")], times=1)
    await asyncio.sleep(0.05)

    await asyncio.wait_for(courier.close(), 60)
