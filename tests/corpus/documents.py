"""A document of the corpus as the parts of its trial: what the importer made of it, what the mock reads, and who judges besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import yaml

from corpus.bundle import Bundle
from corpus.mock import formats_of
from polyport.importers.described import Endpoint
from polyport.importers.documents import read_document
from polyport.importers.openapi import METHODS
from polyport.importers.partner import beside, read_service
from polyport.importers.references import References
from polyport.importers.run import Import, Imported, import_document
from polyport.importers.views import Views
from polyport.importers.writing import write_folder
from polyport.manifest.load import load_partner
from polyport.manifest.model import AuthChoice, Partner
from polyport.testing.spec.documents import Document
from polyport.testing.spec.documents import read_document as read_judge

TODAY: Final = date(2026, 11, 24)
ENDINGS: Final = frozenset({".json", ".yaml", ".yml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One document: its ``partner`` without a way of authorisation (the mock asks for none), the document for the mock, the second judge.

    ``servers`` are all addresses that the document names anywhere; ``formats`` are headers that say to the mock how requests of an operation are read,
    ``beneath`` what stands before some paths in the mock's document.
    """

    imported: Imported
    partner: Partner
    for_mock: Mapping[str, Any]
    judge: Document
    servers: tuple[str, ...]
    calls: Mapping[int, str]
    formats: Mapping[str, Mapping[str, str]]
    beneath: Mapping[str, str]
    endpoints: Mapping[str, Endpoint]
    references: References

    def written(self, name: str) -> dict[str, Any]:
        """An action as it stands in its file."""
        return dict(yaml.safe_load(self.imported.files[f"actions/{name}.yaml"]))


def corpus_files(corpus: Path) -> list[Path]:
    """The files that may be descriptions."""
    return sorted(path for path in corpus.rglob("*") if path.suffix in ENDINGS)


def prepare(path: Path, folder: Path) -> Trial:
    """Import a document into ``folder`` and load what came of it. Raises ``Refused``, or ``ValueError`` where the folder has a fault."""
    imported = import_document(Import(content=path.read_bytes(), slug="imported", today=TODAY, folder=path.parent))
    write_folder(folder / "imported", imported.files)
    loaded = load_partner(folder / "imported")
    if loaded.partner is None or loaded.problems:
        raise ValueError(f"the folder has faults: {'; '.join(str(problem) for problem in loaded.problems[:3])}")
    service, references = read_service(read_document(path.read_bytes()), beside(path.parent))
    views, bundle = Views(references), Bundle(references)
    return Trial(
        imported=imported,
        partner=_open(loaded.partner),
        for_mock=bundle.whole(),
        beneath=bundle.beneath,
        judge=read_judge(path),
        servers=tuple(dict.fromkeys(_servers(references.data))),
        calls={told["id"]: call for call, told in imported.report["operations"].items()},
        endpoints={endpoint.call: endpoint for endpoint in service.endpoints},
        references=references,
        formats={endpoint.call: formats for endpoint in service.endpoints if (formats := formats_of(endpoint, views))},
    )


def _open(partner: Partner) -> Partner:
    """The partner with connections that need no authorisation."""
    spec = partner.file.connection
    if spec is None:
        return partner
    none = AuthChoice.model_validate({"name": "none", "label": "None", "scheme": {"kind": "none"}}, by_alias=True, by_name=False)
    return partner.model_copy(update={"file": partner.file.model_copy(update={"connection": spec.model_copy(update={"auth": (none,)})})})


def _servers(data: Mapping[str, Any]) -> Iterator[str]:
    """Every address that the document names, on whatever level; a part that varies as it usually is."""
    paths = data.get("paths")
    items = [item for item in paths.values() if isinstance(item, dict)] if isinstance(paths, dict) else []
    held = [data, *items, *(item[method] for item in items for method in METHODS if isinstance(item.get(method), dict))]
    first = next((_address(server) for server in data.get("servers") or ()), "")
    for one in held:
        for server in one.get("servers") or ():
            url = _address(server)
            if "//" in url or "//" in first:
                yield urljoin(first, url).rstrip("/")


def _address(server: Any) -> str:
    told = {"url": server} if isinstance(server, str) else server
    found = str(told.get("url", ""))
    for name, variable in (told.get("variables") or {}).items():
        found = found.replace(f"{{{name}}}", str(variable.get("default", "x")))
    return found
