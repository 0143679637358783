"""One route of the REST interface.

Holds the value in which each resource declares its routes. Must not know handlers. Keeps the invariant that
what is declared, what is served and what `docs/reference/rest.md` describes are the same list.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A method and a path, and who answers. `busy`: called so often that it leaves no line in the log."""

    method: str
    path: str
    handler: Handler
    busy: bool = False
