"""The input of an HTTP task as a request that may be sent.

Holds the reading of the input and the rules of redirects. Must not connect. Keeps the invariant that nothing in a
request can change its framing: no line breaks, no hop-by-hop headers, no foreign `Host`.

Source: Conductor's `HttpTask.Input`.
"""

import re
from typing import Final
from urllib.parse import urlencode

import msgspec
from multidict import CIMultiDict
from yarl import URL

from engine.json_value import JsonObject, JsonValue
from streams.workers.outbound import OutboundPolicy

TIMEOUT_MS: Final = 3_000
"""To connect, and between two pieces of the answer, where the input says nothing. Source: Conductor."""
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE_BREAKS: Final = re.compile(r"[\r\n\0]")
_NOT_FORWARDED: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection, or to the client itself: dropped from what a workflow sends."""
_KEPT_ACROSS_HOSTS: Final = frozenset({"accept", "accept-language", "content-type", "idempotency-key"})
"""All other headers may hold credentials, and stay with the host that they were meant for."""


class RequestInvalid(ValueError):
    """The input describes no request. The message says what is expected."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be sent. Timeouts of 0 mean as long as a request may take at all."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None
    connect_ms: int
    read_ms: int


def request_of(task_input: JsonObject, *, attempt_id: str, policy: OutboundPolicy) -> HttpRequest:
    """Return the request that an input describes, flat or under `http_request`.

    Raises:
        RequestInvalid: something is missing or has the wrong form.
        OutboundRefused: the policy does not allow its URL.
    """
    given = task_input.get("http_request", task_input)
    if not isinstance(given, dict):
        raise RequestInvalid(f"http_request should be an object and is {given!r:.100}")
    uri, method = given.get("uri"), given.get("method")
    if not isinstance(uri, str) or not uri.strip():
        raise RequestInvalid(f"uri should be the URL to ask and is {uri!r:.100}")
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise RequestInvalid(f"method should be one of {', '.join(sorted(METHODS))} and is {method!r:.100}")
    headers = _headers(given.get("headers"))
    headers.setdefault("Accept", _accept(given.get("accept")))
    headers.setdefault("Idempotency-Key", attempt_id)
    content_type = headers.get("Content-Type") or _text("contentType", given.get("contentType")) or JSON
    body = _body(given.get("body"), content_type)
    if body is not None:
        headers.setdefault("Content-Type", content_type)
    return HttpRequest(
        method=method.upper(),
        url=policy.check_url(uri.strip()),
        headers=headers,
        body=body,
        connect_ms=_milliseconds("connectionTimeOut", given.get("connectionTimeOut")),
        read_ms=_milliseconds("readTimeOut", given.get("readTimeOut")),
    )


def redirected(request: HttpRequest, status: int, location: str, policy: OutboundPolicy) -> HttpRequest:
    """Return the request that a redirect asks for. Credentials stay with the host that they were meant for.

    Raises:
        OutboundRefused: the policy does not allow the new URL.
    """
    try:
        target = str(request.url.join(URL(location)))
    except ValueError:
        target = location
    url = policy.check_url(target)
    headers = request.headers.copy()
    if url.origin() != request.url.origin():
        for name in set(headers):
            if name.lower() not in _KEPT_ACROSS_HOSTS:
                headers.popall(name, None)
    method, body = request.method, request.body
    # 303 always asks for the result with GET; browsers and Java's clients do the same for a POST after 301 and 302.
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):  # noqa: PLR2004
        method, body = "GET", None
        headers.popall("Content-Type", None)
    return msgspec.structs.replace(request, url=url, headers=headers, method=method, body=body)


def _headers(given: JsonValue) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    if given is None:
        return headers
    if not isinstance(given, dict):
        raise RequestInvalid(f"headers should be an object and is {given!r:.100}")
    for name, value in given.items():
        if not _TOKEN.fullmatch(name):
            raise RequestInvalid(f"expected the name of a header, found {name!r:.100}")
        if name.lower() in _NOT_FORWARDED:
            continue
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                headers.add(name, _text(f"header {name}", one))
    return headers


def _accept(given: JsonValue) -> str:
    if isinstance(given, list):
        return ", ".join(_text("accept", one) for one in given) or JSON
    return _text("accept", given) or JSON


def _text(what: str, value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    if not isinstance(value, str):
        raise RequestInvalid(f"{what} should be a text and is {value!r:.100}")
    if _LINE_BREAKS.search(value):
        raise RequestInvalid(f"{what} should have no line breaks and is {value!r:.100}")
    return value


def _body(given: JsonValue, content_type: str) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, str):
        return given.encode(errors="replace")
    if isinstance(given, dict) and content_type.partition(";")[0].strip().lower() == FORM:
        return urlencode({key: _form_value(value) for key, value in given.items()}, doseq=True).encode()
    return msgspec.json.encode(given)


def _form_value(value: JsonValue) -> str | list[str]:
    if isinstance(value, list):
        return [str(_form_value(one)) for one in value]
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _milliseconds(name: str, value: JsonValue) -> int:
    if value is None:
        return TIMEOUT_MS
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise RequestInvalid(f"{name} should be a number of milliseconds and is {value!r:.100}")
    return int(value)
