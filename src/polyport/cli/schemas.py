"""JSON Schemas of the files of a partner's folder, for editors that complete and check while someone types. Made from the models; none is kept in the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from polyport.manifest.cases import Case, CaseConnection
from polyport.manifest.model import Action, ListSpec, PartnerFile, Trigger
from polyport.manifest.quality import Quality
from polyport.manifest.rules import RULES
from polyport.manifest.simulation import Simulation

SCHEMAS: Final[dict[str, tuple[type[BaseModel], tuple[str, ...]]]] = {
    "partner": (PartnerFile, ("**/partner.yaml",)),
    "action": (Action, ("**/actions/*.yaml",)),
    "trigger": (Trigger, ("**/triggers/*.yaml",)),
    "list": (ListSpec, ("**/lists/*.yaml", "!**/cases/lists/**")),
    "case": (Case, ("**/cases/*/*.yaml", "**/cases/lists/*/*.yaml")),
    "connection": (CaseConnection, ("**/cases/connection.yaml",)),
    "simulator": (Simulation, ("**/simulator.yaml",)),
    "quality": (Quality, ("**/quality.yaml",)),
}


def schema_of(name: str) -> dict[str, Any]:
    """The schema of one kind of file, in the keys of the file (JSON Schema 2020-12)."""
    model = SCHEMAS[name][0]
    schema = _plain(model.model_json_schema(by_alias=True, mode="validation"))
    if model is Quality:
        answer = schema["additionalProperties"]
        rules = {rule.name: {**answer, "description": f"{rule.tier}: {rule.text}"} for rule in RULES.values()}
        schema |= {"properties": {**schema["properties"], **rules}, "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schemas(folder: Path) -> list[str]:
    """Write all schemas into a folder; the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name in SCHEMAS:
        path = folder / f"{name}.schema.json"
        path.write_text(json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n", "utf-8")
        names.append(path.name)
    return names


def editor_settings(folder: Path) -> str:
    """What goes into VS Code's settings (YAML extension) so that it uses the schemas of this folder."""
    told = {f"./{(folder / f'{name}.schema.json').as_posix()}": list(places) for name, (_model, places) in SCHEMAS.items()}
    return json.dumps({"yaml.schemas": told}, indent=2)


def _plain(value: Any) -> Any:
    """A schema without what only repeats the names, its descriptions in Markdown."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key == "description" and isinstance(inner, str):
            kept[key] = inner.replace("``", "`")
        elif key in {"properties", "$defs"}:
            kept[key] = {name: _plain(each) for name, each in inner.items()}
        elif not (key == "title" and isinstance(inner, str)) and not (key == "default" and inner is None):
            kept[key] = _plain(inner)
    return kept
