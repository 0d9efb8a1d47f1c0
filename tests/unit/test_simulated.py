"""Simulated connections: they talk to a simulator within the process, are told apart, and serve nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from first_day import bring_catalogue
from polyport.engine.connect import NewConnection, create_connection, replace_fields
from polyport.engine.connect import test_connection as prove_connection
from polyport.engine.desk import Desk
from polyport.engine.record import Ask
from polyport.engine.run import Engine
from polyport.errors import Conflict, NotFound, ValidationFailed
from polyport.net.message import NetworkFault, Reply, Request, Stream
from polyport.runtime import create_account, open_runtime
from polyport.settings import load_settings
from polyport.testing.simulators import Simulators

pytestmark = pytest.mark.anyio

PIPEDRIVE, CREATE, TOOLS, SHEETS = 225, 2250101, 1, 334


class Nowhere:
    """A network that leads nowhere, and notes who tried."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def send(self, request: Request) -> Reply:
        self.asked.append(request.url)
        raise NetworkFault("nothing leaves", reached=False)


@contextlib.asynccontextmanager
async def opened(folder: Path, *, simulators: bool = True, account: bool = True) -> AsyncIterator[tuple[Desk, Nowhere, int]]:
    network = Nowhere()
    settings = load_settings({}, data=folder)
    bring_catalogue(folder)
    async with open_runtime(settings, network=network, simulated=Simulators() if simulators else None) as runtime:
        made = 1
        if account:
            made = await create_account(runtime.repo, runtime.vault, title="A", email="a@b.example", password="long enough", now=1)
        desk = Desk(runtime)
        yield desk, network, made
        desk.close()


def new(account: int, partner: int = PIPEDRIVE, **more: object) -> NewConnection:
    return NewConnection(account_id=account, partner_id=partner, title="Simulated", fields={}, simulated=True, **more)


def ask(account: int, connection: int) -> Ask:
    return Ask(account_id=account, operation_id=CREATE, mode="sync", credential_data={"0": connection}, runner_data={"name": "Ada"})


async def test_it_needs_no_fields_is_proved_and_runs_without_leaving_the_process(tmp_path: Path):
    async with opened(tmp_path) as (desk, network, account):
        record = await create_connection(desk, new(account))
        done = await Engine(desk).run_sync(ask(account, record.connection_id))
        again, error = await prove_connection(desk, account, record.connection_id)
        kept = await desk.runtime.repo.connections.get(account, record.connection_id)

    assert (record.simulated, record.account_label, record.auth) == (True, "Sam Sample (Example Company)", "api_token")
    assert done.result["name"] == "Ada"
    assert (again.status, error) == ("active", None)
    assert kept is not None
    assert kept.simulated
    assert network.asked == []


async def test_where_one_signs_in_it_has_what_a_sign_in_would_have_led_to(tmp_path: Path):
    async with opened(tmp_path) as (desk, network, account):
        record = await create_connection(desk, new(account, SHEETS))
        desk.forget()
        again, error = await prove_connection(desk, account, record.connection_id)
        with pytest.raises(ValidationFailed, match="faults"):
            await create_connection(
                desk,
                NewConnection(
                    account_id=account, partner_id=SHEETS, title="x", fields={"access_token": "x"}, auth="oauth2", simulated=True
                ),
            )

    assert (record.simulated, record.account_label, record.auth) == (True, "ada@example.com", "oauth2")
    assert (again.status, error, network.asked) == ("active", None, [])


async def test_one_that_is_not_proved_yet_is_simulated_all_the_same(tmp_path: Path):
    async with opened(tmp_path) as (desk, network, account):
        record = await create_connection(desk, new(account, verify=False))
        done = await Engine(desk).run_sync(ask(account, record.connection_id))

    assert (record.status, done.error, network.asked) == ("pending", None, [])


async def test_fields_that_are_given_are_taken_and_new_ones_are_proved_at_the_simulator(tmp_path: Path):
    async with opened(tmp_path) as (desk, network, account):
        given = NewConnection(
            account_id=account, partner_id=PIPEDRIVE, title="x", fields={"company": "acme", "api_token": "bad-token"}, simulated=True
        )
        with pytest.raises(ValidationFailed, match="refused these credentials"):
            await create_connection(desk, given)
        record = await create_connection(desk, new(account))
        with pytest.raises(ValidationFailed):
            await replace_fields(desk, record, {"api_token": "bad-token"}, None)
        changed = await replace_fields(desk, record, {"api_token": "another-token"}, None)

    assert (changed.simulated, network.asked) == (True, [])


async def test_a_partner_without_a_simulator_is_refused_by_name(tmp_path: Path):
    async with opened(tmp_path) as (desk, _network, account):
        desk.runtime.simulated.__dict__["_roots"] = []
        with pytest.raises(ValidationFailed) as refused:
            await create_connection(desk, new(account))

    assert [(fault.path, fault.code) for fault in refused.value.details.fields] == [("simulated", "not_simulated")]


async def test_a_program_without_simulators_refuses_them_and_asks_nobody(tmp_path: Path):
    async with opened(tmp_path) as (desk, _network, account):
        record = await create_connection(desk, new(account))
    async with opened(tmp_path, simulators=False, account=False) as (desk, network, _account):
        with pytest.raises(Conflict, match="simulated connection"):
            await Engine(desk).run_sync(ask(account, record.connection_id))
        with pytest.raises(ValidationFailed):
            await create_connection(desk, new(account))

    assert network.asked == []


async def test_simulators_answer_for_their_names_alone():
    simulators = Simulators(["/nowhere"])
    assert simulators.origin("pipedrive") == "https://pipedrive.simulated.invalid"
    for url in ("https://example.com/", "https://../x", "https://nothing.simulated.invalid/", "https://http.simulated.invalid.example/"):
        with pytest.raises(NetworkFault) as fault:
            await simulators.send(Request(method="GET", url=url))
        assert not fault.value.reached
    with pytest.raises(NotFound):
        await simulators.sample("../etc")


async def test_a_body_that_is_a_stream_is_read_whole():
    simulators = Simulators()
    reply = await simulators.send(
        Request(
            method="POST",
            url="https://pipedrive.simulated.invalid/api/v2/persons",
            headers=(("Content-Type", "application/json"), ("x-api-token", "any")),
            stream=Stream((b'{"name": ', b'"Ada"}')),
        )
    )
    assert (reply.status, b'"name":"Ada"' in reply.body) == (201, True)


async def test_a_simulator_whose_files_are_broken_is_none(tmp_path: Path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "simulator.yaml").write_text("collections: 1")
    with pytest.raises(NotFound):
        await Simulators([str(tmp_path)]).sample("broken")


async def test_a_simulator_without_a_connection_for_its_cases_gives_no_sample(tmp_path: Path):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "simulator.yaml").write_text("{}")
    with pytest.raises(NotFound):
        await Simulators([str(tmp_path)]).sample("bare")


async def test_a_simulated_partner_too_is_told_that_a_request_leaves():
    told: list[int] = []
    simulators = Simulators()
    request = Request(method="GET", url=f"{simulators.origin('pipedrive')}/v1/users/me", leaves=lambda: told.append(1))
    assert ((await simulators.send(request)).status, told) == (401, [1])
