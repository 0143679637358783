"""A Python function as the work of a task: found by name, called, and its end turned into a result.

Holds the loading and the calling. Must not know where tasks come from or results go. Keeps the invariant that `outcome`
always returns: whatever the function raises or returns becomes a result.
"""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Final, TypeAlias, cast

import msgspec

from engine.json_value import JsonObject
from engine.status import TaskStatus

TaskFunction: TypeAlias = Callable[[JsonObject], Awaitable[JsonObject | None] | JsonObject | None]
"""Takes Conductor's Task JSON, returns the output. The same task may come twice."""

REASON_CHARS_MAX: Final = 10_000
"""Of an exception's text."""


class NonRetryable(Exception):
    """Raise this in a task function when no further attempt can help. Its text becomes the reason."""


class FunctionNotFound(ValueError):
    """A text names no function. The message says what is missing."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a function ended. `error` is what it raised."""

    status: TaskStatus
    output: JsonObject = {}
    reason: str = ""
    error: BaseException | None = None


def load_function(target: str) -> TaskFunction:
    """Return the function that `package.module:function` names.

    Raises:
        FunctionNotFound: there is no such module or function. An error inside the module itself is raised as it is.
    """
    module_name, mark, function_name = target.partition(":")
    if not mark or not module_name or not function_name:
        raise FunctionNotFound(f"expected module:function, found {target!r}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise FunctionNotFound(f"there is no module {module_name!r} on the Python path") from error
    found: object = module
    for name in function_name.split("."):
        found = getattr(found, name, None)
    if not callable(found):
        raise FunctionNotFound(f"module {module_name!r} has no function {function_name!r}")
    return cast("TaskFunction", found)  # what it takes and returns shows when it is called


async def outcome_of(function: TaskFunction, task: JsonObject, threads: Executor) -> Outcome:
    """Call the function with a task: a coroutine function in this loop, any other in a thread."""
    if _is_async(function):
        return await _awaited(function(task))
    returned = await asyncio.get_running_loop().run_in_executor(threads, _called, function, task)
    if isinstance(returned, Outcome):
        return returned
    return await _awaited(returned)


def _is_async(function: TaskFunction) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _called(function: TaskFunction, task: JsonObject) -> "Outcome | Awaitable[JsonObject | None]":
    """Call in a thread. Nothing is raised: some exceptions cannot cross from a thread to the loop."""
    try:
        returned = function(task)
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a function must not end the worker
        return _raised(error)
    return returned if inspect.isawaitable(returned) else _returned(returned)


async def _awaited(returned: Awaitable[JsonObject | None] | JsonObject | None) -> Outcome:
    try:
        return _returned(await returned if inspect.isawaitable(returned) else returned)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is how the task ended
        return _raised(error)


def _raised(error: BaseException) -> Outcome:
    final = isinstance(error, NonRetryable)
    return Outcome(
        status=TaskStatus.FAILED_WITH_TERMINAL_ERROR if final else TaskStatus.FAILED,
        reason=(str(error) or type(error).__name__)[:REASON_CHARS_MAX],
        error=error,
    )


def _returned(value: object) -> Outcome:
    if value is None:
        return Outcome(status=TaskStatus.COMPLETED)
    if not isinstance(value, dict):
        reason = f"a task function should return an object (dict) and returned {type(value).__name__}"
        return Outcome(status=TaskStatus.FAILED, reason=reason)
    return Outcome(status=TaskStatus.COMPLETED, output=value)
