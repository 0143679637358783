"""Workers as users of the Python SDK write them: decorated functions at the top of a module.

Holds the functions that `worker_program` runs. Must not import anything of Podium: a worker knows the SDK alone. Keeps
the invariant that what a function does depends on its input, so that each test chooses by what it sends.
"""

# The SDK ships no types, so its decorator has none.
# mypy: disallow-untyped-decorators=False

import asyncio
import time

from conductor.client.context.task_context import TaskInProgress, get_task_context
from conductor.client.http.models.task_def import TaskDef
from conductor.client.worker.exception import NonRetryableException
from conductor.client.worker.worker_task import worker_task

NIGHT = "night"
"""The domain of the second greeter."""
LEASE_S = 6
"""The SDK extends a lease at 80 % of it, but looks once a second: it is in time for certain from 6 s on."""
ENCODING_S = 8.0
"""Longer than the lease: only a worker that extends it keeps its attempt."""


@worker_task(task_definition_name="sdk_greet", thread_count=2, worker_id="greeter", register_task_def=True)
def greet(name: str) -> str:
    """Return a text: the SDK wraps it into `{"result": …}`."""
    return f"Hello {name}"


@worker_task(task_definition_name="sdk_greet", domain=NIGHT, worker_id="night-greeter")
def greet_at_night(name: str) -> str:
    """Serve the same type in a domain of its own."""
    return f"Good night {name}"


@worker_task(task_definition_name="sdk_square", thread_count=5, worker_id="squarer", register_task_def=True)
async def square(number: int) -> dict[str, int]:
    """Run on the SDK's event loop, which hands its results in through another client than the threads do."""
    await asyncio.sleep(0)
    return {"square": number * number}


@worker_task(
    task_definition_name="sdk_encode",
    worker_id="encoder",
    register_task_def=True,
    lease_extend_enabled=True,
    task_def=TaskDef(name="sdk_encode", retry_count=0, response_timeout_seconds=LEASE_S),
)
def encode(video: str) -> dict[str, str]:
    """Take longer than the lease."""
    time.sleep(ENCODING_S)
    return {"encoded": video}


@worker_task(
    task_definition_name="sdk_charge",
    thread_count=3,
    worker_id="charger",
    register_task_def=True,
    task_def=TaskDef(name="sdk_charge", retry_count=2, retry_delay_seconds=0),
)
def charge(amount: int) -> dict[str, object] | TaskInProgress:
    """Charge a card: less than 0 never works, more than 100 works at the second attempt, 100 is looked at twice."""
    context = get_task_context()
    context.add_log(f"charging {amount}")
    if amount < 0:
        raise NonRetryableException(f"{amount} cannot be charged")
    if amount > 100 and context.get_retry_count() == 0:
        raise ConnectionError("the bank hung up")
    if amount == 100 and context.get_poll_count() == 1:
        return TaskInProgress(callback_after_seconds=1, output={"asked": True})
    return {"charged": amount, "polls": context.get_poll_count(), "attempt": context.get_retry_count()}
