"""The workflows that are run.

Holds JSON definitions as a user would register them. Must not depend on the engine's types: they go through REST.
Keeps the invariant that every task is given the number of its workflow, by which a worker reports what it has ended.
"""

THREE_TASKS = ("bench_first", "bench_second", "bench_third")
LADDER_TASK = "bench_rung"
PARKED_TASK = "bench_parked"
AFTER_WAIT_TASK = "bench_after_wait"

_NUMBER = {"number": "${workflow.input.number}"}


def task_definition(name: str) -> dict[str, object]:
    """Return a task definition with a generous timeout: nothing is to be retried during a run."""
    return {"name": name, "retryCount": 3, "retryDelaySeconds": 1, "responseTimeoutSeconds": 600}


def three_tasks() -> dict[str, object]:
    """Return the workflow of three tasks in sequence; the second and third read what the task before put out."""
    steps = [_simple(name, f"{name}_ref") for name in THREE_TASKS]
    for step, before in zip(steps[1:], steps, strict=False):
        step["inputParameters"] = {**_NUMBER, "before": f"${{{before['taskReferenceName']}.output.number}}"}
    return _workflow("bench_three", steps, {"number": "${bench_third_ref.output.number}"})


def sequence(size: int) -> dict[str, object]:
    """Return a workflow of `size` tasks in sequence."""
    return _workflow(f"bench_sequence_{size}", [_simple(LADDER_TASK, f"rung_{step}") for step in range(size)])


def fork(size: int) -> dict[str, object]:
    """Return a workflow of `size` tasks side by side, and a join."""
    branches = [[_simple(LADDER_TASK, f"branch_{branch}")] for branch in range(size)]
    tasks: list[dict[str, object]] = [
        {"name": "fork", "taskReferenceName": "fork_ref", "type": "FORK_JOIN", "forkTasks": branches},
        {
            "name": "join",
            "taskReferenceName": "join_ref",
            "type": "JOIN",
            "joinOn": [f"branch_{branch}" for branch in range(size)],
        },
    ]
    return _workflow(f"bench_fork_{size}", tasks)


def dynamic_fork(size: int) -> dict[str, object]:
    """Return a workflow whose input of a fork asks for `size` tasks side by side, and a join."""
    given = {"forkTaskName": LADDER_TASK, "forkTaskInputs": [_NUMBER] * size}
    tasks: list[dict[str, object]] = [
        {"name": "fork", "taskReferenceName": "fork_ref", "type": "FORK_JOIN_DYNAMIC", "inputParameters": given},
        {"name": "join", "taskReferenceName": "join_ref", "type": "JOIN"},
    ]
    return _workflow(f"bench_dynamic_{size}", tasks)


def loop(size: int) -> dict[str, object]:
    """Return a workflow that gives the same task to a worker `size` times, one after the other."""
    repeated: dict[str, object] = {
        "name": "loop",
        "taskReferenceName": "loop_ref",
        "type": "DO_WHILE",
        "loopCondition": f"$.loop_ref.iteration < {size}",
        "loopOver": [_simple(LADDER_TASK, "rung")],
    }
    return _workflow(f"bench_loop_{size}", [repeated])


def deep(size: int) -> dict[str, object]:
    """Return a workflow with `size` sub-workflows in one another, of `deeper`, and a task for a worker behind them."""
    return _workflow(f"bench_deep_{size}", [_sub_workflow(size), _simple(LADDER_TASK, "after_ref")])


def deeper() -> dict[str, object]:
    """Return the workflow that has itself as its sub-workflow, as often as its input says."""
    less: dict[str, object] = {
        "name": "less",
        "taskReferenceName": "less_ref",
        "type": "INLINE",
        "inputParameters": {"depth": "${workflow.input.depth}", "expression": "$.depth - 1"},
    }
    choice: dict[str, object] = {
        "name": "choice",
        "taskReferenceName": "choice_ref",
        "type": "SWITCH",
        "evaluatorType": "javascript",
        "expression": "$.depth > 0",
        "inputParameters": {"depth": "${less_ref.output.result}"},
        "decisionCases": {"true": [_sub_workflow("${less_ref.output.result}")]},
    }
    return _workflow("bench_deeper", [less, choice])


def computed(expression: str) -> dict[str, object]:
    """Return a workflow of one INLINE task with this expression over a `number`."""
    given = {**_NUMBER, "expression": expression, "evaluatorType": "javascript"}
    task: dict[str, object] = {
        "name": "compute",
        "taskReferenceName": "compute_ref",
        "type": "INLINE",
        "inputParameters": given,
    }
    return _workflow("bench_computed", [task])


def parked() -> dict[str, object]:
    """Return a workflow whose only task no worker ever takes: it stays open."""
    return _workflow("bench_parked", [_simple(PARKED_TASK, "parked_ref")])


def wait_then_work() -> dict[str, object]:
    """Return a workflow that waits for `seconds` of its input and then gives a worker a task."""
    wait: dict[str, object] = {
        "name": "wait",
        "taskReferenceName": "wait_ref",
        "type": "WAIT",
        "inputParameters": {"duration": "${workflow.input.seconds} seconds"},
    }
    return _workflow("bench_wait", [wait, _simple(AFTER_WAIT_TASK, "after_ref")])


def _simple(name: str, ref: str) -> dict[str, object]:
    return {"name": name, "taskReferenceName": ref, "type": "SIMPLE", "inputParameters": _NUMBER}


def _sub_workflow(depth: object) -> dict[str, object]:
    return {
        "name": "inner",
        "taskReferenceName": "inner_ref",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "bench_deeper", "version": 1},
        "inputParameters": {"depth": depth},
    }


def _workflow(name: str, tasks: list[dict[str, object]], output: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "name": name,
        "version": 1,
        "schemaVersion": 2,
        "ownerEmail": "bench@example.com",
        "tasks": tasks,
        "outputParameters": output or {},
    }
