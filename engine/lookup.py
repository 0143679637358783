"""What `${…}` sees: the workflow and its tasks as JSON documents.

Holds the documents of one state, built when asked for. Must not resolve paths (see `engine.expressions.references`).
Keeps the invariant that a look-up costs the same however many tasks there are.

Source: Conductor's `ParametersUtils.getTaskInputV2`.
"""

from typing import Final

from engine.appliers.loop import pass_outputs
from engine.expressions.budget import LOOKUP_STEPS_MAX, Budget
from engine.expressions.documents import MISSING, Missing
from engine.ids import RefName, TaskSeq, task_id
from engine.json_value import JsonObject, JsonValue
from engine.late import LateObject
from engine.model import EndedTask, Task, WorkflowState, id_of, status_of

OWN_TASK_ID: Final = "CPEWF_TASK_ID"
"""The root that stands for the id of the very task whose input is being made."""
_STEPS_PER_DOCUMENT: Final = 20
"""A document has about so many members."""


class StateLookup:
    """The roots that expressions of one workflow may name, at one moment."""

    __slots__ = ("_budget", "_decision", "_documents", "_own_seq", "_state", "has_deferred")

    def __init__(self, state: WorkflowState, own_seq: TaskSeq | None = None, *, decision: Budget | None = None) -> None:
        """Look at a state, for the input of attempt `own_seq` if it is for one. It does not change meanwhile.

        `decision` is what the queries of the decision at hand may cost together.
        """
        self._state = state
        self._own_seq = own_seq
        self._decision = decision
        self._budget: Budget | None = None
        self.has_deferred = False
        self._documents: dict[str, JsonObject] = {}

    @property
    def budget(self) -> Budget:
        """What queries are charged to. Most templates have none."""
        if self._budget is None:
            self._budget = Budget(LOOKUP_STEPS_MAX, self._decision)
        return self._budget

    def note_deferred(self) -> None:
        """Remember that the template names what the engine does not know."""
        self.has_deferred = True

    def whole(self) -> JsonObject:
        """Return all documents, those of tasks by their name in the definition. Costs the length of the workflow."""
        latest = self._state.latest
        self.budget.spend(_STEPS_PER_DOCUMENT * (1 + len(latest)))
        documents: JsonObject = {"workflow": self.root("workflow")}
        for seq in sorted(latest.values()):
            task = self._state.tasks[seq]
            documents[task.spec.node] = task_document(self._state, task)
        return documents

    def root(self, name: str) -> JsonValue | Missing:
        """Return the document that a first path segment names: `workflow`, or the newest attempt of a ref."""
        document = self._documents.get(name)
        if document is not None:
            return document
        if name == "workflow":
            document = workflow_document(self._state)
        else:
            task = self._state.named(RefName(name))
            if task is None:
                if name == OWN_TASK_ID and self._own_seq is not None:
                    return task_id(self._state.workflow_id, self._own_seq)
                return MISSING
            document = task_document(self._state, task)
        self._documents[name] = document
        return document


def workflow_document(state: WorkflowState) -> JsonObject:
    """Return what `${workflow.…}` sees."""
    started = state.started
    parent = started.parent
    return {
        "input": started.input,
        "output": state.output,
        "status": state.status.value,
        "workflowId": state.workflow_id,
        "parentWorkflowId": None if parent is None else parent.workflow_id,
        "parentWorkflowTaskId": None if parent is None else task_id(parent.workflow_id, parent.task_seq),
        "workflowType": started.name,
        "startTime": state.created_at_ms,
        "version": started.version,
        "correlationId": started.correlation_id or None,
        "reasonForIncompletion": state.reason or None,
        "schemaVersion": 2,
        "variables": state.variables,
    }


def task_document(state: WorkflowState, task: Task) -> JsonObject:
    """Return what `${ref.…}` sees."""
    spec = task.spec
    progress = task.progress
    return {
        "input": spec.input,
        "output": progress.output if task.spec.seq not in state.loops else _loop_output(state, task),
        "taskType": spec.type,
        "status": status_of(task).value,
        "referenceTaskName": spec.ref,
        "retryCount": spec.attempt,
        "correlationId": state.started.correlation_id or None,
        "pollCount": progress.poll_count,
        "taskDefName": spec.name,
        "scheduledTime": spec.at_ms,
        "startTime": progress.started_at_ms,
        "endTime": task.ended_at_ms if isinstance(task, EndedTask) else 0,
        "workflowInstanceId": state.workflow_id,
        "taskId": id_of(state, task),
        "reasonForIncompletion": progress.reason or None,
        "callbackAfterSeconds": progress.callback_after_seconds,
        "workerId": progress.worker_id or None,
        "iteration": spec.iteration,
    }


def _loop_output(state: WorkflowState, loop: Task) -> JsonObject:
    """Return the output of a loop that runs: the pass at hand, and those before only if somebody asks for them."""
    return LateObject(loop.progress.output, lambda: pass_outputs(state, loop.spec))
