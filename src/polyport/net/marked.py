"""A network that names the run of each request, for simulators: they count what arrives for one run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from polyport.net.message import Network, Reply, Request

RUN_HEADER: Final = "X-Polyport-Run"


class MarkedNetwork:
    """Adds ``X-Polyport-Run`` to what it sends. Meant for addresses that the operator put in a partner's place; a partner itself is told nothing."""

    def __init__(self, network: Network, run_id: str) -> None:
        self._network = network
        self._run_id = run_id

    def send(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """Send with the header; it comes after the signature and stands in no trace."""
        return self._network.send(request.with_header(RUN_HEADER, self._run_id))
