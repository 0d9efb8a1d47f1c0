"""What a new version of a document changes: operations by method and path, their inputs and outputs, and what of it breaks those who use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from polyport.importers.partner import Built

Kind = Literal["added", "changed", "removed", "breaks"]
DEPTH_MOST: Final = 16
CONNECTION: Final = "connection"
Print = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change. ``breaks``: what worked before does not any more, or gives less."""

    kind: Kind
    operation: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind:<8} {self.operation}: {self.what}"


def prints_of(built: Built) -> dict[str, dict[str, Any]]:
    """What of each operation others rely on, by method and path: id, name, inputs and outputs with their types."""
    found = {}
    for name, action in built.actions.items():
        endpoint = built.endpoints.get(name)
        if endpoint is not None:
            found[endpoint.call] = _print(action)
    for trigger in built.triggers.values():
        call = trigger["call"]
        found[f"TRIGGER {call.get('path') or call.get('url')}"] = _print(trigger)
    return found


def _print(operation: Mapping[str, Any]) -> dict[str, Any]:
    result = operation.get("result", {})
    return {
        "id": operation["id"],
        "name": operation["name"],
        **({"deprecated": True} if operation.get("deprecated") else {}),
        "inputs": dict(_inputs(operation, "")),
        "outputs": dict(_outputs(result, "")),
    }


def _inputs(level: Mapping[str, Any], before: str, depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    for field in level.get("fields", ()):
        needed = bool(field.get("required")) and "default" not in field
        yield f"{before}{field['name']}", [field["type"], needed, sorted(str(option["key"]) for option in field.get("options", ()))]
    for section in level.get("sections", ()):
        yield f"{before}{section['name']}", ["rows", bool(section.get("required")), []]
        if depth < DEPTH_MOST:
            yield from _inputs(section, f"{before}{section['name']}.", depth + 1)


def _outputs(level: Mapping[str, Any], before: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    yield from ((f"{before}{field['name']}", field["type"]) for field in level.get("fields", ()))
    for section in level.get("sections", ()):
        yield f"{before}{section['name']}", "rows"
        if depth < DEPTH_MOST:
            yield from _outputs(section, f"{before}{section['name']}.", depth + 1)


def connection_print(partner: Mapping[str, Any]) -> dict[str, Any]:
    """What of a partner's file every connection relies on: where calls go, the ways of authorisation, the fields that all of them have."""
    spec = partner.get("connection") or {}
    fields = {field["name"]: bool(field.get("required")) and "default" not in field for field in spec.get("fields", ())}
    return {
        "base": partner.get("base"),
        "auth": {
            choice["name"]: {
                "kind": choice["scheme"]["kind"],
                "fields": {field["name"]: bool(field.get("required")) for field in choice.get("fields", ())},
            }
            for choice in spec.get("auth", ())
        },
        "fields": fields,
    }


def compare_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every change from one import to another, what concerns connections first."""
    return [
        *_connection_changes(before.get("connection"), after.get("connection")),
        *compare(before["operations"], after["operations"]),
    ]


def _connection_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    if before["base"] != after["base"]:
        yield Change(kind="breaks", operation=CONNECTION, what=f"calls go to {after['base']}, they went to {before['base']}")
    for name, told in before["auth"].items():
        now = after["auth"].get(name)
        if now is None or now["kind"] != told["kind"]:
            yield Change(kind="breaks", operation=CONNECTION, what=f'the way of authorisation "{name}" is gone')
            continue
        for field in sorted(_needed(now["fields"]) - _needed(told["fields"])):
            yield Change(kind="breaks", operation=CONNECTION, what=f'the way of authorisation "{name}" needs "{field}" now')
    for field in sorted(_needed(after["fields"]) - _needed(before["fields"])):
        yield Change(kind="breaks", operation=CONNECTION, what=f'"{field}" is needed now')
    for name in sorted(after["auth"].keys() - before["auth"].keys()):
        yield Change(kind="added", operation=CONNECTION, what=f'the way of authorisation "{name}"')


def _needed(fields: Mapping[str, bool]) -> set[str]:
    return {name for name, needed in fields.items() if needed}


def compare(before: Mapping[str, Print], after: Mapping[str, Print]) -> list[Change]:
    """Every change from one import to another."""
    found: list[Change] = []
    for call in before.keys() | after.keys():
        if call not in after:
            found.append(Change(kind="breaks", operation=call, what="the operation is gone"))
        elif call not in before:
            found.append(Change(kind="added", operation=call, what="a new operation"))
        else:
            found += _operation(call, before[call], after[call])
    order: Sequence[Kind] = ("breaks", "removed", "changed", "added")
    return sorted(found, key=lambda change: (order.index(change.kind), change.operation, change.what))


def _operation(call: str, before: Print, after: Print) -> Iterator[Change]:
    if before["name"] != after["name"]:
        yield Change(kind="changed", operation=call, what=f'it is called "{after["name"]}", no more "{before["name"]}"; its id is the same')
    if after.get("deprecated") and not before.get("deprecated"):
        yield Change(kind="changed", operation=call, what="it is deprecated")
    yield from _input_changes(call, before["inputs"], after["inputs"])
    for name, kind in before["outputs"].items():
        if name not in after["outputs"]:
            yield Change(kind="breaks", operation=call, what=f'the output "{name}" is gone')
        elif after["outputs"][name] != kind:
            yield Change(kind="breaks", operation=call, what=f'the output "{name}" is {after["outputs"][name]}, it was {kind}')
    for name in after["outputs"].keys() - before["outputs"].keys():
        yield Change(kind="added", operation=call, what=f'the output "{name}"')


def _input_changes(call: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, (kind, needed, options) in before.items():
        if name not in after:
            yield Change(kind="breaks", operation=call, what=f'the input "{name}" is gone')
            continue
        kind_now, needed_now, options_now = after[name]
        if kind_now != kind:
            yield Change(kind="breaks", operation=call, what=f'the input "{name}" is {kind_now}, it was {kind}')
        if needed_now and not needed:
            yield Change(kind="breaks", operation=call, what=f'the input "{name}" is needed now')
        elif needed and not needed_now:
            yield Change(kind="changed", operation=call, what=f'the input "{name}" may be left out now')
        if options and options_now and (lost := sorted(set(options) - set(options_now))):
            yield Change(kind="breaks", operation=call, what=f'the input "{name}" takes no more {", ".join(lost[:10])}')
        elif options_now and not options:
            yield Change(kind="breaks", operation=call, what=f'the input "{name}" takes only {", ".join(options_now[:10])} now')
        elif gained := sorted(set(options_now) - set(options)):
            yield Change(kind="added", operation=call, what=f'the input "{name}" takes {", ".join(gained[:10])} too')
    for name, (_kind, needed, _options) in after.items():
        if name not in before:
            outer = name.rpartition(".")[0]
            breaks = needed and (not outer or outer in before)
            yield Change(
                kind="breaks" if breaks else "added", operation=call, what=f'the input "{name}"{", which is needed" if needed else ""}'
            )
