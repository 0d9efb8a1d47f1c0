"""Holds every request of a partner's cases against the description that the folder names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyport.manifest.cases import Cases
from polyport.manifest.evidence import Spec, SpecDifference
from polyport.manifest.model import Partner
from polyport.net.message import Request
from polyport.testing.cases import run_case
from polyport.testing.spec.documents import Document, read_document
from polyport.testing.spec.graphql import Sdl, read_sdl
from polyport.testing.spec.requests import Difference, check_request


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecReport:
    """What came of it: how many requests there were, what the folder does not excuse, and which excuses no request needs."""

    requests: int
    left: tuple[Difference, ...]
    stale: tuple[SpecDifference, ...]


def open_documents(corpus: Path, names: Sequence[str]) -> list[Document | Sdl]:
    """The descriptions of these names under ``corpus``. Raises ``OSError`` for one that is not there, ``ValueError`` for one that cannot be read."""
    return [read_sdl(corpus / name) if name.endswith((".graphql", ".gql")) else read_document(corpus / name) for name in names]


async def check_cases(partner: Partner, cases: Cases, corpus: Path) -> SpecReport:
    """Run all cases of a partner that has a ``spec`` and hold what they sent against it. Raises like ``open_documents``."""
    requests = [request for case in cases.cases for request in (await run_case(partner, case, cases.connection)).requests]
    if partner.file.spec is None:
        return SpecReport(requests=len(requests), left=(), stale=())
    return compare(partner.file.spec, requests, corpus)


def compare(spec: Spec, requests: Iterable[Request], corpus: Path) -> SpecReport:
    """Hold requests against a description, with what is known to be otherwise taken out."""
    documents = open_documents(corpus, spec.corpus)
    listed = list(requests)
    found = dict.fromkeys(difference for request in listed for difference in check_request(documents, request, spec.base))
    left = tuple(one for one in found if not any(known.covers(one.call, one.at) for known in spec.differences))
    stale = tuple(known for known in spec.differences if not any(known.covers(one.call, one.at) for one in found))
    return SpecReport(requests=len(listed), left=left, stale=stale)
