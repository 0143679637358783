"""What has been folded and not yet written.

Holds one batch. Must not fold nor write. Keeps two invariants: a workflow and an attempt have one row in a batch,
their newest; and the chain's position is added in the same step as the last rows it covers, so a batch never claims
more than it holds.
"""

from collections.abc import Iterator

import msgspec

from engine.events import WorkflowStarted
from engine.ids import TaskSeq, WorkflowId
from engine.model import Task, WorkflowState
from streams.history.rows import Row, execution_row, task_row
from streams.partition.chain import ChainPosition


class TouchedWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow as a record left it."""

    state: WorkflowState
    created_at_ms: int
    position: int
    partition: int

    def row(self) -> Row:
        """Return its row."""
        return execution_row(
            self.state, created_at_ms=self.created_at_ms, position=self.position, partition=self.partition
        )


class TouchedTask(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as an event left it. A later restart takes it out of the state, but not out of the history."""

    started: WorkflowStarted
    task: Task
    created_at_ms: int
    event_version: int

    def row(self) -> Row:
        """Return its row."""
        return task_row(self.started, self.task, created_at_ms=self.created_at_ms, event_version=self.event_version)


class Batch:
    """Rows to be written together. Batches are numbered in the order in which they are written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Row] = []
        self.workflows: dict[WorkflowId, TouchedWorkflow] = {}
        self.tasks: dict[tuple[WorkflowId, TaskSeq], TouchedTask] = {}
        self.removed: set[WorkflowId] = set()
        """Workflows of which nothing is to be left but the event that says so."""
        self.chains: dict[int, ChainPosition] = {}
        self.first_appended_at_ms: dict[int, int] = {}

    @property
    def row_count(self) -> int:
        """How many rows the batch has, positions not counted."""
        return len(self.events) + len(self.workflows) + len(self.tasks) + len(self.removed)

    def forget_partition(self, partition: int) -> None:
        """Leave a partition's position out. Rows of it may stay: whoever projects it writes the same ones."""
        self.chains.pop(partition, None)
        self.first_appended_at_ms.pop(partition, None)

    def execution_rows(self) -> Iterator[Row]:
        """Yield the rows of `workflow_executions`."""
        return (touched.row() for key, touched in self.workflows.items() if key not in self.removed)

    def task_rows(self) -> Iterator[Row]:
        """Yield the rows of `task_executions`."""
        return (touched.row() for key, touched in self.tasks.items() if key[0] not in self.removed)
