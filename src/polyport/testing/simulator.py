"""The simulator: a partner's API served from its folder, for users and tests without an account.

``SimulatorApp`` is a plain ASGI application: it notes what arrives, shows the faults that were asked for, and answers as the ``SimulatedPartner`` does.
Under ``/_simulator`` stand the doors for those who watch: ``requests``, ``counts``, ``records/<collection>``, ``deliveries``, ``faults``, and ``DELETE`` to start afresh.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import msgspec

from polyport.errors import SetupError
from polyport.manifest.cases import load_cases
from polyport.manifest.simulation import FaultAnswers, Simulation
from polyport.manifest.simulation_file import load_simulation
from polyport.testing.arrivals import Arrivals
from polyport.testing.deliveries import Courier
from polyport.testing.faults import Armed, BadFault, Fault
from polyport.testing.line import Line, Receive, Send, TooLarge
from polyport.testing.simulated import Printer, SimulatedPartner
from polyport.testing.traffic import Incoming, Outgoing, json_answer

ADMIN: Final = "/_simulator"
_HOOK_FAULTS: Final = {"duplicate_hook": 2, "lost_hook": 0}


def load_simulator(
    folder: Traversable | Path,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    fresh_id: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> SimulatorApp:
    """The simulator of a partner's folder. Raises ``SetupError`` with every problem of its ``simulator.yaml`` and its cases."""
    loaded, cases = load_simulation(folder), load_cases(folder)
    problems = [str(problem) for problem in (*loaded.problems, *cases.problems)]
    if loaded.simulation is None or problems:
        raise SetupError("\n".join(problems))
    return SimulatorApp(loaded.simulation, SimulatedPartner(loaded.simulation, cases.cases, clock=clock, fresh_id=fresh_id))


class SimulatorApp:
    """An ASGI application that is a partner. Its state is in memory and bounded."""

    def __init__(self, simulation: Simulation, partner: SimulatedPartner) -> None:
        self.partner = partner
        self.arrivals = Arrivals()
        self.armed = Armed()
        self.courier = Courier()
        self._faults = _FaultAnswers(simulation.faults)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        line = Line(scope, receive, send)
        try:
            request = await line.read()
        except TooLarge as error:
            await line.write(json_answer(413, {"error": str(error)}))
            return
        if request is None:
            return
        if request.path == ADMIN or request.path.startswith(f"{ADMIN}/"):
            await line.write(self._open_door(request))
        else:
            await self._serve(request, line)

    async def _serve(self, request: Incoming, line: Line) -> None:
        try:
            fault = self.armed.take(request)
        except BadFault as error:
            await line.write(json_answer(400, {"error": str(error)}))
            return
        scope = self.partner.scope(request)
        self.arrivals.add(request, time=scope["now"], token=self.partner.token(request), fault=fault.kind if fault is not None else None)
        if fault is None or fault.kind in _HOOK_FAULTS:
            answer = self.partner.answer(request)
            self._dispatch(1 if fault is None else _HOOK_FAULTS[fault.kind])
            await line.write(answer)
            return
        early = self._faults.before(fault, scope)
        if early is not None:
            await line.write(early)
        elif fault.kind == "hang":
            await line.wait()
        elif fault.kind == "reset":
            await line.close(abort=True)
        elif fault.kind == "big":
            await line.flood(fault.size)
        else:
            answer = self.partner.answer(request)
            self._dispatch(1)
            await self._spoil(fault, answer, line, scope)

    def _dispatch(self, times: int) -> None:
        parcels = self.partner.parcels()
        if parcels:
            self.courier.take(parcels, times=times)

    async def close(self) -> None:
        """End what runs in the background."""
        await self.courier.close()

    async def _spoil(self, fault: Fault, answer: Outgoing, line: Line, scope: dict[str, Any]) -> None:
        """The effect is there; what becomes of the answer is the fault."""
        if fault.kind == "error_after":
            await line.write(self._faults.error.print(scope))
        elif fault.kind == "reset_after":
            await line.close(abort=True)
        elif fault.kind == "hang_after":
            await line.wait()
        elif fault.kind == "cut":
            await line.cut(answer)
        elif await line.stays(fault.seconds):
            await line.write(answer)

    def _open_door(self, request: Incoming) -> Outgoing:
        door, _, name = request.path.removeprefix(ADMIN).strip("/").partition("/")
        match request.method, door:
            case "GET", "requests":
                return json_answer(200, self.arrivals.shown())
            case "GET", "counts":
                held = {name: {"held": len(table), "created": table.created} for name, table in self.partner.tables.items()}
                return json_answer(200, self.arrivals.counts() | {"records": held})
            case "GET", "records" if name in self.partner.tables:
                return json_answer(200, list(self.partner.tables[name]))
            case "GET", "deliveries":
                return json_answer(200, self.courier.shown())
            case "GET", "faults":
                return json_answer(200, self.armed.waiting())
            case "POST", "faults":
                return self._arm(request)
            case "DELETE", "faults":
                self.armed.clear()
                return Outgoing(status=204)
            case "DELETE", "":
                self.partner.reset()
                self.arrivals.reset()
                self.courier.reset()
                self.armed.clear()
                return Outgoing(status=204)
            case _:
                return json_answer(404, {"error": "the simulator has no such door"})

    def _arm(self, request: Incoming) -> Outgoing:
        try:
            # Read as JSON whatever it is called: curl calls everything a form.
            fault = self.armed.arm(msgspec.json.decode(request.body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadFault) as error:
            return json_answer(400, {"error": str(error)})
        return json_answer(201, fault.model_dump(by_alias=True))


class _FaultAnswers:
    """The answers of faults that come instead of the partner's."""

    def __init__(self, answers: FaultAnswers) -> None:
        self.error = Printer(answers.error)
        self._others = {
            "rate_limited": Printer(answers.rate_limited),
            "expired": Printer(answers.expired),
            "rotated": Printer(answers.rotated),
            "error_before": self.error,
            "html": Printer(answers.html),
        }

    def before(self, fault: Fault, scope: dict[str, Any]) -> Outgoing | None:
        """The answer, or ``None`` for faults of another kind."""
        if fault.kind == "redirect":
            return Outgoing(status=fault.status, headers=((b"location", fault.location.encode()),))
        printer = self._others.get(fault.kind)
        return printer.print({**scope, "retry_after": fault.retry_after}) if printer is not None else None
