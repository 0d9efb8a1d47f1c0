"""n8n (npm): a workflow of a webhook that wants a token, an HTTP request with a stored credential, and the answer; its data in SQLite, as it comes.

Two workflows, one that keeps what a run did and one that does not, on each of its two engines for expressions.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from bench.jobs import PATIENCE, try_once
from bench.measure import Subject
from bench.partner import PERSONS
from bench.peers.install import install_n8n, node_environment
from bench.peers.week import person
from bench.processes import NotMeasured, free_port, pinned, start_process
from bench.servers import serve

ENGINES: Final = ("vm", "legacy")
KEEPING: Final = {"saving": "all", "not saving": "none"}
_READY_SECONDS: Final = 180.0
_QUIET: Final = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_LOG_LEVEL": "warn",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
    "N8N_DIAGNOSTICS_CONFIG_FRONTEND": "",
    "N8N_DIAGNOSTICS_CONFIG_BACKEND": "",
    "NODE_ENV": "production",
}


class N8n:
    """n8n with its workflows, filled once: each of its programs takes long to begin."""

    def __init__(self, folder: Path, core: int, upstream: int) -> None:
        self._folder = folder
        self._core = core
        self._upstream = upstream
        self._token = secrets.token_urlsafe(24)
        self._key = secrets.token_urlsafe(24)
        self._filled: Path | None = None

    def start(self, stack: contextlib.ExitStack, engine: str) -> list[Subject]:
        """Start it with an engine; what to ask of it. Raises ``NotMeasured`` when it cannot be had."""
        program = install_n8n()
        if self._filled is None:
            filled = self._folder / "n8n-filled"
            shutil.rmtree(filled, ignore_errors=True)
            filled.mkdir()
            with pinned(self._core):
                _fill(program, filled, self._environment(filled, free_port(), "legacy"), self._upstream, self._token)
            self._filled = filled
        home, port = self._folder / f"n8n-{engine}", free_port()
        shutil.copytree(self._filled, home)
        log = stack.enter_context((self._folder / f"n8n-{engine}.log").open("ab"))
        environment = self._environment(home, port, engine)
        process = start_process(f"n8n, {engine}", ["node", str(program), "start"], self._core, log=log, environment=environment)
        stack.callback(process.stop)
        serve(process, port, "/healthz", seconds=_READY_SECONDS)
        subjects = [
            Subject(
                name=f"n8n, {keeping}, {engine}",
                port=port,
                path=f"/webhook/{path}",
                body=json.dumps(person()),
                expect=200,
                process=process,
                token=self._token,
                counted=True,
                whole=True,
            )
            for keeping, path in KEEPING.items()
        ]
        for subject in subjects:
            _wait(subject)
        return subjects

    def _environment(self, home: Path, port: int, engine: str) -> dict[str, str]:
        own = {
            "N8N_USER_FOLDER": str(home),
            "N8N_PORT": str(port),
            "N8N_ENCRYPTION_KEY": self._key,
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "N8N_EXPRESSION_ENGINE": engine,
        }
        return node_environment() | _QUIET | own


def _wait(subject: Subject) -> None:
    """Return when the webhook answers: it is there some time after the server."""
    deadline, told = time.monotonic() + PATIENCE * 2, ""
    while time.monotonic() < deadline:
        if not (told := try_once(subject.job(1, 1.0))):
            return
        time.sleep(0.5)
    raise NotMeasured(f"{subject.name} did not become ready: {told}")


def _fill(program: Path, home: Path, environment: dict[str, str], upstream: int, token: str) -> None:
    """Put the credentials and the workflows into its database."""
    credentials = [
        _credential("benchinbound0001", "inbound", "Authorization", f"Bearer {token}"),
        _credential("benchoutbound001", "outbound", "x-api-token", "bench-api-token-0123456789"),
    ]
    workflows = [_workflow(kept, upstream) for kept in KEEPING.values()]
    for kind, content in (("credentials", credentials), ("workflow", workflows)):
        file = home / f"{kind}.json"
        file.write_text(json.dumps(content), "utf-8")
        _tell(program, environment, f"import:{kind}", f"--input={file}")
    for workflow in workflows:
        _tell(program, environment, "publish:workflow", f"--id={workflow['id']}")


def _tell(program: Path, environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(["node", str(program), *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise NotMeasured(f"n8n {arguments[0]} failed: {' '.join((done.stderr or done.stdout).split())[:600]}")


def _credential(number: str, name: str, header: str, value: str) -> dict[str, Any]:
    return {"id": number, "name": name, "type": "httpHeaderAuth", "data": {"name": header, "value": value}}


def _workflow(kept: str, upstream: int) -> dict[str, Any]:
    """``kept`` is the path of its webhook too."""
    fields = {"name": "name", "visible_to": "visible_to", "emails": "email", "phones": "phone", "custom_fields": "custom_fields"}
    body = ", ".join(f'"{ours}": {{{{ JSON.stringify($json.body.{theirs}) }}}}' for ours, theirs in fields.items())
    call = {
        "method": "POST",
        "url": f"http://127.0.0.1:{upstream}{PERSONS}",
        "authentication": "genericCredentialType",
        "genericAuthType": "httpHeaderAuth",
        "sendBody": True,
        "specifyBody": "json",
        "jsonBody": f"={{{body}}}",
        "options": {},
    }
    hook = {"httpMethod": "POST", "path": kept, "responseMode": "responseNode", "authentication": "headerAuth", "options": {}}
    respond = {"respondWith": "firstIncomingItem", "options": {}}
    nodes = [
        _node("Webhook", "n8n-nodes-base.webhook", 2, hook, "benchinbound0001") | {"webhookId": f"bench-{kept}"},
        _node("Call", "n8n-nodes-base.httpRequest", 4.2, call, "benchoutbound001"),
        _node("Respond", "n8n-nodes-base.respondToWebhook", 1.1, respond, None),
    ]
    following = {"Webhook": "Call", "Call": "Respond"}
    return {
        "id": f"benchworkflow{kept:0>3}"[:16],
        "name": f"bench {kept}",
        "active": False,
        "nodes": nodes,
        "connections": {one: {"main": [[{"node": other, "type": "main", "index": 0}]]} for one, other in following.items()},
        "settings": {
            "executionOrder": "v1",
            "saveDataSuccessExecution": kept,
            "saveDataErrorExecution": kept,
            "saveManualExecutions": False,
        },
    }


def _node(name: str, kind: str, version: float, parameters: dict[str, Any], credential: str | None) -> dict[str, Any]:
    node = {"id": name.lower(), "name": name, "type": kind, "typeVersion": version, "position": [0, 0], "parameters": parameters}
    return node | ({"credentials": {"httpHeaderAuth": {"id": credential, "name": credential}}} if credential is not None else {})
