"""The partners that come with Polyport, each read once by a process of tests: reading all of them takes seconds, and many files ask for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from polyport.manifest.cases import Cases, load_cases
from polyport.manifest.load import Loaded, load_partner, partner_folders
from polyport.manifest.model import Partner
from polyport.manifest.simulation_file import LoadedSimulation, load_simulation
from polyport.testing.simulated import SimulatedPartner
from polyport.testing.simulator import SimulatorApp

CONNECTORS: Final = Path(str(files("polyport"))) / "connectors"
FOLDERS: Final = {Path(str(folder)).name: Path(str(folder)) for folder in partner_folders(CONNECTORS)}


@cache
def loaded(slug: str) -> Loaded:
    """A partner's folder as it loads, with its problems."""
    return load_partner(FOLDERS[slug])


@cache
def cases(slug: str) -> Cases:
    """A partner's cases."""
    return load_cases(FOLDERS[slug])


def partner(slug: str) -> Partner:
    """A partner that loads."""
    found = loaded(slug).partner
    assert found is not None, f"{slug} does not load"
    return found


def partners() -> dict[str, Partner]:
    """All that load, by slug; that every one does is a test of tests/connectors."""
    return {slug: found for slug in FOLDERS if (found := loaded(slug).partner) is not None}


@cache
def simulation(slug: str) -> LoadedSimulation:
    """A partner's ``simulator.yaml``, with its problems."""
    return load_simulation(FOLDERS[slug])


def simulator(
    slug: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC), fresh_id: Callable[[], str] = lambda: str(uuid.uuid4())
) -> SimulatorApp:
    """A partner's simulator as ``load_simulator`` makes it, with nothing in it yet, over what was read once."""
    found = simulation(slug).simulation
    assert found is not None, f"{slug} has no simulator that loads"
    return SimulatorApp(found, SimulatedPartner(found, cases(slug).cases, clock=clock, fresh_id=fresh_id))
