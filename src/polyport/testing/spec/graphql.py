"""A light check of GraphQL requests against a schema (SDL): types, fields, arguments and variables. Directives and merging of fields are not looked at."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from polyport.testing.spec.schema import Fault

DEPTH_LIMIT: Final = 64
_TOKEN: Final = re.compile(
    # Unrolled, so that no text can be read in two ways: with possessive quantifiers CPython before 3.11.5 misses what it should find.
    r'[\s,\ufeff]+|#[^\n]*|("""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*")|(\.\.\.|[!$&():=@\[\]{|}])|([A-Za-z_]\w*)|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)',
    re.DOTALL,
)
_SCALARS: Final = frozenset({"String", "ID", "Int", "Float", "Boolean"})


class Unreadable(ValueError):
    """A document that is no GraphQL; the message says where."""


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type as it is written: a name, or a list of something, maybe never null."""

    name: str
    inner: TypeRef | None = None
    required: bool = False

    def __str__(self) -> str:
        return (f"[{self.inner}]" if self.inner is not None else self.name) + ("!" if self.required else "")


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a type, or an argument: its type, its own arguments, and whether it may be left out."""

    type: TypeRef
    arguments: Mapping[str, Member] = field(default_factory=dict)
    has_default: bool = False

    @property
    def needed(self) -> bool:
        """Whether a request has to give it."""
        return self.type.required and not self.has_default


@dataclass(frozen=True, slots=True)
class _Word:
    """A bare word as a value: one of an enum."""

    text: str


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str


class Tokens:
    """The tokens of a text; descriptions (texts where a name is wanted) are passed over by ``name``."""

    def __init__(self, text: str) -> None:
        self._tokens: deque[str] = deque()
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise Unreadable(f"this cannot be read as GraphQL at character {position}")
            position = found.end()
            if found.lastindex is not None:
                self._tokens.append(found[0])

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def peek(self) -> str:
        """The next token, or an empty text."""
        return self._tokens[0] if self._tokens else ""

    def take(self, wanted: str | None = None) -> str:
        """The next token; if one is wanted, it has to be this one."""
        if not self._tokens or (wanted is not None and self._tokens[0] != wanted):
            raise Unreadable(f"there should be {wanted or 'more'} instead of {self.peek() or 'the end'}")
        return self._tokens.popleft()

    def skip(self, wanted: str) -> bool:
        """Whether the next token was this one; it is taken then."""
        if self.peek() != wanted:
            return False
        self._tokens.popleft()
        return True

    def name(self) -> str:
        """A name, whatever describes it."""
        while self.peek().startswith('"'):
            self._tokens.popleft()
        found = self.take()
        if not (found[0].isalpha() or found[0] == "_"):
            raise Unreadable(f"there should be a name instead of {found}")
        return found

    def type(self) -> TypeRef:
        """A type reference."""
        if self.skip("["):
            inner = self.type()
            self.take("]")
            return TypeRef("", inner, self.skip("!"))
        name = self.name()
        return TypeRef(name, None, self.skip("!"))

    def value(self, depth: int = 0) -> Any:
        """A value as it is written in a document."""
        if depth > DEPTH_LIMIT:
            raise Unreadable("a value nests too deep")
        mark = self.take()
        if mark == "$":
            return _Variable(self.name())
        if mark == "[":
            found = []
            while not self.skip("]"):
                found.append(self.value(depth + 1))
            return found
        if mark == "{":
            pairs: dict[str, Any] = {}
            while not self.skip("}"):
                key = self.name()
                self.take(":")
                pairs[key] = self.value(depth + 1)
            return pairs
        if mark[0] == '"':
            return mark
        if mark[0].isdigit() or mark[0] == "-":
            return float(mark) if set(mark) & set(".eE") else int(mark)
        return {"true": True, "false": False, "null": None}.get(mark, _Word(mark))

    def directives(self) -> None:
        """Passes over what begins with ``@``."""
        while self.skip("@"):
            self.name()
            if self.skip("("):
                while not self.skip(")"):
                    self.name()
                    self.take(":")
                    self.value()

    def members(self, end: str) -> dict[str, Member]:
        """Fields of a type or arguments of a field, up to their closing token."""
        found: dict[str, Member] = {}
        while not self.skip(end):
            name = self.name()
            arguments = self.members(")") if self.skip("(") else {}
            self.take(":")
            kind = self.type()
            has_default = self.skip("=")
            if has_default:
                self.value()
            self.directives()
            found[name] = Member(kind, arguments, has_default)
            while self.peek().startswith('"'):
                self.take()
        return found


class Sdl:
    """A schema: the members of its types, the words of its enums, its unions, where each kind of operation starts."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, dict[str, Member]] = {}
        self.inputs: dict[str, dict[str, Member]] = {}
        self.enums: dict[str, frozenset[str]] = {}
        self.unions: set[str] = set()
        self.scalars: set[str] = set(_SCALARS)
        self.roots = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
        tokens = Tokens(text)
        while tokens:
            word = tokens.name()
            self._define(tokens.name() if word == "extend" else word, tokens)

    def _define(self, word: str, tokens: Tokens) -> None:
        if word == "schema":
            tokens.directives()
            tokens.take("{")
            self.roots |= {name: member.type.name for name, member in tokens.members("}").items()}
            return
        if word == "directive":
            tokens.take("@")
            tokens.name()
            if tokens.skip("("):
                tokens.members(")")
            tokens.skip("repeatable")
            tokens.take("on")
            tokens.skip("|")
            tokens.name()
            while tokens.skip("|"):
                tokens.name()
            return
        name = tokens.name()
        if word in {"type", "interface"}:
            if tokens.skip("implements"):
                tokens.skip("&")
                tokens.name()
                while tokens.skip("&"):
                    tokens.name()
            tokens.directives()
            self.types.setdefault(name, {}).update(tokens.members("}") if tokens.skip("{") else {})
        elif word == "input":
            tokens.directives()
            self.inputs.setdefault(name, {}).update(tokens.members("}") if tokens.skip("{") else {})
        else:
            self._define_leaf(word, name, tokens)

    def _define_leaf(self, word: str, name: str, tokens: Tokens) -> None:
        tokens.directives()
        if word == "scalar":
            self.scalars.add(name)
        elif word == "union":
            self.unions.add(name)
            if tokens.skip("="):
                tokens.skip("|")
                tokens.name()
                while tokens.skip("|"):
                    tokens.name()
        elif word == "enum":
            words = []
            tokens.take("{")
            while not tokens.skip("}"):
                words.append(tokens.name())
                tokens.directives()
                while tokens.peek().startswith('"'):
                    tokens.take()
            self.enums[name] = self.enums.get(name, frozenset()) | frozenset(words)
        else:
            raise Unreadable(f"{word} defines nothing that is known here")

    def check(self, body: bytes) -> list[Fault]:
        """Every fault of a request's body: ``{"query", "variables", "operationName"}``."""
        try:
            told = msgspec.json.decode(body)
            variables = told.get("variables") or {}
            return list(_Reader(self, Tokens(told["query"]), variables).faults())
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError, Unreadable) as error:
            return [Fault("body", f"this is no GraphQL request: {error}")]

    def value_faults(self, kind: TypeRef, value: Any, at: str, depth: int = 0) -> Iterator[Fault]:
        """What in a value does not fit a type; variables inside are not looked at."""
        if isinstance(value, _Variable) or depth > DEPTH_LIMIT:
            return
        if value is None:
            if kind.required:
                yield Fault(at, f"a value of {kind} may not be null")
        elif kind.inner is not None:
            for inner in value if isinstance(value, list) else [value]:
                yield from self.value_faults(kind.inner, inner, f"{at}[]", depth + 1)
        elif kind.name in self.inputs:
            if not isinstance(value, dict):
                yield Fault(at, f"an object of {kind} is needed")
                return
            known = self.inputs[kind.name]
            yield from (Fault(f"{at}.{name}", f"{kind.name} has no such field") for name in value if name not in known)
            yield from (Fault(f"{at}.{name}", "this is needed") for name, member in known.items() if member.needed and name not in value)
            for name, inner in value.items():
                if name in known:
                    yield from self.value_faults(known[name].type, inner, f"{at}.{name}", depth + 1)
        elif not self._fits(kind.name, value):
            yield Fault(at, f"a value of {kind} is needed")

    def _fits(self, name: str, value: Any) -> bool:
        if name in self.enums:
            return (value.text if isinstance(value, _Word) else value) in self.enums[name]
        wanted: dict[str, tuple[type, ...]] = {"String": (str,), "ID": (str, int), "Int": (int,), "Float": (int, float), "Boolean": (bool,)}
        if name not in wanted:
            return name in self.scalars
        return isinstance(value, wanted[name]) and (name == "Boolean" or not isinstance(value, bool))


class _Reader:
    """Reads one request's document along the schema."""

    def __init__(self, schema: Sdl, tokens: Tokens, variables: Mapping[str, Any]) -> None:
        self._schema = schema
        self._tokens = tokens
        self._given = variables
        self._declared: dict[str, TypeRef] = {}

    def faults(self) -> Iterator[Fault]:
        while self._tokens:
            yield from self._definition()
        yield from (
            Fault(f"variables.{name}", "the document declares no such variable") for name in self._given if name not in self._declared
        )

    def _definition(self) -> Iterator[Fault]:
        tokens = self._tokens
        word = tokens.name() if tokens.peek() != "{" else "query"
        if word == "fragment":
            tokens.name()
            tokens.take("on")
            yield from self._selection(tokens.name(), "fragment", 0)
            return
        if word not in self._schema.roots:
            raise Unreadable(f"{word} is no operation")
        if tokens.peek() not in {"{", "(", "@"}:
            tokens.name()
        if tokens.skip("("):
            yield from self._variables()
        tokens.directives()
        yield from self._selection(self._schema.roots[word], word, 0)

    def _variables(self) -> Iterator[Fault]:
        tokens = self._tokens
        while not tokens.skip(")"):
            tokens.take("$")
            name = tokens.name()
            tokens.take(":")
            kind = self._declared[name] = tokens.type()
            has_default = tokens.skip("=")
            if has_default:
                yield from self._schema.value_faults(kind, tokens.value(), f"variables.{name}")
            tokens.directives()
            if name in self._given:
                yield from self._schema.value_faults(kind, self._given[name], f"variables.{name}")
            elif kind.required and not has_default:
                yield Fault(f"variables.{name}", "this is needed")

    def _selection(self, parent: str, at: str, depth: int) -> Iterator[Fault]:
        tokens = self._tokens
        if depth > DEPTH_LIMIT:
            raise Unreadable("the selections nest too deep")
        tokens.take("{")
        while not tokens.skip("}"):
            if tokens.skip("..."):
                yield from self._fragment(parent, at, depth)
                continue
            name = tokens.name()
            if tokens.skip(":"):
                name = tokens.name()
            yield from self._field(parent, name, f"{at}.{name}", depth)

    def _fragment(self, parent: str, at: str, depth: int) -> Iterator[Fault]:
        tokens = self._tokens
        inner = parent
        if tokens.skip("on"):
            inner = tokens.name()
            if inner not in self._schema.types and inner not in self._schema.unions:
                yield Fault(at, f"there is no type {inner}")
        elif tokens.peek() not in {"{", "@"}:
            tokens.name()
            tokens.directives()
            return
        tokens.directives()
        yield from self._selection(inner, at, depth + 1)

    def _field(self, parent: str, name: str, at: str, depth: int) -> Iterator[Fault]:
        tokens = self._tokens
        member = self._schema.types.get(parent, {}).get(name)
        if member is None and name != "__typename":
            yield Fault(at, f"{parent} has no such field")
        given = {}
        if tokens.skip("("):
            while not tokens.skip(")"):
                argument = tokens.name()
                tokens.take(":")
                given[argument] = tokens.value()
        tokens.directives()
        if member is not None:
            yield from self._argument_faults(member, given, at)
        kind = _named(member.type) if member is not None else ""
        if tokens.peek() == "{":
            if member is not None and kind not in self._schema.types and kind not in self._schema.unions:
                yield Fault(at, f"{kind} has no fields")
            yield from self._selection(kind, at, depth + 1)
        elif kind in self._schema.types or kind in self._schema.unions:
            yield Fault(at, f"fields of {kind} have to be selected")

    def _argument_faults(self, member: Member, given: Mapping[str, Any], at: str) -> Iterator[Fault]:
        for name, argument in member.arguments.items():
            if argument.needed and name not in given:
                yield Fault(f"{at}({name})", "this argument is needed")
        for name, value in given.items():
            wanted = member.arguments.get(name)
            if wanted is None:
                yield Fault(f"{at}({name})", "there is no such argument")
            elif isinstance(value, _Variable):
                yield from self._variable_faults(wanted, value.name, f"{at}({name})")
            else:
                yield from self._schema.value_faults(wanted.type, value, f"{at}({name})")

    def _variable_faults(self, wanted: Member, name: str, at: str) -> Iterator[Fault]:
        declared = self._declared.get(name)
        if declared is None:
            yield Fault(at, f"${name} is not declared")
        elif str(declared).replace("!", "") not in {str(wanted.type).replace("!", ""), _named(wanted.type)}:
            yield Fault(at, f"${name} is declared as {declared}, {wanted.type} is needed")


def _named(kind: TypeRef) -> str:
    return kind.name if kind.inner is None else _named(kind.inner)


@cache
def read_sdl(file: Path) -> Sdl:
    """Read one schema, once for the process. Raises ``Unreadable``."""
    return Sdl(file.read_text("utf-8"))
