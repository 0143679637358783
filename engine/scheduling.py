"""How an attempt comes into being.

Holds the one place that writes `TaskScheduled`, for whatever type, and the one that lets the engine begin what no
worker begins. Must not decide what a type does. Keeps the invariant that everything a worker or a timer will need of
an attempt is in that event.

Source: Conductor's `TaskMapper`s, `ExecutionDAOFacade` for domains.
"""

from typing import Final, TypedDict, Unpack

from engine.definitions import TaskDef
from engine.dispatch import TO_CHILD
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.events import TaskScheduled, TaskStarted, TaskTimeouts
from engine.expressions.documents import Missing
from engine.expressions.references import resolve
from engine.graph import Node
from engine.ids import DefinitionHash, RefName, TaskSeq, child_workflow_id, keyed_workflow_id
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.lookup import StateLookup
from engine.place import OUTSIDE
from engine.schemas import input_problem
from engine.status import TaskStatus

ENGINE_WORKER: Final = "podium"
"""The worker id of what Podium itself does."""
NO_DOMAIN: Final = "NO_DOMAIN"


class Particulars(TypedDict, total=False):
    """What only some types have to say of an attempt; see `TaskScheduled`."""

    dispatch: str
    domain: str
    queue_key: str | None
    timeouts: TaskTimeouts
    opens_scope: bool
    join_on: tuple[RefName, ...]
    awaits_scope: RefName
    wakes_at_ms: int
    dynamic_definition_hash: DefinitionHash | None
    repeats: bool
    iteration: int
    forked_by: TaskSeq
    branch: int
    cache_key: str
    cache_ms: int


def schedule_task(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    *,
    task_input: JsonObject,
    task_type: str | None = None,
    name: str | None = None,
    delay_ms: int = 0,
    **particulars: Unpack[Particulars],
) -> TaskSeq:
    """Schedule an attempt and return its number. With a delay it begins only when that is over."""
    seq = draft.next_seq()
    place = node.place
    if attempt.cache_ms:
        particulars["cache_key"], particulars["cache_ms"] = attempt.cache_key, attempt.cache_ms
    if place is not OUTSIDE:
        particulars["iteration"] = place.iteration
        particulars["forked_by"] = place.forked_by
        particulars["branch"] = place.branch
        if particulars.get("dynamic_definition_hash") is None:
            particulars["dynamic_definition_hash"] = node.definition_hash
    draft.emit(
        TaskScheduled(
            at_ms=draft.now_ms,
            seq=seq,
            ref=node.at,
            node=node.ref,
            name=name or node.task.name,
            type=task_type or node.task.type,
            attempt=attempt.number,
            scope=node.scope,
            input=task_input,
            due_at_ms=draft.now_ms + delay_ms if delay_ms else 0,
            first_scheduled_at_ms=attempt.first_scheduled_at_ms,
            retry_of=attempt.retry_of,
            deferred=() if place.forked_by else draft.deferred,  # a branch of a dynamic fork is data
            given=draft.given,
            **particulars,
        )
    )
    draft.deferred = ()  # it was this attempt's
    return seq


def refuse_input(draft: Draft, node: Node, attempt: Attempt, definition: TaskDef) -> bool:
    """Fail an attempt for good, before anybody sees it, if its input violates the schema that its definition enforces.

    Tell whether that was so.
    """
    if definition.input_schema is None:
        return False
    given = task_input(draft, node.task, definition)
    problem = input_problem(draft.context, definition.input_schema, given)
    if problem:
        seq = schedule_task(draft, node, attempt, task_input=given)
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, problem)
    draft.deferred = ()  # whoever schedules the task makes its input again
    return bool(problem)


def delay_of(node: Node, attempt: Attempt) -> int:
    """Return how long an attempt has to wait, in milliseconds: the first its `startDelay`, others their retry delay."""
    return attempt.delay_ms if attempt.number else node.task.start_delay * 1000


def start_task(draft: Draft, seq: TaskSeq) -> None:
    """Let the engine itself begin an attempt. A sub-workflow gets its id here."""
    spec = draft.state.tasks[seq].spec
    child_id = None
    if spec.dispatch == TO_CHILD:
        key = spec.input.get("idempotencyKey")
        child_id = (
            child_workflow_id(draft.state.workflow_id, seq)
            if key is None
            else keyed_workflow_id(spec.input.get("subWorkflowName") or "", key)
        )
    draft.emit(TaskStarted(at_ms=draft.now_ms, seq=seq, worker_id=ENGINE_WORKER, child_id=child_id))


def domain_of(draft: Draft, task_type: str) -> str:
    """Return the domain in whose queue a worker task goes: the exact type's, else that of `*`, else none.

    Of a comma list the last entry holds: which domains have been polled lately is nothing that a decision may know.
    Source: Conductor's `taskToDomain`, where the last entry holds when none has been polled.
    """
    domains = draft.state.started.task_to_domain
    if not domains:
        return ""
    chosen = domains.get(task_type) or domains.get("*") or ""
    last = chosen.rsplit(",", 1)[-1].strip()
    return "" if last == NO_DOMAIN else last


def queue_key_of(draft: Draft, task_input: JsonObject, definition: TaskDef | None) -> str | None:
    """Return the affinity key of a task: what its definition's `queue.key` expression says of its input."""
    if definition is None or definition.queue is None or definition.queue.key is None:
        return None
    found = resolve(definition.queue.key, _InputLookup(draft, task_input))
    return None if found is None else str(found)


class _InputLookup(StateLookup):
    """The workflow's documents, and the task's own input as `input`."""

    __slots__ = ("_input",)

    def __init__(self, draft: Draft, task_input: JsonObject) -> None:
        super().__init__(draft.state, decision=draft.budget)
        self._input = task_input

    def root(self, name: str) -> JsonValue | Missing:
        """Return the task's input for `input`, else what every expression sees."""
        return self._input if name == "input" else super().root(name)
