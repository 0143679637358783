"""What the surfaces (REST, command line) may ask of a running node.

Holds the port between `api` and the shell, and the values that cross it. Must not know HTTP. Keeps the invariant that a
call that returned is durable: what it says is in the log.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from engine.commands import Command, StartWorkflow
from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.graph import Graphs
from engine.ids import WorkflowId
from engine.json_value import JsonObject
from engine.mocks import Mocks
from engine.model import WorkflowState
from engine.rehearsal import Rehearsal
from engine.rejections import Rejected
from streams.errors import StreamsError
from streams.watches import Watching


class NotOwner(StreamsError):
    """Another process owns the workflow's partition.

    `url` is where it answers, or None while nobody is known to own it.
    """

    retriable = True
    code = "NOT_OWNER"

    def __init__(self, workflow_id: WorkflowId, url: str | None) -> None:
        super().__init__(f"workflow {workflow_id} is owned by {url or 'nobody yet'}")
        self.workflow_id = workflow_id
        self.url = url


class PolledElsewhere(StreamsError):
    """Another process hands out the tasks of this type. `url` is where it answers."""

    retriable = True
    code = "POLLED_ELSEWHERE"

    def __init__(self, task_type: str, url: str) -> None:
        """Name the type and who hands out its tasks."""
        super().__init__(f"tasks of type {task_type} are handed out by {url}")
        self.url = url


class DecisionTimeout(StreamsError):
    """The command is in the log but its decision did not come in time. It will be decided; ask for its result later."""

    retriable = True
    code = "DECISION_TIMEOUT"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: refused, or accepted with the state it led to.

    `ignored` is the reason why a task result changed nothing, "" otherwise.
    """

    workflow_id: WorkflowId
    rejected: Rejected | None = None
    state: WorkflowState | None = None
    ignored: str = ""


class Workflows(Protocol):
    """Commands to workflows and the state of open ones."""

    async def submit(self, command: Command, *, wait_ms: int = 10_000) -> Answer:
        """Append a command, wait for its decision to be in the log, and return it.

        A `StartWorkflow` without `workflow_id` is given a fresh, time-ordered one.

        Raises:
            NotOwner: the workflow lives in another process; nothing was appended.
            LogUnavailable, StoreFull: nothing is known to be stored.
            DecisionTimeout: the command is durable, its decision has not come within `wait_ms`.
        """
        ...

    async def append(self, command: Command) -> None:
        """Append a command from any node and return when it is durable, without waiting for its decision.

        Raises:
            LogUnavailable, StoreFull: nothing is known to be stored.
        """
        ...

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state, not older than any command this node has taken for it; None if not in memory.

        None: it never existed, or it ended and was evicted: ask the history.

        Raises:
            NotOwner: the workflow lives in another process.
        """
        ...

    def watching(self) -> Watching:
        """Return a watch over workflows of this process, to be entered: it names each that has changed."""
        ...

    async def open_states(self) -> Sequence[WorkflowState]:
        """Return the workflows in memory of this node's partitions, for merging into searches and queue figures."""
        ...


class Definitions(Protocol):
    """The registered definitions. Reads are from memory; writes return when every later read on this node sees them."""

    async def put_workflow(self, definition: WorkflowDef) -> None:
        """Register a workflow definition.

        The same name and version again replaces it for workflows that start later.
        """
        ...

    async def put_task(self, definition: TaskDef) -> None:
        """Register a task definition, or replace the one of that name."""
        ...

    async def delete_workflow(self, name: str, version: int) -> bool:
        """Forget one version of a workflow definition, and tell whether there was one.

        Running workflows keep theirs.
        """
        ...

    async def delete_task(self, name: str) -> bool:
        """Forget a task definition, and tell whether there was one. Running workflows keep theirs."""
        ...

    async def put_schema(self, definition: SchemaDef) -> None:
        """Register a version of a schema, or replace it."""
        ...

    async def delete_schema(self, name: str, version: int) -> bool:
        """Forget one version of a schema, and tell whether there was one."""
        ...

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        """Return a schema, the newest version if None is asked for."""
        ...

    def schemas(self) -> Sequence[SchemaDef]:
        """Return every version of every schema."""
        ...

    def workflow(self, name: str, version: int | None = None) -> WorkflowDef | None:
        """Return a workflow definition, the newest version if None is asked for."""
        ...

    def workflows(self) -> Sequence[WorkflowDef]:
        """Return every version of every workflow definition."""
        ...

    def task(self, name: str) -> TaskDef | None:
        """Return a task definition."""
        ...

    def tasks(self) -> Sequence[TaskDef]:
        """Return every task definition."""
        ...


class TaskPolls(Protocol):
    """The tasks that wait for REST pollers of this node."""

    async def poll(
        self, task_type: str, *, worker_id: str, domain: str, count: int, timeout_ms: int, here: bool = False
    ) -> list[JsonObject]:
        """Return up to `count` tasks as Conductor's Task JSON, already claimed for `worker_id` (IN_PROGRESS).

        Returns as soon as at least one is there; an empty list after `timeout_ms`. Higher priority first, then oldest.
        A poll that is cancelled has claimed nothing. `here`: answer from this process, whoever hands out this type.

        Raises:
            PolledElsewhere: another process hands out the tasks of this type.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Return how many tasks wait per queue (`[domain:]type`)."""
        ...

    def last_poll_ms(self, task_type: str, domain: str) -> int | None:
        """Return when a worker last polled a queue (epoch ms): 0 for never yet, None if others may know more."""
        ...

    def poll_records(self, task_type: str | None = None) -> list[JsonObject]:
        """Return who polled last: Conductor's PollData {queueName, domain, workerId, lastPollTime}."""
        ...


class Rehearsals(Protocol):
    """Runs with prepared answers and without a log: nothing of them is stored."""

    async def run(self, command: StartWorkflow, *, mocks: Mocks, definitions: Sequence[WorkflowDef] = ()) -> Rehearsal:
        """Run a workflow as far as it goes. `definitions` hold, in this run, before those that are registered.

        Raises:
            TooManyRehearsals: this node has enough to do with others.
        """
        ...


class SearchFor(StrEnum):
    """What a search finds."""

    WORKFLOWS = "WORKFLOWS"
    TASKS = "TASKS"
    """Attempts of tasks; the query names their fields."""
    WORKFLOWS_BY_TASKS = "WORKFLOWS_BY_TASKS"
    """The workflows of the attempts that the query finds; the sorting names fields of workflows."""


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of hits and the exact number of all of them."""

    total: int
    hits: Sequence[JsonObject]


class History(Protocol):
    """Finished (and open) executions as the projection knows them."""

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow as the fold of its recorded events; None if history does not know it.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        ...

    async def search(
        self,
        *,
        query: str,
        free_text: str,
        start: int,
        size: int,
        sort: str,
        what: SearchFor = SearchFor.WORKFLOWS,
    ) -> SearchPage:
        """Return what a query in Conductor's language finds: Conductor's WorkflowSummary or TaskSummary, as JSON.

        Raises:
            HistoryUnavailable: the store cannot answer.
            QueryInvalid: the query cannot be understood; says where.
        """
        ...

    async def wait_projected(self, workflow_id: WorkflowId, version: int, *, timeout_ms: int) -> bool:
        """Wait until the projection has seen the workflow's event number `version`; tell whether it has."""
        ...


class QueryInvalid(StreamsError):
    """A search query cannot be understood. The message names the position and what was expected there."""

    code = "QUERY_INVALID"


class Node(Protocol):
    """One running process."""

    @property
    def workflows(self) -> Workflows:
        """Commands to workflows and the state of open ones."""
        ...

    @property
    def definitions(self) -> Definitions:
        """The registered definitions."""
        ...

    @property
    def graphs(self) -> Graphs:
        """The compiled definitions that workflows run by. There at once, also while the log is away."""
        ...

    @property
    def polls(self) -> TaskPolls:
        """The tasks that wait for pollers. Answers, emptily, also while the log is away."""
        ...

    @property
    def rehearsals(self) -> Rehearsals:
        """Runs with prepared answers."""
        ...

    @property
    def history(self) -> History:
        """Finished and open executions as the projection knows them."""
        ...

    async def health(self) -> JsonObject:
        """Return {"healthy": bool, …}: the log, the partitions and the history, each in words."""
        ...
