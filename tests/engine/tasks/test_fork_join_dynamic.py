"""Claims about FORK_JOIN_DYNAMIC."""

import pytest

from engine.codec import pack, unpack
from engine.commands import StartWorkflow
from engine.definitions import WorkflowTask
from engine.graph import Graphs
from engine.json_value import JsonObject
from engine.model import RunningTask
from engine.nodes import node_of
from engine.testing import Scenario
from tests.engine.building import attempts, fork, join, loop, output_of, sent, started, task, task_def, workflow


def _listed(ref: str = "f", **fields: object) -> WorkflowTask:
    """Return a dynamic fork of a list of tasks and a map of their inputs."""
    return task(
        ref,
        "FORK_JOIN_DYNAMIC",
        dynamic_fork_tasks_param="tasks",
        dynamic_fork_tasks_input_param_name="inputs",
        input_parameters={"tasks": "${workflow.input.tasks}", "inputs": "${workflow.input.inputs}"},
        **fields,
    )


def _of_a_kind(given: JsonObject, ref: str = "f", **fields: object) -> WorkflowTask:
    """Return a dynamic fork with one branch per element of `list`."""
    inputs = {"forkTaskInputs": "${workflow.input.list}", **given}
    return task(ref, "FORK_JOIN_DYNAMIC", input_parameters=inputs, **fields)


def _branch(ref: str, **fields: object) -> JsonObject:
    return {"name": "encode", "taskReferenceName": ref, **fields}


def test_branches_run_side_by_side_and_the_join_awaits_all() -> None:
    """Each gets its input out of the map; the JOIN's output has one key per branch."""
    tasks = [_branch("a", inputParameters={"x": 0, "of": "${workflow.input.way}"}), _branch("b")]
    scenario = started(_listed(), join("j"), task("after"), tasks=tasks, inputs={"a": {"x": 1}}, way="y")
    assert scenario.open_refs() == ["a", "b", "j"]
    assert scenario.task("a").spec.input == {"x": 1, "of": "y"}
    assert scenario.task("f").spec.input["forkedTasks"] == ["a", "b"]
    scenario.complete("b", {"n": 2})
    scenario.complete("a", {"n": 1})
    assert output_of(scenario, "j") == {"a": {"n": 1}, "b": {"n": 2}}
    assert scenario.open_refs() == ["after"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"forkTaskName": "encode"}, ("encode", "encode", "_encode_0")),
        ({"forkTaskName": "ask", "forkTaskType": "HUMAN"}, ("HUMAN", "ask", "_ask_0")),
        ({"forkTaskType": "WAIT"}, ("WAIT", "WAIT", "_WAIT_0")),
        ({"forkTaskWorkflow": "child"}, ("SUB_WORKFLOW", "child", "_child_0")),
    ],
)
def test_one_branch_of_a_kind_per_element(given: JsonObject, expected: tuple[str, str, str]) -> None:
    """The kind is a worker's task, a built-in one or a workflow; an object becomes the input, all else `input`."""
    scenario = started(_of_a_kind(given), join("j"), others=[workflow(name="child")], list=[{"x": 1}, "two"])
    task_type, name, ref = expected
    first, second = scenario.task(ref), scenario.task(ref[:-1] + "1")
    assert (first.spec.type, first.spec.name) == (task_type, name)
    inputs = [found.spec.input.get("workflowInput", found.spec.input) for found in (first, second)]
    assert inputs == [{"x": 1, "__index": 0}, {"input": "two", "__index": 1}]


def test_version_of_a_branch_workflow_may_be_text_or_number() -> None:
    """Conductor wants text here; both mean the version."""
    for version in ("2", 2):
        given = {"forkTaskWorkflow": "child", "forkTaskWorkflowVersion": version}
        scenario = started(_of_a_kind(given), join("j"), others=[workflow(name="child", version=2)], list=[1])
        assert [command.version for command in sent(scenario, StartWorkflow)] == [2]


def test_first_way_of_conductor_is_an_object_with_a_list() -> None:
    """`dynamicTasks` holds tasks by name, and sub-workflows."""
    listed = [
        {"taskName": "encode", "referenceName": "a", "input": {"x": 1}},
        {"taskName": "s", "referenceName": "b", "workflowName": "child", "input": {"y": 2}},
    ]
    fork = task(
        "f",
        "FORK_JOIN_DYNAMIC",
        dynamic_fork_join_tasks_param="all",
        input_parameters={"all": {"dynamicTasks": "${workflow.input.tasks}"}},
    )
    scenario = started(fork, join("j"), others=[workflow(name="child")], tasks=listed)
    assert scenario.task("a").spec.input == {"x": 1}
    assert [command.input for command in sent(scenario, StartWorkflow)] == [{"y": 2}]


@pytest.mark.parametrize("fork", [_listed(), _of_a_kind({"forkTaskName": "t"})])
def test_no_branches_is_no_wait(fork: WorkflowTask) -> None:
    """The JOIN ends at once, with nothing."""
    scenario = started(fork, join("j"), task("after"), tasks=[], inputs={}, list=[])
    assert output_of(scenario, "j") == {}
    assert scenario.open_refs() == ["after"]


@pytest.mark.parametrize(
    ("tasks", "inputs", "reason"),
    [
        ([_branch("a"), _branch("a")], {}, "given twice"),
        ([_branch("before")], {}, "taken by another task"),
        ([_branch("j")], {}, "taken by another task"),
        ([_branch("in_loop__2")], {}, "taken by another task"),
        ([{"name": "encode"}], {}, "taskReferenceName"),
        ([_branch("")], {}, "should not be empty"),
        ([_branch("a", type="SWITCH")], {}, "put it into a SUB_WORKFLOW"),
        ([_branch("a", type="GRPC")], {}, "GRPC is not served yet"),
        ([_branch("a", type="TERMINATE")], {}, "terminationStatus"),
        (["a"], {}, "branch 0 should be a task"),
        ("a", {}, "should be a list"),
        ([_branch("a")], ["x"], "should map reference names"),
    ],
)
def test_input_that_cannot_be_branches_fails_the_workflow_with_the_reason(
    tasks: object, inputs: object, reason: str
) -> None:
    """Nothing is scheduled of it."""
    later = loop("l", "false", task("in_loop"))
    scenario = started(task("before", "NOOP"), _listed(), join("j"), later, tasks=tasks, inputs=inputs)
    assert scenario.status == "FAILED"
    assert reason in scenario.task("f").progress.reason
    assert set(scenario.statuses()) == {"before", "f"}


def test_optional_fork_that_cannot_be_made_is_passed_over() -> None:
    """The JOIN has nothing to await."""
    scenario = started(_listed(optional=True), join("j"), task("after"), tasks=1, inputs={})
    assert scenario.statuses() == {"f": "COMPLETED_WITH_ERRORS", "j": "COMPLETED", "after": "SCHEDULED"}


def test_branch_runs_by_the_task_definition_of_its_name() -> None:
    """Retries and their delay are those that are registered when the branch begins."""
    definition = task_def("encode", retry_count=1, retry_delay_seconds=5)
    scenario = started(_listed(), join("j"), others=[definition], tasks=[_branch("a")], inputs={"a": {"x": 1}})
    scenario.fail("a")
    scenario.wait(5_000)
    assert scenario.task("a").spec.input == {"x": 1}
    scenario.fail("a", "broken")
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "FAILED")]
    assert scenario.status == "FAILED"


def test_retry_of_the_workflow_gives_a_failed_branch_another_attempt() -> None:
    """The others keep what they have done."""
    scenario = started(_listed(), join("j"), tasks=[_branch("a"), _branch("b")], inputs={})
    scenario.complete("b", {"n": 2})
    scenario.fail("a", terminal=True)
    scenario.retry()
    scenario.complete("a", {"n": 1})
    assert output_of(scenario, "j") == {"a": {"n": 1}, "b": {"n": 2}}
    assert scenario.status == "COMPLETED"


def test_permissive_branch_fails_the_join_when_all_have_ended() -> None:
    """The others run to their end first."""
    tasks = [_branch("a", permissive=True), _branch("b")]
    scenario = started(_listed(), join("j"), tasks=tasks, inputs={})
    scenario.fail("a", "broken", terminal=True)
    assert scenario.open_refs() == ["b", "j"]
    scenario.complete("b")
    assert scenario.task("j").progress.reason == "a: broken"


def test_branch_that_terminates_ends_the_workflow() -> None:
    """As anywhere else."""
    end = _branch("t", type="TERMINATE", inputParameters={"terminationStatus": "COMPLETED", "workflowOutput": {"n": 1}})
    scenario = started(_listed(), join("j"), tasks=[_branch("a"), end], inputs={})
    assert (scenario.status, scenario.output) == ("COMPLETED", {"n": 1})
    assert scenario.statuses()["a"] == "CANCELED"


def test_second_dynamic_fork_puts_its_name_before_those_it_makes() -> None:
    """Names made here never meet."""
    given = {"forkTaskName": "t"}
    scenario = started(_of_a_kind(given), join("j"), _of_a_kind(given, "g"), join("k"), list=[1])
    scenario.complete("_t_0")
    assert scenario.open_refs() == ["_g_t_0", "k"]


def test_dynamic_fork_in_a_loop_makes_new_branches_in_each_pass() -> None:
    """Their names carry the pass; without it they mean the newest."""
    body = [
        _of_a_kind({"forkTaskName": "t", "forkTaskInputs": "${l.output.loopItem}"}),
        join("j"),
        task("after", input_parameters={"first": "${_t_0.output.n}", "joined": "${j.output}"}),
    ]
    scenario = started(loop("l", None, *body, items=[[1, 2], [], [3]]))
    assert scenario.open_refs() == ["l", "_t_0__1", "_t_1__1", "j__1"]
    scenario.complete("_t_1__1", {"n": 2})
    scenario.complete("_t_0__1", {"n": 1})
    scenario.complete("after__1")
    assert scenario.open_refs() == ["l", "after__2"]
    scenario.complete("after__2")
    scenario.complete("_t_0__3", {"n": 3})
    assert scenario.task("after__3").spec.input == {"first": 3, "joined": {"_t_0__3": {"n": 3}}}
    scenario.complete("after__3")
    assert scenario.status == "COMPLETED"
    assert set(output_of(scenario, "l")["1"]) == {"f", "_t_0", "_t_1", "j", "after"}


def test_who_has_nothing_but_the_state_knows_the_branches() -> None:
    """A state that was packed leads to the same tasks, by the definition and the fork's recorded input."""
    scenario = started(_listed(), join("j"), tasks=[_branch("a", optional=True)], inputs={"a": {"x": 1}})
    state = unpack(pack(scenario.state))
    graph = Graphs(scenario.shelf).of(state.started)
    spec = state.tasks[scenario.task("a").spec.seq].spec
    assert node_of(graph, state, spec).task.optional


def test_dynamic_forks_side_by_side_see_each_others_names() -> None:
    """The same names in two branches of a FORK are refused, though both forks begin in one decision."""
    both = fork("o", [_listed("f"), join("j")], [_listed("g"), join("k")])
    scenario = started(both, join("l"), tasks=[_branch("a")], inputs={})
    assert scenario.status == "FAILED"
    assert "taken by another task" in scenario.task("g").progress.reason


def test_ten_thousand_branches_end_with_results_in_any_order() -> None:
    """Every result counts once, some of them twice reported; the JOIN ends with the last, and not before."""
    size = 10_000
    definition = workflow(_of_a_kind({"forkTaskName": "t"}), join("j"), task("after"))
    scenario = _Bare(definition)
    scenario.start({"list": list(range(size))})
    order = [number * 7_919 % size for number in range(size)]
    for position, number in enumerate(order):
        scenario.complete(f"_t_{number}", {"n": number})
        if position % 100 == 0:
            scenario.complete(f"_t_{number}", {"n": "again"})
        assert isinstance(scenario.task("j"), RunningTask) is (position < size - 1)
    assert scenario.open_refs() == ["after"]
    assert output_of(scenario, "j") == {f"_t_{number}": {"n": number} for number in range(size)}


class _Bare(Scenario):
    """A scenario that does not fold all events again after each command: that would be quadratic."""

    def _check(self, *_: object) -> None:
        """Check nothing."""
