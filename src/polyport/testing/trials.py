"""Operations tried with random valid inputs: what can be sent is sent to the partner's own hosts, and nothing but errors of ours comes out.

The inputs are made by Hypothesis, which only those who develop partners have: without it nothing is tried, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from polyport.engine.caller import Caller
from polyport.engine.operation import Program, Understood, build_scope, compile_operation, compute, read_reading
from polyport.engine.plan import plan
from polyport.engine.schema import Choices
from polyport.engine.validate import compile_fields, compile_validator
from polyport.errors import PolyportError
from polyport.manifest.cases import Cases
from polyport.manifest.model import Action, Partner, Trigger
from polyport.net.message import Reply, Request
from polyport.testing.cases import open_case_caller

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NOW: Final = "2026-11-24T12:00:00Z"


class _NoNetwork:
    """Nothing is sent: requests are made and looked at."""

    async def send(self, _request: Request) -> Reply:
        """No answer."""
        return Reply(status=500)  # pragma: no cover  a plan sends nothing


def random_faults(partner: Partner, cases: Cases, examples: int) -> tuple[str, ...] | None:
    """What went wrong with ``examples`` random valid inputs of each operation, one sentence an operation; ``None`` without Hypothesis."""
    try:
        import hypothesis  # noqa: F401, PLC0415  a tool of those who develop partners, not of the server
    except ImportError:
        return None
    connection = cases.connection or next((found.case.connection for found in cases.cases if found.case.connection is not None), None)
    caller = open_case_caller(partner, connection, _NoNetwork(), NOW)
    hosts = {urlsplit(exchange.request.url).hostname for found in cases.cases for exchange in found.case.exchanges}
    running = [each for each in partner.operations if not (isinstance(each, Trigger) and each.type == "webhook")]
    found = (_fault(partner, operation, caller, frozenset(hosts), examples) for operation in running)
    return tuple(fault for fault in found if fault is not None)


def _fault(partner: Partner, operation: Action | Trigger, caller: Caller, hosts: frozenset[str | None], examples: int) -> str | None:
    """The first thing that goes wrong with an operation."""
    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415  as above
    from hypothesis import strategies as st  # noqa: PLC0415  as above

    from polyport.testing.inputs import fields, inputs, open_lists  # noqa: PLC0415  as above

    program = compile_operation(partner, operation)
    schema = open_lists(program.schema, list(partner.lists))
    validator = compile_validator(schema)
    open_choices = {selector.list: Choices(items=(), complete=False) for selector in operation.selectors if selector.list is not None}
    selectors = compile_fields(operation.selectors, open_choices)
    free = any(call.url == "{{url}}" for call in operation.steps)
    made: SearchStrategy[tuple[Any, Any]] = st.tuples(inputs(schema), fields(operation.selectors))

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(made)
    def attempt(given_: tuple[Any, Any]) -> None:
        data, chosen = given_
        picked = selectors.check({name: value for name, value in chosen.items() if value is not None})
        _try(caller, program, Understood(schema=schema, checked=validator.check(data)), picked.values, frozenset() if free else hosts)

    try:
        attempt()
    except Exception as error:  # noqa: BLE001  whatever comes out is what is looked for
        return f"{operation.name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
    return None


def _try(caller: Caller, program: Program, understood: Understood, selected: Mapping[str, Any], hosts: frozenset[str | None]) -> None:
    """Make the requests of one input. Raises for a request to a host that no case knows, and whatever is no error of ours."""
    scope = build_scope(program, caller, understood, selected)
    reading = read_reading(None, None, 5) if isinstance(program.operation, Trigger) else None
    try:
        if program.compute is not None:
            compute(program, understood.schema, scope)
            return
        shown = plan(caller, program, scope, reading, understood.schema)
    except PolyportError:
        return
    for request in shown:
        host = urlsplit(str(request.get("url", ""))).hostname
        if hosts and host is not None and host not in hosts:
            raise ValueError(f"a request went to {host}, where no case goes")
