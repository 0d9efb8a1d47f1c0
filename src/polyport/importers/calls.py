"""From an endpoint to the call of an operation: path, query, headers and body, with the inputs that fill them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from polyport.importers.demands import Sets, demands_of, heads, side_by_side
from polyport.importers.described import Body, Endpoint, Parameter
from polyport.importers.documents import clean_text
from polyport.importers.inputs import Inputs
from polyport.importers.levels import Level, Spot
from polyport.importers.markup import Markup, is_xml
from polyport.importers.names import field_name, title, unique
from polyport.importers.samples import NONE
from polyport.importers.scalars import input_field, is_file, is_sample, is_scalar, list_field
from polyport.importers.views import View, Views

_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PLAIN: Final = "/%:@!$&'()*+,;=-._~"  # what stands in a path as it is
_FORM, _PARTS = "application/x-www-form-urlencoded", "multipart/form-data"
_JOINED: Final = {"spaceDelimited": "space", "pipeDelimited": "pipe"}
_BETWEEN: Final = {"comma": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_STARTS: Final = frozenset({"page", "pageNumber", "page_number", "offset", "start", "skip"})
OURS: Final = frozenset({"accept", "content-type"})  # said by the description where it has to be, and by the call else
_JOINED_STYLES: Final = frozenset({"form", "spaceDelimited", "pipeDelimited"})
_HEADER: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_COOKIE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


class Unsayable(ValueError):
    """What the language cannot say; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call with its inputs. ``json_only`` are places that are described but are a field for JSON here; ``left`` is what is not in it, and why."""

    call: dict[str, Any]
    fields: list[dict[str, Any]]
    sections: list[dict[str, Any]]
    demands: list[Sets]
    json_only: list[str]
    unkept: list[str]
    parameters: dict[str, str]
    left: list[tuple[str, str]]


class CallMaker:
    """Makes the call of one endpoint. ``hidden`` are parameters (place, name) that the connection fills."""

    def __init__(self, views: Views, endpoint: Endpoint, hidden: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._views = views
        self._endpoint = endpoint
        self._hidden = hidden
        body = endpoint.body
        self._media = body.media.partition(";")[0].strip().lower() if body is not None else ""
        styles = body.styles if body is not None else {}
        nested, whole = (frozenset(name for name, style in styles.items() if style == wanted) for wanted in ("brackets", "json"))
        self._inputs = Inputs(
            views,
            texts=self._media in {_FORM, _PARTS},
            uploads=self._media == _PARTS,
            nested=nested,
            whole=whole if self._media == _FORM else frozenset(),
        )
        self._level = Level(rows=False, names=set())
        self._call: dict[str, Any] = {}
        self._placed: dict[str, str] = {}
        self._left: list[tuple[str, str]] = []

    def make(self) -> Made:
        """The call. Raises ``Unsayable``."""
        self._call = {"method": self._endpoint.method}
        self._path()
        self._query()
        self._headers()
        self._body()
        self._answer()
        return Made(
            call=self._call,
            fields=self._level.fields,
            sections=self._level.sections,
            demands=[sets for sets in self._level.demands if sets],
            json_only=self._inputs.json_only,
            unkept=self._inputs.unkept,
            parameters=self._placed,
            left=self._left,
        )

    def _look(self, schema: Any) -> View:
        """A schema where all is text: what may be anything is one too."""
        view = self._views.look(schema)
        view = view.widest or view
        if view.kind != "any":
            return view
        written = view.told.get("x-written")  # what the values of a choice look like as texts
        return replace(view, kind="string", told={**view.told, "pattern": written} if written is not None else view.told)

    def _given(self, place: str) -> list[Parameter]:
        return [one for one in self._endpoint.parameters if one.place == place and (place, one.name) not in self._hidden]

    def _path(self) -> None:
        """The path with its placeholders; a part in braces that nobody describes is a text that is needed."""
        described = {one.name: one for one in self._endpoint.parameters if one.place == "path"}
        path = self._endpoint.path.partition("#")[0]
        path, _mark, query = path.partition("?")
        if "{{" in path or "}}" in path:
            raise Unsayable("Its path has braces in braces.")
        seen: dict[str, str] = {}

        def fill(found: re.Match[str]) -> str:
            raw = found[1].lstrip("+/;.?").rstrip("*+")
            if raw not in seen:
                one = (
                    described.get(raw)
                    or described.get(found[1])
                    or Parameter(name=raw or "part", place="path", required=True, schema={"type": "string"})
                )
                seen[raw] = self._path_part(one, several=found[1].endswith("+") or found[1].startswith("+"))
            return seen[raw]

        filled, done = "", 0
        for hole in _HOLE.finditer(path):
            filled += quote(path[done : hole.start()], safe=_PLAIN) + fill(hole)
            done = hole.end()
        filled += quote(path[done:], safe=_PLAIN)
        if "{" in _HOLE.sub("", path) or "}" in _HOLE.sub("", path):
            raise Unsayable("Its path has a brace that is not closed.")
        self._call["path"] = filled
        for name, value in parse_qsl(query.lstrip("?"), keep_blank_values=True):
            self._call.setdefault("query", {})[_HOLE.sub(fill, name)] = _HOLE.sub(fill, value)

    def _path_part(self, one: Parameter, *, several: bool) -> str:
        """What stands for a part of the path; ``several``: it may be more than one segment."""
        view = self._look(one.schema)
        items = self._look(view.items) if view.kind == "array" else None
        members = self._members_of_path(one, view)
        if members is not None:
            return members
        name = self._name(one)
        mark = {"matrix": f";{one.name}=", "label": "."}.get(one.style, "")
        if items is not None and is_scalar(items):
            made = {"minItems": 1, **list_field(items, view, name, title(one.name), required=True)}
            if made["type"] == "string[]" and "options" not in made:
                made.setdefault("minLength", 1)  # what is empty has no place in a path
            if one.style == "matrix" and one.explode:
                made |= {"minItems": 1, "maxItems": 1}
                self._left.append(
                    (
                        f"the list {one.name} of {self._endpoint.call}",
                        "Of a list in this style (matrix, explode) one element alone can be sent.",
                    )
                )
            self._add(one, made)
            between = "." if one.style == "label" and one.explode else ","
            return f'{mark}{{{{{name} | join: "{between}"}}}}'
        made = input_field(view, name, title(one.name), required=True)
        if made["type"] not in {"string", "integer", "decimal", "boolean", "date", "datetime"}:
            made = {key: made[key] for key in ("name", "label", "required", "hint") if key in made} | {"type": "string"}
            if view.kind == "object":
                made |= _as_pairs(view, one, made.get("hint", ""))
                self._inputs.json_only.append(one.name)
        self._add(one, made)
        if made["type"] == "string" and (several or view.told.get("x-segments") is True):
            return f'{{{{{name} | split: "/"}}}}'
        return f"{mark}{{{{{name}}}}}"

    def _members_of_path(self, one: Parameter, view: View) -> str | None:
        """An object in a path whose members are all needed: a field for each, in the style's own form."""
        looked = {member: self._look(schema) for member, schema in view.properties.items()} if view.kind == "object" else {}
        if (
            not looked
            or view.required < looked.keys()
            or not all(is_scalar(inner) and _PLAIN_NAME.fullmatch(name) for name, inner in looked.items())
        ):
            return None
        pieces = []
        for member, inner in looked.items():
            name = unique(field_name(f"{one.name}_{member}"), self._level.names)
            self._level.fields.append(input_field(inner, name, f"{title(one.name)}: {title(member)}", required=True))
            pieces.append(f"{member}{'=' if one.explode else ','}{{{{{name}}}}}")
        if one.style == "matrix":
            return "".join(f";{piece}" for piece in pieces) if one.explode else f";{one.name}={','.join(pieces)}"
        if one.style == "label":
            return "." + ("." if one.explode else ",").join(pieces)
        return ",".join(pieces)

    def _name(self, one: Parameter) -> str:
        return unique(field_name(one.name), self._level.names)

    def _add(self, one: Parameter, made: dict[str, Any]) -> None:
        if one.description and "hint" not in made:
            made["hint"] = clean_text(one.description, 400)
        if isinstance(one.sample, str | int) and "sample" not in made and _is_sample(one.sample, made["type"]):
            made["sample"] = one.sample
        self._placed[f"{one.place}:{one.name}"] = made["name"]
        self._level.fields.append(made)

    def _query(self) -> None:
        query: dict[str, Any] = self._call.pop("query", {})
        styles: dict[str, str] = {}
        for one in self._given("query"):
            if "{{" in one.name or "}}" in one.name:
                continue
            view = self._look(one.schema)
            if one.as_json:
                found = self._inputs.put(self._level, one.schema, Spot(around=(one.name,), at=(one.name,)), required=one.required)
                if found is not NONE:
                    query[one.name] = f"{found[:-2]} | json}}}}" if isinstance(found, str) and found.endswith("}}") else found
                continue
            if view.kind == "array":
                self._query_list(one, view, query, styles)
            elif view.kind in {"object", "union"} and (view.properties or view.variants):
                self._query_object(one, query, styles)
            elif view.kind == "object" and (one.style == "deepObject" or (isinstance(view.rest, dict) and view.rest and one.explode)):
                self._query_map(one, view, query, styles)
            else:
                single = view.constant
                if single is not None and one.required:
                    query[one.name] = str(single).lower() if isinstance(single, bool) else str(single)
                    continue
                name = self._name(one)
                made = input_field(view, name, title(one.name), required=one.required)
                self._add(one, made)
                query[one.name] = f"{{{{{name} | json}}}}" if made["type"] == "object" else f"{{{{{name}}}}}"
        if query:
            self._call["query"] = query
        if styles:
            self._call["queryStyles"] = styles

    def _query_list(self, one: Parameter, view: View, query: dict[str, Any], styles: dict[str, str]) -> None:
        items = self._look(view.items)
        name, key = self._name(one), one.name
        if is_scalar(items):
            self._add(one, list_field(items, view, name, title(one.name), required=one.required))
            style = _JOINED.get(one.style) or ("repeat" if one.explode else "comma")
            if one.style == "deepObject":
                style = "brackets" if not key.endswith("[]") else "repeat"
            if style != "repeat":
                styles[key] = style
            query[key] = f"{{{{{name}}}}}"
            return
        self._level.names.discard(name.lower())
        query[key] = self._inputs.put(self._level, one.schema, Spot(around=(one.name,), at=(one.name,)), required=one.required)
        styles[key] = "brackets"  # OpenAPI says nothing of objects in lists: this is how most servers read them

    def _query_map(self, one: Parameter, view: View, query: dict[str, Any], styles: dict[str, str]) -> None:
        """Members with names of the caller's choosing: in brackets, or side by side with the other parameters."""
        found = self._inputs.put(self._level, one.schema, Spot(around=(one.name,), at=(one.name,)), required=one.required)
        if found is NONE:
            return
        if one.style == "deepObject":
            query[one.name] = found
            styles[one.name] = "brackets"
        elif one.style == "form" and "..." not in query and is_scalar(self._look(view.rest)):
            query["..."] = found
        else:
            query[one.name] = f"{found[:-2]} | json}}}}"

    def _query_object(self, one: Parameter, query: dict[str, Any], styles: dict[str, str]) -> None:
        """An object nests with brackets; in the usual style of forms its members stand side by side."""
        if one.style in _JOINED_STYLES and not one.explode:
            name = self._name(one)
            made = {"name": name, "type": "string", "label": title(one.name), **({"required": True} if one.required else {})}
            between = {"spaceDelimited": "spaces", "pipeDelimited": "|"}.get(one.style, "commas")
            self._add(one, made)
            made["hint"] = clean_text(f"{one.description} Names and values in turn, with {between} between them.", 400)
            self._inputs.json_only.append(one.name)
            query[one.name] = f"{{{{{name}}}}}"
            return
        schema = side_by_side(self._views, one.schema) if one.style == "form" else one.schema
        found = self._inputs.put(self._level, schema, Spot(around=(one.name,), at=(one.name,)), required=one.required)
        if found is NONE:
            return
        if isinstance(found, dict) and found.get("...") == {}:
            found = {name: piece for name, piece in found.items() if name != "..."}
        others = query.keys() | {
            other.name for other in self._given("query") if other is not one
        }  # where names meet, brackets keep them apart
        if one.style == "form" and one.explode and isinstance(found, dict) and not found.keys() & others and "..." not in found:
            query.update(found)
            self._send_something(found, one, schema)
        elif isinstance(found, str) and one.style == "form":
            query[one.name] = f"{found[:-2]} | json}}}}"
        else:
            query[one.name] = found
            if one.style == "deepObject":
                styles[one.name] = "brackets"  # lists inside of it: no style of OpenAPI says how, most servers read these

    def _send_something(self, found: dict[str, Any], one: Parameter, schema: Any) -> None:
        """Of an object that is needed and has no member that is, a member goes with the value that it has anyway: else nothing would be there."""
        if not one.required:
            return
        by_name = {field["name"]: field for field in self._level.fields}
        members = {name: by_name[piece.strip("{}")] for name, piece in found.items() if str(piece).strip("{}") in by_name}
        if any(field.get("required") for field in members.values()):
            return
        described = self._views.look(schema).properties
        for name, field in members.items():
            told = self._views.look(described[name]).told if name in described else {}
            default = told.get("default", told.get("minimum") if name in _STARTS else None)
            if is_sample(default, field):
                field["default"] = default
                return
        if not demands_of(self._views.look(schema)):
            self._level.demands.append([[name] for name in heads(found, [*self._level.fields, *self._level.sections])])

    def _headers(self) -> None:
        headers: dict[str, str] = {}
        for one in self._given("header"):
            if not _HEADER.fullmatch(one.name):
                self._left.append(
                    (f"the header {one.name} of {self._endpoint.call}", "A header's name consists of letters, digits, _, . and -.")
                )
                continue
            view = self._look(one.schema)
            single = view.constant
            if one.name.lower() in OURS:
                headers[one.name] = str(single or view.told.get("default") or one.sample or "application/json")
                continue
            if single is not None and one.required:
                headers[one.name] = str(single)
                continue
            name = self._name(one)
            items = self._look(view.items) if view.kind == "array" else None
            if items is not None and is_scalar(items):
                self._add(one, list_field(items, view, name, title(one.name), required=one.required))
                headers[one.name] = f'{{{{{name} | join: ","}}}}'
                continue
            made = input_field(view, name, title(one.name), required=one.required)
            if view.kind == "object" and view.properties and not one.as_json:
                made = {key: made[key] for key in ("name", "label", "required", "hint") if key in made} | {"type": "string"}
                made |= _as_pairs(view, one, made.get("hint", ""))
                self._inputs.json_only.append(one.name)
            self._add(one, made)
            headers[one.name] = f"{{{{{name} | json}}}}" if made["type"] == "object" else f"{{{{{name}}}}}"
        self._cookies(headers)
        if headers:
            self._call["headers"] = headers

    def _cookies(self, headers: dict[str, str]) -> None:
        """The cookies that are needed, in one header; where none is, the first that may be given."""
        given = [one for one in self._given("cookie") if _COOKIE.fullmatch(one.name)] if "Cookie" not in headers else []
        taken = [one for one in given if one.required] or given[:1]
        for one in self._given("cookie"):
            if one not in taken:
                self._left.append(
                    (f"the cookie {one.name} of {self._endpoint.call}", "Only cookies that are needed can stand side by side.")
                )
        parts = []
        for one in taken:
            name = self._name(one)
            view = self._look(one.schema)
            made = input_field(view, name, title(one.name), required=one.required)
            if made["type"] not in {"string", "integer", "decimal", "boolean"}:
                made = {key: made[key] for key in ("name", "label", "required", "hint") if key in made} | {"type": "string"}
            self._add(one, made)
            parts.append(f"{one.name}={{{{{name}}}}}")
        if parts:
            headers["Cookie"] = "; ".join(parts)

    def _body(self) -> None:
        body = self._endpoint.body
        if body is None or self._says_nothing(body):
            return
        media = self._media
        if "*" in media and is_file(self._views.look(body.schema)):
            self._raw_body(media, required=body.required)
        elif media == "application/json" or media.endswith("+json") or media in {"*/*", "application/*", "text/json"}:
            self._json_body(body.schema, required=body.required)
            if media not in {"application/json", "*/*", "application/*"}:
                self._call["contentType"] = body.media
        elif media in {_FORM, _PARTS}:
            self._form_body(body.schema, required=body.required)
        elif is_xml(media) and (markup := Markup(self._views, prefixes=True).root(body.schema)) is not None:
            self._xml_body(*markup, body)
        else:
            self._raw_body(media, required=body.required)

    def _says_nothing(self, body: Body) -> bool:
        """Whether a body may be left out and has no members: some generators describe one for every call that could have it."""
        told = self._views.look(body.schema).told
        rest = told.get("additionalProperties", False) is not False or "patternProperties" in told
        return not body.required and told.get("properties") == {} and not rest

    def _json_body(self, schema: Any, *, required: bool) -> None:
        found = self._root(schema, required=required)
        if found is not NONE:
            self._call["body"] = found

    def _xml_body(self, name: str, schema: Any, body: Body) -> None:
        """XML: the members of the outermost element, in their own order."""
        found = self._root(schema, required=body.required)
        if found is NONE:
            return
        if isinstance(found, dict):
            found = {word: found[word] for word in schema["properties"] if word in found}
        self._call |= {"encoding": "xml", "contentType": body.media, "body": {name: found}}

    def _root(self, schema: Any, *, required: bool) -> Any:
        view = self._views.look(schema)
        body = self._endpoint.body
        sample = NONE if body is None or body.sample is None else body.sample
        if view.kind == "object" and view.properties and (required or not self._inputs.needs(view)):
            self._inputs.note_rules(view, Spot())
            return self._inputs.members(self._level, view, Spot(flat=frozenset({view.key}), sample=sample))
        if view.kind == "array":
            return self._inputs.put(self._level, schema, Spot(around=("items",), at=("items",), sample=sample), required=required)
        return self._inputs.put(self._level, schema, Spot(sample=sample), required=required)

    def _form_body(self, schema: Any, *, required: bool) -> None:
        parts = self._media == _PARTS
        self._call["encoding"] = "multipart" if parts else "form"
        found = self._root(
            schema, required=required or parts
        )  # parts of which some are needed are: most documents do not say it of the body
        body = self._endpoint.body
        if found is NONE or body is None:
            return
        if isinstance(found, dict):
            found = {name: self._member(piece, body.styles.get(name, ""), parts=parts) for name, piece in found.items()}
        if isinstance(found, dict) and not self._has_bracketed_lists(body):
            self._call["formStyle"] = "repeat"
        self._call["body"] = found

    def _has_bracketed_lists(self, body: Body) -> bool:
        """Whether lists in a form are written with brackets: as the description has it for one of them, or for what holds one."""
        members = self._views.look(body.schema).properties
        bracketed = [self._views.look(members[name]) for name, style in body.styles.items() if style == "brackets" and name in members]
        within = [self._views.look(inner) for view in bracketed for inner in view.properties.values()]
        return any(view.kind == "array" for view in (*bracketed, *within))

    def _member(self, piece: Any, style: str, *, parts: bool) -> Any:
        """A member of a form as its encoding has it: JSON in a text, or a list as one text."""
        if style == "json" and not parts and isinstance(piece, str) and piece.endswith("}}"):
            return f"{piece[:-2]} | json}}}}"
        if style in _BETWEEN and isinstance(piece, str):
            made = next((made for made in self._level.fields if f"{{{{{made['name']}}}}}" == piece), None)
            if made is not None and made["type"].endswith("[]") and made["type"] not in {"object[]", "file[]"}:
                made["separator"] = _BETWEEN[style]
            return piece
        return self._part(piece) if parts else piece

    def _part(self, piece: Any) -> Any:
        """A part of a multipart body: what is no single value is JSON there."""
        if isinstance(piece, str) and piece.startswith("{{") and piece.endswith("}}"):
            name = piece.strip("{}")
            kind = next((made["type"] for made in self._level.fields if made["name"] == name), "section")
            return piece if kind not in {"section", "object", "object[]"} else f"{{{{{name} | json}}}}"
        return piece

    def _raw_body(self, media: str, *, required: bool) -> None:
        """Bytes from a file, or a text."""
        is_text = media.startswith("text/") or "xml" in media or "yaml" in media or "x-ndjson" in media
        name = unique("content", self._level.names)
        made = {"name": name, "type": "string" if is_text else "file", "label": "Content", **({"required": True} if required else {})}
        if is_text:
            made["format"] = "multiline"
        self._level.fields.append(made)
        self._call["encoding"] = "text" if is_text else "bytes"
        if "*" not in media:
            self._call["contentType"] = media
        self._call["body"] = f"{{{{{name}}}}}"

    def _answer(self) -> None:
        media = self._endpoint.answer.media.partition(";")[0].strip().lower()
        if not media:
            self._call["decode"] = "auto"
        elif media == "application/json" or media.endswith("+json") or "*" in media:
            self._call["decode"] = "auto" if "*" in media else "json"
        elif media == "text/csv":
            self._call["decode"] = "text"
        elif is_xml(media):
            self._call["decode"] = "xml"
        elif media.startswith("text/"):
            self._call["decode"] = "text"
        else:
            self._call["decode"] = "file"
        if self._call["decode"] == "json":
            del self._call["decode"]


def _as_pairs(view: View, one: Parameter, hint: str) -> dict[str, Any]:
    """An object as one text: what it looks like, and how that is told."""
    sign = "=" if one.explode else ","
    names = "|".join(map(re.escape, view.properties)) or "[^,=]+"
    pair = f"(?:{names}){sign}[^,=]+"
    told = f"{one.description or hint} Names and values with {sign} between them, and commas between the pairs."
    return {"pattern": f"{pair}(?:,{pair})*", "hint": clean_text(told, 400)}


def _is_sample(value: str | int, kind: str) -> bool:
    return not isinstance(value, bool) and (
        (isinstance(value, str) and kind == "string" and 0 < len(value) <= 200) or (isinstance(value, int) and kind == "integer")
    )
