"""One route of the REST interface.

Holds the value in which each resource declares its routes. Must not know handlers. Keeps the invariant that
what is declared, what is served and what `docs/reference/rest.md` describes are the same list.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypeAlias

import msgspec
from aiohttp import web

from api.access.permissions import Need

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A method and a path, who answers, and what the caller must be allowed to do.

    `busy`: called so often that it leaves no line in the log.
    """

    method: str
    path: str
    handler: Handler
    needs: Need
    busy: bool = False

    @classmethod
    def get(cls, path: str, handler: Handler, needs: Need, *, busy: bool = False) -> Self:
        """Return a route that changes nothing."""
        return cls(method="GET", path=path, handler=handler, needs=needs, busy=busy)

    @classmethod
    def post(cls, path: str, handler: Handler, needs: Need, *, busy: bool = False) -> Self:
        """Return a route that makes something, or does something."""
        return cls(method="POST", path=path, handler=handler, needs=needs, busy=busy)

    @classmethod
    def put(cls, path: str, handler: Handler, needs: Need) -> Self:
        """Return a route that sets something."""
        return cls(method="PUT", path=path, handler=handler, needs=needs)

    @classmethod
    def delete(cls, path: str, handler: Handler, needs: Need) -> Self:
        """Return a route that ends or forgets something."""
        return cls(method="DELETE", path=path, handler=handler, needs=needs)


def needs_of(routes: Iterable[Route]) -> dict[Handler, Need]:
    """Return what the callers of each handler must be allowed to do.

    Raises:
        ValueError: a handler serves two routes of different needs, and could not tell them apart.
    """
    needs: dict[Handler, Need] = {}
    for route in routes:
        if needs.setdefault(route.handler, route.needs) is not route.needs:
            message = f"{route.method} {route.path} needs {route.needs}, its handler elsewhere {needs[route.handler]}"
            raise ValueError(message)
    return needs
