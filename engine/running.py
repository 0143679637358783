"""Tests of workflows without a server: run a definition to its end, with functions for workers, in no time.

Holds `run_workflow` and what it returns. Must not know any test framework. Keeps the invariant that a run which did not
end says why: `WorkflowRun.why`.

    run = run_workflow(definition, {"n": 3}, workers={"double": lambda given: {"n": 2 * given["n"]}})
    assert run.output == {"n": 6}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from engine.commands import StartWorkflow
from engine.context import NO_VALIDATOR
from engine.definitions import TaskDef, WorkflowDef
from engine.errors import EngineError
from engine.ids import RefName, WorkflowId
from engine.json_value import JsonObject, JsonValue
from engine.mocks import MockedAnswer, Mocks, TaskFunction
from engine.model import Task, WorkflowState, status_of
from engine.rehearsal import USUAL_LIMITS, AskedScript, Rehearsal, RehearsalEnd, RehearsalLimits
from engine.schemas import SchemaValidator
from engine.scripts import ScriptRequest
from engine.shelf import Shelf
from engine.validation import validate_task, validate_workflow

STARTED_AT_MS: Final = 1_700_000_000_000
"""When a run begins unless told otherwise: always the same instant, so that a run depends on its input alone."""

Evaluate: TypeAlias = Callable[[ScriptRequest], JsonValue]
"""Computes a script. An exception is the script's failure, with its text as the reason."""


class RunImpossible(EngineError):
    """The run cannot be what was asked for. The message says what is missing."""


class WorkflowRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. `workflows` holds every workflow of it by id, sub-workflows included."""

    state: WorkflowState
    end: RehearsalEnd
    why: str
    decisions: int
    virtual_ms: int
    workflows: Mapping[WorkflowId, WorkflowState]

    @property
    def status(self) -> str:
        """The status of the workflow as the wire spells it."""
        return self.state.status.value

    @property
    def output(self) -> JsonObject:
        """The output of the workflow."""
        return self.state.output

    @property
    def statuses(self) -> dict[str, str]:
        """The status of the newest attempt of each ref, in the order in which they were first scheduled."""
        refs = dict.fromkeys(task.spec.ref for _, task in sorted(self.state.tasks.items()))
        return {ref: status_of(self.task(ref)).value for ref in refs}

    def task(self, ref: str) -> Task:
        """Return the newest attempt of a ref.

        Raises:
            RunImpossible: there is none.
        """
        found = self.state.named(RefName(ref))
        if found is None:
            raise RunImpossible(f"task {ref} was never scheduled; there are: {sorted(self.state.latest)}")
        return found

    def attempts(self, ref: str) -> list[Task]:
        """Return every attempt of a ref, oldest first."""
        return [task for _, task in sorted(self.state.tasks.items()) if task.spec.ref == ref]

    def child(self, ref: str) -> WorkflowState:
        """Return the sub-workflow of the newest attempt of a ref.

        Raises:
            RunImpossible: it was not run: the task is mocked, or not a SUB_WORKFLOW.
        """
        child_id = self.task(ref).progress.child_id
        found = None if child_id is None else self.workflows.get(child_id)
        if found is None:
            raise RunImpossible(f"no sub-workflow of task {ref} was run: it is mocked, or not a SUB_WORKFLOW")
        return found


def run_workflow(
    definition: WorkflowDef | JsonObject,
    workflow_input: JsonObject | None = None,
    *,
    others: Sequence[WorkflowDef | TaskDef | JsonObject] = (),
    workers: Mapping[str, TaskFunction] = {},
    mocks: Mapping[str, MockedAnswer] = {},
    sub_workflows: Mapping[str, Mocks] = {},
    evaluate: Evaluate | None = None,
    limits: RehearsalLimits = USUAL_LIMITS,
    schemas: SchemaValidator = NO_VALIDATOR,
    now_ms: int = STARTED_AT_MS,
) -> WorkflowRun:
    """Run a workflow until it ends, or waits for what nobody has prepared, or is stopped by the limits.

    Definitions may be JSON objects. `others` are task definitions and the definitions of sub-workflows. `workers`
    answer by task type, `mocks` by reference name, and come first. `evaluate` computes JavaScript that is not simple,
    and jq; `schemas` judges where a definition enforces a JSON Schema.

    Raises:
        RunImpossible: a definition is not valid, the start was refused, or a script is to be computed and there is no
            `evaluate`.
    """
    shelf = Shelf()
    shelf.add(*(_read(other) for other in others))
    read = _read(definition)
    if not isinstance(read, WorkflowDef):
        raise RunImpossible(f"{read.name} is the definition of a task; a workflow is run")
    shelf.add(read)
    own = Mocks(tasks=mocks, sub_workflows=sub_workflows)
    rehearsal = Rehearsal(shelf, now_ms=now_ms, mocks=own, workers=workers, limits=limits, schemas=schemas)
    rehearsal.start(StartWorkflow(name=read.name, version=read.version, input=workflow_input))
    if rehearsal.refused is not None:
        raise RunImpossible(f"the start was refused: {rehearsal.refused.reason}")
    while True:
        while rehearsal.advance(limits.decisions_max):
            pass
        scripts = rehearsal.scripts()
        if not scripts:
            break
        for asked in scripts:
            _compute(rehearsal, asked, evaluate)
    return WorkflowRun(
        state=rehearsal.state,
        end=rehearsal.end(),
        why=rehearsal.sentence(),
        decisions=rehearsal.decisions,
        virtual_ms=rehearsal.now_ms - now_ms,
        workflows=rehearsal.states,
    )


def _read(definition: WorkflowDef | TaskDef | JsonObject) -> WorkflowDef | TaskDef:
    """Return a valid definition. A JSON object with `tasks` is a workflow's."""
    read = _converted(definition) if isinstance(definition, dict) else definition
    violations = validate_workflow(read) if isinstance(read, WorkflowDef) else validate_task(read)
    if violations:
        listed = "; ".join(f"{violation.path}: {violation.message}" for violation in violations)
        raise RunImpossible(f"the definition of {read.name} is not valid: {listed}")
    return read


def _converted(definition: JsonObject) -> WorkflowDef | TaskDef:
    try:
        if "tasks" in definition:
            return msgspec.convert(definition, WorkflowDef, strict=False)
        return msgspec.convert(definition, TaskDef, strict=False)
    except msgspec.ValidationError as error:
        raise RunImpossible(f"the definition of {definition.get('name')!r} cannot be read: {error}") from error


def _compute(rehearsal: Rehearsal, asked: AskedScript, evaluate: Evaluate | None) -> None:
    if evaluate is None:
        raise RunImpossible(
            f"task {asked.attempt} needs {asked.request.language} that only a script engine can compute: mock the "
            f"task, or pass evaluate. The script: {asked.request.source[:200]}"
        )
    try:
        value = evaluate(asked.request)
    except Exception as error:  # noqa: BLE001 - whatever a script does is its failure
        rehearsal.answer(asked, failure=str(error) or type(error).__name__)
    else:
        rehearsal.answer(asked, value)
