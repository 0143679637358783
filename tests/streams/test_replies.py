"""Claims about callers that wait for a decision."""

import asyncio
from collections.abc import Awaitable

import pytest

from engine.ids import WorkflowId
from streams.replies import Replies
from streams.service import Answer, DecisionTimeout

W = WorkflowId("w")
ANSWER = Answer(workflow_id=W)


async def test_a_caller_gets_the_answer_to_its_own_command() -> None:
    """Answers find their callers whatever their order; one that comes before the wait is not lost."""
    replies = Replies(process="p")
    first, second = replies.expect(0), replies.expect(0)
    other = Answer(workflow_id=WorkflowId("other"))
    replies.resolve(second, other)
    replies.resolve(first, ANSWER)
    replies.resolve("somebody-else.1", ANSWER)
    assert await replies.wait(first, W, timeout_ms=1_000) is ANSWER
    assert await replies.wait(second, W, timeout_ms=1_000) is other


async def test_an_answer_that_is_given_twice_counts_once() -> None:
    """A new owner repeats the answers that may not have been given."""
    replies = Replies(process="p")
    request_id = replies.expect(0)
    replies.resolve(request_id, ANSWER)
    replies.resolve(request_id, Answer(workflow_id=WorkflowId("again")))
    assert await replies.wait(request_id, W, timeout_ms=1_000) is ANSWER
    replies.forget(request_id)
    replies.forget(request_id)
    replies.resolve(request_id, ANSWER)


async def test_a_caller_that_waited_long_enough_is_told_that_its_command_is_stored() -> None:
    """It must not send the command again: it will be decided."""
    replies = Replies(process="p")
    request_id = replies.expect(0)
    with pytest.raises(DecisionTimeout, match="is stored, but was not decided within 1 ms"):
        await replies.wait(request_id, W, timeout_ms=1)


async def test_callers_of_a_partition_that_left_are_told_at_once_and_others_are_not() -> None:
    """Who waits for another partition goes on waiting; who has gone leaves no error behind."""
    replies = Replies(process="p")
    stays, leaves, gone = replies.expect(0), replies.expect(1), replies.expect(1)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(replies.wait(stays, W, timeout_ms=10_000))
        left = group.create_task(_timed_out(replies.wait(leaves, W, timeout_ms=10_000)))
        await asyncio.sleep(0)
        replies.abandon(1)
        replies.forget(gone)
        assert "partition 1 left this process" in await left
        replies.resolve(stays, ANSWER)
        assert await waiting is ANSWER


async def _timed_out(waiting: Awaitable[Answer]) -> str:
    with pytest.raises(DecisionTimeout) as raised:
        await waiting
    return str(raised.value)


async def test_processes_never_share_a_request_id() -> None:
    """The answer to a command of a former process is nobody's here."""
    first, second = Replies(process="a"), Replies(process="b")
    ids = {first.expect(0), first.expect(0), second.expect(0), second.expect(0)}
    assert len(ids) == 4
