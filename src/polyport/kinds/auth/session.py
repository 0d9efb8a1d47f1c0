"""A session: one call or several lead to a token, which then goes with each request until it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

import re2
from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, model_validator

from polyport.kinds.auth.assertions import Assertion
from polyport.kinds.auth.base import (
    CONFIG,
    PRETENDED,
    AnySource,
    At,
    ExchangeRefused,
    Grant,
    Material,
    Moment,
    Obtaining,
    Pattern,
    SchemeBase,
    SecureUrl,
    Source,
    compiled,
    compiled_url,
    rendered,
    texts_of,
)
from polyport.kinds.auth.places import Placement
from polyport.kinds.auth.tokens import LEARNED_LIMIT, TOKEN_LIMIT, ExpiryUnit, read_expiry, refused, text_at
from polyport.kinds.bodies import Encoding, encode_whole
from polyport.kinds.decoders import DECODERS, Decoding
from polyport.net.message import Reply, Request
from polyport.paths import MISSING, get
from polyport.template import RenderFault, Scope, Template, to_text

StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
COOKIES_MOST: Final = 50


class SessionStep(BaseModel):
    """One call of the exchange. Its templates read ``{{connection.<field>}}`` and what earlier steps were answered.

    That is ``{{steps.<save>.body}}``, ``{{steps.<save>.headers}}`` (names in lower case), ``{{steps.<save>.cookies}}``. ``message`` is where a refusal says why.
    """

    model_config = CONFIG

    save: StepName
    method: Literal["GET", "POST", "PUT"] = "POST"
    url: SecureUrl
    query: dict[str, Source] = Field(default_factory=dict)
    headers: dict[str, Source] = Field(default_factory=dict)
    body: AnySource = None
    encoding: Encoding = "json"
    decode: Decoding = "json"
    message: At | None = None
    _url: Template = PrivateAttr()
    _query: dict[str, Template] = PrivateAttr()
    _headers: dict[str, Template] = PrivateAttr()
    _body: Template | None = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._url = compiled_url(self.url)
        self._query = {name: compiled(told) for name, told in self.query.items()}
        self._headers = {name: compiled(told) for name, told in self.headers.items()}
        self._body = compiled(self.body) if self.body is not None else None

    def request(self, material: Material, scope: Scope) -> Request:
        """What the step asks. Redirects are not followed: what it holds is for this address alone."""
        pairs = {name: rendered(template, material, scope) for name, template in self._query.items()}
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
        url = rendered(self._url, material, scope)
        headers = [(name, rendered(template, material, scope)) for name, template in self._headers.items()]
        body: bytes | None = None
        if self._body is not None:
            value = self._body.render({"connection": material, **scope})
            kind, body = encode_whole(self.encoding, {} if value is MISSING else value)
            if kind is not None and "content-type" not in {name.lower() for name in self.headers}:
                headers.append(("Content-Type", kind))
        if query:
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        return Request(method=self.method, url=url, headers=tuple(headers), body=body, follow_redirects=False)

    def read(self, reply: Reply) -> dict[str, Any]:
        """What later templates read of the answer. Raises ``ExchangeRefused``."""
        try:
            body = DECODERS[self.decode if reply.status < 400 else "auto"](reply)
        except ValueError:
            raise ExchangeRefused(reply) from None
        if reply.status >= 400:
            raise self.refusal(reply, body)
        return {"body": body, "headers": {name.lower(): value for name, value in reply.headers}, "cookies": _cookies(reply)}

    def refusal(self, reply: Reply, body: Any) -> ExchangeRefused:
        """The refusal that an answer means."""
        told = text_at(body, self.message) if self.message is not None else None
        return ExchangeRefused(reply, told[:1_000]) if told is not None else refused(reply, body)


class LearnedFrom(BaseModel):
    """A value that a session tells about the connection, and the pattern that it has to match whole."""

    model_config = CONFIG

    value: Source
    pattern: Pattern | None = None


def _as_learned(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


class Session(SchemeBase):
    """Steps that lead to a session. ``keep`` names what the session is made of, templates over ``{{steps}}``; ``place`` says where it goes from then on.

    There the templates read it as ``{{grant.<name>}}``. ``expires_in`` is a template for when it ends, in the unit ``expires_unit``; ``lifetime`` is in seconds, for
    partners that do not say. ``jwt`` is a signed token that the steps read as ``{{jwt}}``. ``learn`` are values that belong to the connection from then on and may
    be shown.
    """

    kind: Literal["session"]
    steps: tuple[SessionStep, ...] = Field(min_length=1, max_length=8)
    keep: dict[StepName, Source] = Field(min_length=1)
    place: tuple[Placement, ...] = Field(min_length=1)
    expires_in: Source | None = None
    expires_unit: ExpiryUnit = "seconds"
    lifetime: int | None = Field(default=None, ge=1)
    learn: dict[StepName, Annotated[LearnedFrom, BeforeValidator(_as_learned, json_schema_input_type=LearnedFrom | str)]] = Field(
        default_factory=dict
    )
    jwt: Assertion | None = None
    _keep: dict[str, Template] = PrivateAttr()
    _expires: Template | None = PrivateAttr()
    _learn: dict[str, Template] = PrivateAttr()

    heads = frozenset({"connection", "steps", "grant", "jwt", "now", "expires", "nonce"})

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._keep = {name: compiled(told) for name, told in self.keep.items()}
        self._expires = compiled(self.expires_in) if self.expires_in is not None else None
        self._learn = {name: compiled(told.value) for name, told in self.learn.items()}

    @model_validator(mode="after")
    def _reads_what_is_there(self) -> Self:
        before: set[str] = set()
        for step in self.steps:
            _check_reads(step.model_dump(), {"steps": before, "grant": set()}, has_jwt=self.jwt is not None)
            if step.save in before:
                raise ValueError(f'two steps save their answer as "{step.save}"')
            before.add(step.save)
        ends = [*self.keep.values(), self.expires_in or "", *(told.value for told in self.learn.values())]
        _check_reads(ends, {"steps": before, "grant": set()}, has_jwt=False)
        _check_reads([told.model_dump() for told in self.place], {"steps": set(), "grant": set(self.keep)}, has_jwt=False)
        return self

    @property
    def exchanges(self) -> bool:
        """Always: the session is obtained first."""
        return True

    @property
    def learns(self) -> frozenset[str]:
        """The names of what a session tells."""
        return frozenset(self.learn)

    def learn_pattern(self, name: str) -> str | None:
        """The pattern that such a value matches."""
        return self.learn[name].pattern

    def pretended(self) -> Material:
        """A session for requests that are only shown."""
        return dict.fromkeys(self.keep, PRETENDED)

    def obtain(self, material: Material, moment: Moment) -> Obtaining:
        """Take the steps. Raises ``ExchangeRefused`` or ``RenderFault``."""
        scope: dict[str, Any] = {"steps": {}}
        if self.jwt is not None:
            scope["jwt"] = self.jwt.token(material, moment)
        reply, told, step = Reply(status=0), None, self.steps[0]
        for step in self.steps:
            reply = yield step.request(material, scope)
            told = step.read(reply)
            scope["steps"] = {**scope["steps"], step.save: told}
        given = {"connection": material, **scope}
        values = {name: _text(template, given) for name, template in self._keep.items()}
        if any(value is None for value in values.values()):
            raise step.refusal(reply, told["body"] if told is not None else None)
        ends = self._expires.render(given) if self._expires is not None else MISSING
        return Grant(
            values=values,
            learned=self._learned(given),
            expires_at=read_expiry(ends, self.expires_unit, self.lifetime, moment),
        )

    def _learned(self, given: Scope) -> dict[str, Any]:
        found = {name: _text(template, given) for name, template in self._learn.items()}
        return {name: text for name, text in found.items() if text is not None and self._fits(name, text)}

    def _fits(self, name: str, text: str) -> bool:
        pattern = self.learn[name].pattern
        return len(text) <= LEARNED_LIMIT and (pattern is None or bool(re2.fullmatch(pattern, text)))

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the session in its places."""
        if any(name not in material for name in self.keep):
            raise RenderFault("the connection has no session")
        grant = {name: material[name] for name in self.keep}
        for placement in self.place:
            request = placement.put(request, material, {"grant": grant})
        return request.with_secrets(*(str(value) for value in grant.values()))


def _text(template: Template, given: Scope) -> str | None:
    """The text of a template over answers; nothing where they do not hold what it needs."""
    try:
        value = template.render(given)
        text = None if value is MISSING or value is None else to_text(value)
    except RenderFault:
        return None
    return text if text and len(text) <= TOKEN_LIMIT else None


def _cookies(reply: Reply) -> dict[str, str]:
    set_here = [value.partition(";")[0].partition("=") for name, value in reply.headers if name.lower() == "set-cookie"]
    return {name.strip(): value.strip() for name, _equals, value in set_here[:COOKIES_MOST]}


def _check_reads(source: Any, known: Mapping[str, set[str]], *, has_jwt: bool) -> None:
    for _path, text in texts_of(source):
        for name in compiled(text).names if "{{" in text else ():
            if name[0] == "jwt" and not has_jwt:
                raise ValueError("{{jwt}} needs a jwt that is declared here, and is read by the steps alone")
            if name[0] in known and get(dict.fromkeys(known[str(name[0])], True), name[1:2]) is MISSING:
                raise ValueError(f"{{{{{'.'.join(str(part) for part in name[:2])}}}}} reads what is not there at that point")
