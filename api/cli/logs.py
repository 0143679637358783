"""The server's log: one line of JSON per event on standard error, or coloured text on a terminal.

Holds the configuration of structlog. Must be called once, by the composition root. Keeps the invariant that a
level which is switched off costs a function call and nothing more.
"""

import logging
import sys
from typing import Final

import orjson
import structlog

from api.settings import LogLevel

_log = structlog.get_logger(__name__)

_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


class _IntoStructlog(logging.Handler):
    """Passes on what libraries log, so that it looks like every other line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record of the standard library's kind."""
        _log.log(record.levelno, "library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def configure_logs(level: LogLevel) -> None:
    """Set what is logged and how it looks. Libraries are heard from warnings on."""
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), handlers=[_IntoStructlog()], force=True)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    wrapper = structlog.make_filtering_bound_logger(_LEVELS[level])
    if sys.stderr.isatty():
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer()],
            wrapper_class=wrapper,
            logger_factory=structlog.WriteLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)],
        wrapper_class=wrapper,
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _dumps(value: object, **_: object) -> bytes:
    return orjson.dumps(value, default=str)
