"""Schemas seen plainly: references followed, ``allOf`` merged, null taken out, unions told apart. One look at one level, so that recursion costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from polyport.importers.references import HOPS, Dangling, References

PARTS_MOST: Final = 40
DEPTH_MOST: Final = 12
CROSSED_MOST: Final = 30
SINGLE_DEPTH: Final = 3
OPTIONS_MOST: Final = 2_000
PLACES_MOST: Final = 20
CASES_OF_SCALARS: Final = 4
Kind = Literal["string", "integer", "number", "boolean", "object", "array", "union", "any"]
SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
_OF_KIND: Final[Mapping[str, Any]] = {"string": str, "integer": int, "number": int, "boolean": bool, "any": str | int | bool}
_WRITTEN: Final = {"integer": "-?[0-9]+", "number": "-?[0-9]+[0-9.eE+-]*", "boolean": "true|false"}
UNTOLD: Final[Mapping[str, Any]] = {"description": "The description says nothing of this but that it is needed."}
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
_OWN_WORDS: Final = ("x-ms-discriminator-value", "x-discriminator-value")
_OF_OBJECTS: Final = frozenset({"properties", "additionalProperties", "required", "patternProperties", "maxProperties", "minProperties"})
_OF_TEXTS: Final = frozenset({"pattern", "minLength", "maxLength"})
_BOUND_FORMATS: Final = frozenset({"date", "date-time", "uuid", "email", "uri", "hostname"})
_OF_NUMBERS: Final = frozenset({"minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One level of a schema. ``key`` is the same for the same schema. ``choices`` are the values of an enum; ``rest`` what an object's further members are.

    ``places`` are the schemas of a list's first elements, by their place. ``widest`` is a choice of single values as one: where all is text, such as in a
    query, that is enough. ``tags`` says for each of ``variants`` what the member ``tag`` has to be there.
    """

    kind: Kind
    key: str
    told: Mapping[str, Any]
    nullable: bool = False
    name: str = ""
    choices: tuple[Any, ...] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    rest: Any = None
    items: Any = None
    variants: tuple[Any, ...] = ()
    places: tuple[Any, ...] = ()
    widest: View | None = None
    tag: str = ""
    tags: tuple[tuple[str, ...], ...] = ()

    @property
    def constant(self) -> Any:
        """The one single value that the schema allows, or ``None``."""
        found = self.choices
        return found[0] if found is not None and len(found) == 1 and isinstance(found[0], _OF_KIND.get(self.kind, ())) else None

    def text(self, name: str) -> str:
        """A text that the schema says."""
        value = self.told.get(name)
        return value if isinstance(value, str) else ""

    def whole(self, name: str) -> int | None:
        """A whole number of at least nought that the schema says."""
        value = self.told.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class Views:
    """Looks at the schemas of one document. A reference that leads nowhere is seen as anything; ``dangling`` collects them."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._views: dict[int, tuple[Any, View]] = {}
        self._looking: set[int] = set()
        self._children: dict[str, list[Any]] | None = None
        self.dangling: dict[str, str] = {}

    def look(self, schema: Any) -> View:
        """The view of a schema. One that is a case of itself is seen as anything there."""
        held = self._views.get(id(schema))
        if held is None:
            if id(schema) in self._looking:
                return View(kind="any", key=f"@{id(schema)}", told={})
            self._looking.add(id(schema))
            try:
                held = self._views[id(schema)] = (schema, self._look(schema))  # the schema is kept: an id says nothing without it
            finally:
                self._looking.discard(id(schema))
        return held[1]

    def _look(self, schema: Any) -> View:
        told, key, name = self._flatten(schema, 0)
        nullable = told.get("nullable") is True
        variants = _variants(told)
        inherited = not variants and isinstance(told.get("discriminator"), dict | str)
        if inherited:
            variants = self._heirs(key)
        kept = _each_once(one for one in variants if not self._is_null(one))
        nullable = nullable or len(kept) < len(variants)
        types = [one for one in _types(told) if one in _TYPES]
        nullable = nullable or "null" in types
        types = [one for one in types if one != "null"]
        if len(kept) == 1 and not is_mere_demand(kept[0]):
            return self._only(kept[0], told, key, name, nullable=nullable, inherited=inherited)
        if kept and not all(is_mere_demand(one) for one in kept):
            return self._union(kept, told, key, name, nullable=nullable)
        if len(types) > 1:
            return _of_several(types, told, key, name, nullable=nullable)
        kind = cast("Kind", types[0]) if types else _guessed(told)
        return self._plain(kind, told, key, name, nullable=nullable)

    def _only(self, one: Any, told: Mapping[str, Any], key: str, name: str, *, nullable: bool, inherited: bool) -> View:
        """A union of one is that one; what stands around it says more. Of an only heir nothing is needed: the schema itself may be meant."""
        inner, own, other = self._flatten(one, 0)
        head = {word: told[word] for word in ("title", "description", "default", "example", "readOnly") if word in told}
        if told.get("properties"):
            around = {word: value for word, value in told.items() if word not in {"oneOf", "anyOf", "discriminator"}}
            needed = {"required": _listed(told.get("required"))} if inherited else {}
            inner = {word: value for word, value in _merged([inner, around], {}).items() if word != "discriminator"} | needed
            own, other = key, name or other
        merged = {**inner, **head, **({"nullable": True} if nullable else {})}
        return self._look(_Ready(merged, own if own[:1] != "@" else key, other or name))

    def _plain(self, kind: Kind, told: Mapping[str, Any], key: str, name: str, *, nullable: bool) -> View:
        choices = _choices(told)
        if choices is not None and None in choices:
            nullable, choices = True, tuple(one for one in choices if one is not None)
        if kind == "object":
            properties = {str(word): value for word, value in _mapping(told.get("properties")).items()}
            rest, needed = told.get("additionalProperties"), _names(told.get("required")) | _demanded(told)
            if properties and rest is not False:  # what is needed may be anything where nothing more is said of it
                properties |= dict.fromkeys(sorted(needed - properties.keys()), UNTOLD)
            if not properties and (rest is None or rest is False):
                rest = next(iter(_mapping(told.get("patternProperties")).values()), rest is None)
            return View(
                kind="object",
                key=key,
                told=told,
                nullable=nullable,
                name=name,
                properties=properties,
                required=needed,
                rest=rest,
            )
        items = told.get("items") if kind == "array" else None
        if choices is not None and kind == "array" and isinstance(items, dict) and not any(isinstance(one, list | dict) for one in choices):
            items = {**items, "enum": list(choices)}  # the choices of the elements, one level too high
        places = items if isinstance(items, list) else _listed(told.get("prefixItems")) if kind == "array" else []
        if places:  # a tuple: the elements differ by their place
            items = told.get("additionalItems", {}) if isinstance(items, list) else items
            if items is False:  # nothing stands behind the places
                most = told.get("maxItems")
                told = {**told, "maxItems": min(most, len(places)) if isinstance(most, int) else len(places)}
        return View(
            kind=kind, key=key, told=told, nullable=nullable, name=name, choices=choices, items=items, places=tuple(places[:PLACES_MOST])
        )

    def _union(self, kept: list[Any], told: Mapping[str, Any], key: str, name: str, *, nullable: bool) -> View:
        views = [self.look(one) for one in kept]
        nullable = nullable or any(view.nullable for view in views)
        kinds = {view.kind for view in views}
        if kinds <= SCALARS:
            widest = _of_scalars(views, told, key, name, nullable=nullable)
            if not _are_told_apart(views) or len(kept) > CASES_OF_SCALARS:
                return widest
            return View(kind="union", key=key, told=told, nullable=nullable, name=name, variants=tuple(kept), widest=widest)
        arrays = [view for view in views if view.kind == "array"]
        if len(arrays) == 1 and kinds <= SCALARS | {"array"} and self._is_single(arrays[0].items):
            return _renamed(arrays[0], told, nullable=nullable)  # one value, or a list of them: a list of one says the same
        if "any" in kinds or len({view.key for view in views}) == 1:
            return View(kind="any", key=key, told=told, nullable=nullable, name=name)
        tag, tags = self._tags(kept, views, told)
        return View(
            kind="union",
            key=key,
            told=told,
            nullable=nullable,
            name=name,
            variants=tuple(kept),
            properties={str(word): value for word, value in _mapping(told.get("properties")).items() if word != tag},
            required=_names(told.get("required")) - {tag},
            tag=tag,
            tags=tags,
        )

    def _is_single(self, schema: Any, depth: int = 0) -> bool:
        """Whether a schema is one of single values. It is not looked at: it may be the one that is just being looked at."""
        told = self._flatten(schema, depth)[0]
        if cases := [one for one in _variants(told) if not self._is_null(one)]:
            return depth < SINGLE_DEPTH and all(self._is_single(one, depth + 1) for one in cases)
        types = {one for one in _types(told) if one != "null"}
        return types <= SCALARS if types else _guessed(told) in SCALARS | {"any"}

    def _tags(self, kept: list[Any], views: list[View], told: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, ...], ...]]:
        """The member that tells the cases of a union apart, and what it is in each: as the document maps it, or the name of the schema."""
        said = told.get("discriminator")
        tag = said if isinstance(said, str) else _mapping(said).get("propertyName")
        if not isinstance(tag, str) or not tag or any(view.kind not in {"object", "union"} for view in views):
            return "", ()
        mapped = {str(word): str(target) for word, target in _mapping(_mapping(said).get("mapping")).items()}
        found: list[tuple[str, ...]] = []
        for one, view in zip(kept, views, strict=True):
            reference = str(_mapping(one).get("$ref", ""))
            words = tuple(word for word, target in mapped.items() if target == reference or (view.name and target == view.name))
            own = self.look(view.properties[tag]).constant if tag in view.properties else None
            choices = self._choices_of(tag, view, told)
            known = tuple(
                word for word in words or (own if isinstance(own, str) else _named(one, view),) if choices is None or word in choices
            )
            found.append(known or tuple(word for word in choices or () if isinstance(word, str)))
        return (tag, tuple(found)) if all(all(words) for words in found) else ("", ())

    def _choices_of(self, tag: str, view: View, told: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """What the member that tells cases apart may be at all: a name by the rule of discriminators that is none of these is not what the service reads."""
        schema = view.properties.get(tag, _mapping(told.get("properties")).get(tag))
        return self.look(schema).choices if schema is not None else None

    def _heirs(self, key: str) -> list[Any]:
        """The schemas that are made of this one (``allOf``), which says by a discriminator that one of them is meant."""
        if self._children is None:
            self._children = {}
            for place in (("components", "schemas"), ("definitions",)):
                schemas: Any = self._references.data
                for step in place:
                    schemas = _mapping(_mapping(schemas).get(step))
                for name, schema in _mapping(schemas).items():
                    for part in _listed(_mapping(schema).get("allOf")):
                        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                            self._children.setdefault(part["$ref"], []).append({"$ref": "#/" + "/".join((*place, str(name)))})
        return self._children.get(key, [])

    def _is_null(self, schema: Any) -> bool:
        """Whether a case is there to say that there is nothing: null, or a text that can only be empty."""
        told: Mapping[str, Any] = schema if isinstance(schema, dict) else {}
        if "$ref" in told:
            try:
                told = _mapping(self._references.follow(told))
            except Dangling:
                return False
        return told.get("type") == "null" or told.get("enum") in ([None], [""]) or ("const" in told and told["const"] is None)

    def _flatten(self, schema: Any, depth: int) -> tuple[dict[str, Any], str, str]:
        """A schema without references and ``allOf`` on its own level, with its key and the name that it has in the document."""
        if isinstance(schema, _Ready):
            return schema.told, schema.key, schema.name
        key, name, node, own = f"@{id(schema)}", "", schema, dict[str, Any]()
        for _hop in range(HOPS):
            if not isinstance(node, dict) or not node.keys() & _REFERENCES:
                break
            told = node["$ref"] if "$ref" in node else node["$dynamicRef"]
            own = {**{word: value for word, value in node.items() if word not in _REFERENCES | {"allOf"}}, **own}
            try:
                key, name = str(told), str(told).rsplit("/", 1)[-1].lstrip("#")
                node = self._references.resolve(told)
            except Dangling as error:
                self.dangling[key] = str(error)
                node = {}
        whole = {**(node if isinstance(node, dict) else {}), **own}
        parts = _listed(whole.get("allOf"))
        if not parts or depth >= DEPTH_MOST:
            return {word: value for word, value in whole.items() if word != "allOf"}, key, name
        flat = [self._flatten(part, depth + 1) for part in parts[:PARTS_MOST]]
        if len(flat) == 1 and not name:
            key, name = (
                flat[0][1] if set(whole) <= {"allOf", "description", "title", "nullable", "readOnly", "default"} else key,
                flat[0][2],
            )
        return _merged([part for part, _key, _name in flat], {word: value for word, value in whole.items() if word != "allOf"}), key, name


class _Ready:
    """A schema that has been flattened already."""

    __slots__ = ("key", "name", "told")

    def __init__(self, told: dict[str, Any], key: str, name: str) -> None:
        self.told, self.key, self.name = told, key, name


def _named(schema: Any, view: View) -> str:
    """What a case is called by the rule of discriminators; of some documents, what the schema itself says."""
    own = next((view.told[word] for word in _OWN_WORDS if word in view.told), None)
    return own if isinstance(own, str) else view.name if isinstance(schema, dict) and "$ref" in schema else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _types(told: Mapping[str, Any]) -> list[str]:
    kind = told.get("type")
    return [one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str)]


def _merged(parts: list[dict[str, Any]], own: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (*parts, own):
        for word, value in part.items():
            if word == "properties" and isinstance(value, dict):
                found["properties"] = {**_mapping(found.get("properties")), **value}
            elif word == "required" and isinstance(value, list):
                found["required"] = [*_listed(found.get("required")), *value]
            elif word in {"oneOf", "anyOf"} and isinstance(found.get(word), list) and isinstance(value, list):
                found[word] = _crossed(found[word], value)
            elif word == "enum" and isinstance(value, list) and isinstance(found.get("enum"), list):
                found["enum"] = [one for one in found["enum"] if one in value] or value
            elif word == "nullable":
                found["nullable"] = value is True and found.get("nullable", True) is True
            elif word == "additionalProperties" and value is False and len(parts) > 1:
                continue  # true of one part alone: the others bring members of their own
            else:
                found[word] = value
    _demand(found, (*parts, own))
    return found


def _demand(found: dict[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
    """A member that one part says is read alone, and another needs without a word on it, is sent: who checks schemas part by part asks for it."""
    for part in parts:
        for name in _names(part.get("required")) - _mapping(part.get("properties")).keys():
            told = _mapping(_mapping(found.get("properties")).get(name))
            if told.get("readOnly") is True:
                found["properties"] = {**found["properties"], name: {word: value for word, value in told.items() if word != "readOnly"}}


def _guessed(told: Mapping[str, Any]) -> Kind:
    """What a schema without a type means."""
    if told.keys() & _OF_OBJECTS:
        return "object"
    if "items" in told:
        return "array"
    choices = _choices(told) or ()
    given = {type(one) for one in choices if one is not None}
    if given == {str}:
        return "string"
    if given == {int}:
        return "integer"
    if given == {bool}:
        return "boolean"
    if told.keys() & _OF_TEXTS or str(told.get("format")) in {"date", "date-time", "uuid", "email", "uri", "binary", "byte"}:
        return "string"
    return "number" if told.keys() & _OF_NUMBERS else "any"


def _choices(told: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if "const" in told:
        return (told["const"],)
    listed = told.get("enum")
    if not isinstance(listed, list) or not listed:
        return None
    found: list[Any] = []
    for one in listed[: OPTIONS_MOST + 1]:
        if not any(one == other and type(one) is type(other) for other in found):
            found.append(one)
    return tuple(found) if len(found) <= OPTIONS_MOST else None


def _variants(told: Mapping[str, Any]) -> list[Any]:
    """The cases of a schema. Of both kinds of unions one has to hold each, unless one of them is there for its demands alone."""
    ones, others = _listed(told.get("oneOf")), _listed(told.get("anyOf"))
    kept = [cases for cases in (ones, others) if cases and not all(is_mere_demand(one) for one in cases)]
    return _crossed(*kept) if len(kept) == 2 else kept[0] if kept else [*ones, *others]


def _crossed(ones: list[Any], others: list[Any]) -> list[Any]:
    """Two unions as one: each case of the one with each of the other. Where that are too many, the first decides what is offered."""
    null = {"type": "null"}
    first, second = ([one for one in cases if one != null] for cases in (ones, others))
    if first == second or len(first) * len(second) > CROSSED_MOST:
        return ones
    if all(is_mere_demand(one) for one in (*first, *second)):
        found = [{"required": [*_listed(one.get("required")), *_listed(other.get("required"))]} for one in first for other in second]
    else:
        found = [{**_titled(one, other), "allOf": [one, other]} for one in first for other in second]
    return [*found, null] if null in ones and null in others else found


def _titled(*schemas: Any) -> dict[str, Any]:
    """What a case is called that is made of two."""
    told = [_mapping(one) for one in schemas]
    names = [str(one.get("title") or str(one.get("$ref", "")).rsplit("/", 1)[-1]) for one in told]
    return {"title": " ".join(names)} if all(names) else {}


def _each_once(schemas: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in schemas:
        if not isinstance(one, dict) or "$ref" not in one or one not in found:
            found.append(one)
    return found


def is_mere_demand(schema: Any) -> bool:
    """Whether a variant only says which members are needed."""
    return (
        isinstance(schema, dict)
        and bool(schema)
        and schema.keys() <= {"required", "title", "description", "not", "properties"}
        and not any(value for value in _mapping(schema.get("properties")).values())
    )


def _names(listed: Any) -> frozenset[str]:
    return frozenset(one for one in _listed(listed) if isinstance(one, str))


def _demanded(told: Mapping[str, Any]) -> frozenset[str]:
    """The members that every variant needs, where variants are mere demands."""
    found = frozenset[str]()
    for word in ("oneOf", "anyOf"):
        demands = _listed(told.get(word))
        if demands and all(is_mere_demand(one) for one in demands):
            found |= frozenset.intersection(*(_names(one.get("required")) for one in demands))
    return found


def _of_several(types: list[str], told: Mapping[str, Any], key: str, name: str, *, nullable: bool) -> View:
    """One schema of several types: the widest of them that can be written."""
    kinds = set(types)
    if kinds <= {"integer", "number"}:
        return View(kind="number", key=key, told=told, nullable=nullable, name=name, choices=_choices(told))
    if "string" in kinds and kinds <= SCALARS:
        choices = _choices(told)
        texts = choices if choices is not None and all(isinstance(one, str) for one in choices) else None
        return View(kind="string", key=key, told=told, nullable=nullable, name=name, choices=texts)
    if "array" in kinds and kinds <= SCALARS | {"array"} and not isinstance(told.get("items"), list):
        return View(kind="array", key=key, told=told, nullable=nullable, name=name, items=told.get("items", {}))
    return View(kind="any", key=key, told=told, nullable=nullable, name=name)


def _are_told_apart(views: list[View]) -> bool:
    """Whether one field cannot take all of these single values: a text that not any text is beside what is none."""
    texts = [view for view in views if view.kind == "string"]
    bound = [view for view in texts if view.choices is not None or view.told.keys() & _OF_TEXTS or view.text("format") in _BOUND_FORMATS]
    return bool(texts) and len(bound) == len(texts) and len(texts) < len(views)


def _of_scalars(views: list[View], told: Mapping[str, Any], key: str, name: str, *, nullable: bool) -> View:
    """A union of scalars: one field that takes the widest of them."""
    head = {word: told[word] for word in ("title", "description", "default", "example", "readOnly") if word in told}
    kinds = {view.kind for view in views}
    texts = [view for view in views if view.kind == "string"]
    if len(kinds) == 1 and all(view.choices is not None for view in views):
        own = _choices(told)  # of the cases, those that the schema around them lists
        merged = dict.fromkeys(one for view in views for one in view.choices or () if own is None or one in own)
        head["x-labels"] = {str(view.constant): view.text("title") for view in views if view.constant is not None and view.text("title")}
        return View(kind=views[0].kind, key=key, told=head, nullable=nullable, name=name, choices=tuple(merged or own or ()))
    if texts:
        free = [view for view in texts if view.choices is None]
        chosen = free[0].told if len(free) == 1 and len(texts) == 1 else _worded(views) if not free else {}
        return View(kind="string", key=key, told={**chosen, **head}, nullable=nullable, name=name)
    if kinds <= {"integer", "number"}:
        return View(kind="number" if "number" in kinds else "integer", key=key, told=head, nullable=nullable, name=name)
    return View(kind="any", key=key, told={**head, "x-written": _worded(views)["pattern"]}, nullable=nullable, name=name)


def _worded(views: list[View]) -> Mapping[str, Any]:
    """What a text has to look like that is one of some words, or written as another kind of value is."""
    words = [re.escape(str(one)) for view in views if view.kind == "string" for one in view.choices or ()]
    written = sorted({_WRITTEN[view.kind] for view in views if view.kind != "string"})
    return {"pattern": f"^(?:{'|'.join([*words, *written])})$"}


def _renamed(view: View, told: Mapping[str, Any], *, nullable: bool) -> View:
    head = {word: told[word] for word in ("title", "description", "default", "example", "readOnly") if word in told}
    return View(kind=view.kind, key=view.key, told={**view.told, **head}, nullable=nullable, name=view.name, items=view.items)
