"""Node-RED (npm): a flow of an HTTP node, a function that forms the request, an HTTP request with a stored credential, and the answer. It stores nothing of it."""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path
from typing import Final

from bench.measure import Subject
from bench.partner import PERSONS
from bench.peers.install import install_node_red, node_environment
from bench.peers.week import person
from bench.processes import free_port, start_process
from bench.servers import serve

_SETTINGS: Final = """\
module.exports = {{
  uiHost: "127.0.0.1", uiPort: {port}, httpAdminRoot: false, flowFile: "flows.json", credentialSecret: false, telemetry: {{ enabled: false }},
  diagnostics: {{ enabled: false, ui: false }}, logging: {{ console: {{ level: "warn", metrics: false, audit: false }} }},
}};
"""
# The token is checked, the body formed; an unknown token has 401.
_FUNCTION: Final = """\
if (msg.req.headers.authorization !== "Bearer {token}") {{ msg.statusCode = 401; msg.payload = {{ error: "unknown token" }}; return [null, msg]; }}
const given = msg.payload;
msg.headers = {{ "content-type": "application/json" }};
msg.payload = {{ name: given.name, visible_to: given.visible_to, emails: given.email, phones: given.phone, custom_fields: given.custom_fields }};
return [msg, null];
"""
# The partner's headers are not the caller's; its answer goes back with our own status.
_ANSWER: Final = 'msg.headers = { "content-type": "application/json" }; msg.statusCode = msg.statusCode === 201 ? 200 : 502; return msg;'


def start_node_red(stack: contextlib.ExitStack, folder: Path, core: int, upstream: int) -> Subject:
    """Start it with the flow; what to ask of it. Raises ``NotMeasured`` when it cannot be had."""
    program, environment, port, token = install_node_red(), node_environment(), free_port(), secrets.token_urlsafe(24)
    home = folder / "node-red"
    home.mkdir()
    (home / "settings.js").write_text(_SETTINGS.format(port=port), "utf-8")
    (home / "flows.json").write_text(json.dumps(_flow(upstream, token)), "utf-8")
    (home / "flows_cred.json").write_text(json.dumps({"call": {"user": "", "password": "bench-api-token-0123456789"}}), "utf-8")
    log = stack.enter_context((folder / "node-red.log").open("ab"))
    command = ["node", str(program), "--userDir", str(home), "--settings", str(home / "settings.js")]
    process = start_process("node-red", command, core, log=log, environment=environment | {"NODE_ENV": "production"})
    stack.callback(process.stop)
    serve(process, port, "/")
    return Subject(
        name="node-red", port=port, path="/run", body=json.dumps(person()), expect=200, process=process, token=token, counted=True
    )


def _flow(upstream: int, token: str) -> list[dict[str, object]]:
    tab = {"id": "tab", "type": "tab", "label": "bench", "disabled": False}
    function = {"type": "function", "z": "tab", "timeout": 0, "noerr": 0, "initialize": "", "finalize": "", "libs": []}
    return [
        tab,
        {"id": "in", "type": "http in", "z": "tab", "url": "/run", "method": "post", "upload": False, "wires": [["form"]]},
        function | {"id": "form", "func": _FUNCTION.format(token=token), "outputs": 2, "wires": [["call"], ["out"]]},
        {
            "id": "call",
            "type": "http request",
            "z": "tab",
            "method": "POST",
            "ret": "obj",
            "paytoqs": "ignore",
            "url": f"http://127.0.0.1:{upstream}{PERSONS}",
            "persist": True,
            "authType": "bearer",
            "senderr": False,
            "headers": [],
            "wires": [["answer"]],
        },
        function | {"id": "answer", "func": _ANSWER, "outputs": 1, "wires": [["out"]]},
        {"id": "out", "type": "http response", "z": "tab", "statusCode": "", "headers": {}, "wires": []},
    ]
