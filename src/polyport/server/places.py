"""Where a request goes: by its path and its method, a path of its own before one with parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope


class _Parametrised(Route):
    """A route with parameters in its path. A path of its own is never read as one of them, whatever its method: ``/partners/info`` is no partner."""

    taken: Collection[str] = ()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for this route."""
        here = scope["path"].removeprefix(scope.get("root_path", ""))
        return (Match.NONE, {}) if here in self.taken else super().matches(scope)


def route_of(path: str, method: str, handle: Callable[[HttpRequest], Awaitable[Response]], taken: Collection[str]) -> Route:
    """A route. ``taken`` are the paths without parameters that there are."""
    if "{" not in path:
        return Route(path, handle, methods=[method], name=f"{method} {path}")
    route = _Parametrised(path, handle, methods=[method], name=f"{method} {path}")
    route.taken = taken
    return route
