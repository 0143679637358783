"""Random workflow definitions that a registration would accept, and the task definitions that go with them.

Holds the generator only; `driver.py` runs what it makes. Must not draw from anything but the `Random` that it is
given, so that a seed names a definition for ever. Keeps the invariant that a definition is valid: `validate_workflow`
has no objection.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from engine.definitions import SubWorkflowParams, TaskDef, WorkflowDef, WorkflowTask
from engine.json_value import JsonObject, JsonValue
from engine.validation import validate_workflow
from tests.engine.building import fork, join, loop, switch, task, task_def, workflow

NESTING_MAX: Final = 4
TASKS_MAX: Final = 60
BRANCHES_MAX: Final = 50

CHILD: Final = workflow(task("inside"), name="child", version=2)


_BRANCHES: Final[tuple[JsonObject, ...]] = (
    {},
    {},
    {"type": "HUMAN"},
    {"type": "NOOP"},
    {"type": "HTTP", "inputParameters": {"uri": "http://localhost/", "method": "GET"}},
    {"type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}},
)
"""What makes a branch of a dynamic fork one of a type."""


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow definition and what else must be registered for it."""

    definition: WorkflowDef
    others: tuple[WorkflowDef | TaskDef, ...]
    workflow_input: JsonObject


def generate(random: Random) -> Generated:
    """Return a valid random definition; most have between five and sixty tasks."""
    while True:
        generated = _Generator(random).generate()
        if not validate_workflow(generated.definition):
            return generated


def another_version(random: Random, definition: WorkflowDef) -> WorkflowDef:
    """Return the next version of a definition: some tasks more, some less, wherever that keeps it valid."""
    for _ in range(20):
        tasks = _changed(random, definition.tasks)
        found = msgspec.structs.replace(definition, version=definition.version + 1, tasks=tasks)
        if not validate_workflow(found):
            return found
    return msgspec.structs.replace(definition, version=definition.version + 1)


def _changed(random: Random, tasks: tuple[WorkflowTask, ...]) -> tuple[WorkflowTask, ...]:
    changed: list[WorkflowTask] = []
    for found in tasks:
        if random.random() < 0.1:
            changed.append(task(f"added_before_{found.task_reference_name}", random.choice(["SIMPLE", "NOOP"])))
        if found.type not in {"FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN"} and random.random() < 0.1:
            continue
        changed.append(
            msgspec.structs.replace(
                found,
                fork_tasks=tuple(_changed(random, branch) for branch in found.fork_tasks),
                decision_cases={case: _changed(random, inner) for case, inner in found.decision_cases.items()},
                default_case=_changed(random, found.default_case),
                loop_over=_changed(random, found.loop_over),
            )
        )
    return tuple(changed)


def generate_generations(random: Random, *, depth: int = 2) -> Generated:
    """Return a random definition whose sub-workflows are random too, `depth` generations of them, each smaller."""
    generations: list[Generated] = []
    while len(generations) <= depth:
        number = len(generations)
        child = f"generation{number + 1}" if number < depth else ""
        name = f"generation{number}" if number else "flow"
        found = _Generator(random, name=name, child=child, prefix="abc"[number]).generate()
        if not validate_workflow(found.definition):
            generations.append(found)
    first, *others = generations
    rest = tuple(definition for other in others for definition in (other.definition, *other.others))
    return Generated(definition=first.definition, others=(*first.others, *rest), workflow_input=first.workflow_input)


class _Generator:
    def __init__(self, random: Random, *, name: str = "flow", child: str = "child", prefix: str = "r") -> None:
        """`child` is the workflow that SUB_WORKFLOW tasks name; with none there are no such tasks."""
        self._random = random
        self._name = name
        self._child = child
        self._prefix = prefix
        self._refs: list[str] = []

    def generate(self) -> Generated:
        random = self._random
        is_first = self._name == "flow"
        tasks = self._list(depth=0 if is_first else 2, length_min=3 if is_first else 1, length_max=9 if is_first else 3)
        if self._child and self._prefix != "r":
            tasks.insert(0, self._sub_workflow())
        definition = workflow(
            *tasks,
            name=self._name,
            output_parameters={"out": self._value()} if random.random() < 0.3 else {},
            variables={"v": 0},
            timeout_seconds=random.choice([0, 0, 0, 40, 400]),
            timeout_policy=random.choice(["TIME_OUT_WF", "ALERT_ONLY"]),
            restartable=random.random() < 0.9,
            rate_limit_config=self._rate_limit() if random.random() < 0.2 else None,
            workflow_status_listener_enabled=random.random() < 0.1,
            workflow_status_listener_sink="kafka:flows",
        )
        definitions = [self._task_def(ref) for ref in self._refs if random.random() < 0.5]
        return Generated(
            definition=definition,
            others=(CHILD, *definitions) if self._child == "child" else tuple(definitions),
            workflow_input={
                "way": random.choice("xyz"),
                "name": random.choice(["r1", "NOOP", "WAIT", "made_up"]),
                "list": [1, 2, 3],
            },
        )

    def _rate_limit(self) -> JsonObject:
        key = self._random.choice(["all", "${workflow.input.way}"])
        policy = self._random.choice(["QUEUE", "REJECT"])
        return {"rateLimitKey": key, "concurrentExecLimit": 1, "policy": policy}

    def _ref(self) -> str:
        ref = f"{self._prefix}{len(self._refs)}"
        self._refs.append(ref)
        return ref

    def _list(self, *, depth: int, length_min: int = 0, length_max: int = 3) -> list[WorkflowTask]:
        tasks: list[WorkflowTask] = []
        for _ in range(self._random.randint(length_min, length_max)):
            if len(self._refs) >= TASKS_MAX:
                break
            tasks.extend(self._some_task(depth))
        return tasks

    def _some_task(self, depth: int) -> list[WorkflowTask]:
        random = self._random
        nested: list[Callable[[int], list[WorkflowTask]]] = [self._fork, self._switch, self._decision, self._loop]
        if random.random() < 0.08:
            return self._dynamic_fork()
        flat: list[Callable[[], WorkflowTask]] = [self._dynamic, self._http, self._sub_workflow, self._wait, self._own]
        flat.extend([self._script, self._message])
        if depth < NESTING_MAX and random.random() < 0.45:
            return random.choice(nested)(depth + 1)
        if random.random() < 0.4:
            return [random.choice(flat)()]
        return [task(self._ref(), **self._fields())]

    # ---- what holds other tasks

    def _fork(self, depth: int) -> list[WorkflowTask]:
        random = self._random
        ref = self._ref()
        before = list(self._refs)
        width = random.choice([2, 3, 8] if random.random() < 0.95 else [BRANCHES_MAX])
        branches = [self._list(depth=depth) for _ in range(random.randint(1, width))]
        inside = self._refs[len(before) :]
        forked = fork(ref, *branches)
        if not any(branches):
            forked = fork(ref, [task(self._ref())])
        awaited: list[str] = []
        if inside and random.random() < 0.5:
            awaited = random.sample(inside, random.randint(1, len(inside)))
        if random.random() < 0.1 and before:
            awaited = [*awaited, random.choice(before)]  # outside of the FORK: often still running, if it is a branch's
        if inside and random.random() < 0.1:
            given = random.sample(inside, random.randint(1, min(len(inside), 3)))
            first = task(self._ref(), "EXCLUSIVE_JOIN", join_on=tuple(given), default_exclusive_join_task=(given[0],))
            forked = fork(ref, *branches, [first])
        joined = join(self._ref(), *dict.fromkeys(awaited), **self._tolerance())
        if awaited and random.random() < 0.2:
            rest = [name for name in inside if name not in awaited]
            return [forked, joined, task(self._ref()), join(self._ref(), *rest[:2])]
        return [forked, joined]

    def _switch(self, depth: int) -> list[WorkflowTask]:
        random = self._random
        ref = self._ref()
        cases = {case: self._list(depth=depth) for case in random.sample("xyz", 2)}
        default = self._list(depth=depth)
        if random.random() < 0.3:
            fields: dict[str, object] = {"evaluator_type": "javascript", "expression": "(() => $.value)()"}
            given = {"value": self._way()}
            named = {case: tuple(tasks) for case, tasks in cases.items()}
            fields |= {"decision_cases": named, "default_case": tuple(default), "input_parameters": given}
            return [task(ref, "SWITCH", **fields, **self._tolerance())]
        return [switch(ref, self._way(), cases, default, **self._tolerance())]

    def _decision(self, depth: int) -> list[WorkflowTask]:
        ref = self._ref()
        cases = {case: tuple(self._list(depth=depth)) for case in self._random.sample("xyz", 2)}
        given = {"way": self._way()}
        return [task(ref, "DECISION", case_value_param="way", input_parameters=given, decision_cases=cases)]

    def _loop(self, depth: int) -> list[WorkflowTask]:
        random = self._random
        ref = self._ref()
        body = self._list(depth=depth) or [task(self._ref(), "NOOP")]
        given: JsonObject = {"keepLastN": random.randint(1, 2)} if random.random() < 0.4 else {}
        condition: str | None = f"$.{ref}.iteration < {random.randint(1, 3)}"
        if random.random() < 0.3:
            condition = f"if ($.{ref}.iteration < 2) {{ true; }} else {{ false; }}"
        items: JsonValue = None
        if random.random() < 0.3:
            items = random.choice([[1, 2], [], "${workflow.input.list}", "${workflow.input.way}"])
            condition = random.choice([None, condition, f"$.{ref}.loopItem != 2"])
        return [loop(ref, condition, *body, items=items, input_parameters=given, **self._tolerance())]

    def _dynamic_fork(self) -> list[WorkflowTask]:
        random = self._random
        kind = random.choice(["made_up", "r1"])
        given: JsonObject = {"forkTaskName": kind, "forkTaskInputs": random.choice(["${workflow.input.list}", [], 7])}
        fields = self._tolerance()
        forked = task(self._ref(), "FORK_JOIN_DYNAMIC", input_parameters=given, **fields)
        if random.random() < 0.5:
            branch = {"name": kind, "optional": random.random() < 0.3, "permissive": random.random() < 0.2}
            names = [f"d{len(self._refs)}_{number}" for number in range(random.randint(0, 4))]
            kinds = [found for found in _BRANCHES if self._child or found.get("type") != "SUB_WORKFLOW"]
            tasks = [{**branch, "taskReferenceName": name, **self._branch(random.choice(kinds))} for name in names]
            forked = task(
                self._ref(),
                "FORK_JOIN_DYNAMIC",
                dynamic_fork_tasks_param="tasks",
                dynamic_fork_tasks_input_param_name="inputs",
                input_parameters={"tasks": tasks, "inputs": {name: {"x": 1} for name in names[:2]}},
                **fields,
            )
        return [forked, join(self._ref(), **self._tolerance())]

    def _branch(self, fields: JsonObject) -> JsonObject:
        return {**fields, "subWorkflowParam": {"name": self._child}} if "subWorkflowParam" in fields else fields

    # ---- what does not

    def _dynamic(self) -> WorkflowTask:
        given = {"which": "${workflow.input.name}", "duration": "3 seconds"}
        return task(self._ref(), "DYNAMIC", dynamic_task_name_param="which", input_parameters=given)

    def _http(self) -> WorkflowTask:
        given = {"http_request": {"uri": "http://localhost/", "method": "GET"}}
        fields = {**self._fields(), "input_parameters": given, "async_complete": self._random.random() < 0.3}
        return task(self._ref(), "HTTP", **fields)

    def _sub_workflow(self) -> WorkflowTask:
        if not self._child:
            return task(self._ref(), **self._fields())
        # Generations have children of their own; who shares one is in `tests.engine.family`.
        key = self._random.choice([None, None, "k", "${workflow.input.n}"]) if self._child == "child" else None
        priority = self._random.choice([None, 3])
        parameters = SubWorkflowParams(name=self._child, priority=priority, idempotency_key=key)
        return task(self._ref(), "SUB_WORKFLOW", sub_workflow_param=parameters, **self._fields())

    def _wait(self) -> WorkflowTask:
        random = self._random
        if random.random() < 0.3:
            return task(self._ref(), "HUMAN", **self._fields())
        kind = "YIELD" if random.random() < 0.2 else "WAIT"
        given: JsonObject = random.choice(
            [{}, {"duration": "2 seconds"}, {"duration": "1 minute"}, {"until": "1970-01-01 00:17"}]
        )
        return task(self._ref(), kind, **{**self._fields(), "input_parameters": given})

    def _message(self) -> WorkflowTask:
        random = self._random
        fields = self._fields()
        if random.random() < 0.3:
            given: JsonObject = {"batchSize": random.randint(1, 3), "blocking": random.random() < 0.6}
            return task(self._ref(), "PULL_WORKFLOW_MESSAGES", **{**fields, "input_parameters": given})
        fields["async_complete"] = random.random() < 0.3
        if random.random() < 0.5:
            sink = random.choice(["kafka:t", "conductor", "conductor:q", "${workflow.input.way}"])
            return task(self._ref(), "EVENT", sink=sink, **fields)
        given = {"kafka_request": {"topic": "t", "value": self._value()}}
        return task(self._ref(), "KAFKA_PUBLISH", **{**fields, "input_parameters": given})

    def _script(self) -> WorkflowTask:
        random = self._random
        kind, key = random.choice(
            [("INLINE", "expression"), ("LAMBDA", "scriptExpression"), ("JSON_JQ_TRANSFORM", "queryExpression")]
        )
        source = random.choice(["$.x", "1 + 1", "$.x.y.z", "[1, 2].map(n => n)"])
        given = {key: source, "x": self._value()}
        return task(self._ref(), kind, **{**self._fields(), "input_parameters": given})

    def _own(self) -> WorkflowTask:
        """Return a task that the engine does at once."""
        random = self._random
        if random.random() < 0.2:
            request: JsonObject = {"startWorkflow": {"name": random.choice([self._child or "nobody", "nobody"])}}
            if self._child == "child" and random.random() < 0.5:
                request["startWorkflow"]["idempotencyKey"] = "k"
            return task(self._ref(), "START_WORKFLOW", input_parameters=request, **self._tolerance())
        kind = random.choice(["NOOP", "NOOP", "SET_VARIABLE", "SET_VARIABLE", "SET_VARIABLE", "TERMINATE"])
        if kind == "TERMINATE":
            status = random.choice(["COMPLETED", "FAILED", "TERMINATED"])
            given = {"terminationStatus": status, "workflowOutput": self._value()}
            return task(self._ref(), "TERMINATE", input_parameters=given)
        return task(self._ref(), kind, input_parameters={"v": self._value()}, **self._tolerance())

    # ---- fields

    def _fields(self) -> dict[str, object]:
        random = self._random
        fields: dict[str, object] = {"input_parameters": {"x": self._value()}, **self._tolerance()}
        if random.random() < 0.1:
            fields["start_delay"] = random.randint(1, 20)
        if random.random() < 0.1:
            posted = [{"type": random.choice(["changed", "kafka:changes"]), "payload": {"x": self._value()}}]
            fields["on_state_change"] = {random.choice(["onScheduled", "onStart,onSuccess", "onFailed"]): posted}
        if random.random() < 0.2:
            fields["retry_count"] = random.randint(0, 2)
        return fields

    def _tolerance(self) -> dict[str, bool]:
        return {name: True for name in ("optional", "permissive") if self._random.random() < 0.15}

    def _value(self) -> JsonValue:
        random = self._random
        earlier = random.choice(self._refs) if self._refs else "workflow"
        return random.choice([1, None, "${workflow.variables.v}", "${workflow.input.way}", f"${{{earlier}.output.n}}"])

    def _way(self) -> JsonValue:
        earlier = self._random.choice(self._refs)
        return self._random.choice(["x", "y", "${workflow.input.way}", f"${{{earlier}.output.way}}"])

    def _task_def(self, name: str) -> TaskDef:
        random = self._random
        return task_def(
            name,
            retry_count=random.randint(0, 3),
            retry_logic=random.choice(["FIXED", "LINEAR_BACKOFF", "EXPONENTIAL_BACKOFF"]),
            retry_delay_seconds=random.choice([0, 0, 1, 10]),
            backoff_jitter_ms=random.choice([0, 500]),
            timeout_policy=random.choice(["RETRY", "TIME_OUT_WF", "ALERT_ONLY"]),
            timeout_seconds=random.choice([0, 0, 30]),
            response_timeout_seconds=random.choice([5, 20, 3600]),
            poll_timeout_seconds=random.choice([None, None, 15]),
            total_timeout_seconds=random.choice([0, 0, 60]),
            concurrent_exec_limit=random.choice([None, None, None, 1]),
            rate_limit_per_frequency=random.choice([None, None, None, 2]),
        )
