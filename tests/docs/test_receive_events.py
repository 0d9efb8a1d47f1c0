"""The programs of the page on events do what they say: they take what this server signs, and nothing else."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from polyport.signing import headers_of, new_secret, rotated

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "receive-events.md").read_text("utf-8")
BODY = json.dumps({"type": "run.finished", "data": {"name": "Zoë"}}, ensure_ascii=False).encode()


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def in_python(secret, headers, body):
    names = {}
    exec(block("python"), names)  # noqa: S102  the page's own program
    return names["receive"](secret, headers, body)


def in_node(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    (tmp_path / "receive.mjs").write_text(block("js"), "utf-8")
    call = "import { receive } from './receive.mjs'; import { readFileSync } from 'node:fs';"
    call += "const { secret, headers, body } = JSON.parse(readFileSync(0)); console.log(JSON.stringify(receive(secret, headers, body)));"

    def receive(secret, headers, body):
        given = json.dumps({"secret": secret, "headers": headers, "body": body.decode()})
        done = subprocess.run(  # noqa: S603  the page's own program
            [node, "--input-type=module", "-e", call], cwd=tmp_path, input=given, capture_output=True, text=True, timeout=120, check=True
        )
        return json.loads(done.stdout)

    return receive


@pytest.mark.parametrize("language", ["python", "node"])
def test_the_program_of_the_page_takes_what_is_signed_and_nothing_else(language, tmp_path):
    receive = in_python if language == "python" else in_node(tmp_path)
    now = int(time.time() * 1000)
    old = new_secret(now)
    fresh, kept = rotated([old], keep_ms=60_000, now=now)
    headers = dict(headers_of("evt_1", BODY, [fresh, kept], now))
    stale = dict(headers_of("evt_1", BODY, [fresh], now - 600_000))
    told = json.loads(BODY)

    assert [receive(secret, headers, BODY) for secret in (old.text, fresh.text)] == [told, told]
    assert receive(new_secret(now).text, headers, BODY) is None
    assert receive(fresh.text, headers, BODY.replace(b"run", b"ran")) is None
    assert receive(fresh.text, headers | {"webhook-id": "evt_2"}, BODY) is None
    assert receive(fresh.text, stale, BODY) is None
