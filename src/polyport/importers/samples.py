"""Values that fit a schema: the document's own example, or the least that the schema allows. They show people what a field for JSON holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import re2

from polyport.importers.scalars import examples_of
from polyport.importers.views import SCALARS, View, Views

NONE: Final = object()  # there is no value
DEPTH_MOST: Final = 8
LONGEST: Final = 4_000
_STEP_MOST: Final = 2**53
_SHOWN: Final = 3
_FORMATS: Final = {
    "date": "2026-11-24",
    "date-time": "2026-11-24T09:30:00Z",
    "google-datetime": "2026-11-24T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "7f6e3c1e-5b0f-4a34-9a3f-2f1d1f0c8a11",
    "guid": "7f6e3c1e-5b0f-4a34-9a3f-2f1d1f0c8a11",
    "byte": "dGV4dA==",
}
_TRIED: Final = (
    "text",
    "a",
    "A",
    "1",
    "0",
    "AA",
    "USD",
    "10",
    "en",
    "en-US",
    "00000",
    "1.0",
    "#000000",
    "+442079460000",
    "a_1",
    "https://example.com/a.png",
)
_QUIET: Final = re2.Options()
_QUIET.log_errors = False


class Samples:
    """Makes samples of the schemas of one document."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._nodes = 0

    def fitting(self, view: View, example: Any) -> Any:
        """The example where it fits, else the least value of the schema; ``NONE`` where there is none, or only one that is too long to be shown."""
        for told in (example, *examples_of(view.told)):
            if told is not NONE and told not in (None, "", {}, []) and self.fits(view, told) and _is_short(told):
                return told
        self._nodes = 400
        made = self._least(view, frozenset(), 0)
        return made if made is not NONE and made not in ({}, []) and _is_short(made) else NONE

    def fits(self, view: View, value: Any, depth: int = 0) -> bool:
        """Whether a value has the shape of a schema: types, choices, and what an object needs, all the way down."""
        if value is None:
            return view.nullable or view.kind == "any"
        if view.choices is not None and not any(value == one and type(value) is type(one) for one in view.choices):
            return False
        if view.kind == "any" or depth > DEPTH_MOST:
            return True
        if view.kind == "union":
            needed = isinstance(value, dict) or not view.required
            missing = isinstance(value, dict) and any(name not in value for name in view.required)
            return needed and not missing and any(self._fits_case(view, self._views.look(one), value, depth) for one in view.variants)
        if view.kind == "array":
            return isinstance(value, list) and self._fits_each(view, value, depth)
        if view.kind != "object":
            return _is_scalar(view, value) and (not isinstance(value, str) or _has_form(view, value))
        if not isinstance(value, dict) or any(name not in value for name in view.required if not self._is_given(view, name)):
            return False
        known = all(name in view.properties for name in value) or (view.rest is not False and not view.properties)
        return known and all(
            self.fits(self._views.look(view.properties[name]), inner, depth + 1) for name, inner in value.items() if name in view.properties
        )

    def _fits_case(self, union: View, case: View, value: Any, depth: int) -> bool:
        """Whether a value is that of a case, with what all cases have."""
        if case.kind == "object" and union.properties:
            case = replace(case, properties={**union.properties, **case.properties})
        return self.fits(case, value, depth + 1)

    def _fits_each(self, view: View, value: list[Any], depth: int) -> bool:
        least, most = view.whole("minItems") or 0, view.whole("maxItems")
        if len(value) < least or (most is not None and len(value) > most):
            return False
        items = self._views.look(view.items if view.items is not None else {})
        return all(self.fits(items, inner, depth + 1) for inner in value)

    def _is_given(self, view: View, name: str) -> bool:
        """Whether a member that is needed is the service's to give."""
        return name in view.properties and self._views.look(view.properties[name]).told.get("readOnly") is True

    def _least(self, view: View, seen: frozenset[str], depth: int) -> Any:
        """The least value, with some members to see how it goes on."""
        self._nodes -= 1
        if self._nodes < 0 or depth > DEPTH_MOST:
            return NONE
        for told in (*examples_of(view.told), view.told.get("default")):
            if told is not None and self.fits(view, told) and _is_short(told, LONGEST // 4):
                return told
        if view.choices:
            return view.choices[0]
        if view.kind == "object":
            return self._object(view, seen, depth)
        if view.kind == "array":
            return self._array(view, seen, depth)
        if view.kind == "union":
            return self._union(view, seen, depth)
        return _scalar(view) if view.kind in SCALARS else {}

    def _object(self, view: View, seen: frozenset[str], depth: int) -> Any:
        found: dict[str, Any] = {}
        if view.key in seen:
            return NONE
        optional = [name for name in view.properties if name not in view.required]
        for name in (*sorted(view.required), *optional[: _SHOWN if depth < 2 else 1]):
            if self._is_given(view, name):
                continue
            inner = self._views.look(view.properties.get(name, {}))
            if name not in view.required and (len(found) >= _SHOWN or inner.told.get("readOnly") is True):
                continue
            made = self._least(inner, seen | {view.key}, depth + 1)
            if made is NONE and name in view.required:
                return NONE
            if made is not NONE:
                found[name] = made
        if not view.properties and isinstance(view.rest, dict) and view.rest:
            made = self._least(self._views.look(view.rest), seen | {view.key}, depth + 1)
            return {"key": made} if made is not NONE else {}
        return found

    def _array(self, view: View, seen: frozenset[str], depth: int) -> Any:
        if view.places:
            made = [self._least(self._views.look(one), seen, depth + 1) for one in view.places]
            return NONE if any(one is NONE for one in made) else made
        one = self._least(self._views.look(view.items if view.items is not None else {}), seen, depth + 1)
        least = view.whole("minItems") or 0
        if one is NONE:
            return [] if least == 0 else NONE
        return [one] * max(1, min(least, 20))

    def _union(self, view: View, seen: frozenset[str], depth: int) -> Any:
        for number, schema in enumerate(view.variants):
            made = self._least(self._views.look(schema), seen, depth + 1)
            if made is NONE:
                continue
            if isinstance(made, dict):
                shared = self._object(replace(view, kind="object", variants=()), seen, depth) if view.required else {}
                tag = {view.tag: view.tags[number][0]} if view.tag else {}
                return NONE if shared is NONE else {**shared, **made, **tag}
            return made
        return NONE


def _is_scalar(view: View, value: Any) -> bool:
    if isinstance(value, bool):
        return view.kind == "boolean"
    return {"string": isinstance(value, str), "integer": isinstance(value, int), "number": isinstance(value, int | float)}.get(
        view.kind, False
    )


def _has_form(view: View, value: str) -> bool:
    least, most, pattern = view.whole("minLength") or 0, view.whole("maxLength"), view.text("pattern")
    return least <= len(value) and (most is None or len(value) <= most) and (not pattern or _matches(pattern, value))


def _matches(pattern: str, text: str) -> bool:
    try:
        return re2.compile(pattern, _QUIET).search(text) is not None
    except re2.error:
        return False


def _scalar(view: View) -> Any:
    if view.kind == "boolean":
        return True
    if view.kind == "string":
        return next((text for text in _texts(view) if _has_form(view, text)), NONE)
    least, most = (view.told.get(word) for word in ("minimum", "maximum"))
    low = least if isinstance(least, int | float) else None
    high = most if isinstance(most, int | float) else None
    step = view.told.get("multipleOf")
    found = low + 1 if low is not None and (high is None or low + 1 <= high) else low if low is not None else 1
    found = high if high is not None and found > high else found
    if isinstance(step, int | float) and not isinstance(step, bool) and 0 < step < _STEP_MOST:
        exact = Decimal(str(step))
        whole = (Decimal(str(found)) / exact).to_integral_value(ROUND_CEILING) * exact
        found = int(whole) if whole == whole.to_integral_value() else float(whole)
    return int(found) if view.kind == "integer" else found


def _texts(view: View) -> Iterator[str]:
    if view.text("format") in _FORMATS:
        yield _FORMATS[view.text("format")]
        return
    least, most = view.whole("minLength") or 0, view.whole("maxLength")
    if not view.text("pattern"):
        yield "text".ljust(least, "x")[:most]
    for text in _TRIED:
        yield text
        if least:
            yield (text * (least // len(text) + 1))[:least]
    digits = re.search(r"\{(\d{1,3})(?:,\d*)?\}", view.text("pattern"))
    if digits:
        for letter in ("a", "A", "0", "f"):
            yield letter * int(digits[1])


def _is_short(value: Any, longest: int = LONGEST) -> bool:
    try:
        return len(json.dumps(value)) <= longest
    except (TypeError, ValueError, RecursionError):
        return False
