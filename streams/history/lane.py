"""A thread in which the calls of one connection run, one after the other.

Holds the way from the event loop into that thread and back. Must not know what runs. Keeps the invariant that a
connection is used by one thread at a time, and that the loop never waits for the engine.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Lane:
    """One thread. Work is done in the order of the calls."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"history-{name}")

    def begin(self, work: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Queue work and return its future. Work that has begun runs to its end, even if nobody waits any more."""
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        """Return when all queued work is done and the thread has ended. Idempotent."""
        ended = asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        await asyncio.shield(ended)
