"""The records of a simulated partner: one bounded, ordered table for each collection, with ids, defaults, unique values and times of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from polyport.kinds.filters import FILTERS
from polyport.manifest.simulation import Collection, Ids, Rows
from polyport.paths import MISSING, Path, format_path, get
from polyport.template import Scope, compile_value, to_text
from polyport.testing.bodies import json_bytes

Record = dict[str, Any]

BYTES_LIMIT: Final = 32 * 1024 * 1024
RECORD_LIMIT: Final = 1024 * 1024
_JSON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, Decimal),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Refused(Exception):
    """What was sent is not taken. ``kind``: ``missing`` (no such record), ``invalid`` or ``conflict``; ``field``, ``reason`` and ``expected`` say why."""

    def __init__(self, kind: str, *, field: str = "", reason: str = "", expected: str = "") -> None:
        super().__init__(f"{kind} {field} {reason}".strip())
        self.kind = kind
        self.field = field
        self.reason = reason
        self.expected = expected


class Table:
    """The records of one collection, in order of creation. At most ``limit`` created records and ``BYTES_LIMIT`` bytes of them: the oldest give way."""

    def __init__(self, name: str, spec: Collection) -> None:
        self.name = name
        self.spec = spec
        self.created = 0
        self._defaults = compile_value(spec.defaults, FILTERS)
        self._always = compile_value(spec.always, FILTERS)
        self._number = _numbering(spec.ids)
        self._records: dict[str, Record] = {}
        self._sizes: dict[str, int] = {}
        self._unique: dict[tuple[Path, str], str] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the seeds."""
        self.created = 0
        self._records.clear()
        self._sizes.clear()
        self._unique.clear()
        self._count = self.spec.ids.start - 1
        self._bytes = 0
        for seed in self.spec.seeds:
            record = copy.deepcopy(seed)
            key = to_text(record[self.spec.key])
            self._records[key] = record
            self._index(key, record)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        """The records, oldest first."""
        return iter(self._records.values())

    def get(self, key: Any) -> Record | None:
        """The record with this id."""
        return self._records.get(_key_text(key))

    def find(self, at: Path, value: Any) -> Record | None:
        """The newest record that has this value there."""
        if at in self.spec.unique:
            return self._records.get(self._unique.get((at, _folded(value)), ""))
        wanted = _folded(value)
        return next((record for record in reversed(self._records.values()) if _folded(get(record, at)) == wanted), None)

    def create(self, taken: Any, scope: Scope) -> Record:
        """Add a record made of ``taken``. Raises ``Refused``."""
        given = self._checked(taken)
        for path in self.spec.required:
            if get(given, path) in (MISSING, None, ""):
                raise Refused("invalid", field=format_path(path), reason="required")
        self._refuse_twins(given, None)
        number = self._number(self._next(), scope)
        record = merged(self._defaults.render({**scope, "id": number}), given)
        record[self.spec.key] = number
        record, size = self._finished(record, {**scope, "id": number})
        key = to_text(number)
        self._records[key] = record
        self._sizes[key] = size
        self._bytes += size
        self._index(key, record)
        self.created += 1
        self._make_room()
        return record

    def update(self, record: Record, taken: Any, scope: Scope) -> Record:
        """Change a record: objects are merged, everything else is replaced. Raises ``Refused``."""
        given = self._checked(taken)
        number = record[self.spec.key]
        key = to_text(number)
        self._refuse_twins(given, key)
        changed = merged(record, given)
        changed[self.spec.key] = number
        changed, size = self._finished(changed, {**scope, "id": number})
        self._unindex(record)
        self._records[key] = changed
        self._index(key, changed)
        if key in self._sizes:
            self._bytes += size - self._sizes[key]
            self._sizes[key] = size
            self._make_room()
        return changed

    def delete(self, record: Record) -> None:
        """Take a record away."""
        key = to_text(record[self.spec.key])
        self._unindex(record)
        del self._records[key]
        self._bytes -= self._sizes.pop(key, 0)

    def _next(self) -> int:
        self._count += 1
        while str(self._count) in self._records:
            self._count += 1
        return self._count

    def _checked(self, taken: Any) -> Record:
        if not isinstance(taken, dict):
            raise Refused("invalid", field="body", reason="type", expected="object")
        for name, kind in self.spec.types.items():
            value = taken.get(name)
            if value is not None and not _is_of_type(value, kind):
                raise Refused("invalid", field=name, reason="type", expected=kind)
        return taken

    def _finished(self, record: Record, scope: Scope) -> tuple[Record, int]:
        for rows in self.spec.rows:
            if isinstance(record.get(rows.at), list):
                record = {**record, rows.at: _filled(record[rows.at], rows)}
        record = merged(record, self._always.render({**scope, "record": record}))
        size = len(json_bytes(record))
        if size > RECORD_LIMIT:
            raise Refused("invalid", field="body", reason="size", expected=f"a record of at most {RECORD_LIMIT} bytes")
        return record, size

    def _refuse_twins(self, given: Record, own: str | None) -> None:
        for path in self.spec.unique:
            value = get(given, path)
            if value is not MISSING and value is not None and self._unique.get((path, _folded(value)), own) != own:
                raise Refused("conflict", field=format_path(path), reason="taken")

    def _index(self, key: str, record: Record) -> None:
        for path in self.spec.unique:
            value = get(record, path)
            if value is not MISSING and value is not None:
                self._unique[path, _folded(value)] = key

    def _unindex(self, record: Record) -> None:
        for path in self.spec.unique:
            self._unique.pop((path, _folded(get(record, path))), None)

    def _make_room(self) -> None:
        # Seeds have no size and stay. The newest record stays too, however large it is: who created it may read it.
        while len(self._sizes) > 1 and (len(self._sizes) > self.spec.limit or self._bytes > BYTES_LIMIT):
            self.delete(self._records[next(iter(self._sizes))])


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Record:
    """Both objects in one, object by object; elsewhere the new value stands. Neither is changed."""
    found = dict(old)
    for key, value in new.items():
        there = found.get(key)
        found[key] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return found


def _numbering(ids: Ids) -> Any:
    if ids.kind == "uuid":
        return lambda _n, scope: scope["uuid"]
    if ids.kind == "counter":
        return lambda n, _scope: str(n) if ids.text else n
    pattern = compile_value(ids.pattern, FILTERS)
    return lambda n, scope: to_text(pattern.render({"now": scope["now"], "uuid": scope["uuid"], "n": str(n).zfill(ids.width)}))


def _key_text(key: Any) -> str:
    return to_text(key) if isinstance(key, str | int) else ""


def _folded(value: Any) -> str:
    return to_text(value).casefold() if isinstance(value, str | int) else ""


def _filled(items: list[Any], rows: Rows) -> list[Any]:
    found = [{**rows.defaults, **item} if isinstance(item, dict) else item for item in items]
    if rows.first is not None and found and isinstance(found[0], dict):
        flag = rows.first
        if not any(isinstance(item, dict) and item.get(flag) is True for item in found):
            found[0] = {**found[0], flag: True}
    return found


def _is_of_type(value: Any, kind: str) -> bool:
    return isinstance(value, _JSON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
