"""Claims about the built-in worker of HTTP tasks, against real servers on loopback."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus
from streams.workers.http import FAILURE, HttpLimits, HttpWorker, WorkerResult, body_of
from streams.workers.outbound import OutboundPolicy

ON_THIS_MACHINE = OutboundPolicy(allow_private=True)
ATTEMPT = "w-1~7"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every path on a free port of loopback; gives the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


async def echo(request: web.Request) -> web.Response:
    """Answer with what came."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": {name: request.headers.getall(name) for name in request.headers},
            "body": await request.text(),
        }
    )


async def run(task_input: JsonObject, **settings: object) -> WorkerResult:
    """Run one task in a worker that may ask this machine."""
    async with HttpWorker(policy=ON_THIS_MACHINE, **settings) as worker:  # type: ignore[arg-type]
        return await worker.run(task_input, attempt_id=ATTEMPT)


async def echoed(task_input: JsonObject) -> JsonObject:
    """Return what a server saw of a request."""
    async with serving(echo) as url:
        result = await run({"method": "POST"} | task_input | {"uri": url})
    assert result.status is TaskStatus.COMPLETED, result.reason
    body: JsonObject = result.output["response"]["body"]
    return body


async def test_answer_has_body_headers_status_and_phrase() -> None:
    """The shape of Conductor: headers are lists, a JSON body is parsed."""

    async def handler(request: web.Request) -> web.Response:
        response = web.json_response({"a": [1, 2.5]}, status=201, reason="Created")
        response.headers.add("X-Many", "one")
        response.headers.add("X-Many", "two")
        return response

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"})

    assert (result.status, result.reason) == (TaskStatus.COMPLETED, "")
    answer = result.output["response"]
    assert (answer["statusCode"], answer["reasonPhrase"], answer["body"]) == (201, "Created", {"a": [1, 2.5]})
    assert answer["headers"]["X-Many"] == ["one", "two"]
    assert answer["headers"]["Content-Type"] == ["application/json; charset=utf-8"]


async def test_request_under_http_request_is_the_same_as_flat() -> None:
    """Both spellings of Conductor are read."""
    async with serving(echo) as url:
        flat = await run({"uri": f"{url}x?y=1", "method": "PUT", "body": {"k": 1}})
        nested = await run({"http_request": {"uri": f"{url}x?y=1", "method": "put", "body": {"k": 1}}})

    assert flat.output["response"]["body"] == nested.output["response"]["body"]
    assert flat.output["response"]["body"]["path"] == "/x?y=1"
    assert flat.output["response"]["body"]["body"] == '{"k":1}'


async def test_defaults_are_json_and_the_attempt_as_idempotency_key() -> None:
    """A server that knows the header can recognise a repeated attempt."""
    headers = (await echoed({"body": {"k": 1}}))["headers"]

    assert headers["Accept"] == ["application/json"]
    assert headers["Content-Type"] == ["application/json"]
    assert headers["Idempotency-Key"] == [ATTEMPT]


async def test_headers_of_the_input_win_whatever_their_case() -> None:
    """Accept, content type and idempotency key are the workflow's to choose."""
    given = {
        "accept": "text/plain",
        "content-TYPE": "text/csv",
        "idempotency-key": "mine",
        "X-Number": 5,
        "X-Two": ["a", "b"],
    }
    headers = (await echoed({"headers": given, "body": "a,b", "accept": "x/y", "contentType": "x/z"}))["headers"]

    lowered = {name.lower(): values for name, values in headers.items()}
    assert lowered["accept"] == ["text/plain"]
    assert lowered["content-type"] == ["text/csv"]
    assert lowered["idempotency-key"] == ["mine"]
    assert lowered["x-number"] == ["5"]
    assert lowered["x-two"] == ["a", "b"]


async def test_accept_may_be_a_list_and_content_type_a_field() -> None:
    """The fields of Conductor's input."""
    headers = (await echoed({"accept": ["text/html", "*/*"], "contentType": "text/plain", "body": "hi"}))["headers"]

    assert headers["Accept"] == ["text/html, */*"]
    assert headers["Content-Type"] == ["text/plain"]


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"a": 1}, None, '{"a":1}'),
        ([1, None], None, "[1,null]"),
        ("plain text", None, "plain text"),
        (5, None, "5"),
        (True, None, "true"),
        ({"a b": "c&d", "n": 5, "l": ["x", "y"]}, "application/x-www-form-urlencoded", "a+b=c%26d&n=5&l=x&l=y"),
        (None, None, ""),
    ],
)
async def test_body_is_sent_as_its_type_says(body: JsonValue, content_type: str | None, sent: str) -> None:
    """Text goes as it is, everything else as JSON, an object as a form where the content type asks for one."""
    assert (await echoed({"body": body, "contentType": content_type}))["body"] == sent


async def test_headers_of_the_connection_are_not_the_workflows_to_set() -> None:
    """Neither the framing of the request nor its host can be changed."""
    given = {
        "Host": "evil.example",
        "Transfer-Encoding": "chunked",
        "Connection": "keep-alive",
        "Content-Length": "1",
        "Upgrade": "h2c",
        "Proxy-Authorization": "x",
        "TE": "trailers",
        "Expect": "100-continue",
    }
    headers = (await echoed({"headers": given, "body": "12345"}))["headers"]

    assert headers["Host"][0].startswith("127.0.0.1:")
    assert headers["Content-Length"] == ["5"]
    assert not {"Transfer-Encoding", "Upgrade", "Proxy-Authorization", "TE", "Expect"} & set(headers)


@pytest.mark.parametrize(
    ("task_input", "expected"),
    [
        ({}, "uri should be the URL to ask and is None"),
        ({"uri": " ", "method": "GET"}, "uri should be the URL"),
        ({"uri": "http://x.example/"}, "method should be one of DELETE, GET"),
        ({"uri": "http://x.example/", "method": "TRACE"}, "and is 'TRACE'"),
        ({"uri": "http://x.example/", "method": "GET / HTTP/1.1\r\nX: y"}, "method should be one of"),
        ({"http_request": "text"}, "http_request should be an object"),
        ({"uri": "http://x.example/", "method": "GET", "headers": {"X": "a\r\nY: b"}}, "no line breaks"),
        ({"uri": "http://x.example/", "method": "GET", "headers": {"X\r\nY": "b"}}, "the name of a header"),
        ({"uri": "http://x.example/", "method": "GET", "headers": {"X": {"a": 1}}}, "should be a text"),
        ({"uri": "http://x.example/", "method": "GET", "headers": "X: y"}, "headers should be an object"),
        ({"uri": "http://x.example/", "method": "GET", "accept": "a\nb"}, "accept should have no line breaks"),
        ({"uri": "http://x.example/\r\nX: y", "method": "GET"}, "without blanks, control characters"),
        ({"uri": "http://x.example/", "method": "GET", "readTimeOut": "soon"}, "number of milliseconds"),
        ({"uri": "http://x.example/", "method": "GET", "connectionTimeOut": -1}, "number of milliseconds"),
        ({"uri": "http://169.254.169.254/", "method": "GET"}, "a metadata service; Podium does not connect there"),
        ({"uri": "file:///etc/passwd", "method": "GET"}, "expected a URL http"),
    ],
)
async def test_request_that_can_never_succeed_fails_for_good(task_input: JsonObject, expected: str) -> None:
    """The reason says what is expected; trying again would change nothing."""
    result = await run(task_input)

    assert result.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR
    assert result.reason.startswith(FAILURE)
    assert expected in result.reason
    assert result.reason == FAILURE + result.output["response"]


async def test_private_address_is_refused_unless_it_is_allowed() -> None:
    """The default worker does not reach a server of this machine, by address or by name."""
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response()

    async def loopback(host: str, port: int, family: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(handler) as url, HttpWorker(lookup=loopback) as worker:
        by_address = await worker.run({"uri": url, "method": "GET"}, attempt_id=ATTEMPT)
        by_name = await worker.run(
            {"uri": url.replace("127.0.0.1", "public.example"), "method": "GET"}, attempt_id=ATTEMPT
        )

    for result in (by_address, by_name):
        assert result.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR
        assert "a loopback address" in result.reason
    assert asked == 0


async def test_name_that_changes_its_address_is_judged_at_each_connection() -> None:
    """A first good answer is no pass for the second request."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def rebinding(host: str, port: int, family: int) -> list[str]:
        return answers.pop(0)

    async with serving(echo) as url, HttpWorker(policy=ON_THIS_MACHINE, lookup=rebinding) as worker:
        task_input = {"uri": url.replace("127.0.0.1", "rebinding.example"), "method": "GET"}
        first = await worker.run(task_input, attempt_id=ATTEMPT)
        second = await worker.run(task_input, attempt_id=ATTEMPT)

    assert first.status is TaskStatus.COMPLETED
    assert first.output["response"]["body"]["headers"]["Host"][0].startswith("rebinding.example:")
    assert second.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR


@pytest.mark.parametrize("status", [400, 404, 418, 500, 503])
async def test_unsuccessful_answer_fails_and_may_be_tried_again(status: int) -> None:
    """The reason has the status and what the server said."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, reason="Oh dear", text="the details")

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"})

    assert result.status is TaskStatus.FAILED
    assert result.reason == f"Failed to invoke HTTP task due to: {status} Oh dear: the details"
    assert result.output == {"response": f"{status} Oh dear: the details"}


async def test_server_that_is_not_there_fails_with_the_reason_of_the_network(free_port: int) -> None:
    """Nobody listens: may be tried again."""
    result = await run({"uri": f"http://127.0.0.1:{free_port}/", "method": "GET"})

    assert result.status is TaskStatus.FAILED
    assert "ClientConnectorError" in result.reason


async def test_server_that_does_not_answer_fails_within_the_read_timeout() -> None:
    """`readTimeOut` bounds the wait for the next piece of the answer."""
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with serving(handler) as url:
        began = time.monotonic()
        result = await run({"uri": url, "method": "GET", "readTimeOut": 100})
        took_s = time.monotonic() - began
        release.set()

    assert result.status is TaskStatus.FAILED
    assert "no answer in time" in result.reason
    assert 0.1 <= took_s < 3


async def test_answer_that_drips_for_ever_fails_within_the_bound_of_a_request() -> None:
    """Each piece comes in time, the whole does not."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"}, limits=HttpLimits(request_ms_max=200))

    assert result.status is TaskStatus.FAILED
    assert "no answer in time" in result.reason


async def test_name_server_that_does_not_answer_fails_within_the_connect_timeout() -> None:
    """`connectionTimeOut` bounds the look-up too."""

    async def silent(host: str, port: int, family: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    result = await run({"uri": "http://slow.example/", "method": "GET", "connectionTimeOut": 50}, lookup=silent)

    assert result.status is TaskStatus.FAILED
    assert "no answer in time" in result.reason


@pytest.mark.parametrize("compressed", [False, True])
async def test_answer_above_the_size_limit_fails_without_being_held(compressed: bool) -> None:  # noqa: FBT001
    """The limit counts bytes after decompression: a bomb is cut off like anything else."""
    content = b"0" * 50_000_000
    body = gzip.compress(content) if compressed else content

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": "gzip"} if compressed else {})

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"}, limits=HttpLimits(response_bytes_max=1_000_000))

    assert result.status is TaskStatus.FAILED
    assert "larger than 1000000 bytes" in result.reason


async def test_garbage_instead_of_http_fails_with_a_reason() -> None:
    """Whatever listens there, the task ends with a result."""

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"\x00\xffnonsense\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await run({"uri": f"http://127.0.0.1:{port}/", "method": "GET"})

    assert result.status is TaskStatus.FAILED
    assert result.reason.startswith(FAILURE)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", None),
        (b'{"a": 1}', {"a": 1}),
        (b"[1, null]", [1, None]),
        (b"5", 5.0),
        (b"2.5", 2.5),
        (b"true", "true"),
        (b"null", "null"),
        (b'"quoted"', "quoted"),
        (b"plain", "plain"),
        (b"<html>", "<html>"),
        (b"NaN", "NaN"),
        (b'{"a": 1} trailing', '{"a": 1} trailing'),
    ],
)
def test_body_becomes_what_conductor_makes_of_it(raw: bytes, expected: JsonValue) -> None:
    """Objects and lists are parsed, numbers are doubles, other scalars and non-JSON are text."""
    found = body_of(raw, raw.decode())
    assert found == expected
    assert type(found) is type(expected)


def test_body_nested_without_end_stays_text_that_can_be_recorded() -> None:
    """Deep nesting would break whoever encodes the output again."""
    deep = b"[" * 900 + b"]" * 900
    assert body_of(deep, deep.decode()) == deep.decode()
    wide = b"[" + b"[]," * 900 + b"[]]"
    assert len(body_of(wide, wide.decode())) == 901
    msgspec.json.encode(body_of(b"[" * 200 + b"]" * 200, ""))


async def test_text_in_another_charset_is_decoded_and_bad_bytes_are_replaced() -> None:
    """The output is always text that JSON can hold."""

    async def handler(request: web.Request) -> web.Response:
        charset = request.path.strip("/")
        return web.Response(body="grün".encode("latin-1"), headers={"Content-Type": f"text/plain; charset={charset}"})

    async with serving(handler) as url:
        bodies = [
            (await run({"uri": url + charset, "method": "GET"})).output["response"]["body"]
            for charset in ("latin-1", "utf-8", "no-such-charset")
        ]

    assert bodies == ["grün", "gr\ufffdn", "gr\ufffdn"]


async def test_redirect_is_followed_and_the_answer_is_the_last_one() -> None:
    """307 repeats method and body; 303 asks with GET."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path in {"/307", "/303"}:
            return web.Response(status=int(request.path[1:]), headers={"Location": "/landed"})
        return await echo(request)

    async with serving(handler) as url:
        kept = await run({"uri": f"{url}307", "method": "POST", "body": "x"})
        seen = await run({"uri": f"{url}303", "method": "POST", "body": "x"})

    assert [kept.output["response"]["body"][key] for key in ("method", "path", "body")] == ["POST", "/landed", "x"]
    assert [seen.output["response"]["body"][key] for key in ("method", "path", "body")] == ["GET", "/landed", ""]


async def test_redirects_are_followed_three_times_and_no_more() -> None:
    """A circle ends."""
    hops = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal hops
        hops += 1
        return web.Response(status=302, headers={"Location": f"/{hops}"})

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"})

    assert (result.status, hops) == (TaskStatus.FAILED, 4)
    assert "more than 3 redirects" in result.reason


async def test_redirect_to_another_host_loses_credentials() -> None:
    """What was meant for one host is not told to another; the same host still gets it."""
    async with serving(echo) as elsewhere:

        async def handler(request: web.Request) -> web.StreamResponse:
            if request.path == "/same":
                return web.Response(status=307, headers={"Location": "/landed"})
            if request.path == "/other":
                return web.Response(status=307, headers={"Location": f"{elsewhere}landed"})
            return await echo(request)

        secrets = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "text/plain"}
        async with serving(handler) as url:
            same = await run({"uri": f"{url}same", "method": "GET", "headers": secrets})
            other = await run({"uri": f"{url}other", "method": "GET", "headers": secrets})

    told_same, told_other = (one.output["response"]["body"]["headers"] for one in (same, other))
    assert set(secrets) <= set(told_same)
    assert set(secrets) & set(told_other) == {"Accept"}


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "//0x7f.1/",
        "file:///etc/passwd",
        "http://user:pass@example.com/",
        "http://exa mple.com/",
        "http://[broken/",
    ],
)
async def test_redirect_to_a_refused_address_is_not_followed(location: str) -> None:
    """Every hop passes the policy."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with serving(handler) as url:
        result = await run({"uri": url, "method": "GET"})

    assert result.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR
    assert result.reason.startswith(FAILURE)


async def test_cookies_of_one_task_are_not_sent_with_another() -> None:
    """Workflows share a worker, not a session."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await echo(request)
        response.set_cookie("session", "secret")
        return response

    async with serving(handler) as url, HttpWorker(policy=ON_THIS_MACHINE) as worker:
        await worker.run({"uri": url, "method": "GET"}, attempt_id=ATTEMPT)
        second = await worker.run({"uri": url, "method": "GET"}, attempt_id=ATTEMPT)

    assert "Cookie" not in second.output["response"]["body"]["headers"]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    """A proxy would connect to addresses that nobody has checked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    assert (await echoed({}))["method"] == "POST"


async def test_no_more_requests_are_under_way_than_allowed() -> None:
    """The others wait their turn."""
    under_way = most = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.Response()

    async with serving(handler) as url, HttpWorker(policy=ON_THIS_MACHINE, limits=HttpLimits(requests_max=3)) as worker:
        results = await asyncio.gather(
            *(worker.run({"uri": url, "method": "GET"}, attempt_id=str(number)) for number in range(12))
        )

    assert {result.status for result in results} == {TaskStatus.COMPLETED}
    assert most == 3
