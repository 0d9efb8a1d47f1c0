"""Settings: ``defaults.toml`` < the file named by ``POLYPORT_CONFIG`` < ``POLYPORT_*``. The only reader of the environment."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from polyport.errors import SetupError

PREFIX: Final = "POLYPORT_"
_PARTNER_BASE: Final = re.compile(r"^PARTNER_([A-Z0-9_]+)_BASE_URL$")


def _split(value: object) -> object:
    """A comma-separated text as a list; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # the whole is built, once, with its parts


class Bootstrap(_Section):
    """The first account."""

    email: str
    password: SecretStr


class CatalogSettings(_Section):
    """Who may read the catalogue, and how much of it is kept in memory, in MB."""

    public: bool
    memory: Positive


class HttpSettings(_Section):
    """Limits of incoming requests; sizes in bytes, times in seconds."""

    body_limit: Positive
    depth_limit: Positive
    origins: Texts
    grace: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    header_timeout: Seconds
    body_timeout: Seconds
    write_timeout: Seconds
    idle_timeout: Seconds
    proxies: Texts
    connections: Positive
    connections_per_address: Positive
    rate_limit: Annotated[int, Field(ge=0)]
    rate_window: Positive
    streams: Positive
    streams_per_account: Positive

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not re.fullmatch(r"https?://[^/?#@*\s]+", text):
                raise ValueError(
                    "an origin is written as scheme and host, with the port where it is not the usual one: https://app.example.com"
                )
        return value

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text)
        return value


class LoginSettings(_Section):
    """Limits of signing in; times in seconds."""

    attempts: Positive
    attempts_per_address: Positive
    window: Positive
    token_lifetime: Positive
    refresh_lifetime: Positive


class ConsoleSettings(_Section):
    """The web console; times in seconds."""

    enabled: bool
    idle: Positive
    lifetime: Positive


class PartnerSettings(_Section):
    """Limits of calls to partners; times in seconds, sizes in bytes."""

    timeout: Seconds
    timeout_limit: Seconds
    answer_limit: Positive
    file_limit: Positive
    connections: Positive
    connections_per_host: Positive
    breaker_failures: Annotated[int, Field(ge=0)]
    breaker_wait: Seconds


class RunSettings(_Section):
    """Limits of runs."""

    concurrency: Positive
    sync_limit: Positive
    partner_share: Share
    connection_share: Share
    sync_wait: Annotated[float, Field(ge=0, le=60)]
    queue_limit: Positive
    queue_limit_per_account: Positive
    idempotency_hours: Positive
    attempts: Positive
    keep_days: Positive
    keep_payload_days: Positive
    keep_bytes: Annotated[int, Field(ge=0)]


class EventSettings(_Section):
    """How events are sent, and how long they are kept; times in seconds or days, sizes in bytes."""

    timeout: Annotated[float, Field(gt=0, le=120)]
    concurrency: Positive
    per_receiver: Positive
    result_limit: Annotated[int, Field(ge=0)]
    delivered_days: Positive
    dead_days: Positive


class ImportSettings(_Section):
    """Limits of imports into a running server; sizes in bytes, times in seconds or days."""

    document_limit: Annotated[int, Field(gt=0, le=64 * 1024 * 1024)]
    timeout: Positive
    memory: Annotated[int, Field(ge=256 * 1024 * 1024)]
    concurrency: Positive
    partners: Annotated[int, Field(ge=0)]
    versions: Annotated[int, Field(ge=2)]
    answer_days: Positive
    keep_days: Positive


class ListSettings(_Section):
    """How long what was read for a connection stays good, in seconds."""

    lifetime: Positive
    stale: Annotated[int, Field(ge=0)]


class HealthSettings(_Section):
    """How connections are proved in the background; times in seconds."""

    check_every: Annotated[int, Field(ge=0)]
    checks_per_minute: Annotated[int, Field(ge=1, le=600)]


class LogSettings(_Section):
    """What the log shows."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["json", "text"]


class Settings(_Section):
    """All settings, checked. ``defaults.toml`` explains each one.

    ``partner_base_urls`` maps a partner's slug to the scheme, host and port that replace its own
    (``POLYPORT_PARTNER_<SLUG>_BASE_URL``).
    """

    host: str
    port: Port
    data: Path
    public_url: str
    workers: Annotated[int, Field(ge=1, le=64)]
    master_key: SecretStr
    allow_networks: Texts
    connectors: Texts
    development: str
    bootstrap: Bootstrap
    catalog: CatalogSettings
    http: HttpSettings
    login: LoginSettings
    console: ConsoleSettings
    partner: PartnerSettings
    runs: RunSettings
    events: EventSettings
    imports: ImportSettings
    lists: ListSettings
    health: HealthSettings
    log: LogSettings
    partner_base_urls: Mapping[str, str] = Field(default_factory=dict)

    @property
    def partner_roots(self) -> tuple[str, ...]:
        """The folders of partners beside the bundled ones, that one included which somebody works on."""
        return (*self.connectors, *([self.development] if self.development else []))

    @field_validator("allow_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text, strict=False)
        return value

    @field_validator("partner_base_urls")
    @classmethod
    def _are_origins(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for slug, url in value.items():
            if not re.fullmatch(r"https?://[^/?#@\s]+/?", url):
                message = f"the base URL of partner {slug} has to be a scheme, a host and maybe a port, like http://127.0.0.1:9000"
                raise ValueError(message)
        return value

    @property
    def origin(self) -> str:
        """The public address of this server, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def redirect_uri(self) -> str:
        """Where partners send customers back to after signing in: what an OAuth app is registered with, to the letter."""
        return f"{self.origin}/connect/callback"


def load_settings(environ: Mapping[str, str], **overrides: object) -> Settings:
    """The settings of this process.

    ``overrides`` are top-level settings that win over everything (command-line options); ``None`` means not given.
    Raises ``SetupError`` that names every wrong setting by its environment name.
    """
    tree = _read_toml(files("polyport").joinpath("defaults.toml").read_text("utf-8"), "defaults.toml")
    if config := environ.get(PREFIX + "CONFIG"):
        try:
            text = Path(config).read_text("utf-8")
        except OSError as error:
            message = f"{PREFIX}CONFIG names {config}, which cannot be read: {error.strerror}."
            raise SetupError(message) from error
        except UnicodeDecodeError as error:
            raise SetupError(f"{PREFIX}CONFIG names {config}, which is not UTF-8.") from error
        _merge(tree, _read_toml(text, config))
    known = _names(tree)
    told = tree.pop("partner_base_urls", {})
    bases: dict[str, Any] = dict(told) if isinstance(told, dict) else {"": told}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name == PREFIX + "CONFIG":
            continue
        rest = name.removeprefix(PREFIX)
        if found := _PARTNER_BASE.match(rest):
            bases[found[1].lower().replace("_", "-")] = value
        elif rest in known:
            section, key = known[rest]
            (tree[section] if section else tree)[key] = value
    tree["partner_base_urls"] = bases
    tree.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors(include_input=False, include_url=False))
        message = f"Settings are wrong: {faults}."
        raise SetupError(message) from None


def environment_names() -> list[str]:
    """The ``POLYPORT_*`` name of every setting, in the order of ``defaults.toml``."""
    tree = _read_toml(files("polyport").joinpath("defaults.toml").read_text("utf-8"), "defaults.toml")
    return [PREFIX + name for name in _names(tree)]


def _names(tree: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update({f"{key}_{inner}".upper(): (key, inner) for inner in value})
        else:
            found[key.upper()] = ("", key)
    return found


def _read_toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{name} is not valid TOML: {error}."
        raise SetupError(message) from error


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            tree[key].update(value)
        else:
            tree[key] = value


def _sentence(fault: Any) -> str:
    name = PREFIX + "_".join(str(part) for part in fault["loc"] if not isinstance(part, int)).upper()
    if name == PREFIX + "PARTNER_BASE_URLS":
        name = PREFIX + "PARTNER_<SLUG>_BASE_URL"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}"
