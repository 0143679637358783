"""How errors look on the wire: raised inside a route of a small application, behind the real middleware."""

import orjson
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.access.gate import Gate
from api.app import surface
from api.errors import Conflict, NotFound, Refused, RequestInvalid
from api.keys import GATE
from engine.json_value import JsonObject
from engine.rejections import Rejected, RejectionCode
from engine.validation import Violation
from streams import errors
from streams.service import DecisionTimeout, QueryInvalid


async def answer_to(error: Exception) -> tuple[int, JsonObject, dict[str, str]]:
    """Return status, JSON and headers of the answer when a route raises."""

    async def fail(request: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[surface])
    app[GATE] = Gate()
    app.router.add_route("POST", "/fail", fail)
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/fail")
        return response.status, orjson.loads(await response.read()), dict(response.headers)


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (NotFound("no x"), 404, "NOT_FOUND", False),
        (Conflict("x is there"), 409, "CONFLICT", False),
        (RequestInvalid("x is wrong"), 400, "REQUEST_INVALID", False),
        (Refused(Rejected(code=RejectionCode.WORKFLOW_NOT_PAUSED, reason="x")), 409, "WORKFLOW_NOT_PAUSED", False),
        (Refused(Rejected(code=RejectionCode.TASK_NOT_FOUND, reason="x")), 404, "TASK_NOT_FOUND", False),
        (QueryInvalid("at 3"), 400, "QUERY_INVALID", False),
        (errors.RecordTooLarge("x"), 413, "RECORD_TOO_LARGE", False),
        (errors.LogUnavailable("x"), 503, "LOG_UNAVAILABLE", True),
        (errors.StoreFull("x"), 503, "STORE_FULL", True),
        (errors.HistoryUnavailable("x"), 503, "HISTORY_UNAVAILABLE", True),
        (DecisionTimeout("x"), 503, "DECISION_TIMEOUT", True),
        (errors.LogCorrupt("x"), 500, "LOG_CORRUPT", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_error_has_its_status_code_and_words(error: Exception, status: int, code: str, retryable: bool) -> None:  # noqa: FBT001 (a column of the table)
    """One table says what an error is on the wire; 503 says when to ask again."""
    found, wire, headers = await answer_to(error)
    assert (found, wire["status"], wire["code"], wire["retryable"]) == (status, status, code, retryable)
    assert wire["message"] == str(error)
    assert ("Retry-After" in headers) == (status == 503)
    assert headers["Content-Type"] == "application/json"


async def test_error_without_words_says_what_its_class_says() -> None:
    """The class's own text is the default message, and names the next step."""
    _, wire, _ = await answer_to(errors.StoreFull())
    assert "free some space" in wire["message"]


async def test_violations_are_listed_and_a_large_wrong_value_is_cut() -> None:
    """A wrong document is not sent back whole."""
    broken = [
        Violation(path="tasks[0].name", message="should not be empty", invalid_value=""),
        Violation(path="tasks", message="should be a list", invalid_value={"a": "b" * 10_000}),
    ]
    status, wire, _ = await answer_to(RequestInvalid(violations=broken))
    assert status == 400
    assert wire["validationErrors"][0] == {
        "path": "tasks[0].name",
        "message": "should not be empty",
        "invalidValue": "",
    }
    assert len(wire["validationErrors"][1]["invalidValue"]) < 1_100
    assert "instance" not in wire


async def test_defect_is_a_json_500_without_its_details_and_is_logged() -> None:
    """The client learns that there was one; the log learns what it was."""
    with structlog.testing.capture_logs() as logged:
        status, wire, _ = await answer_to(ValueError("the password is hunter2"))
    assert (status, wire["code"]) == (500, "INTERNAL")
    assert "hunter2" not in orjson.dumps(wire).decode()
    failed = next(line for line in logged if line["event"] == "request_failed")
    assert (failed["path"], failed["log_level"]) == ("/fail", "error")


async def test_mutating_request_leaves_one_line_in_the_log() -> None:
    """Method, path, status and duration; never a body."""
    with structlog.testing.capture_logs() as logged:
        await answer_to(NotFound("no x"))
    (line,) = [line for line in logged if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/fail", 404)
    assert line["ms"] >= 0
