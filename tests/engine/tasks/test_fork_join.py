"""Claims about FORK_JOIN: branches side by side."""

from engine.model import EndedTask
from tests.engine.building import fork, join, started, task


def test_fork_starts_the_first_task_of_each_branch_and_the_join() -> None:
    """The FORK is over at once; its branches begin, and its JOIN waits, numbered after them."""
    scenario = started(fork("f", [task("a1"), task("a2")], [task("b1")]), join("j"), task("after"))

    assert scenario.open_refs() == ["a1", "b1", "j"]
    forked = scenario.task("f")
    assert isinstance(forked, EndedTask)
    assert (forked.spec.type, forked.status, forked.progress.output) == ("FORK", "COMPLETED", {})
    assert forked.spec.input == {"forkedTasks": ["a1", "b1"]}


def test_fork_branches_run_independently() -> None:
    """A branch goes on while another has not moved."""
    scenario = started(fork("f", [task("a1"), task("a2")], [task("b1")]), join("j"))
    scenario.complete("a1")
    assert scenario.open_refs() == ["b1", "j", "a2"]


def test_fork_with_an_empty_branch_waits_for_the_others_only() -> None:
    """A branch without tasks is over before it begins."""
    scenario = started(fork("f", [], [task("b1")]), join("j"), task("after"))
    scenario.complete("b1")
    assert scenario.open_refs() == ["after"]


def test_fork_with_only_empty_branches_is_passed_at_once() -> None:
    """When no branch has a task there is nothing to wait for."""
    scenario = started(fork("f", [], []), join("j"), task("after"))
    assert scenario.open_refs() == ["after"]


def test_fork_branch_that_fails_ends_the_workflow_and_cancels_the_others() -> None:
    """A failure for good in one branch does not wait for the other branches."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"), task("after"))
    scenario.fail("a", "broken", terminal=True)

    assert scenario.status == "FAILED"
    assert scenario.statuses() == {
        "f": "COMPLETED",
        "a": "FAILED_WITH_TERMINAL_ERROR",
        "b": "CANCELED",
        "j": "CANCELED",
    }
    assert scenario.state.failed_refs == ("a",)


def test_fork_nested_in_a_branch_is_joined_before_its_outer_one() -> None:
    """A FORK inside a branch has its own JOIN, and the branch goes on behind that."""
    scenario = started(
        fork("outer", [fork("inner", [task("x")], [task("y")]), join("j_inner"), task("z")], [task("b")]),
        join("j_outer"),
        task("after"),
    )
    scenario.complete("b")
    scenario.complete("x")
    assert scenario.open_refs() == ["j_outer", "y", "j_inner"]
    scenario.complete("y")
    assert scenario.open_refs() == ["j_outer", "z"]
    scenario.complete("z")
    assert scenario.open_refs() == ["after"]
