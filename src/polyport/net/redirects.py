"""Where a redirect leads, and what of a request goes there with it."""

from __future__ import annotations

from typing import Final

from yarl import URL

from polyport.net.message import NetworkFault

# What another origin may see after a redirect; everything else was written for the first one.
_PUBLIC: Final = frozenset({"accept", "accept-encoding", "accept-language", "range", "user-agent"})


def target_of(url: str, place: str, host: str) -> str:
    """The absolute URL that a ``Location`` means; an encoded one is left as it is, signed URLs break otherwise."""
    try:
        target = URL(url, encoded=True).join(URL(place, encoded=place.isascii() and " " not in place))
    except ValueError:
        raise NetworkFault(f"{host} redirects to something that is not a URL.", reached=True) from None
    if url[:6].lower() == "https:" and target.scheme == "http":
        raise NetworkFault(f"{host} redirects from https to http, which is not followed.", reached=True)
    return str(target)


def same_origin(url: str, target: str) -> bool:
    """Whether two URLs have scheme, host and port in common."""
    one, other = URL(url, encoded=True), URL(target, encoded=True)
    return (one.scheme, (one.raw_host or "").lower(), one.port) == (other.scheme, (other.raw_host or "").lower(), other.port)


def may_travel(pair: tuple[str, str], secrets: frozenset[str]) -> bool:
    """Whether another origin may see a header."""
    name, value = pair
    return name.lower() in _PUBLIC and not any(secret in value for secret in secrets)
