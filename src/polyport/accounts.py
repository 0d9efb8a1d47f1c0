"""What is an account's own: the key that seals its runs and events, where its links may lead back to, how the connect page looks."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from polyport.errors import Conflict, Overloaded
from polyport.store.accounts import Accounts
from polyport.store.base import Duplicate, Stale, StoreFault
from polyport.store.records import AccountSettings
from polyport.store.repo import Repo
from polyport.vault import Box, Vault, VaultFault

LOGO_LIMIT: Final = 64 * 1024
HOSTS_MOST: Final = 100
URL_LONGEST: Final = 2_000
# How the content of an image begins; a browser believes the type only where it agrees.
_IMAGES: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/webp": (b"RIFF",),
    "image/svg+xml": (b"<",),
}
_HOST: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?::[0-9]{1,5})?|\[::1\](?::[0-9]{1,5})?"
)
_PORT: Final = re.compile(r":([0-9]+)$")
PORT_MOST: Final = 65_535
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _is_host(text: str) -> str:
    lowered = text.strip().lower()
    if not lowered.isascii() and (written := _in_ascii(lowered)) is not None:
        raise ValueError(f'browsers write this host as "{written}": write it so here too')
    if len(lowered) > 255 or not _HOST.fullmatch(lowered) or (lowered.startswith("*.") and lowered.count(".") < 2):
        raise ValueError('a host is needed here, such as "app.example.com", "*.example.com" or "localhost:3000"')
    port = _PORT.search(lowered)
    if port is not None and not 1 <= int(port[1]) <= PORT_MOST:
        raise ValueError(f"a port is a number from 1 to {PORT_MOST}")
    return lowered


def _in_ascii(host: str) -> str | None:
    """A host in letters of other scripts as browsers write it, if it is one."""
    try:
        written = host.encode("idna").decode()
    except UnicodeError:
        return None
    return written if _HOST.fullmatch(written) else None


def _is_logo(text: str) -> str:
    head, comma, content = text.partition(",")
    kind = head.removeprefix("data:").removesuffix(";base64")
    if not comma or head != f"data:{kind};base64" or kind not in _IMAGES:
        raise ValueError("an image is needed here, PNG, JPEG, WebP or SVG, as data:image/png;base64,...")
    try:
        image = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what stands after base64, is not base64") from None
    if len(image) > LOGO_LIMIT:
        raise ValueError(f"a logo has at most {LOGO_LIMIT // 1024} KiB")
    if not image.lstrip(b"\xef\xbb\xbf \r\n\t" if kind == "image/svg+xml" else b"").startswith(_IMAGES[kind]):
        name = kind.removeprefix("image/").partition("+")[0].upper()
        raise ValueError(f"the content of this file is no {name} image, whatever its name says")
    return text


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Branding(_Model):
    """How the connect page looks: the company's name, a colour (``#rrggbb``), a logo (``data:image/png;base64,...``, at most 64 KiB)."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    color: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    logo: Annotated[str, AfterValidator(_is_logo)] | None = Field(default=None, max_length=2 * LOGO_LIMIT)


class OwnSettings(_Model):
    """What an account has set. ``allowed_redirect_hosts`` are hosts, ``*.`` in front of one takes its subdomains."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    allowed_redirect_hosts: tuple[Annotated[str, AfterValidator(_is_host)], ...] = Field(default=(), max_length=HOSTS_MOST)
    branding: Branding = Branding()

    def allows(self, url: str) -> bool:
        """Whether a customer may be sent to an address: https (or http to this machine), a host of the list, nobody's name in front of it."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        plain = url.isascii() and url.isprintable() and not any(char in url for char in ' \\"<>')
        if not secure or not plain or len(url) > URL_LONGEST or "@" in parts.netloc or not host:
            return False
        shown = f"[{host}]" if ":" in host else host
        named = shown if port is None else f"{shown}:{port}"
        return any(
            named == allowed or (allowed.startswith("*.") and named.endswith(allowed[1:]) and len(named) > len(allowed) - 1)
            for allowed in self.allowed_redirect_hosts
        )

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of hosts that are named whole; only they can be told something by a page."""
        named = (host for host in self.allowed_redirect_hosts if not host.startswith("*."))
        return tuple(f"{'http' if host.rpartition(':')[0] in _LOOPBACK or host in _LOOPBACK else 'https'}://{host}" for host in named)


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as browsers compare them."""
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(f':{default}')}"


async def read_own(repo: Repo, account_id: int) -> OwnSettings:
    """What an account has set."""
    return OwnSettings.model_validate_json((await repo.own_settings.get(account_id)).settings)


async def change_own(repo: Repo, account_id: int, change: Mapping[str, Any], now: int) -> OwnSettings:
    """Set what ``change`` names, by its names on the wire; the rest stays. Raises ``Conflict`` when somebody else does so at the same time."""
    held = await repo.own_settings.get(account_id)
    settings = json.dumps({**json.loads(held.settings), **change}, ensure_ascii=False)
    try:
        await repo.own_settings.put(AccountSettings(account_id=account_id, settings=settings, generation=held.generation, updated_at=now))
    except (Stale, Duplicate):
        raise Conflict("Somebody else changed the account at the same time; read it and try again.") from None
    return OwnSettings.model_validate_json(settings)


def account_scope(account_id: int) -> str:
    """What an account's data key is bound to."""
    return f"account/{account_id}"


class AccountBoxes:
    """The boxes that seal what belongs to accounts; each is opened once."""

    def __init__(self, accounts: Accounts, vault: Vault) -> None:
        self._accounts = accounts
        self._vault = vault
        self._boxes: dict[int, Box] = {}

    def opened(self, account_id: int) -> Box | None:
        """The box of an account, if it is open already; nearly always it is."""
        return self._boxes.get(account_id)

    async def of(self, account_id: int) -> Box:
        """The box of an account. Raises ``StoreFault`` when it is gone, ``Overloaded`` when the master key for it is not here."""
        box = self._boxes.get(account_id)
        if box is None:
            account = await self._accounts.get(account_id)
            if account is None:
                raise StoreFault("the account is gone")
            try:
                box = self._boxes[account_id] = self._vault.box(account_scope(account_id), account.data_key)
            except VaultFault as fault:
                raise Overloaded(f"This server cannot open the account's records now: {fault}") from None
        return box
