"""What the page about webhook triggers declares can be compiled."""

import re
from pathlib import Path

import pytest

from polyport.engine.hooks import compile_hook
from polyport.manifest.model import Hook
from polyport.manifest.source import read_source

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "webhooks" / "declare.md").read_text("utf-8")
SIGNATURES = re.findall(r"^\| [\w, ]+ \| `(\{.*\})` \|$", PAGE, re.MULTILINE)
HANDSHAKES = re.findall(r"```yaml\n(handshake:.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", [*(f"signature: [{told}]" for told in SIGNATURES), *HANDSHAKES])
def test_a_declaration_on_the_page_compiles(text):
    data = read_source("page", text.encode()).data
    compile_hook(Hook.model_validate({"secret": {"from": "generated"}, **data}, by_alias=True, by_name=False))


def test_the_page_was_read():
    assert (len(SIGNATURES), len(HANDSHAKES)) == (8, 1)
