"""The demo: a newcomer's first five minutes, on real HTTP, against the simulated Pipedrive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax

from polyport.cli.folders import partner_folder
from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.cli.serving import QuietServer, listen, make_config
from polyport.errors import SetupError
from polyport.net.egress import EgressPolicy
from polyport.net.message import NetworkFault, Request
from polyport.net.send import Sender
from polyport.runtime import make_first_account, open_runtime
from polyport.server.app import build_services, serving
from polyport.settings import Settings, load_settings
from polyport.testing.server import serve_simulator
from polyport.testing.simulators import Simulators

EMAIL: Final = "demo@example.com"
PASSWORD: Final = "polyport-demo"  # noqa: S105  it guards a demonstration with made-up data on 127.0.0.1
LOOPBACK: Final = "127.0.0.1"
SHOWN_LINES: Final = 40


class StepFailed(Exception):
    """A step of the demo did not do what it should."""


@dataclass(slots=True, kw_only=True)
class _Demo:
    """The client's side of the demo: it knows nothing but HTTP."""

    console: Console
    sender: Sender
    origin: str
    token: str = ""

    async def call(self, method: str, path: str, body: Any = None, *, expect: int = 200, quiet: bool = False) -> Any:
        """One request and its answer, both shown."""
        headers = [("Content-Type", "application/json")] if body is not None else []
        if self.token:
            headers.append(("Authorization", f"Bearer {self.token}"))
        if not quiet:
            self.console.print(f"[bold cyan]{method}[/bold cyan] {escape(self.origin + path)}", highlight=False)
            if body is not None:
                self.show(_masked(body))
        content = msgspec.json.encode(body) if body is not None else None
        try:
            reply = await self.sender.send(Request(method=method, url=self.origin + path, headers=tuple(headers), body=content))
        except NetworkFault as fault:
            raise StepFailed(f"{method} {path}: {fault.message}") from None
        answer = json.loads(reply.body)
        if not quiet:
            colour = "green" if reply.status == expect else "red"
            self.console.print(f"[{colour}]{reply.status}[/{colour}] in {reply.elapsed * 1000:.1f} ms")
            self.show(_masked(answer))
        if reply.status != expect:
            raise StepFailed(f"{method} {path} answered {reply.status} instead of {expect}.")
        return answer

    def show(self, value: Any) -> None:
        """Print JSON, cut after a screenful."""
        lines = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
        if len(lines) > SHOWN_LINES:
            lines = [*lines[:SHOWN_LINES], f"... {len(lines) - SHOWN_LINES} more lines"]
        self.console.print(Syntax("\n".join(lines), "json", background_color="default", word_wrap=True))

    def step(self, title: str) -> None:
        """Say what comes next."""
        self.console.print()
        self.console.print(Rule(f"[bold]{title}[/bold]", align="left"))


def _masked(value: Any) -> Any:
    """What is shown on the screen has no tokens in it."""
    if isinstance(value, dict):
        return {
            key: f"{item[:8]}..." if key in {"authToken", "refreshToken"} and isinstance(item, str) else _masked(item)
            for key, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


def run_demo(*, once: bool, port: int, simulator_port: int, data: Path) -> int:
    """Run the demo; its exit code: 0 when every step did what it should."""
    console = Console(width=110, soft_wrap=False)
    try:
        run_loop(_demo(console, once=once, port=port, simulator_port=simulator_port, data=data))
    except SetupError as error:
        console.print(Panel(escape(str(error)), title="The demo could not start", border_style="red"))
        return 2
    except StepFailed as error:
        console.print(Panel(escape(str(error)), title="A step failed", border_style="red"))
        return 1
    return 0


async def _demo(console: Console, *, once: bool, port: int, simulator_port: int, data: Path) -> None:
    settings = load_settings(
        {},
        host=LOOPBACK,
        port=port,
        data=data,
        allow_networks=(f"{LOOPBACK}/32",),
        partner_base_urls={"pipedrive": f"http://{LOOPBACK}:{simulator_port}"},
        bootstrap={"email": EMAIL, "password": PASSWORD},
        log={"level": "warning", "format": "text"},
    )
    set_up_log(settings.log)
    async with contextlib.AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(_simulator(simulator_port))
        origin = await stack.enter_async_context(_server(settings))
        console.print(
            Panel(
                f"server     {origin}\npartner    {simulator}  (Pipedrive, simulated)\ndata       {escape(str(data))}",
                title="Polyport demo",
            )
        )
        sender = Sender(EgressPolicy((f"{LOOPBACK}/32",)), connections=8, connections_per_host=8, answer_limit=1 << 24, timeout_limit=60)
        stack.push_async_callback(sender.close)
        demo = _Demo(console=console, sender=sender, origin=origin)
        await _steps(demo, simulator)
        console.print()
        console.print(Panel(_where_to_look(origin, simulator), title="[green]Every step worked[/green]", border_style="green"))
        if not once:
            console.print("The server keeps running. Stop it with Ctrl-C.")
            await asyncio.Event().wait()


async def _steps(demo: _Demo, simulator: str) -> None:
    demo.step("Sign in")
    signed = await demo.call("POST", "/user/auth", {"email": EMAIL, "password": PASSWORD})
    demo.token = signed["data"]["authToken"]
    partner_id = await _find_partner(demo)
    connection = await _connect(demo, partner_id)
    operations = await _find_operations(demo, partner_id)
    fields = await _read_schema(demo, operations["create_person"], connection)
    payload = _payload(connection, fields)
    name = payload["runnerData"]["name"]
    demo.step("Step 5. Run the action, and wait for the result")
    done = await demo.call("POST", f"/partners/trigger-actions/{operations['create_person']}/run/sync", payload)
    person_id = done["data"]["result"]["id"]
    await _show_arrival(demo, simulator, name)
    await _run_async(demo, operations["create_person"], payload)
    await _run_trigger(demo, operations["new_persons"], connection, person_id)


async def _find_partner(demo: _Demo) -> int:
    demo.step("Step 1. Find the partner")
    found = await demo.call("GET", "/partners/info?filter[title][like]=pipedrive")
    return int(found["data"][0]["partnerId"])


async def _connect(demo: _Demo, partner_id: int) -> int:
    demo.step("Step 2. Connect the customer's account")
    fields = {"company": "acme", "api_token": "demo-api-token-0123456789"}
    body = {"partnerId": partner_id, "title": "Acme's Pipedrive", "fields": fields, "auth": "api_token"}
    made = await demo.call("POST", "/credentials", body, expect=201)
    return int(made["data"]["credentialId"])


async def _find_operations(demo: _Demo, partner_id: int) -> dict[str, int]:
    demo.step("Step 3. List its triggers and actions")
    found = await demo.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={partner_id}&per-page=100&sort=title", quiet=True)
    for item in found["data"]:
        demo.console.print(f"  {item['triggerActionId']}  {item['kind']:<12} {escape(item['title'])}", highlight=False)
    return {item["name"]: item["triggerActionId"] for item in found["data"]}


async def _read_schema(demo: _Demo, operation: int, connection: int) -> list[dict[str, Any]]:
    demo.step("Step 4. Read the fields for this very connection")
    body = {"credentialData": {"0": {"value": connection}}}
    found = await demo.call("POST", f"/partners/trigger-actions/{operation}/run/info", body)
    variables: list[dict[str, Any]] = found["data"]["triggerAction"]["variables"]
    return variables


def _payload(connection: int, variables: list[dict[str, Any]]) -> dict[str, Any]:
    """The payload of the guide: plain fields, two of the account's own, an e-mail row, a phone row."""
    custom = [variable for variable in variables if variable["name"].startswith("cf__") and variable["isEditable"]]
    if len(custom) < 2:
        raise StepFailed("The simulated account has no two custom fields.")
    values = {variable["name"]: variable["data"][0]["key"] if "data" in variable else "AC-1815" for variable in custom[:2]}
    return {
        "credentialData": {"0": {"value": connection}},
        "runnerData": {
            "name": f"Ada Lovelace {int(time.time())}",
            "visible_to": "3",
            **values,
            "email": [{"value": "ada@example.com", "label": "work", "primary": True}],
            "phone": [{"value_": "+44 20 7946 0000", "label_": "work", "primary_": True}],
        },
    }


async def _show_arrival(demo: _Demo, simulator: str, name: str) -> None:
    demo.step("What arrived at the partner")
    reply = await demo.sender.send(Request(method="GET", url=f"{simulator}/_simulator/records/persons"))
    records = json.loads(reply.body)
    listed = records.get("records", records) if isinstance(records, dict) else records
    arrived = [record for record in listed if record.get("name") == name]
    if len(arrived) != 1:
        raise StepFailed(f"The simulated partner holds {len(arrived)} persons of that name instead of one.")
    demo.show(arrived[0])


async def _run_async(demo: _Demo, operation: int, payload: dict[str, Any]) -> None:
    demo.step("The same, asynchronously")
    again = {**payload, "runnerData": {**payload["runnerData"], "name": payload["runnerData"]["name"].replace("Ada", "Augusta")}}
    queued = await demo.call("POST", f"/partners/trigger-actions/{operation}/run/async", again, expect=202)
    run_id = queued["data"]["runId"]
    run: dict[str, Any] = {"data": {"status": "queued"}}
    for _try in range(100):
        run = await demo.call("GET", f"/runs/{run_id}", quiet=True)
        if run["data"]["status"] not in {"queued", "running", "waiting"}:
            break
        await asyncio.sleep(0.1)
    demo.console.print(f"[bold cyan]GET[/bold cyan] {demo.origin}/runs/{run_id}", highlight=False)
    demo.show(run)
    if run["data"]["status"] != "succeeded":
        raise StepFailed(f"The asynchronous run ended as {run['data']['status']}.")


async def _run_trigger(demo: _Demo, operation: int, connection: int, person_id: int) -> None:
    demo.step("A trigger: who is new at the partner")
    body = {"credentialData": {"0": {"value": connection}}, "limit": 5}
    found = await demo.call("POST", f"/partners/trigger-actions/{operation}/run/sync", body)
    if person_id not in [item["id"] for item in found["data"]["result"]["items"]]:
        raise StepFailed("The trigger did not return the person that was just created.")


def _where_to_look(origin: str, simulator: str) -> str:
    return (
        f"Console            {origin}/console\n"
        f"API reference      {origin}/docs\n"
        f"Its description    {origin}/openapi.json\n"
        f"Sign in with       {EMAIL} / {PASSWORD}\n"
        f"Arrived requests   {simulator}/_simulator/requests\n"
        "Next               docs/how-to, or `polyport --help`"
    )


@contextlib.asynccontextmanager
async def _simulator(port: int) -> AsyncIterator[str]:
    """The simulated partner. Raises ``SetupError`` when its port is taken."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_simulator(partner_folder("pipedrive"), LOOPBACK, port, ready=listening.set_result))
    task.add_done_callback(lambda _task: listening.cancel())
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.shield(listening)
    if task.done():
        error = task.exception()
        if isinstance(error, OSError):
            raise SetupError(f"Cannot listen on {LOOPBACK}:{port}: it is taken. Choose another with --simulator-port.") from error
        raise error or SetupError("The simulated partner stopped at once.")
    try:
        yield listening.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[str]:
    """The server, in this process. Raises ``SetupError`` when its port is taken."""
    listener = listen(settings.host, settings.port)
    await make_first_account(settings, lambda: PASSWORD)
    async with (
        open_runtime(settings, simulated=Simulators(), serves=True) as runtime,
        serving(runtime, services := build_services(runtime)) as app,
    ):
        server = QuietServer(make_config(app, settings), services.streams.watch.close)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn tells of its start by a flag only
            await asyncio.sleep(0.01)
        try:
            yield f"http://{settings.host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)
