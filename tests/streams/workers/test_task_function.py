"""Claims about Python functions as the work of tasks."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from engine.json_value import JsonObject
from engine.status import TaskStatus
from streams.workers import NonRetryable
from streams.workers.task_function import FunctionNotFound, TaskFunction, load_function, outcome_of

HERE = "tests.streams.workers.sample_functions"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_function_is_found_by_module_and_name() -> None:
    """Also inside a class."""
    assert load_function(f"{HERE}:double")({"inputData": {"number": 4}}) == {"doubled": 8}
    assert load_function(f"{HERE}:Tasks.nothing")({}) is None


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("double", "expected module:function"),
        (f"{HERE}:", "expected module:function"),
        (":double", "expected module:function"),
        ("no.such.module:f", "there is no module"),
        (f"{HERE}:missing", "has no function 'missing'"),
        (f"{HERE}:NOT_A_FUNCTION", "has no function 'NOT_A_FUNCTION'"),
        (f"{HERE}:Tasks.missing", "has no function 'Tasks.missing'"),
    ],
)
def test_text_that_names_no_function_is_refused(target: str, reason: str) -> None:
    """The message says what is missing."""
    with pytest.raises(FunctionNotFound, match=reason):
        load_function(target)


async def test_coroutine_function_runs_in_the_loop_and_any_other_in_a_thread(threads: ThreadPoolExecutor) -> None:
    """A blocking function does not hold up the loop."""

    async def in_loop(task: JsonObject) -> JsonObject:
        await asyncio.sleep(0)
        return {"thread": threading.current_thread() is threading.main_thread()}

    def in_thread(task: JsonObject) -> JsonObject:
        return {"thread": threading.current_thread() is threading.main_thread()}

    class Callable:
        async def __call__(self, task: JsonObject) -> JsonObject:
            return await in_loop(task)

    assert (await outcome_of(in_loop, {}, threads)).output == {"thread": True}
    assert (await outcome_of(in_thread, {}, threads)).output == {"thread": False}
    assert (await outcome_of(Callable(), {}, threads)).output == {"thread": True}
    assert (await outcome_of(partial(Callable.__call__, Callable()), {}, threads)).output == {"thread": True}


class Odd(Exception):
    """An exception without a text."""


def raising(error: BaseException) -> TaskFunction:
    """Return a function that raises."""

    def function(task: JsonObject) -> JsonObject:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (raising(ValueError("no such file")), TaskStatus.FAILED, "no such file"),
        (raising(Odd()), TaskStatus.FAILED, "Odd"),
        (raising(NonRetryable("bad input")), TaskStatus.FAILED_WITH_TERMINAL_ERROR, "bad input"),
        (raising(StopIteration("stop")), TaskStatus.FAILED, "stop"),
        (raising(SystemExit(3)), TaskStatus.FAILED, "3"),
        (raising(KeyboardInterrupt()), TaskStatus.FAILED, "KeyboardInterrupt"),
        (lambda _: "text", TaskStatus.FAILED, "should return an object (dict) and returned str"),
        (lambda _: None, TaskStatus.COMPLETED, ""),
    ],
)
async def test_whatever_a_function_does_becomes_a_result(
    function: TaskFunction, status: TaskStatus, reason: str, threads: ThreadPoolExecutor
) -> None:
    """Nothing that a function raises ends the worker, or hangs it."""
    async with asyncio.timeout(5):
        outcome = await outcome_of(function, {}, threads)
    assert outcome.status is status
    assert reason in outcome.reason


async def test_exception_in_a_coroutine_function_becomes_a_result(threads: ThreadPoolExecutor) -> None:
    """The same rules as in a thread."""

    async def fails(task: JsonObject) -> JsonObject:
        raise NonRetryable("never")

    outcome = await outcome_of(fails, {}, threads)
    assert (outcome.status, outcome.reason) == (TaskStatus.FAILED_WITH_TERMINAL_ERROR, "never")
