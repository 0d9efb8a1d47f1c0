"""A simulated partner for unit tests: requests in, answers out, no network, a clock that stands still until a test moves it."""

import textwrap
from datetime import UTC, datetime
from itertools import count

import msgspec

from polyport.manifest.cases import load_cases
from polyport.manifest.simulation_file import load_simulation
from polyport.testing.simulated import SimulatedPartner
from polyport.testing.traffic import Incoming

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Partner:
    """The partner of a ``simulator.yaml`` and the cases beside it."""

    def __init__(self, folder, text):
        (folder / "simulator.yaml").write_text(textwrap.dedent(text), "utf-8")
        loaded = load_simulation(folder)
        assert [str(problem) for problem in loaded.problems] == []
        self.now, numbers = NOW, count(1)
        self.inner = SimulatedPartner(
            loaded.simulation, load_cases(folder).cases, clock=lambda: self.now, fresh_id=lambda: f"n{next(numbers)}"
        )

    def send(self, method, path, body=b"", **headers):
        path, _, query = path.partition("?")
        pairs = tuple((name.lower().replace("_", "-"), value) for name, value in {"host": "127.0.0.1:8099", **headers}.items())
        return self.inner.answer(Incoming(method=method, path=path, query=query, headers=pairs, body=body))

    def ask(self, method, path, data=None, **headers):
        body = b"" if data is None else msgspec.json.encode(data)
        answer = self.send(method, path, body, content_type="application/json", **headers)
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None
