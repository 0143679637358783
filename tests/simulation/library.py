"""Workflow definitions, drawn.

Holds the generator. Must not know what the engine makes of a definition. Keeps the invariant that every drawn
definition is valid and finite: each run of it can end.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from engine.definitions import (
    RetryLogic,
    SubWorkflowParams,
    TaskDef,
    TaskTimeoutPolicy,
    WorkflowDef,
    WorkflowTask,
    WorkflowTimeoutPolicy,
)
from engine.ids import DefinitionHash, RefName
from engine.json_value import JsonObject
from engine.testing import Shelf

DEPTH_MAX: Final = 3
"""Forks, switches and loops in one another."""
BRANCHES_MAX: Final = 4
WORKER_TYPES: Final = ("pick", "pack", "ship", "bill")
UNDEFINED_TYPE: Final = "undefined"
"""A worker type for which nobody registers a definition."""

_KINDS: Final = (
    *("SIMPLE",) * 9, *("FORK",) * 3, *("SWITCH",) * 2, "DECISION", *("WAIT",) * 2, *("SUB",) * 3,
    "HTTP", "SET_VARIABLE", "NOOP", "HUMAN", "DYNAMIC", "UNDEFINED",
    *("LOOP",) * 2, *("DYNAMIC_FORK",) * 2, *("INLINE",) * 2, "START",
)  # fmt: skip


_NESTING: Final = frozenset({"FORK", "SWITCH", "DECISION", "LOOP"})


class Registry(Shelf):
    """Definitions, some of which may be gone for a while; by their hash they are found for ever."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.hidden: set[str] = set()

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        """Return a registered definition."""
        return None if name in self.hidden else super().find_workflow(name, version)


class Library:
    """The definitions of one seed. `names` are what clients may start."""

    def __init__(self, rng: Random) -> None:
        """Draw task definitions, then children, then what starts children."""
        self.shelf = Registry()
        self.names: list[str] = []
        self.refs: dict[str, list[RefName]] = {}
        self._rng = rng
        self._counted = 0
        self.shelf.add(*(self._task_definition(name) for name in WORKER_TYPES))
        children: list[str] = []
        for level in range(3):
            made = [self._workflow(f"level{level}-{number}", children) for number in range(2)]
            children = [*children, *made]
        self.names = children

    def _task_definition(self, name: str) -> TaskDef:
        rng = self._rng
        return TaskDef(
            name=name,
            retry_count=rng.choice((0, 1, 2, 3)),
            retry_logic=rng.choice(tuple(RetryLogic)),
            retry_delay_seconds=rng.choice((0, 1, 2)),
            backoff_jitter_ms=rng.choice((0, 0, 700)),
            response_timeout_seconds=rng.choice((1, 3, 8)),
            timeout_seconds=rng.choice((0, 0, 6, 20)),
            poll_timeout_seconds=rng.choice((None, None, 5)),
            total_timeout_seconds=rng.choice((0, 0, 0, 25)),
            timeout_policy=rng.choice((TaskTimeoutPolicy.RETRY, *TaskTimeoutPolicy)),
            input_template=rng.choice(({}, {"by": "template"})),
        )

    def _workflow(self, name: str, children: Sequence[str]) -> str:
        rng = self._rng
        self.refs[name] = []
        tasks = self._list(name, children, depth=0, tasks_max=4)
        self.shelf.add(
            WorkflowDef(
                name=name,
                tasks=tasks,
                input_parameters=("case",),
                output_parameters=rng.choice(({}, {"case": "${workflow.input.case}", "v": "${workflow.variables}"})),
                timeout_policy=rng.choice(tuple(WorkflowTimeoutPolicy)),
                timeout_seconds=rng.choice((0, 0, 0, 30)),
                restartable=rng.random() < 0.8,
                variables=rng.choice(({}, {"step": 0})),
            )
        )
        return name

    def _list(self, name: str, children: Sequence[str], *, depth: int, tasks_max: int) -> tuple[WorkflowTask, ...]:
        tasks: list[WorkflowTask] = []
        for _ in range(self._rng.randint(1, tasks_max)):
            tasks.extend(self._tasks(name, children, depth))
        return tuple(tasks)

    def _tasks(self, name: str, children: Sequence[str], depth: int) -> list[WorkflowTask]:
        rng = self._rng
        kind = rng.choice(_KINDS)
        if (kind in {"SUB", "START"} and not children) or (kind in _NESTING and depth >= DEPTH_MAX):
            kind = "SIMPLE"
        ref = self._ref(name, kind)
        if kind == "FORK":
            return self._fork(name, ref, children, depth)
        if kind in {"SWITCH", "DECISION"}:
            return [self._switch(name, ref, kind, children, depth)]
        if kind == "LOOP":
            return [self._loop(name, ref, children, depth)]
        if kind == "DYNAMIC_FORK":
            return self._dynamic_fork(name, ref, children)
        return [self._leaf(ref, kind, children)]

    def _leaf(self, ref: RefName, kind: str, children: Sequence[str]) -> WorkflowTask:
        rng = self._rng
        given: JsonObject = {"case": "${workflow.input.case}"}
        match kind:
            case "SUB":
                return WorkflowTask(
                    name=ref,
                    task_reference_name=ref,
                    type="SUB_WORKFLOW",
                    input_parameters=given,
                    sub_workflow_param=SubWorkflowParams(name=rng.choice(list(children))),
                    optional=rng.random() < 0.2,
                    retry_count=rng.choice((None, 1)),
                )
            case "WAIT":
                given = {"duration": f"{rng.choice((1, 2, 5))} seconds"} if rng.random() < 0.8 else {}
            case "SET_VARIABLE":
                given = {"step": ref, "case": "${workflow.input.case}"}
            case "HTTP":
                given = {"uri": "http://localhost/", "method": "GET"}
            case "INLINE":
                given = {"expression": "[1, 2].map(n => n * 2)", "evaluatorType": "javascript"}
            case "START":
                given = {"startWorkflow": {"name": rng.choice(list(children)), "input": given}}
                kind = "START_WORKFLOW"
            case "DYNAMIC":
                return WorkflowTask(
                    name=ref,
                    task_reference_name=ref,
                    type="DYNAMIC",
                    input_parameters={"which": rng.choice((*WORKER_TYPES, "NOOP"))},
                    dynamic_task_name_param="which",
                )
            case "SIMPLE" | "UNDEFINED":
                worker_type = rng.choice(WORKER_TYPES) if kind == "SIMPLE" else UNDEFINED_TYPE
                return WorkflowTask(
                    name=worker_type,
                    task_reference_name=ref,
                    input_parameters=given,
                    optional=rng.random() < 0.1,
                    permissive=rng.random() < 0.05,
                    start_delay=rng.choice((0, 0, 0, 0, 1)),
                    retry_count=rng.choice((None, None, None, 2)),
                )
            case _:
                pass
        return WorkflowTask(name=ref, task_reference_name=ref, type=kind, input_parameters=given)

    def _fork(self, name: str, ref: RefName, children: Sequence[str], depth: int) -> list[WorkflowTask]:
        rng = self._rng
        branches = tuple(
            self._list(name, children, depth=depth + 1, tasks_max=2) for _ in range(rng.randint(2, BRANCHES_MAX))
        )
        join = self._ref(name, "JOIN")
        ends = tuple(branch[-1].task_reference_name for branch in branches)
        return [
            WorkflowTask(name=ref, task_reference_name=ref, type="FORK_JOIN", fork_tasks=branches),
            WorkflowTask(name=join, task_reference_name=join, type="JOIN", join_on=ends if rng.random() < 0.7 else ()),
        ]

    def _loop(self, name: str, ref: RefName, children: Sequence[str], depth: int) -> WorkflowTask:
        """Return a loop of a few passes; whether another follows, the engine says at once, or a script."""
        rng = self._rng
        passes = rng.randint(1, 3)
        simple = f"$.{ref}.iteration < {passes}"
        return WorkflowTask(
            name=ref,
            task_reference_name=ref,
            type="DO_WHILE",
            loop_condition=simple if rng.random() < 0.6 else f"if ({simple}) {{ true; }} else {{ false; }}",
            loop_over=self._list(name, children, depth=depth + 1, tasks_max=2),
            input_parameters={"keepLastN": 1} if rng.random() < 0.3 else {},
        )

    def _dynamic_fork(self, name: str, ref: RefName, children: Sequence[str]) -> list[WorkflowTask]:
        """Return a fork whose branches stand in its input: workers' tasks, or sub-workflows."""
        rng = self._rng
        branches = [{"case": "${workflow.input.case}"}] * rng.randint(0, BRANCHES_MAX)
        given: JsonObject = {"forkTaskInputs": branches, "forkTaskName": rng.choice(WORKER_TYPES)}
        if children and rng.random() < 0.3:
            given = {"forkTaskInputs": branches, "forkTaskWorkflow": rng.choice(list(children))}
        join = self._ref(name, "JOIN")
        kind = "FORK_JOIN_DYNAMIC"
        return [
            WorkflowTask(name=ref, task_reference_name=ref, type=kind, input_parameters=given),
            WorkflowTask(name=join, task_reference_name=join, type="JOIN"),
        ]

    def _switch(self, name: str, ref: RefName, kind: str, children: Sequence[str], depth: int) -> WorkflowTask:
        rng = self._rng
        cases = {case: self._list(name, children, depth=depth + 1, tasks_max=2) for case in ("a", "b")}
        default = self._list(name, children, depth=depth + 1, tasks_max=2) if rng.random() < 0.5 else ()
        if rng.random() < 0.1:
            end = self._ref(name, "TERMINATE")
            given = {"terminationStatus": rng.choice(("COMPLETED", "FAILED")), "terminationReason": "drawn"}
            terminate = WorkflowTask(name=end, task_reference_name=end, type="TERMINATE", input_parameters=given)
            cases["b"] = (*cases["b"], terminate)
        given = {"case": "${workflow.input.case}"}
        if kind == "SWITCH":
            return WorkflowTask(
                name=ref, task_reference_name=ref, type=kind, input_parameters=given, decision_cases=cases,
                default_case=default, evaluator_type="value-param", expression="case",
            )  # fmt: skip
        return WorkflowTask(
            name=ref, task_reference_name=ref, type=kind, input_parameters=given, decision_cases=cases,
            default_case=default, case_value_param="case",
        )  # fmt: skip

    def _ref(self, name: str, kind: str) -> RefName:
        self._counted += 1
        ref = RefName(f"{kind.lower()}{self._counted}")
        self.refs[name].append(ref)
        return ref
