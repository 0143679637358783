"""How an attempt comes into being.

Holds the one place that writes `TaskScheduled`, for whatever type. Must not decide what a type does. Keeps the invariant that
everything a worker or a timer will need of an attempt is in that event.
"""

from typing import Final

from engine.definitions import TaskDef
from engine.draft import Attempt, Draft
from engine.events import TaskScheduled, TaskStarted, TaskTimeouts
from engine.expressions.references import resolve
from engine.graph import Node
from engine.ids import DefinitionHash, RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.lookup import StateLookup

ENGINE_WORKER: Final = "podium"
"""The worker id of what Podium itself does."""
NO_DOMAIN: Final = "NO_DOMAIN"


def schedule_task(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    *,
    task_input: JsonObject,
    task_type: str | None = None,
    name: str | None = None,
    dispatch: str = "",
    domain: str = "",
    queue_key: str | None = None,
    timeouts: TaskTimeouts = TaskTimeouts(),
    opens_scope: bool = False,
    join_on: tuple[RefName, ...] = (),
    awaits_scope: RefName = RefName(""),
    wakes_at_ms: int = 0,
    dynamic_definition_hash: DefinitionHash | None = None,
) -> TaskSeq:
    """Schedule an attempt and return its number."""
    seq = draft.next_seq()
    delay_ms = attempt.delay_ms or (node.task.start_delay * 1000 if not attempt.number else 0)
    draft.emit(
        TaskScheduled(
            at_ms=draft.now_ms,
            seq=seq,
            ref=node.ref,
            node=node.ref,
            name=name or node.task.name,
            type=task_type or node.task.type,
            dispatch=dispatch,
            attempt=attempt.number,
            scope=node.scope,
            opens_scope=opens_scope,
            input=task_input,
            domain=domain,
            queue_key=queue_key,
            join_on=join_on,
            awaits_scope=awaits_scope,
            due_at_ms=draft.now_ms + delay_ms if delay_ms else 0,
            wakes_at_ms=wakes_at_ms,
            first_scheduled_at_ms=attempt.first_scheduled_at_ms,
            retry_of=attempt.retry_of,
            timeouts=timeouts,
            dynamic_definition_hash=dynamic_definition_hash,
        )
    )
    return seq


def start_task(draft: Draft, seq: TaskSeq, *, child_id: WorkflowId | None = None) -> None:
    """Let the engine itself begin an attempt."""
    draft.emit(TaskStarted(at_ms=draft.now_ms, seq=seq, worker_id=ENGINE_WORKER, child_id=child_id))


def domain_of(draft: Draft, task_type: str) -> str:
    """Return the domain in whose queue a worker task goes: the exact type's, else that of `*`, else none.

    Of a list, the last entry holds. Source: `ExecutionDAOFacade`, `taskToDomain`.
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
        super().__init__(draft.state)
        self._input = task_input

    def root(self, name: str) -> object:
        """Return the task's input for `input`, else what every expression sees."""
        return self._input if name == "input" else super().root(name)
