"""The built-in worker of HTTP tasks.

Holds the exchange: one request, its redirects, the answer as output. Must not decide what a failure means for the
workflow, nor try again: retries are the engine's. Keeps the invariant that `run` always returns a result, within the
bounds of time and size that it was given.

Source: Conductor's `HttpTask`. Redirects are followed by hand, so that every hop passes the policy.
"""

import asyncio
from itertools import accumulate
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
import orjson

from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus
from streams.workers.http_request import HttpRequest, RequestInvalid, redirected, request_of
from streams.workers.outbound import CheckedResolver, Lookup, OutboundPolicy, OutboundRefused, SystemLookup

FAILURE: Final = "Failed to invoke HTTP task due to: "
"""How every reason begins. Source: Conductor; dashboards look for it."""
CHUNK_BYTES: Final = 64 * 1024
EXCERPT_CHARS_MAX: Final = 2_000
"""Of an unsuccessful answer, in the reason."""
JSON_DEPTH_MAX: Final = 200
"""An answer that is nested deeper stays text: encoding it as JSON again would exhaust the stack."""
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DEPTH_STEPS: Final = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the worker."""

    requests_max: int = 200
    """Under way at once; the others wait."""
    request_ms_max: int = 300_000
    """One request with its redirects and its answer."""
    response_bytes_max: int = 8 * 1024 * 1024
    """One answer, after decompression."""
    redirects_max: int = 3


_PUBLIC_ONLY: Final = OutboundPolicy()
_DEFAULT_LIMITS: Final = HttpLimits()


class WorkerResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task. `reason` is empty when it succeeded."""

    status: TaskStatus
    output: JsonObject
    reason: str = ""


class ExchangeFailed(Exception):
    """The other side answered, but not with what the task needs. The message is for the user."""


class HttpWorker:
    """Makes requests. An async context manager: entered once, by the composition root."""

    def __init__(
        self,
        *,
        policy: OutboundPolicy = _PUBLIC_ONLY,
        limits: HttpLimits = _DEFAULT_LIMITS,
        lookup: Lookup | None = None,
    ) -> None:
        """Connect where `policy` allows; `lookup` resolves host names, by default as the system does."""
        self._policy = policy
        self._limits = limits
        self._lookup = lookup
        self._system_lookup: SystemLookup | None = None
        self._slots = asyncio.Semaphore(limits.requests_max)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        lookup = self._lookup
        if lookup is None:
            lookup = self._system_lookup = SystemLookup()
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._policy, lookup),
            use_dns_cache=False,
            limit=0,
            # A kept connection that the server closes at the wrong moment would fail a task that is not retried.
            force_close=True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "podium"},
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._system_lookup is not None:
            self._system_lookup.close()

    async def run(self, task_input: JsonObject, *, attempt_id: str) -> WorkerResult:
        """Make the request that the input describes and return what became of it.

        A request that can never succeed (it is malformed, or goes where Podium does not connect) fails for good;
        whatever else goes wrong may be tried again. `attempt_id` is sent as Idempotency-Key.
        """
        try:
            request = request_of(task_input, attempt_id=attempt_id, policy=self._policy)
            async with self._slots, asyncio.timeout(self._limits.request_ms_max / 1_000):
                response = await self._exchange(request)
        except (RequestInvalid, OutboundRefused) as error:
            return _failed(TaskStatus.FAILED_WITH_TERMINAL_ERROR, str(error))
        except ExchangeFailed as error:
            return _failed(TaskStatus.FAILED, str(error))
        except TimeoutError as error:
            return _failed(TaskStatus.FAILED, f"no answer in time: {error}".rstrip(": "))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(TaskStatus.FAILED, f"{type(error).__name__}: {error}")
        return WorkerResult(status=TaskStatus.COMPLETED, output={"response": response})

    async def _exchange(self, request: HttpRequest) -> JsonObject:
        if self._session is None:
            raise RuntimeError("the HTTP worker is not open; enter it first")
        for _ in range(self._limits.redirects_max + 1):
            async with self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=request.connect_ms / 1_000 or None, sock_read=request.read_ms / 1_000 or None
                ),
            ) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await self._answer(response)
                request = redirected(request, response.status, location, self._policy)
        raise ExchangeFailed(f"more than {self._limits.redirects_max} redirects, the last one to {request.url}")

    async def _answer(self, response: aiohttp.ClientResponse) -> JsonObject:
        raw = await self._read(response)
        text = _decoded(raw, response)
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise ExchangeFailed(f"{response.status} {response.reason or ''}: {text[:EXCERPT_CHARS_MAX]}".rstrip(": "))
        return {
            "statusCode": response.status,
            "reasonPhrase": response.reason or "",
            "headers": {name: response.headers.getall(name) for name in response.headers},
            "body": body_of(raw, text),
        }

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._limits.response_bytes_max
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_chunked(CHUNK_BYTES):
            size += len(piece)
            if size > limit:
                response.close()
                raise ExchangeFailed(f"the answer is larger than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)


def body_of(raw: bytes, text: str) -> JsonValue:
    """Return an answer's body: objects and lists parsed, a number as a double, everything else as text."""
    if not raw:
        return None
    if raw.count(b"[") + raw.count(b"{") > JSON_DEPTH_MAX and _depth_exceeds(raw):
        return text
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return text
    if isinstance(value, dict | list | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return text.strip()


def _depth_exceeds(raw: bytes) -> bool:
    """Tell whether brackets are nested too deep; those within texts count, which errs on the safe side."""
    brackets = raw.translate(None, _ALL_BUT_BRACKETS)
    return max(accumulate(map(_DEPTH_STEPS.__getitem__, brackets)), default=0) > JSON_DEPTH_MAX


def _decoded(raw: bytes, response: aiohttp.ClientResponse) -> str:
    try:
        return raw.decode(response.charset or "utf-8", errors="replace")
    except LookupError:
        return raw.decode(errors="replace")


def _failed(status: TaskStatus, cause: str) -> WorkerResult:
    return WorkerResult(status=status, output={"response": cause}, reason=FAILURE + cause)
