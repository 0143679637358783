"""Reading a request: its body and its query.

Holds the leniency that Conductor's clients need: a body may be absent, empty or `{}` whatever its
Content-Type says; booleans in the query come as `true` and as `True`; `None` and the empty text mean that a
parameter is absent. Must not know routes. Keeps the invariant that a parameter which cannot be read is
answered with 400 and its name, never ignored.

The body is read whole, at most `client_max_size` bytes of it, counted after decompression (gzip and deflate).
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from api.errors import RequestInvalid, TooLarge
from api.wire.strict_json import JsonInvalid, parse
from engine.json_value import JsonObject, JsonValue

_ABSENT: Final = frozenset({"", "None", "null", "undefined"})
"""What clients put into a query where they have no value."""
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})

INTEGER_MAX: Final = 2**31 - 1
"""Conductor's `int`: larger numbers in a query are slips."""


async def read_bytes(request: web.Request) -> bytes:
    """Return the body, decompressed.

    Raises:
        TooLarge: it has more bytes than this server reads.
        RequestInvalid: it does not decompress.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = (
            f"the body must have at most {request.client_max_size} bytes, counted after decompression, but has more"
        )
        raise TooLarge(message) from None
    except web.HTTPException:
        raise
    except ConnectionError:
        raise
    except Exception as error:  # whatever the decompressor of the claimed encoding raises
        encoding = request.headers.get("Content-Encoding", "identity")
        message = f"the body must be {encoding}-encoded as its Content-Encoding says, but it cannot be read: {error}"
        raise RequestInvalid(message) from error


async def read_json(request: web.Request) -> JsonValue:
    """Return the body's JSON value; None where there is no body.

    Raises:
        RequestInvalid, TooLarge: the body is not JSON that can be taken.
    """
    body = await read_bytes(request)
    if not body or body.isspace():
        return None
    try:
        return parse(body)
    except JsonInvalid as error:
        raise RequestInvalid(str(error)) from None


async def read_object(request: web.Request) -> JsonObject:
    """Return the body's JSON object; {} where there is no body, or null.

    Raises:
        RequestInvalid, TooLarge: the body is not a JSON object that can be taken.
    """
    value = await read_json(request)
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"the body must be a JSON object, but is {_kind(value)}"
        raise RequestInvalid(message)
    return value


async def read_list(request: web.Request) -> list[JsonValue]:
    """Return the body's JSON list; a single object counts as a list of one, no body as the empty list.

    Raises:
        RequestInvalid, TooLarge: the body is not a JSON list that can be taken.
    """
    value = await read_json(request)
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        message = f"the body must be a JSON list, but is {_kind(value)}"
        raise RequestInvalid(message)
    return value


async def read_ids(request: web.Request, *, ids_max: int) -> list[str]:
    """Return the body's list of ids, each once, in the order given.

    Raises:
        RequestInvalid, TooLarge: the body is not a list of at most `ids_max` texts.
    """
    value = await read_list(request)
    if not all(isinstance(item, str) for item in value):
        message = "the body must be a JSON list of ids as texts, but one of its items is something else"
        raise RequestInvalid(message)
    if len(value) > ids_max:
        message = f"the body must list at most {ids_max} ids, but lists {len(value)}"
        raise RequestInvalid(message)
    return list(dict.fromkeys(value))


def text_parameter(query: Mapping[str, str], name: str, default: str = "") -> str:
    """Return a text of the query."""
    value = query.get(name)
    return default if value is None or value in _ABSENT else value


def integer_parameter(
    query: Mapping[str, str], name: str, default: int, *, minimum: int = 0, maximum: int = INTEGER_MAX
) -> int:
    """Return an integer of the query.

    Raises:
        RequestInvalid: it is no integer, or out of bounds.
    """
    value = query.get(name)
    if value is None or value in _ABSENT:
        return default
    digits = value.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(maximum)) and minimum <= int(value) <= maximum:
        return int(value)
    message = f"query parameter {name} must be an integer from {minimum} to {maximum}, but is {value[:40]!r}"
    raise RequestInvalid(message)


def optional_integer_parameter(query: Mapping[str, str], name: str, *, maximum: int = INTEGER_MAX) -> int | None:
    """Return an integer of the query, None where there is none.

    Raises:
        RequestInvalid: it is no integer, or out of bounds.
    """
    value = query.get(name)
    if value is None or value in _ABSENT:
        return None
    return integer_parameter(query, name, 0, maximum=maximum)


def integer_from_path(request: web.Request, name: str) -> int:
    """Return an integer that is a segment of the path.

    Raises:
        RequestInvalid: it is no integer, or out of bounds.
    """
    text = request.match_info[name]
    if text.isascii() and text.isdigit() and len(text) <= len(str(INTEGER_MAX)) and int(text) <= INTEGER_MAX:
        return int(text)
    message = f"{name} in the path must be an integer from 0 to {INTEGER_MAX}, but is {text[:40]!r}"
    raise RequestInvalid(message)


def boolean_parameter(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a truth value of the query.

    Raises:
        RequestInvalid: it is neither true nor false.
    """
    value = query.get(name)
    if value is None or value in _ABSENT:
        return default
    lowered = value.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    message = f"query parameter {name} must be true or false, but is {value[:40]!r}"
    raise RequestInvalid(message)


def _kind(value: JsonValue) -> str:
    match value:
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
