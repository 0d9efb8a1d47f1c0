"""R9: every route, asked what its description allows and what it does not, answers as it says: no 5xx, no answer that breaks its schema.

Each route gets a few calls here; ``FUZZ_EXAMPLES=200`` asks for more, and then draws new ones each time.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served, import_finished, running_server, running_simulator
from petshop import pets
from polyport.server.app import ENDPOINTS

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(
        "ignore::hypothesis.errors.HypothesisDeprecationWarning"
    ),  # the server in this process uses random meanwhile
]

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))
PARTNERS_FAULT: Final = {
    "partner_unavailable",
    "partner_timeout",
}  # 502 and 504 that are not ours: a call went to an address that nobody answers
LASTING: Final = {
    "/users/{userId}",
    "/credentials/{credentialId}",
    "/partners/{partnerId}",
}  # whose DELETE would take away what the others are asked about


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with (
        running_simulator("pipedrive") as url,
        running_server(
            tmp_path_factory.mktemp("fuzz"), partner_pipedrive_base_url=url, login_attempts=1_000_000, login_attempts_per_address=1_000_000
        ) as found,
    ):
        yield found


@dataclass(frozen=True, slots=True)
class Found:
    """What came of the calls."""

    faults: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


async def _known(served: Served) -> dict[str, list[Any]]:
    """Ids of things that are there, for every parameter of a path."""
    user, _token = await served.end_user("ada")
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    made: list[tuple[str, dict[str, Any]]] = [
        ("/files", {"name": "a.txt", "base64": "aGk="}),
        ("/api-keys", {"title": "k", "scopes": ["runs:read"]}),
        ("/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "L"}),
        ("/event-endpoints", {"url": "https://hooks.invalid/"}),
    ]
    file, key, link, endpoint = [(await served.call("POST", path, body))[2]["data"] for path, body in made]
    event = (await served.call("POST", f"/event-endpoints/{endpoint['endpointId']}/test"))[2]["data"]["eventId"]
    listed = (await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create person"))[2]["data"]
    operation = next(item["triggerActionId"] for item in listed if item["name"] == "create_person")
    body = {"credentialData": {"0": connection}, "runnerData": {"name": "Ada"}}
    run = (await served.call("POST", f"/partners/trigger-actions/{operation}/run/sync", body))[2]["data"]["runId"]
    imported = await import_finished(served, "pets", document=pets())
    return {
        "partnerId": [PIPEDRIVE, 1, imported["partnerId"]],
        "importId": [imported["importId"]],
        "number": [1],
        "credentialId": [connection],
        "linkId": [link["id"]],
        "runId": [run],
        "fileId": [file["fileId"]],
        "userId": [user],
        "endpointId": [endpoint["endpointId"]],
        "eventId": [event],
        "id": [operation, key["id"], link["id"]],
        "name": ["docs.css"],
        "path": ["persons"],
    }


def _is_ours(response: Any) -> bool:
    """Whether a 5xx is a fault of this server."""
    if response.status_code < 500:
        return False
    try:
        return response.json()["error"]["code"] not in PARTNERS_FAULT
    except (ValueError, KeyError, TypeError):
        return True


def _ask(operation: APIOperation, known: dict[str, list[Any]], token: str, session: requests.Session, found: Found) -> None:
    """Call one route again and again; ``found`` gets what went wrong, once for each kind."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
    seen: set[str] = set()

    @settings(
        max_examples=EXAMPLES or 8,
        deadline=None,
        database=None,
        derandomize=not EXAMPLES,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(strategies), st.data())
    def call(case: Case, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if name in known and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        if operation.method.upper() == "DELETE" and operation.path in LASTING:
            case.path_parameters = dict.fromkeys(case.path_parameters, 999_999)
        response = case.call(session=session, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        found.statuses[response.status_code] += 1
        checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
        try:
            assert not _is_ours(response), f"{response.status_code} {response.text[:300]}"
            case.validate_response(response, checks=checks)
        except (AssertionError, FailureGroup) as error:
            causes = error.exceptions if isinstance(error, FailureGroup) else (error,)
            for cause in causes:
                if (kind := f"{response.status_code} {type(cause).__name__}") not in seen:
                    seen.add(kind)
                    asked = f"{case.path_parameters} {case.query} {case.body!r}"[:400]
                    found.faults.append(f"{operation.method.upper()} {operation.path} {asked}\n{response.status_code}: {cause}"[:1500])

    call()


async def test_no_call_that_can_be_made_up_is_answered_with_a_fault_of_ours_or_against_the_description(served: Served) -> None:
    known, found = await _known(served), Found()
    description = (await served.call("GET", "/openapi.json"))[2]
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=served.origin)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == len(ENDPOINTS)
    with requests.Session() as session:
        for operation in operations:
            token = await served.session()  # each has one of its own: signing out is a route too
            await asyncio.to_thread(_ask, operation, known, token, session, found)
    assert not found.faults, "\n\n".join(found.faults)
    assert found.statuses.keys() >= {200, 404, 422}  # good and bad calls were among them
