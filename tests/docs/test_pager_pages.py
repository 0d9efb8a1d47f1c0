"""The pagers on the how-to pages read their simulated partners to the end."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from polyport.engine.caller import open_caller
from polyport.engine.calls import read_list
from polyport.kinds.pages import KINDS
from polyport.manifest.load import load_partner
from polyport.net.message import Reply
from polyport.testing.traffic import Incoming
from simulated_partner import NOW, Partner

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "how-to" / "pagers").glob("*.md"), key=lambda page: page.name)

pytestmark = pytest.mark.anyio


class Wire:
    """A network to a simulated partner in this process."""

    def __init__(self, partner):
        self.partner = partner
        self.arrivals = 0

    async def send(self, request):
        self.arrivals += 1
        url = urlsplit(request.url)
        headers = tuple((name.lower(), value) for name, value in (("host", url.netloc), *request.headers))
        answer = self.partner.inner.answer(
            Incoming(method=request.method, path=url.path, query=url.query, headers=headers, body=request.body or b"", scheme="https")
        )
        pairs = tuple((name.decode(), value.decode()) for name, value in answer.headers)
        return Reply(status=answer.status, headers=pairs, body=answer.body)


def test_there_is_a_page_for_every_pager():
    assert [page.stem for page in PAGES] == sorted(kind.replace("_", "-") for kind in KINDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_list_on_a_page_is_read_to_its_end_from_the_simulator_on_the_page(page, tmp_path):
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    folder = tmp_path / page.stem
    partner = load_partner(folder).partner
    wire = Wire(Partner(folder, (folder / "simulator.yaml").read_text("utf-8")))
    caller = open_caller(partner, None, {}, wire, replaced=None, timeout=5, clock=lambda: NOW)

    found = await read_list(caller, partner.lists["things"], {})

    assert [item["name"] for item in found.items] == ["One", "Two", "Three"]
    assert (found.complete, wire.arrivals) == (True, 2)
