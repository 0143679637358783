"""What holds for every route: errors, bodies, limits, unknown paths. On a real node."""

import gzip
import io
import zlib

import orjson
import pytest

from tests.api.rest_client import Rest, result, simple


@pytest.mark.parametrize(
    "path", ["/api/token", "/api/prompts", "/api/nothing", "/nothing", "/api", "/api/tasks/a/b/c/d/e"]
)
async def test_unknown_path_is_a_json_404_with_the_path(rest: Rest, path: str) -> None:
    """Clients take a 404 of `/token` for a server without credentials; a 401, or HTML, would stop them."""
    error = await rest.refused("POST", path, {"keyId": "k", "keySecret": "s"}, status=404)
    assert path in error["message"]
    assert error["retryable"] is False


async def test_wrong_method_is_a_json_405_that_names_the_right_ones(rest: Rest) -> None:
    """Clients of several generations try one verb and then the other."""
    response = await rest.call("PATCH", "/api/metadata/taskdefs")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, POST, PUT"
    assert orjson.loads(await response.read())["status"] == 405


async def test_health_and_version_are_where_probes_look(rest: Rest) -> None:
    """At the root and under `/api`."""
    for path in ("/health", "/api/health"):
        assert (await rest.json("GET", path))["healthy"] is True
    assert await rest.text("GET", "/api/version")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        rb'{"name": "\ud800"}',
        b'{"priority": 99999999999999999999}',
        b"[" * 100_000,
    ],
    ids=["cut", "nan", "not_utf8", "half_a_surrogate", "wide_integer", "deep"],
)
async def test_body_that_is_no_strict_json_is_400_in_words(rest: Rest, body: bytes) -> None:
    """Never a 500, whatever comes."""
    response = await rest.call("POST", "/api/workflow", data=body)
    assert response.status == 400
    assert orjson.loads(await response.read())["message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_body_is_read(rest: Rest, encoding: str) -> None:
    """A client may compress what it sends."""
    await rest.register("w", simple("greet"))
    plain = orjson.dumps({"name": "w", "input": {"text": "a" * 100_000}})
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    response = await rest.call("POST", "/api/workflow", data=packed, headers={"Content-Encoding": encoding})
    assert response.status == 200


async def test_compressed_body_counts_by_what_it_becomes(rest: Rest) -> None:
    """A small body that unfolds into more than the limit is 413, and not unfolded further."""
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=9)
    response = await rest.call("POST", "/api/workflow", data=bomb, headers={"Content-Encoding": "gzip"})
    assert response.status == 413
    assert "16777216" in orjson.loads(await response.read())["message"]


async def test_body_beyond_the_limit_is_413(rest: Rest) -> None:
    """With words that name the limit."""
    response = await rest.call("POST", "/api/tasks", data=io.BytesIO(b" " * (16 * 1024 * 1024 + 1)))
    assert response.status == 413


async def test_body_with_a_false_encoding_is_400(rest: Rest) -> None:
    """What does not decompress is the client's slip."""
    response = await rest.call("POST", "/api/tasks", data=b"plain text", headers={"Content-Encoding": "gzip"})
    assert response.status == 400


async def test_chunked_body_is_read(rest: Rest) -> None:
    """The JavaScript client sends every body in chunks and no length."""

    async def chunks() -> object:
        yield b'{"name"'
        yield b': "w"}'

    await rest.register("w", simple("greet"))
    response = await rest.call("POST", "/api/workflow", data=chunks())
    assert response.status == 200


async def test_content_type_does_not_matter(rest: Rest) -> None:
    """Bodies are JSON, whatever their label; GETs carry one too."""
    await rest.register("w", simple("greet"))
    for kind in ("text/plain", "application/octet-stream", "application/json; charset=utf-8"):
        response = await rest.call("POST", "/api/workflow", data=b'{"name": "w"}', headers={"Content-Type": kind})
        assert response.status == 200
    response = await rest.call("GET", "/api/metadata/workflow", headers={"Content-Type": "application/json"})
    assert response.status == 200


async def test_names_in_answers_cannot_break_out_of_json_or_headers(rest: Rest) -> None:
    """Line breaks and quotes of a client come back as text inside JSON."""
    error = await rest.refused("GET", "/api/metadata/taskdefs/a%0d%0aSet-Cookie:%20x=%22y", status=404)
    assert 'a\r\nSet-Cookie: x="y' in error["message"]


async def test_connection_stays_usable_after_an_error(rest: Rest) -> None:
    """One bad request does not cost a worker its connection."""
    await rest.register("w", simple("greet"))
    await rest.call("POST", "/api/tasks", data=b"{")
    await rest.text("POST", "/api/workflow", {"name": "w"})
    task = await rest.take("greet")
    assert await rest.text("POST", "/api/tasks", result(task)) == task["taskId"]
