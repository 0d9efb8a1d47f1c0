"""OAuth apps: what Polyport is at a partner for customers who sign in there. Sealing, opening, checking; knows no network.

An account's own app wins over the installation's. Every app has a data key of its own, bound to whose it is and to its partner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from polyport.errors import Conflict, ConnectionInvalid, Details, Fault, NotFound, ValidationFailed
from polyport.kinds.auth.jose import signed_token
from polyport.kinds.auth.oauth2 import OAuth2
from polyport.manifest.model import Partner
from polyport.redaction import mask
from polyport.store.base import Duplicate, Stale
from polyport.store.records import OAuthApp
from polyport.store.repo import Repo
from polyport.template import RenderFault
from polyport.vault import Vault, VaultFault

SECRET_LONGEST: Final = 16_384
SCOPES_MOST: Final = 200
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,500}")  # RFC 6749, appendix A.4
_PLAIN: Final = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """What is said about an app. A secret that is not given stays as it was, as long as the client id does. ``None`` for scopes leaves them to the partner's file."""

    partner_id: int
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    key_id: str | None = None
    auth: str | None = None
    scopes: tuple[str, ...] | None = None
    scope_choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedApp:
    """An app with its secrets in the clear. ``material`` joins the fields of a connection where it is authorised."""

    record: OAuthApp
    material: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> frozenset[str]:
        """What of the material is never shown."""
        return frozenset(self.material[name] for name in _SECRETS if name in self.material)

    def scopes(self, scheme: OAuth2) -> tuple[str, ...]:
        """What is asked for whatever the customer chooses."""
        return scheme.scopes if self.record.scopes is None else tuple(json.loads(self.record.scopes))

    def choices(self, scheme: OAuth2) -> dict[str, str]:
        """The scopes that a customer may add, with what each allows."""
        if self.record.scope_choices is None:
            return dict(scheme.scope_choices)
        return {name: scheme.scope_choices[name] for name in json.loads(self.record.scope_choices) if name in scheme.scope_choices}


_SECRETS: Final = ("client_secret", "private_key")
_NAMES: Final = {"client_secret": "clientSecret", "private_key": "privateKey"}


def app_scope(account_id: int | None, partner_id: int) -> str:
    """What an app's data key is bound to."""
    owner = f"account/{account_id}" if account_id is not None else "installation"
    return f"{owner}/oauth-app/{partner_id}"


def sign_in_schemes(partner: Partner) -> dict[str, OAuth2]:
    """How customers sign in at the partner itself, by the names of the choices."""
    choices = partner.file.connection.auth if partner.file.connection is not None else ()
    return {choice.name: choice.scheme for choice in choices if isinstance(choice.scheme, OAuth2) and choice.scheme.by_link_only}


def needed_secret(scheme: OAuth2) -> str | None:
    """Which secret an app of a scheme proves itself with."""
    return {"basic": "client_secret", "body": "client_secret", "private_key_jwt": "private_key"}.get(scheme.client_auth)


def needed_secrets(partner: Partner, auth: str | None) -> frozenset[str]:
    """The secrets that an app needs which serves one of the partner's choices, or all."""
    needed = {needed_secret(scheme) for name, scheme in sign_in_schemes(partner).items() if auth in {None, name}}
    return frozenset(name for name in needed if name is not None)


def missing(partner: Partner, app: OAuthApp | None) -> list[str]:
    """What an app lacks before customers can sign in, by the wire's names."""
    lacking = needed_secrets(partner, app.auth if app is not None else None) - (json.loads(app.shown).keys() if app is not None else set())
    return [*(["clientId"] if app is None else []), *(_NAMES[name] for name in _SECRETS if name in lacking)]


class AppBook:
    """Keeps OAuth apps, and opens the one that serves."""

    def __init__(self, repo: Repo, vault: Vault) -> None:
        self._repo = repo
        self._vault = vault

    async def serving(self, account_id: int, partner: Partner, auth: str) -> OpenedApp | None:
        """The app by which an account's customers sign in; ``None`` where there is none that is complete. Raises ``ConnectionInvalid`` for one that cannot be opened."""
        record = await self._repo.oauth_apps.serving(account_id, partner.file.id, auth)
        if record is None or missing(partner, record):
            return None
        return self.open(record)

    def open(self, record: OAuthApp) -> OpenedApp:
        """An app with its secrets. Raises ``ConnectionInvalid`` when its key cannot be read."""
        try:
            box = self._vault.box(app_scope(record.account_id, record.partner_id), record.data_key)
            secrets: dict[str, str] = json.loads(box.open(record.sealed, "oauth-app"))
        except VaultFault as fault:
            fix = "The operator has to give the server the master key that this OAuth app was kept under; else enter its secret again."
            raise ConnectionInvalid(f"The OAuth app's secret cannot be opened: {fault}", Details(suggested_fix=fix)) from None
        return OpenedApp(record=record, material={"client_id": record.client_id, **secrets})

    async def put(self, account_id: int | None, partner: Partner, new: NewApp, now: int) -> OAuthApp:
        """Keep an app for an account, or for the installation. Raises ``ValidationFailed`` with every fault, ``Conflict`` when somebody else did so at the same time."""
        held = await self._repo.oauth_apps.get(account_id, new.partner_id)
        kept: Mapping[str, str] = {}
        if held is not None and held.client_id == new.client_id:
            try:
                kept = self.open(held).material
            except ConnectionInvalid:  # it is entered anew, maybe for that very reason
                kept = {}
        given = {"client_secret": new.client_secret, "private_key": new.private_key, "key_id": new.key_id}
        secrets = {name: value if value is not None else kept.get(name) for name, value in given.items()}
        told = {name: value for name, value in secrets.items() if value is not None}
        _check(partner, new, told)
        scope = app_scope(account_id, new.partner_id)
        data_key = self._vault.new_key(scope)
        record = OAuthApp(
            app_id=0,
            account_id=account_id,
            partner_id=new.partner_id,
            auth=new.auth,
            client_id=new.client_id,
            shown=json.dumps({name: mask(value) if name in _SECRETS else value for name, value in told.items()}),
            scopes=json.dumps(new.scopes) if new.scopes is not None else None,
            scope_choices=json.dumps(new.scope_choices) if new.scope_choices is not None else None,
            data_key=data_key,
            sealed=self._vault.box(scope, data_key).seal(json.dumps(told).encode(), "oauth-app"),
            generation=held.generation if held is not None else 0,
            created_at=held.created_at if held is not None else now,
            updated_at=now,
        )
        try:
            await self._repo.oauth_apps.put(record)
        except (Stale, Duplicate):
            raise Conflict("Somebody else changed this OAuth app at the same time; read it and try again.") from None
        return record

    async def delete(self, account_id: int | None, partner_id: int) -> None:
        """Drop an app. Raises ``NotFound``."""
        try:
            await self._repo.oauth_apps.delete(account_id, partner_id)
        except Stale:
            raise NotFound("There is no OAuth app for this partner.") from None
        self._vault.forget(app_scope(account_id, partner_id))


def _check(partner: Partner, new: NewApp, secrets: Mapping[str, str]) -> None:
    known = sign_in_schemes(partner)
    schemes = [scheme for name, scheme in known.items() if new.auth in {None, name}]
    faults: list[Fault] = []
    if not schemes:
        faults.append(Fault(path="auth", code="unknown_option", message=f"The ways to sign in at this partner are: {', '.join(known)}."))
    texts = {"clientId": new.client_id, "clientSecret": new.client_secret, "keyId": new.key_id}
    for path, text in texts.items():
        if text is not None and not _PLAIN.fullmatch(text):
            faults.append(
                Fault(path=path, code="invalid_text", message="This has to be visible ASCII characters, at least one, on one line.")
            )
    needed = needed_secrets(partner, new.auth) - secrets.keys()
    faults += [
        Fault(path=_NAMES[name], code="required", message="The partner asks an OAuth app for this.") for name in _SECRETS if name in needed
    ]
    if "private_key" in secrets:
        faults += [
            fault for scheme in schemes if scheme.client_auth == "private_key_jwt" for fault in _key_faults(scheme, secrets["private_key"])
        ]
    faults += [
        Fault(path=f"scopes[{index}]", code="invalid_text", message="A scope has no blanks, quotes or backslashes.")
        for index, scope in enumerate(new.scopes or ())
        if not _SCOPE.fullmatch(scope)
    ]
    offered = {name for scheme in schemes for name in scheme.scope_choices}
    faults += [
        Fault(path=f"scopeChoices[{index}]", code="unknown_option", message=_offer(sorted(offered)))
        for index, scope in enumerate(new.scope_choices or ())
        if scope not in offered
    ]
    if faults:
        raise ValidationFailed.of(*faults)


def _offer(offered: Sequence[str]) -> str:
    return (
        f"The scopes that this partner's customers may choose from are: {', '.join(offered)}."
        if offered
        else "There is nothing to choose from here."
    )


def _key_faults(scheme: OAuth2, key: str) -> list[Fault]:
    try:
        signed_token(scheme.algorithm, key, {})
    except RenderFault:
        return [Fault(path="privateKey", code="invalid_text", message=f"This is no private key in PEM that fits {scheme.algorithm}.")]
    return []
