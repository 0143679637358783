"""What stands in for workers in a rehearsal: prepared answers, by reference name.

Holds the values and the order in which they are used up. Must not decide anything. Keeps the invariant that the same
attempt gets the same answer in every run.

Source: conductor-common `WorkflowTestRequest`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from engine.ids import RefName, WorkflowId
from engine.json_value import JsonObject
from engine.status import TaskStatus

MOCK_STATUSES: Final = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.FAILED_WITH_TERMINAL_ERROR, TaskStatus.IN_PROGRESS}
)
"""What a worker could report. A timeout is rehearsed by an answer that takes too long."""


class TaskMock(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: `queue_wait_ms` after the task can be taken it is begun, and `execution_ms` later it is reported.

    Raises:
        ValueError: no worker could answer so.
    """

    status: TaskStatus = TaskStatus.COMPLETED
    output: JsonObject = {}
    reason: str = ""
    execution_ms: int = 0
    queue_wait_ms: int = 0

    def __post_init__(self) -> None:
        if self.status not in MOCK_STATUSES:
            raise ValueError(f"a mock's status should be one of {', '.join(sorted(MOCK_STATUSES))}; got {self.status}")
        if self.execution_ms < 0 or self.queue_wait_ms < 0:
            raise ValueError(f"a mock takes no less than no time; got {self.execution_ms} and {self.queue_wait_ms} ms")


TaskFunction: TypeAlias = Callable[[JsonObject], "JsonObject | TaskMock | None"]
"""A worker: the task's input in, its output out (None for an empty one), or a whole `TaskMock`.

An exception is a failure with its text as the reason.
"""
MockedAnswer: TypeAlias = "TaskMock | Sequence[TaskMock] | TaskFunction"
"""One answer for all attempts, or one for each in the order in which they begin, or what a function says."""


class Mocks(msgspec.Struct, frozen=True, kw_only=True):
    """The answers for one workflow.

    `tasks` is keyed by reference name, with or without the suffix of a pass. `sub_workflows` holds those for the
    sub-workflow of a reference name; one whose SUB_WORKFLOW task is itself in `tasks` is not run.
    """

    tasks: Mapping[str, MockedAnswer] = {}
    sub_workflows: "Mapping[str, Mocks]" = {}


NO_MOCKS: Final = Mocks()


class MockCounter:
    """Which answers have been used up."""

    def __init__(self) -> None:
        """Begin with all of them."""
        self._used: dict[tuple[WorkflowId, str], int] = {}

    def take(
        self, workflow_id: WorkflowId, mocks: Mocks, ref: RefName, node: RefName
    ) -> TaskMock | TaskFunction | None:
        """Return the answer for the next attempt of a ref, None if there is none (any more)."""
        key = next((name for name in (ref, node) if name in mocks.tasks), None)
        if key is None:
            return None
        answer = mocks.tasks[key]
        if isinstance(answer, TaskMock) or callable(answer):
            return answer
        used = self._used.get((workflow_id, key), 0)
        self._used[workflow_id, key] = used + 1
        return answer[used] if used < len(answer) else None


def answer_of(function: TaskFunction, given: JsonObject) -> TaskMock:
    """Return what a function says to an input."""
    try:
        answer = function(given)
    except Exception as error:  # noqa: BLE001 - whatever a worker raises is its failure
        return TaskMock(status=TaskStatus.FAILED, reason=f"{type(error).__name__}: {error}")
    return answer if isinstance(answer, TaskMock) else TaskMock(output=answer or {})
