"""Claims about EXCLUSIVE_JOIN."""

from engine.definitions import WorkflowTask
from engine.ids import RefName
from tests.engine.building import fork, join, loop, output_of, started, switch, task


def _either(ref: str, *awaited: str, default: tuple[str, ...] = ()) -> WorkflowTask:
    named = tuple(RefName(name) for name in awaited)
    return task(ref, "EXCLUSIVE_JOIN", join_on=named, default_exclusive_join_task=default)


def test_branch_that_was_taken_decides() -> None:
    """The other ref was never entered; the output is that of the task which was."""
    scenario = started(switch("s", "y", {"x": [task("a")], "y": [task("b")]}), _either("e", "a", "b"), task("after"))
    scenario.complete("b", {"n": 1})
    assert output_of(scenario, "e") == {"n": 1}
    assert scenario.open_refs() == ["after"]


def test_first_in_the_order_of_join_on_decides() -> None:
    """Who ended first does not matter: the first ref that runs at all is waited for."""
    scenario = started(fork("f", [task("a")], [task("b")], [_either("e", "a", "b")]), join("j"))
    scenario.complete("b", {"n": 2})
    assert scenario.statuses()["e"] == "IN_PROGRESS"
    scenario.complete("a", {"n": 1})
    assert output_of(scenario, "e") == {"n": 1}


def test_skipped_ref_is_passed_over() -> None:
    """The next one decides."""
    scenario = started(task("first"), task("a"), task("b"), _either("e", "a", "b"))
    scenario.skip("a", output={"n": 0})
    scenario.complete("first")
    scenario.complete("b", {"n": 2})
    assert output_of(scenario, "e") == {"n": 2}


def test_default_decides_where_no_ref_was_entered() -> None:
    """It has ended before."""
    tasks = [task("d"), switch("s", "z", {"x": [task("a")]}), _either("e", "a", default=("d",))]
    scenario = started(*tasks)
    scenario.complete("d", {"n": 3})
    assert output_of(scenario, "e") == {"n": 3}


def test_failure_of_the_task_that_decides_is_the_joins() -> None:
    """With its reason and its output."""
    scenario = started(task("a", permissive=True), _either("e", "a"))
    scenario.fail("a", "broken", terminal=True)
    assert scenario.task("e").progress.reason == "a: broken"
    assert scenario.statuses()["e"] == "FAILED"


def test_optional_failure_of_the_task_that_decides_is_completed_with_errors() -> None:
    """The flow goes on, and says so."""
    scenario = started(task("a", optional=True), _either("e", "a"))
    scenario.fail("a", terminal=True)
    assert scenario.statuses()["e"] == "COMPLETED_WITH_ERRORS"


def test_join_on_what_never_comes_ends_with_nothing() -> None:
    """No branch that it names was taken, and nothing else can come."""
    scenario = started(switch("s", "z", {"x": [task("a")]}), _either("e", "a"), task("after"))
    assert output_of(scenario, "e") == {}
    assert scenario.open_refs() == ["after"]


def test_join_in_a_loop_names_the_tasks_of_its_pass() -> None:
    """What ended in the pass before does not decide in this one."""
    body = [task("t"), switch("s", "${t.output.way}", {"x": [task("a")], "y": [task("b")]}), _either("e", "a", "b")]
    scenario = started(loop("l", "$.l.iteration < 2", *body))
    for number, way, ref in ((1, "x", "a"), (2, "y", "b")):
        scenario.complete(f"t__{number}", {"way": way})
        scenario.complete(f"{ref}__{number}", {"of": ref})
        assert output_of(scenario, f"e__{number}") == {"of": ref}
    assert scenario.status == "COMPLETED"
