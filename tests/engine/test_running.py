"""Claims about runs of whole workflows without a server: functions for workers, prepared answers, skipped time."""

import pytest

from engine.definitions import SubWorkflowParams
from engine.json_value import JsonObject
from engine.model import status_of
from engine.scripts import ScriptRequest
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Mocks, RehearsalEnd, RehearsalLimits, RunImpossible, TaskMock, run_workflow
from streams.schemas import JsonSchemas
from tests.engine.building import fork, join, loop, sub_workflow, switch, task, task_def, workflow

FAILED = TaskMock(status=TaskStatus.FAILED, reason="no luck")
CHILD = workflow(task("inside"), name="child", output_parameters={"m": "${inside.output.m}"})


def double(given: JsonObject) -> JsonObject:
    """Be a worker."""
    return {"n": 2 * given["n"]}


def test_workflow_runs_to_its_end_with_functions_for_workers() -> None:
    """Input in, output out; the definition may be JSON."""
    definition = {
        "name": "doubling",
        "tasks": [
            {"name": "double", "taskReferenceName": "a", "inputParameters": {"n": "${workflow.input.n}"}},
            {"name": "double", "taskReferenceName": "b", "inputParameters": {"n": "${a.output.n}"}},
        ],
        "outputParameters": {"n": "${b.output.n}"},
    }
    run = run_workflow(definition, {"n": 3}, workers={"double": double})
    assert (run.status, run.output) == ("COMPLETED", {"n": 12})
    assert (run.end, run.why) == (RehearsalEnd.ENDED, "the workflow is COMPLETED")
    assert run.statuses == {"a": "COMPLETED", "b": "COMPLETED"}


def test_mocks_are_used_up_one_per_attempt_and_come_before_workers() -> None:
    """The second attempt gets the second answer; time between them is skipped."""
    policy = task_def("a", retry_count=2, retry_delay_seconds=3_600)
    run = run_workflow(
        workflow(task("a"), task("b")),
        others=[policy],
        workers={"a": lambda _: pytest.fail("there is a mock"), "b": lambda _: None},
        mocks={"a": [FAILED, TaskMock(output={"n": 1})]},
    )
    assert [status_of(attempt).value for attempt in run.attempts("a")] == ["FAILED", "COMPLETED"]
    assert run.virtual_ms == 3_600_000


def test_exception_of_a_worker_is_its_failure() -> None:
    """With its words as the reason."""

    def broken(_: JsonObject) -> JsonObject:
        raise ValueError("out of paint")

    run = run_workflow(workflow(task("a", retry_count=0)), workers={"a": broken})
    assert run.status == "FAILED"
    assert run.task("a").progress.reason == "ValueError: out of paint"


def test_function_may_answer_with_a_whole_mock() -> None:
    """With a status that an output cannot say."""
    terminal = TaskMock(status=TaskStatus.FAILED_WITH_TERMINAL_ERROR)
    run = run_workflow(workflow(task("a")), workers={"a": lambda _: terminal})
    assert run.statuses == {"a": "FAILED_WITH_TERMINAL_ERROR"}


def test_answer_that_takes_too_long_times_out_and_one_in_time_does_not() -> None:
    """Timeouts are the engine's own, on the clock of the run; at the very instant the worker is in time."""
    policy = task_def("a", retry_count=0, response_timeout_seconds=10, poll_timeout_seconds=5, timeout_policy="RETRY")
    for mock, status in (
        (TaskMock(execution_ms=10_000, queue_wait_ms=5_000), "COMPLETED"),
        (TaskMock(execution_ms=10_001), "TIMED_OUT"),
        (TaskMock(queue_wait_ms=5_001), "TIMED_OUT"),
    ):
        run = run_workflow(workflow(task("a")), others=[policy], mocks={"a": mock})
        assert run.statuses == {"a": status}


def test_passes_of_a_loop_take_answers_in_turn_or_by_their_own_name() -> None:
    """A name with a pass comes before the name of the definition."""
    definition = workflow(loop("l", "$.a.n < 3", task("a")))
    run = run_workflow(definition, mocks={"a": [TaskMock(output={"n": 1}), TaskMock(output={"n": 3})]})
    assert list(run.statuses) == ["l", "a__1", "a__2"]
    run = run_workflow(definition, mocks={"a": TaskMock(output={"n": 1}), "a__3": TaskMock(output={"n": 5})})
    assert list(run.statuses) == ["l", "a__1", "a__2", "a__3"]


def test_sub_workflows_are_run_with_answers_of_their_own() -> None:
    """The child is a workflow like any other; its output comes back."""
    definition = workflow(sub_workflow("s", "child"), output_parameters={"m": "${s.output.m}"})
    inner = Mocks(tasks={"inside": TaskMock(output={"m": 7})})
    run = run_workflow(definition, others=[CHILD], sub_workflows={"s": inner})
    assert run.output == {"m": 7}
    assert run.child("s").status is WorkflowStatus.COMPLETED
    assert len(run.workflows) == 2


@pytest.mark.parametrize(
    ("mock", "status"),
    [(TaskMock(output={"m": 1}), "COMPLETED"), (FAILED, "FAILED"),
     (TaskMock(status=TaskStatus.FAILED_WITH_TERMINAL_ERROR), "CANCELED"),
     (TaskMock(status=TaskStatus.IN_PROGRESS), "IN_PROGRESS")],
)  # fmt: skip
def test_mocked_sub_workflow_is_not_run(mock: TaskMock, status: str) -> None:
    """Its task ends as the answer says."""
    run = run_workflow(workflow(sub_workflow("s", "child")), others=[CHILD], mocks={"s": mock})
    assert run.statuses == {"s": status}
    assert len(run.workflows) == 1
    with pytest.raises(RunImpossible, match="no sub-workflow of task s was run"):
        run.child("s")


def test_sub_workflow_that_cannot_start_fails_its_task() -> None:
    """As on a server: the parent is told why."""
    parameters = SubWorkflowParams(name="x", workflow_definition="${workflow.input.definition}")
    definition = workflow(task("s", "SUB_WORKFLOW", sub_workflow_param=parameters, optional=True))
    run = run_workflow(definition, {"definition": {"name": "x", "tasks": [{"name": "a"}]}})
    assert run.statuses == {"s": "COMPLETED_WITH_ERRORS"}
    assert "workflowDef" in run.task("s").progress.reason


def test_started_workflow_runs_too_while_the_first_does() -> None:
    """It has no mocks; workers serve it."""
    request = {"startWorkflow": {"name": "child"}}
    definition = workflow(
        task("s", "START_WORKFLOW", input_parameters=request),
        task("w", "WAIT", input_parameters={"duration": "1 minute"}),
    )
    run = run_workflow(definition, others=[CHILD], workers={"inside": lambda _: {}})
    assert [state.status.value for state in run.workflows.values()] == ["COMPLETED", "COMPLETED"]


def test_waits_requests_and_people_are_answered_by_mocks_and_timers_by_the_clock() -> None:
    """A WAIT with a duration needs none."""
    http = {"http_request": {"uri": "http://localhost/", "method": "GET"}}
    definition = workflow(
        task("w", "WAIT", input_parameters={"duration": "2 days"}),
        task("h", "HUMAN"),
        task("r", "HTTP", input_parameters=http, async_complete=True),
        task("e", "WAIT"),
    )
    mocks = {
        "h": TaskMock(output={"by": "Ada"}, execution_ms=60_000),
        "r": TaskMock(output={"response": 1}),
        "e": TaskMock(),
    }
    run = run_workflow(definition, mocks=mocks)
    assert run.status == "COMPLETED"
    assert run.virtual_ms == 2 * 86_400_000 + 60_000
    assert run.task("h").progress.output == {"by": "Ada"}


def test_run_without_an_answer_says_what_it_waits_for() -> None:
    """It is not an error: to wait may be what is tested."""
    run = run_workflow(workflow(fork("f", [task("a")], [task("b", "HUMAN")]), join("j")), workers={"a": lambda _: {}})
    assert (run.status, run.end) == ("RUNNING", RehearsalEnd.WAITING)
    assert run.why.endswith("b: a person has to complete it (and 1 other open task)")


def test_script_is_computed_by_whoever_was_passed() -> None:
    """Or mocked; and the run says what is missing."""
    script = task("i", "INLINE", input_parameters={"expression": "[1, 2].map(n => n * 2)"}, optional=True)
    choice = task(
        "s", "SWITCH", evaluator_type="javascript", expression="(() => 'x')()", decision_cases={"x": (task("a"),)}
    )
    definition = workflow(script, choice, loop("l", "if ($.l.iteration < 2) { true; } else { false; }", task("b")))

    def evaluate(request: ScriptRequest) -> object:
        if request.iteration:
            return request.iteration < 2
        return "x" if "'x'" in request.source else [2, 4]

    run = run_workflow(definition, workers={"a": lambda _: {}, "b": lambda _: {}}, evaluate=evaluate)
    assert list(run.statuses) == ["i", "s", "a", "l", "b__1", "b__2"]
    assert run.task("i").progress.output == {"result": [2, 4]}
    mocked = run_workflow(workflow(script), mocks={"i": TaskMock(output={"result": 5})})
    assert mocked.task("i").progress.output == {"result": 5}
    with pytest.raises(RunImpossible, match=r"mock the task, or pass evaluate\. The script: \[1, 2\]"):
        run_workflow(workflow(script))

    def broken(_: ScriptRequest) -> object:
        raise ValueError("no such thing")

    assert "no such thing" in run_workflow(workflow(script), evaluate=broken).task("i").progress.reason


def test_run_that_would_not_end_is_stopped() -> None:
    """By the number of decisions, by the time that is skipped, by the number of workflows."""
    endless = workflow(loop("l", "true", task("w", "WAIT", input_parameters={"duration": "1 hour"})))
    run = run_workflow(endless, limits=RehearsalLimits(decisions_max=50))
    assert (run.end, run.decisions) == (RehearsalEnd.DECISIONS, 50)
    assert run.why == "stopped after 50 decisions, the most that a rehearsal may take"
    run = run_workflow(endless, limits=RehearsalLimits(virtual_ms_max=7_200_000))
    assert (run.end, run.virtual_ms) == (RehearsalEnd.TIME, 7_200_000)
    assert "more than 7200000 ms after the start" in run.why
    itself = workflow(sub_workflow("s", "endless"), name="endless")
    run = run_workflow(itself, limits=RehearsalLimits(workflows_max=10))
    assert (run.end, len(run.workflows)) == (RehearsalEnd.WORKFLOWS, 10)
    assert run.why == "stopped after 10 workflows, the most that a rehearsal may start"


def test_timer_that_changes_nothing_is_followed_by_the_next() -> None:
    """ALERT_ONLY: the timeout passes, and the response timeout behind it counts."""
    policy = task_def(
        "a", retry_count=0, timeout_policy="ALERT_ONLY", total_timeout_seconds=5, response_timeout_seconds=9
    )
    run = run_workflow(workflow(task("a")), others=[policy], mocks={"a": TaskMock(execution_ms=60_000)})
    assert (run.statuses, run.virtual_ms) == ({"a": "TIMED_OUT"}, 9_000)


def test_run_of_what_cannot_run_is_refused_with_the_reason() -> None:
    """A definition that no server would register, or a start that it would refuse."""
    with pytest.raises(RunImpossible, match="taskReferenceName"):
        run_workflow({"name": "x", "tasks": [{"name": "a"}]})
    with pytest.raises(RunImpossible, match="not valid"):
        run_workflow(workflow(task("a"), task("a")))
    with pytest.raises(RunImpossible, match="definition of a task"):
        run_workflow({"name": "a"})
    with pytest.raises(RunImpossible, match="never scheduled"):
        run_workflow(workflow(task("a"))).task("b")
    with pytest.raises(ValueError, match="a mock's status"):
        TaskMock(status=TaskStatus.TIMED_OUT)
    with pytest.raises(ValueError, match="no less than no time"):
        TaskMock(execution_ms=-1)


def test_runs_of_the_same_are_the_same() -> None:
    """Nothing in them is drawn."""
    definition = workflow(fork("f", [task("a")], [switch("s", "x", {"x": [task("b")]})]), join("j"))
    first, second = (run_workflow(definition, workers={"a": lambda _: {}, "b": lambda _: {}}) for _ in range(2))
    assert first == second


def test_limited_tasks_run_in_a_rehearsal_as_if_nobody_else_were_there() -> None:
    """A limit is about others; a test of one workflow must not wait for them."""
    limited = task_def("a", concurrent_exec_limit=1)
    definition = workflow(task("a"), rate_limit_config={"rateLimitKey": "k", "concurrentExecLimit": 1})
    run = run_workflow(definition, others=[limited], workers={"a": lambda _: {"done": True}})
    assert (run.status, run.statuses) == ("COMPLETED", {"a": "COMPLETED"})


def test_tasks_with_one_idempotency_key_share_a_sub_workflow() -> None:
    """As in a server: the second one meets the first one's, and both have its output."""
    shared = SubWorkflowParams(name="child", idempotency_key="k")
    tasks = (task(ref, "SUB_WORKFLOW", sub_workflow_param=shared) for ref in ("one", "two"))
    asks = {"startWorkflow": {"name": "child", "idempotencyKey": "k"}}
    child = workflow(task("inside"), name="child")
    run = run_workflow(
        workflow(*tasks, task("three", "START_WORKFLOW", input_parameters=asks)),
        others=[child],
        workers={"inside": lambda _: {"n": 1}},
    )
    assert (run.status, len(run.workflows)) == ("COMPLETED", 2)
    assert run.child("one") is run.child("two")
    assert run.task("three").progress.output == {"workflowId": run.child("one").workflow_id}


@pytest.mark.parametrize(("strategy", "outcome"), [("FAIL", "FAILED"), ("FAIL_ON_RUNNING", "COMPLETED")])
def test_strategy_of_an_idempotency_key_says_what_a_second_start_comes_to(strategy: str, outcome: str) -> None:
    """A refusal fails the task; a successor has an id of its own, which the task learns."""
    shared = SubWorkflowParams(name="child", idempotency_key="k", idempotency_strategy=strategy)
    tasks = (task(ref, "SUB_WORKFLOW", sub_workflow_param=shared) for ref in ("one", "two"))
    child = workflow(task("inside"), name="child")
    run = run_workflow(workflow(*tasks), others=[child], workers={"inside": lambda _: {}})
    assert run.status == outcome
    assert run.task("one").progress.child_id in run.workflows
    assert len(run.workflows) == (2 if outcome == "FAILED" else 3)


def test_schemas_are_judged_as_in_a_server() -> None:
    """A rehearsal that let everything pass would be worth little."""
    schema = {"data": {"properties": {"width": {"type": "integer"}}}}
    flow = workflow(task("a"), input_schema=schema)
    with pytest.raises(RunImpossible, match="inputSchema is violated: width"):
        run_workflow(flow, {"width": "x"}, schemas=JsonSchemas())
