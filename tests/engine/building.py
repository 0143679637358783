"""Definitions for the tests of the engine, in few words.

Must not hide what a test claims: every field of a definition that matters stands in the test. The name of a task is its
reference name.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from engine.definitions import SubWorkflowParams, TaskDef, WorkflowDef, WorkflowTask
from engine.events import Event
from engine.graph import Graphs
from engine.ids import RefName
from engine.json_value import JsonObject, JsonValue
from engine.model import RunningTask, status_of
from engine.rejections import Accepted, Decision
from engine.scheduling import ENGINE_WORKER
from engine.scripts import ScriptRequest, script_of
from engine.status import TaskStatus
from engine.testing import Scenario

_Command = TypeVar("_Command")


def task(ref: str, task_type: str = "SIMPLE", /, **fields: object) -> WorkflowTask:
    """Return a task whose name is its reference name; a worker's, unless another type is named."""
    return WorkflowTask(
        task_reference_name=RefName(ref),
        type=task_type,
        **{"name": ref, **fields},  # type: ignore[arg-type]  # the struct has these fields
    )


def fork(ref: str, *branches: Sequence[WorkflowTask], **fields: object) -> WorkflowTask:
    """Return a FORK_JOIN of these branches."""
    return task(ref, "FORK_JOIN", fork_tasks=tuple(tuple(branch) for branch in branches), **fields)


def loop(ref: str, condition: str | None, *body: WorkflowTask, **fields: object) -> WorkflowTask:
    """Return a DO_WHILE over this body."""
    return task(ref, "DO_WHILE", loop_condition=condition, loop_over=body, **fields)


def join(ref: str, *awaited: str, **fields: object) -> WorkflowTask:
    """Return a JOIN that awaits these refs, all branches of its FORK if there are none."""
    return task(ref, "JOIN", join_on=tuple(RefName(name) for name in awaited), **fields)


def switch(
    ref: str,
    value: JsonValue,
    cases: Mapping[str, Sequence[WorkflowTask]],
    default: Sequence[WorkflowTask] = (),
    **fields: object,
) -> WorkflowTask:
    """Return a SWITCH over a value, which may be an expression."""
    return task(
        ref,
        "SWITCH",
        evaluator_type="value-param",
        expression="value",
        input_parameters={"value": value},
        decision_cases={case: tuple(tasks) for case, tasks in cases.items()},
        default_case=tuple(default),
        **fields,
    )


def sub_workflow(ref: str, name: str, version: int | None = None, **fields: object) -> WorkflowTask:
    """Return a SUB_WORKFLOW that starts a registered workflow."""
    return task(ref, "SUB_WORKFLOW", sub_workflow_param=SubWorkflowParams(name=name, version=version), **fields)


def workflow(*tasks: WorkflowTask, **fields: object) -> WorkflowDef:
    """Return a workflow definition named `flow`, read as from JSON, so that its values are of the right types."""
    built = WorkflowDef(tasks=tasks, **{"name": "flow", **fields})  # type: ignore[arg-type]  # the struct has these
    return msgspec.convert(msgspec.to_builtins(built), WorkflowDef)


def task_def(name: str, **fields: object) -> TaskDef:
    """Return a task definition, read as from JSON."""
    built = TaskDef(name=name, **fields)  # type: ignore[arg-type]  # the struct has these fields
    return msgspec.convert(msgspec.to_builtins(built), TaskDef)


def started(*tasks: WorkflowTask, others: Sequence[WorkflowDef | TaskDef] = (), **given: object) -> Scenario:
    """Return a running workflow of these tasks. `given` is its input."""
    scenario = Scenario(workflow(*tasks), *others)
    scenario.start(dict(given))
    return scenario


def accepted(decision: Decision) -> tuple[Event, ...]:
    """Return the events of a decision that must have been accepted."""
    assert isinstance(decision, Accepted), decision
    return decision.events


def event_names(decision: Decision) -> list[str]:
    """Return the names of the events of an accepted decision."""
    return [type(event).__name__ for event in accepted(decision)]


def output_of(scenario: Scenario, ref: str) -> JsonObject:
    """Return the output of the newest attempt of a ref."""
    return scenario.task(ref).progress.output


def attempts(scenario: Scenario, ref: str) -> list[tuple[int, str]]:
    """Return the number and the status of each attempt of a ref, oldest first."""
    tasks = sorted(scenario.state.tasks.items())
    return [(attempt.spec.attempt, status_of(attempt).value) for _, attempt in tasks if attempt.spec.ref == ref]


def sent(scenario: Scenario, kind: type[_Command]) -> list[_Command]:
    """Return the commands of one kind that the workflow has sent to others."""
    return [command for command in scenario.sent if isinstance(command, kind)]


def script_request(scenario: Scenario, ref: str) -> ScriptRequest:
    """Return what a script is asked for by the newest attempt of a ref."""
    task = scenario.task(ref)
    assert isinstance(task, RunningTask)
    return script_of(scenario.state, task, Graphs(scenario.shelf).of(scenario.state.started))


def answer(scenario: Scenario, ref: str, result: JsonValue, failure: str = "") -> Decision:
    """Answer as whoever runs scripts does; with a failure there is no result."""
    request = script_request(scenario, ref)
    status = TaskStatus.FAILED if failure else TaskStatus.COMPLETED
    output = {"iteration": request.iteration} if failure else {"result": result, "iteration": request.iteration}
    return scenario.report(ref, status, output=output, reason=failure or None, worker_id=ENGINE_WORKER)
