"""One route of the REST interface.

Holds the values in which each resource declares its routes: path, need, parameters, body, answers. Must not know
handlers. Keeps the invariant that what is declared, what is served and what the documents describe are the same list.
"""

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, Self, TypeAlias, TypedDict, Unpack

import msgspec
from aiohttp import web

from api.access.permissions import Need
from api.wire.parameters import Parameter

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON: Final = "application/json"
TEXT: Final = "text/plain"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request carries: JSON of a type. Where it is not required, its absence means `{}`."""

    of: Any
    required: bool


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a route answers. `of` is the type of what `media` carries; without `media` there is no body."""

    about: str
    status: int = HTTPStatus.OK.value
    media: str = ""
    of: Any = None
    headers: tuple[tuple[str, str], ...] = ()


class Declared(TypedDict, total=False):
    """What a route says of itself besides its path. What it leaves out, it does not have."""

    busy: bool
    takes: tuple[Parameter, ...]
    body: Body
    replies: tuple[Reply, ...]
    summary: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A method and a path, who answers, and what the caller must be allowed to do.

    `busy`: called so often that it leaves no line in the log. `summary`: what the document says, where the first line
    of the handler's docstring does not fit this route.
    """

    method: str
    path: str
    handler: Handler
    needs: Need
    busy: bool = False
    takes: tuple[Parameter, ...] = ()
    body: Body | None = None
    replies: tuple[Reply, ...] = ()
    summary: str = ""

    @classmethod
    def get(cls, path: str, handler: Handler, needs: Need, **declared: Unpack[Declared]) -> Self:
        """Return a route that changes nothing."""
        return cls(method="GET", path=path, handler=handler, needs=needs, **declared)

    @classmethod
    def post(cls, path: str, handler: Handler, needs: Need, **declared: Unpack[Declared]) -> Self:
        """Return a route that makes something, or does something."""
        return cls(method="POST", path=path, handler=handler, needs=needs, **declared)

    @classmethod
    def put(cls, path: str, handler: Handler, needs: Need, **declared: Unpack[Declared]) -> Self:
        """Return a route that sets something."""
        return cls(method="PUT", path=path, handler=handler, needs=needs, **declared)

    @classmethod
    def delete(cls, path: str, handler: Handler, needs: Need, **declared: Unpack[Declared]) -> Self:
        """Return a route that ends or forgets something."""
        return cls(method="DELETE", path=path, handler=handler, needs=needs, **declared)


def needed(of: Any) -> Body:  # noqa: ANN401 (any type that has a JSON Schema)
    """Return a body without which the route cannot do anything."""
    return Body(of=of, required=True)


def optional(of: Any) -> Body:  # noqa: ANN401 (any type that has a JSON Schema)
    """Return a body that may be absent."""
    return Body(of=of, required=False)


def shows(of: Any, about: str, *also: Reply) -> tuple[Reply, ...]:  # noqa: ANN401 (any type that has a JSON Schema)
    """Return the replies of a route that answers with JSON of a type."""
    return (Reply(about=about, media=JSON, of=of), *also)


def tells(about: str, *also: Reply) -> tuple[Reply, ...]:
    """Return the replies of a route that answers with a bare text."""
    return (Reply(about=about, media=TEXT, of=str), *also)


DONE: Final = Reply(about="Done; there is no body.")
NO_CONTENT: Final = Reply(about="Done; there is no body.", status=HTTPStatus.NO_CONTENT.value)


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
