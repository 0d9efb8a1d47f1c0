"""From the schema of a body to fields, sections, and the template that puts them back in their places.

An object becomes fields where that loses nothing: outside of rows the template places them, in rows ``at`` does. An object that may be left out but needs some
members once it is there becomes a section of one row. Lists of objects are rows, maps are rows with a key, a union is a choice with a part for each case,
and what holds itself is a section that is like the one around it. What has no fixed shape, or too much of it, is a field for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from polyport.importers.demands import demands_of, heads, placed_demands
from polyport.importers.levels import Level, Spot, are_apart, first_of, set_choosers_apart, tagged, with_shared, without_cases
from polyport.importers.names import field_name, snake, title, unique
from polyport.importers.samples import NONE, Samples
from polyport.importers.scalars import Field, hint_of, input_field, is_file, is_sample, is_scalar, list_field, usable_pattern
from polyport.importers.views import View, Views

FIELDS_MOST: Final = 400
FIELDS_OF_A_PART: Final = 120
DEPTH_MOST: Final = 7
PLACED_DEPTH: Final = 6
CASES_APART: Final = 12  # more are not told apart in one placeholder
CASES_MOST: Final = 60
_RULES: Final = ("if", "dependentRequired", "dependentSchemas", "dependencies", "not", "contains")  # what the language has no word for


class Inputs:
    """Makes the inputs of one operation. ``json_only`` counts the places that are a field for JSON though their shape is described, ``unkept`` the rules that only the service keeps to."""

    def __init__(
        self,
        views: Views,
        *,
        texts: bool = False,
        uploads: bool = False,
        nested: frozenset[str] = frozenset(),
        whole: frozenset[str] = frozenset(),
        fields_most: int = FIELDS_MOST,
    ) -> None:
        """``texts``: all is written as text. ``uploads``: the body consists of parts, of which those in ``nested`` are written with brackets and other objects as JSON; so are those in ``whole``."""
        self._texts = texts
        self._views = views
        self._nested, self._whole = nested, whole
        self._samples = Samples(views)
        self._uploads = uploads
        self._left = fields_most
        self.json_only: list[str] = []
        self.unkept: list[str] = []

    def put(self, level: Level, schema: Any, spot: Spot, *, required: bool) -> Any:
        """Put a value into a level; the piece of the template that stands for it, or ``NONE``."""
        return self._put(level, self._views.look(schema), spot, required=required)

    def _put(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        if view.told.get("readOnly") is True:
            return NONE
        self.note_rules(view, spot)
        if "const" in view.told and view.told["const"] is None and not level.rows:
            return None if required else NONE
        single = view.constant
        if single is not None and required and spot.when is None and not level.rows:
            return single
        if view.kind == "array":
            return self._array(level, view, spot, required=required)
        if view.kind == "object":
            return self._object(level, view, spot, required=required)
        if view.kind == "union":
            return self._union(level, view, spot, required=required)
        return self._scalar(level, view, spot, required=required, single=single)

    def note_rules(self, view: View, spot: Spot) -> None:
        """Note what the schema asks that validation here does not."""
        rows = view.told.get("uniqueItems") is True and not is_scalar(self._views.look(view.items))
        told = [*(word for word in _RULES if word in view.told), *(["uniqueItems"] if rows else [])]
        if told:
            self.unkept.append(f"{'.'.join(spot.at) or 'body'} ({', '.join(told)})")

    def _scalar(self, level: Level, view: View, spot: Spot, *, required: bool, single: Any = None) -> Any:
        name, label = self._named(level, spot)
        made = input_field(view, name, label, required=required, uploads=self._uploads)
        if "sample" not in made and is_sample(spot.sample, made):
            made["sample"] = spot.sample
        if single is not None and required:
            made["default"] = single
        return self._add_field(level, made, spot)

    def _add_field(self, level: Level, made: Field, spot: Spot) -> Any:
        self._left -= 1
        if spot.when is not None:
            made["when"] = dict(spot.when)
        if level.rows and spot.at != (made["name"],):
            made["at"] = list(spot.at)
        level.fields.append(made)
        return f"{{{{{made['name']}}}}}"

    def _json(self, level: Level, view: View, spot: Spot, *, required: bool, described: bool) -> Any:
        """A field for JSON."""
        name, label = self._named(level, spot)
        made: Field = {"name": name, "type": "object[]" if view.kind == "array" else "object", "label": label}
        if required:
            made["required"] = True
        if view.kind == "object" or (view.kind == "union" and self._are_objects(view)):
            made["holds"] = "object"
        elif view.kind == "array":
            items = self._views.look(view.items)
            if items.kind in {"object", "array"} or (items.kind == "union" and self._are_objects(items)):
                made["holds"] = "list" if items.kind == "array" else "object"
            if least := view.whole("minItems"):
                made["minItems"] = min(least, 100)
            if (most := view.whole("maxItems")) and most >= (least or 0):
                made["maxItems"] = most
        if hint := hint_of(view):
            made["hint"] = hint
        if described:
            self.json_only.append(".".join(spot.at) or name)
        shown = described or spot.sample is not NONE or (isinstance(view.rest, dict) and bool(view.rest))
        sample = self._samples.fitting(view, spot.sample) if shown else NONE
        if sample is not NONE:
            made["sample"] = sample
        return self._add_field(level, made, spot)

    def _are_objects(self, view: View, depth: int = 0) -> bool:
        cases = [self._views.look(one) for one in view.variants]
        return all(case.kind == "object" or (case.kind == "union" and depth < 3 and self._are_objects(case, depth + 1)) for case in cases)

    def _named(self, level: Level, spot: Spot) -> tuple[str, str]:
        words = spot.around or ("body",)
        own = field_name(words[-1]) if len(words) == 1 else field_name("_".join(snake(word) for word in words[-3:]))
        label = title(words[-1]) if len(words) == 1 else f"{title(words[-2])}: {title(words[-1])}"
        return unique(own, level.names), label

    # lists

    def _array(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        if view.places:
            return self._tuple(level, view, spot, required=required)
        items = self._views.look(view.items)
        items = items.widest or items
        if is_scalar(items):
            if self._uploads and is_file(items) and level.rows:
                return self._json(level, view, spot, required=required, described=False)
            name, label = self._named(level, spot)
            made = list_field(items, view, name, label, required=required)
            if self._uploads and is_file(items):
                made["type"] = "file[]"
            return self._add_field(level, made, spot)
        if (items.kind == "object" or (items.kind == "union" and self._are_objects(items))) and self._is_tellable(items, spot):
            return self._section(level, items, spot, required=required, around=view)
        if items.places and self._are_scalars(items.places):
            return self._tuples(level, items, view, spot, required=required)
        if items.kind == "array" and not items.places and is_scalar(self._views.look(items.items)):
            return self._lists(level, items, view, spot, required=required)
        return self._json(level, view, spot, required=required, described=items.kind not in {"any", "object"} or bool(items.properties))

    def _lists(self, level: Level, items: View, view: View, spot: Spot, *, required: bool) -> Any:
        """A list of lists: rows of one field each, which is a list itself."""
        name, label = self._named(level, spot)
        inner = list_field(self._views.look(items.items), items, "values", "Values", required=False)
        section = {"name": name, "label": label, "shape": "values", "fields": [inner]}
        return self._add_section(level, section, view, spot, required=required)

    def _tuple(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        """A list whose elements differ by their place: a field for each where all are there, one row where it may be left out, JSON in rows."""
        if level.rows or spot.when is not None or not self._are_scalars(view.places):
            return self._json(level, view, spot, required=required, described=True)
        if not required:
            one = replace(view, told={word: view.told[word] for word in ("description",) if word in view.told} | {"maxItems": 1})
            return f"{self._tuples(level, view, one, spot, required=False)[:-2]} | first}}}}"
        return [
            self._put(level, self._views.look(one), spot.inside(str(number)), required=True) for number, one in enumerate(view.places, 1)
        ]

    def _tuples(self, level: Level, items: View, view: View, spot: Spot, *, required: bool) -> Any:
        """A list of such lists: rows whose fields are the elements in their order."""
        name, label = self._named(level, spot)
        row = Level(rows=True, names=set())
        for number, one in enumerate(items.places, 1):
            inner = self._views.look(one)
            own = unique(field_name(inner.text("title") or f"value_{number}"), row.names)
            row.fields.append(input_field(inner, own, title(own), required=True))
        return self._add_section(
            level, {"name": name, "label": label, "shape": "lists", "fields": row.fields}, view, spot, required=required
        )

    def _are_scalars(self, schemas: Sequence[Any]) -> bool:
        return all(is_scalar(self._views.look(one)) for one in schemas)

    # objects

    def _object(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        if not view.properties:
            return self._map(level, view, spot, required=required)
        if not self._is_tellable(view, spot):
            return self._json(level, view, spot, required=required, described=True)
        recurs = view.key in spot.flat or view.key in spot.sections
        needs = self.needs(view)
        own = spot.around[-1] if spot.around and not level.rows and spot.depth == 1 else None
        if own is not None and (own not in self._nested if self._uploads else own in self._whole):
            return self._section(level, view, spot, required=required and needs, one=True)  # a part of its own, written as JSON
        said = self._holds_constant(view)
        if (
            recurs
            or (not required and (needs or said))
            or (level.rows and required and not needs and not said)
            or spot.depth >= PLACED_DEPTH
        ):
            return self._section(level, view, spot, required=required, one=True)
        if level.rows and not required and view.nullable and self._has_null_default(view):
            return self._section(level, view, spot, required=required, one=True)
        placed = self.members(level, view, replace(spot, flat=spot.flat | {view.key}))
        if not placed:
            return {} if required and not level.rows else NONE
        if required and not needs and self._texts and spot.when is None:
            level.demands.append([[name] for name in heads(placed, [*level.fields, *level.sections])])  # a form has no empty object
        return {"...": {}, **placed} if required and not needs and not level.rows else placed

    def _holds_constant(self, view: View, depth: int = 0) -> bool:
        """Whether something of an object is there without being given: where the object may be left out, it would always be there."""
        needed = [self._views.look(told) for name, told in view.properties.items() if name in view.required]
        return any(
            one.constant is not None or (one.kind == "object" and depth < DEPTH_MOST and self._holds_constant(one, depth + 1))
            for one in needed
            if one.told.get("readOnly") is not True
        )

    def _has_null_default(self, view: View) -> bool:
        return "default" in view.told and view.told["default"] is None

    def members(self, level: Level, view: View, spot: Spot) -> dict[str, Any]:
        """The members of an object, the needed ones first; what stands for them in a template."""
        placed: dict[str, Any] = {}
        ordered = sorted(view.properties, key=lambda name: name not in view.required)
        for name in ordered:
            if "{{" in name or "}}" in name or name == "...":
                self.json_only.append(name)
                continue
            found = self.put(level, view.properties[name], spot.inside(name, view), required=name in view.required)
            if found is not NONE:
                placed[name] = found
        if spot.when is None:
            level.demands += placed_demands(view, placed, [*level.fields, *level.sections])
        return placed

    def needs(self, view: View, depth: int = 0) -> bool:
        """Whether some member of an object has to be given by the caller."""
        for name in view.required:
            inner = self._views.look(view.properties.get(name, {})) if name in view.properties else None
            if inner is None or inner.told.get("readOnly") is True or (inner.constant is not None and depth == 0):
                continue
            if inner.kind == "object" and inner.properties and depth < DEPTH_MOST and inner.key != view.key:
                if self.needs(inner, depth + 1):
                    return True
                continue
            return True
        return view.kind == "union" or bool(demands_of(view))

    def _map(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        """An object whose members have names of the caller's choosing."""
        rest = view.rest
        if not isinstance(rest, dict) or not rest:
            return self._json(level, view, spot, required=required, described=False)
        inner = self._views.look(rest)
        key = {"name": "key", "type": "string", "label": "Key", "required": True, **_bounds_of_keys(view)}
        if is_scalar(inner) and not is_file(inner):
            name, label = self._named(level, spot)
            value = input_field(inner, "value", "Value", required=False)
            return self._add_section(
                level, {"name": name, "label": label, "shape": "map", "fields": [key, value]}, view, spot, required=required
            )
        if inner.kind == "array" and is_scalar(self._views.look(inner.items)):
            name, label = self._named(level, spot)
            value = list_field(self._views.look(inner.items), inner, "value", "Values", required=False)
            return self._add_section(
                level, {"name": name, "label": label, "shape": "map", "fields": [key, value]}, view, spot, required=required
            )
        several = len(inner.properties) > 1 if inner.kind == "object" else inner.kind == "union" and self._are_objects(inner)
        if several and self._is_tellable(inner, spot) and inner.key not in spot.sections:
            name, label = self._named(level, spot)
            row = Level(rows=True, names={"key"})
            inside = Spot(sections=spot.sections, flat=frozenset({inner.key}), depth=spot.depth + 1)
            if inner.kind == "union":
                self._variants_of_row(row, inner, inside)
            else:
                self.members(row, inner, inside)
            set_choosers_apart(row)
            sent = [made for made in (*row.fields, *row.sections) if made.get("sent") is not False]
            if len(sent) > 1 and are_apart(row) and not any(made["name"] == "key" for made in row.fields):
                section = {"name": name, "label": label, "shape": "map", **row.parts, "fields": [key, *row.fields]}
                return self._add_section(level, section, view, spot, required=required)
            return self._json(level, view, spot, required=required, described=True)
        return self._json(level, view, spot, required=required, described=inner.kind not in {"any", "object"} or bool(inner.properties))

    def _is_tellable(self, view: View, spot: Spot) -> bool:
        """Whether there is room for the members of an object: fields are counted, and levels."""
        if view.key in spot.sections:
            return True
        if spot.depth >= DEPTH_MOST or self._left <= 0 or len(view.variants) > CASES_MOST:
            return False
        most = min(FIELDS_OF_A_PART if spot.depth else FIELDS_MOST, self._left + 20)
        return self._count(view, most, frozenset()) <= most

    def _count(self, view: View, most: int, seen: frozenset[str]) -> int:
        """How many fields a value takes at least; no further than ``most`` is counted."""
        if view.key in seen or len(seen) > DEPTH_MOST:
            return 1
        if view.kind == "array":
            return self._count(self._views.look(view.items), most, seen | {view.key})
        total = 0
        for member in view.properties.values():
            total += self._count(self._views.look(member), most - total, seen | {view.key})
            if total > most:
                return total
        for member in view.variants:  # what all cases share is there once
            inner = self._views.look(member)
            own = {name: value for name, value in inner.properties.items() if name not in view.properties}
            total += self._count(replace(inner, properties=own), most - total, seen | {view.key}) if own or not inner.properties else 0
            if total > most:
                break
        return max(1, total)

    # sections

    def _section(self, level: Level, view: View, spot: Spot, *, required: bool, one: bool = False, around: View | None = None) -> Any:
        """Rows of an object, or the one row that an object is."""
        name, label = self._named(level, spot)
        section: dict[str, Any] = {"name": name, "label": label}
        if one:
            section["shape"] = "object"
        if view.key in spot.sections:
            section["like"] = spot.sections[view.key]
            return self._add_section(level, section, around or view, spot, required=required)
        row = Level(rows=True, names=set())
        first = spot.sample if one else first_of(spot.sample)
        inside = Spot(sections={**spot.sections, view.key: name}, flat=frozenset(), depth=spot.depth + 1, sample=first)
        if view.kind == "union":
            self._variants_of_row(row, view, inside)
        else:
            self.members(row, view, inside)
        set_choosers_apart(row)
        if (not row.fields and not row.sections) or not are_apart(row):
            level.names.discard(name.lower())
            return self._json(level, view if one else around or view, spot, required=required, described=bool(row.fields))
        section |= row.parts
        return self._add_section(level, section, around or view, spot, required=required)

    def _add_section(self, level: Level, section: dict[str, Any], view: View, spot: Spot, *, required: bool) -> Any:
        if hint := hint_of(view):
            section["hint"] = hint
        if required:
            section["required"] = True
        if section.get("shape") not in {"object", "map"}:
            least, most = view.whole("minItems"), view.whole("maxItems")
            if least:
                section["minRows"] = min(least, 100)
            if most:
                section["maxRows"] = most
        elif section.get("shape") == "map":
            if least := view.whole("minProperties"):
                section["minRows"] = min(least, 100)
            if (most := view.whole("maxProperties")) and most >= (least or 0):
                section["maxRows"] = most
        if spot.when is not None:
            section["when"] = dict(spot.when)
        if level.rows and spot.at != (section["name"],):
            section["at"] = list(spot.at)
        level.sections.append({key: value for key, value in section.items() if value != []})
        return f"{{{{{section['name']}}}}}"

    # unions

    def _union(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        """A choice, and a part for each case of it."""
        if view.widest is not None and self._texts:
            return self._scalar(level, view.widest, spot, required=required)
        if view.widest is not None:
            return self._scalars(level, view, spot, required=required)
        if not self._is_tellable(view, spot) or (level.rows and view.key in spot.sections):
            return self._json(level, view, spot, required=required, described=True)
        if (level.rows and view.properties) or ((level.rows or len(view.variants) > CASES_APART) and self._are_objects(view)):
            return self._section(level, view, spot, required=required, one=True)
        if len(view.variants) > CASES_APART:
            return self._json(level, view, spot, required=required, described=True)
        shared: dict[str, Any] = {}
        if view.properties and (required or not self._cases_need(view)):
            shared = self.members(level, without_cases(view), replace(spot, flat=spot.flat | {view.key}))
        chooser, keys = self._chooser(level, view, spot, required=required, sent=not level.rows)
        parts: list[str] = []
        for key, inner in zip(keys, self._cases(view), strict=True):
            case = replace(spot, when={"at": chooser, "equals": key}, around=(*spot.around, key), depth=spot.depth + 1)
            whole_case = inner if shared or inner.kind != "object" else with_shared(inner, view)
            parts.append(self._case(level, whole_case, case, required=required, without=frozenset(shared)))
        whole = "{{" + " | otherwise: ".join(part.strip("{}") for part in parts if part) + "}}"
        return {**shared, "...": whole} if shared else whole

    def _cases_need(self, view: View) -> bool:
        """Whether what all cases share cannot be given without choosing one: more is needed then, or the word that tells it apart."""
        cases = [case for case in self._cases(view) if case.kind == "object"]
        return bool(view.tag or view.required or any(self.needs(case) for case in cases))

    def _scalars(self, level: Level, view: View, spot: Spot, *, required: bool) -> Any:
        """A choice, and a field for each kind of single value."""
        if spot.when is not None:
            return self._json(level, view, spot, required=required, described=True)
        chooser, keys = self._chooser(level, view, spot, required=required, sent=not level.rows)
        parts: list[str] = []
        for key, inner in zip(keys, self._cases(view), strict=True):
            around = (*spot.around, key) if spot.around else (key,)
            case = replace(spot, when={"at": chooser, "equals": key}, around=around, depth=spot.depth + 1)
            parts.append(str(self._scalar(level, inner, case, required=required)))
        return "{{" + " | otherwise: ".join(part.strip("{}") for part in parts) + "}}"

    def _cases(self, view: View) -> list[View]:
        """The cases of a union, each with the word in it that tells it apart."""
        found = [self._views.look(schema) for schema in view.variants]
        return [tagged(one, view.tag, words) for one, words in zip(found, view.tags, strict=True)] if view.tag else found

    def _case(self, level: Level, view: View, spot: Spot, *, required: bool, without: frozenset[str]) -> str:
        """The part for one case of a union."""
        if view.kind != "object" or not view.properties or (view.key in spot.sections):
            made = self._json if view.kind in {"object", "union"} else None
            if made is not None:
                return str(self._json(level, view, spot, required=required, described=bool(view.properties or view.variants)))
            return str(self._put(level, view, spot, required=required))
        name, label = self._named(level, spot)
        row = Level(rows=True, names=set())
        inside = Spot(sections={**spot.sections, view.key: name}, depth=spot.depth + 1, sample=spot.sample)
        kept = replace(view, properties={key: value for key, value in view.properties.items() if key not in without})
        self.members(row, kept, inside)
        if not row.fields and not row.sections:
            return str(self._json(level, view, spot, required=False, described=False))
        set_choosers_apart(row)
        section = {"name": name, "label": label, "shape": "object", **row.parts}
        return str(self._add_section(level, section, view, spot, required=required or self.needs(view)))

    def _chooser(self, level: Level, view: View, spot: Spot, *, required: bool, sent: bool) -> tuple[str, list[str]]:
        """The field that says which case is meant, and the keys of the cases."""
        taken: set[str] = set()
        keys = [unique(self._case_name(schema, number), taken) for number, schema in enumerate(view.variants, 1)]
        name = unique(field_name("_".join([*(snake(word) for word in spot.around[-2:]), "kind"])), level.names)
        label = f"{title(spot.around[-1])}: kind" if spot.around else "Kind"
        made: Field = {"name": name, "type": "string", "label": label, "options": [{"key": key, "label": title(key)} for key in keys]}
        if required:
            made["required"] = True
        if not sent:
            made["sent"] = False
        if spot.when is not None:
            made["when"] = dict(spot.when)
        self._left -= 1
        level.fields.append(made)
        return name, keys

    def _case_name(self, schema: Any, number: int) -> str:
        view = self._views.look(schema)
        for word in (view.name, view.text("title")):
            if word and len(word) <= 60:
                return snake(word)
        for name in view.required:
            told = self._views.look(view.properties[name]).constant if name in view.properties else None
            if isinstance(told, str) and told:
                return snake(told)
        return f"{view.kind}_{number}" if view.kind != "object" else f"case_{number}"

    def _variants_of_row(self, row: Level, view: View, spot: Spot) -> None:
        """The cases of a row: the fields of all of them stand side by side, each for its own case."""
        shared = frozenset(view.properties)
        if view.properties:
            self.members(row, without_cases(view), spot)
        chooser, keys = self._chooser(row, view, spot, required=True, sent=False)
        for key, inner in zip(keys, self._cases(view), strict=True):
            case = replace(spot, when={"at": chooser, "equals": key}, depth=spot.depth + 1)
            if inner.kind == "union" and inner.widest is None and spot.depth < DEPTH_MOST:
                self._variants_of_row(row, inner, case)
            if inner.kind != "object" or not inner.properties:
                continue
            kept = replace(inner, properties={name: value for name, value in inner.properties.items() if name not in shared})
            self.members(row, kept, case)


def _bounds_of_keys(view: View) -> Field:
    """What the names of a map's members have to look like, where the schema says it."""
    told = view.told.get("propertyNames")
    found: Field = {}
    if isinstance(told, dict):
        pattern, least, most = told.get("pattern"), told.get("minLength"), told.get("maxLength")
        found |= {"minLength": least} if type(least) is int and least > 0 else {}
        found |= {"maxLength": most} if type(most) is int and most >= max(least if type(least) is int else 0, 1) else {}
    else:
        named = view.told.get("patternProperties")
        only = isinstance(named, dict) and len(named) == 1 and view.told.get("additionalProperties") is False
        pattern = next(iter(named)) if isinstance(named, dict) and only else None
    usable = usable_pattern(pattern) if isinstance(pattern, str) else None
    return found | ({"pattern": usable} if usable is not None else {})
