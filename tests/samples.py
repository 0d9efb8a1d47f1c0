"""Operations and partners in a few words, for tests of the pure middle."""

from __future__ import annotations

from typing import Any

from polyport.engine.schema import CustomField, Schema, build_schema
from polyport.engine.validate import Validated, compile_validator
from polyport.manifest.model import Action, ListSpec, Partner, PartnerFile, Trigger
from polyport.manifest.variables import InputField
from polyport.net.message import Reply


def action(**keys: Any) -> Action:
    """An action; ``keys`` are those of its file. It has a call unless it computes."""
    told = {"id": 10001, "name": "do_it", "title": "Do it", "idempotent": False} | keys
    if not {"call", "calls", "compute"} & keys.keys():
        told["call"] = {"method": "POST", "path": "/things"}
    return Action.model_validate(told, by_alias=True, by_name=False)


def trigger(**keys: Any) -> Trigger:
    """An API trigger with the key ``id``."""
    told = {"id": 10051, "name": "new_things", "title": "New things", "call": {"path": "/things"}, "key": "id"} | keys
    return Trigger.model_validate(told, by_alias=True, by_name=False)


def partner(*operations: Action | Trigger, lists: dict[str, ListSpec] | None = None, **keys: Any) -> Partner:
    """A partner at ``https://api.example.com/v1`` with these operations."""
    told = {
        "id": 9,
        "slug": "example",
        "title": "Example",
        "owners": ["tests"],
        "base": "https://api.example.com/v1",
        "verified": {"how": "cases", "on": "2026-11-24"},
    } | keys
    return Partner(
        file=PartnerFile.model_validate(told, by_alias=True, by_name=False),
        actions=tuple(operation for operation in operations if isinstance(operation, Action)),
        triggers=tuple(operation for operation in operations if isinstance(operation, Trigger)),
        lists=lists or {},
    )


def list_spec(name: str = "owners", **keys: Any) -> ListSpec:
    """A list of items with ``id`` and ``name``."""
    told = {"name": name, "title": name, "call": {"path": f"/{name}"}} | keys
    return ListSpec.model_validate(told, by_alias=True, by_name=False)


def field(name: str = "value", kind: str = "string", **keys: Any) -> dict[str, Any]:
    """A field as a file says it."""
    return {"name": name, "type": kind, "label": name.title()} | keys


def custom(key: str, kind: str = "string", *, writable: bool = True, **keys: Any) -> CustomField:
    """A custom field with the partner's key ``key``."""
    from polyport.engine.schema import custom_name  # noqa: PLC0415  only this builder needs it

    variable = InputField.model_construct(name=custom_name(key), type=kind, label=key, **keys)
    return CustomField(key=key, field=variable, writable=writable)


def schema_of(
    *fields: dict[str, Any], custom_fields: tuple[CustomField, ...] = (), choices: Any = None, lists: Any = None, **keys: Any
) -> Schema:
    """The schema of an action with these fields."""
    return build_schema(action(fields=list(fields), **keys), custom_fields, choices, lists)


def checked(schema: Schema, data: Any) -> Validated:
    """What comes of an input."""
    return compile_validator(schema).check(data)


def faults(found: Validated) -> list[tuple[str, str]]:
    """Path and code of every fault."""
    return [(fault.path, fault.code) for fault in found.faults]


def json_reply(body: bytes | str = b"{}", status: int = 200, **headers: str) -> Reply:
    """An answer in JSON."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(
        status=status, headers=(("content-type", "application/json"), *pairs), body=body.encode() if isinstance(body, str) else body
    )
