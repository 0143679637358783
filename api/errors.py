"""What goes wrong at a surface, and how it looks on the wire.

    ApiError
    ├── RequestInvalid   400  the request cannot be understood, or breaks rules: every one of them is listed
    ├── AccessDenied     401, 403  see `api.access.errors`
    ├── NotFound         404  what the path names does not exist
    ├── Conflict         409  what shall be made exists already
    ├── TooLarge         413  the body is larger than this server reads
    ├── Refused          ---  the engine refused the command; the status stands in the table below
    └── TryLater         503  somebody else, or nobody yet, can answer: ask again after a second

Holds the classes, the one table from refusal and shell error to HTTP status, and the rendering as Conductor's
ErrorResponse. Must not decide what is an error. Keeps the invariant that every answer from 400 on is JSON
with a `message`: existing clients show nothing else, and their own test suites look for the identifier in it.

Source: conductor-common `ErrorResponse`, `ValidationError`; Conductor's `ApplicationExceptionMapper`.
"""

import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar, Final

import orjson

from engine.json_value import JsonObject, JsonValue
from engine.rejections import Rejected, RejectionCode
from engine.validation import Violation
from streams.errors import StreamsError

VALIDATION_MESSAGE: Final = "Validation failed, check below errors for detail."
RETRY_AFTER_SECONDS: Final = "1"
INVALID_VALUE_BYTES_MAX: Final = 1_000
"""Of a wrong value, as JSON, that an answer repeats."""

STATUS_OF_REJECTION: Final[dict[RejectionCode, int]] = {
    RejectionCode.WORKFLOW_NOT_FOUND: 404,
    RejectionCode.TASK_NOT_FOUND: 404,
    RejectionCode.DEFINITION_NOT_FOUND: 404,
    RejectionCode.DEFINITION_INVALID: 400,
    RejectionCode.ARGUMENT_INVALID: 400,
    RejectionCode.INPUT_INVALID: 400,
    RejectionCode.WORKFLOW_ENDED: 409,
    RejectionCode.WORKFLOW_NOT_ENDED: 409,
    RejectionCode.WORKFLOW_NOT_RUNNING: 409,
    RejectionCode.WORKFLOW_NOT_PAUSED: 409,
    RejectionCode.WORKFLOW_NOT_RESTARTABLE: 409,
    RejectionCode.WORKFLOW_EXISTS: 409,
    RejectionCode.NOTHING_TO_RETRY: 409,
    RejectionCode.SLOT_NOT_AWAITED: 409,
    RejectionCode.TASK_ALREADY_SCHEDULED: 409,
    RejectionCode.MESSAGES_FULL: 429,
}

STATUS_OF_STREAMS_ERROR: Final[dict[str, int]] = {
    "QUERY_INVALID": 400,
    "RECORD_TOO_LARGE": 413,
    "LOG_UNAVAILABLE": 503,
    "STORE_FULL": 503,
    "DECISION_TIMEOUT": 503,
    "HISTORY_UNAVAILABLE": 503,
    "NOT_OWNER": 503,
    "FENCED": 503,
    "OWNERSHIP_LOST": 503,
    "POLLED_ELSEWHERE": 503,
    "SCRIPTS_UNAVAILABLE": 503,
    "TOO_MANY_REHEARSALS": 503,
}
"""By the error's code; what is not here is a defect or a broken installation, hence 500."""


class ApiError(Exception):
    """A request cannot be answered as asked."""

    status: int = 500
    code: str = "API_ERROR"
    retriable: ClassVar[bool] = False


class RequestInvalid(ApiError):
    """The request is wrong. Correct what the message, or each listed violation, names."""

    status = 400
    code = "REQUEST_INVALID"

    def __init__(self, message: str = VALIDATION_MESSAGE, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class NotFound(ApiError):
    """What the path names does not exist."""

    status = 404
    code = "NOT_FOUND"


class Refused(ApiError):
    """The engine refused the command. `rejected` says why."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected.reason)
        self.status = STATUS_OF_REJECTION[rejected.code]
        self.code = rejected.code.value


class Conflict(ApiError):
    """What shall be made exists already."""

    status = 409
    code = "CONFLICT"


class TooLarge(ApiError):
    """The body is larger than this server reads. Send large payloads by reference."""

    status = 413
    code = "BODY_TOO_LARGE"


class TryLater(ApiError):
    """Nobody can answer right now. Ask again after a second."""

    status = 503
    code = "TRY_LATER"
    retriable = True


def status_of(error: ApiError | StreamsError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, ApiError):
        return error.status
    return STATUS_OF_STREAMS_ERROR.get(error.code, 500)


def error_json(status: int, message: str, *, code: str, retriable: bool = False) -> JsonObject:
    """Return Conductor's ErrorResponse."""
    return {
        "status": status,
        "code": code,
        "message": message,
        "instance": socket.gethostname(),
        "retryable": retriable,
    }


def error_body(error: ApiError | StreamsError) -> bytes:
    """Return the JSON of an error."""
    message = str(error) or (type(error).__doc__ or type(error).__name__)
    wire = error_json(status_of(error), message, code=error.code, retriable=error.retriable)
    if wire["status"] == HTTPStatus.UNAUTHORIZED:
        wire["error"] = error.code  # where Conductor's clients look whether another token would help
    if isinstance(error, RequestInvalid) and error.violations:
        del wire["instance"]  # as Conductor has it for broken rules, and for these alone
        wire["validationErrors"] = [
            {"path": broken.path, "message": broken.message, "invalidValue": _shown(broken.invalid_value)}
            for broken in error.violations
        ]
    return orjson.dumps(wire, default=str)


def _shown(value: JsonValue) -> JsonValue:
    """Return a wrong value if it is small; a wrong document is not sent back whole."""
    text = orjson.dumps(value, default=str)
    return (
        value if len(text) <= INVALID_VALUE_BYTES_MAX else text[:INVALID_VALUE_BYTES_MAX].decode(errors="ignore") + "…"
    )
