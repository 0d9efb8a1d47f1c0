"""The trial of one document from its import to the last verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from corpus.breaking import Broken
from corpus.documents import prepare
from corpus.mock import CannotLoad, running_mock
from corpus.trying import Outcome, open_trier
from polyport.importers.documents import Refused
from polyport.manifest.model import Action


@dataclass(slots=True, kw_only=True)
class Proof:
    """What came of one document. ``refused`` is why it was not imported; ``mock`` is what the mock says where it cannot load it.

    ``bracketed`` counts the operations whose lists or objects the mock is told to read with brackets, ``apart`` the paths that are given to it beneath others.
    """

    name: str
    refused: str = ""
    mock: str = ""
    crash: str = ""
    described: int = 0
    with_json: int = 0
    left_out: int = 0
    bracketed: int = 0
    apart: int = 0
    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    broken: Broken = field(default_factory=Broken)


def prove(path: Path, name: str, inputs: int, only: frozenset[str] = frozenset(), most: int | None = None) -> Proof:
    """Try a document; whatever happens, there is something to say."""
    found = Proof(name=name)
    began = time.process_time()
    try:
        with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
            asyncio.run(_prove(found, path, Path(folder), inputs, only, most))
    except Refused as error:
        found.refused = str(error)
    except Exception as error:  # noqa: BLE001  a crash is a result too
        found.crash = f"{type(error).__name__}: {error}"[:1_000]
    found.seconds = round(time.process_time() - began, 1)
    return found


async def _prove(found: Proof, path: Path, folder: Path, inputs: int, only: frozenset[str], most: int | None) -> None:
    trial = prepare(path, folder)
    counts = trial.imported.report["counts"]
    found.described, found.with_json, found.left_out = counts["described"], counts["withJson"], counts["leftOut"]
    found.bracketed, found.apart = len(trial.formats), len(trial.beneath)
    try:
        async with running_mock(trial.for_mock, folder) as origin, open_trier(trial, origin, folder) as trier:
            for action in spread([one for one in trial.partner.actions if not only or one.name in only], most):
                found.outcomes.append(await trier.attempt(action, inputs))
            if trier.breaker is not None:
                found.broken = trier.breaker.found
    except CannotLoad as error:
        found.mock = str(error)


def spread(actions: list[Action], most: int | None) -> list[Action]:
    """So many of the actions, from all over the list."""
    if most is None or len(actions) <= most:
        return actions
    return [actions[place * len(actions) // most] for place in range(most)]
