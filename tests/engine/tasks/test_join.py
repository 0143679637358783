"""Claims about JOIN: what it waits for, when it ends, and as what."""

import pytest

from engine.model import EndedTask
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario
from tests.engine.building import (
    attempts,
    fork,
    join,
    output_of,
    started,
    sub_workflow,
    switch,
    task,
    task_def,
    workflow,
)

ONCE = {"retry_count": 0}


def test_join_on_all_refs_gathers_their_outputs() -> None:
    """The output has one key per awaited ref that has an output."""
    scenario = started(fork("f", [task("a")], [task("b")], [task("c")]), join("j", "a", "b", "c"), task("after"))
    scenario.complete("a", {"x": 1})
    scenario.complete("b", {})
    scenario.complete("c", {"x": 3})

    assert output_of(scenario, "j") == {"a": {"x": 1}, "c": {"x": 3}}
    assert scenario.open_refs() == ["after"]
    assert scenario.task("j").spec.input["joinOn"] == ["a", "b", "c"]


def test_join_with_empty_join_on_waits_for_all_branches() -> None:
    """Without refs the JOIN waits for the end of every branch, and gathers what the last tasks put out."""
    scenario = started(fork("f", [task("a1"), task("a2")], [task("b")]), join("j"), task("after"))
    scenario.complete("a1", {"no": 1})
    scenario.complete("b", {"b": 1})
    assert scenario.open_refs() == ["j", "a2"]
    scenario.complete("a2", {"a": 2})

    assert output_of(scenario, "j") == {"a2": {"a": 2}, "b": {"b": 1}}
    assert scenario.open_refs() == ["after"]


def test_join_with_empty_join_on_waits_for_a_case_that_ends_a_branch() -> None:
    """A branch that ends with a SWITCH is over when the chosen case is."""
    scenario = started(fork("f", [switch("s", "x", {"x": [task("c1"), task("c2")]})], [task("b")]), join("j"))
    scenario.complete("b")
    scenario.complete("c1")
    assert scenario.open_refs() == ["j", "c2"]
    scenario.complete("c2")
    assert scenario.status == "COMPLETED"


def test_join_on_a_ref_in_mid_branch_does_not_wait_for_the_rest() -> None:
    """The flow goes on behind the JOIN while the branch goes on too; the workflow ends when both have."""
    scenario = started(fork("f", [task("a1"), task("a2")], [task("b")]), join("j", "a1", "b"), task("after"))
    scenario.complete("b")
    scenario.complete("a1")
    assert scenario.open_refs() == ["a2", "after"]
    scenario.complete("after")
    assert scenario.status == "RUNNING"
    scenario.complete("a2")
    assert scenario.status == "COMPLETED"


def test_join_on_a_ref_that_never_ran_does_not_wait_for_it() -> None:
    """A task on a case that was not taken counts as not awaited once its FORK is over."""
    scenario = started(
        fork("f", [switch("s", "right", {"left": [task("l")], "right": [task("r")]})], [task("b")]),
        join("j", "l", "r", "b"),
        task("after"),
    )
    scenario.complete("r", {"r": 1})
    assert scenario.open_refs() == ["b", "j"]
    scenario.complete("b")
    assert scenario.open_refs() == ["after"]
    assert output_of(scenario, "j") == {"r": {"r": 1}}


def test_join_on_a_ref_of_a_skipped_case_waits_for_what_still_runs_in_the_branch() -> None:
    """An untaken case is given up only when nothing inside the FORK is open: it might be taken further on."""
    scenario = started(
        fork("f", [task("a"), switch("s", "${a.output.way}", {"x": [task("x")]})], [task("b")]), join("j", "x", "b")
    )
    scenario.complete("b")
    assert scenario.open_refs() == ["a", "j"]
    scenario.complete("a", {"way": "x"})
    assert scenario.open_refs() == ["j", "x"]
    scenario.complete("x")
    assert scenario.status == "COMPLETED"


def test_join_on_a_ref_outside_of_its_fork_waits_for_it() -> None:
    """That the own branches are over says nothing about a ref in a branch of an outer FORK."""
    scenario = started(
        fork("outer", [fork("inner", [task("x")]), join("j_inner", "x", "y"), task("z")], [task("y")]),
        join("j_outer"),
    )
    scenario.complete("x")
    assert scenario.open_refs() == ["y", "j_outer", "j_inner"]
    scenario.complete("y")
    assert scenario.open_refs() == ["j_outer", "z"]


def test_join_on_an_untaken_case_outside_of_its_fork_ends_when_only_joins_are_open() -> None:
    """A JOIN that misses what cannot come any more does not hold its workflow for ever."""
    scenario = started(
        fork(
            "outer",
            [fork("inner", [task("x")]), join("j_inner", "x", "l"), task("z")],
            [task("y"), switch("s", "right", {"left": [task("l")]})],
        ),
        join("j_outer"),
    )
    scenario.complete("x")
    assert scenario.open_refs() == ["y", "j_outer", "j_inner"]
    scenario.complete("y")
    assert scenario.open_refs() == ["j_outer", "z"]
    scenario.complete("z")
    assert scenario.status == "COMPLETED"


def test_join_without_fork_waits_for_its_refs() -> None:
    """A second JOIN further on can await what a first one has left running."""
    scenario = started(
        fork("f", [task("a")], [task("b")]), join("j1", "a"), task("between"), join("j2", "b"), task("after")
    )
    scenario.complete("a")
    scenario.complete("between")
    assert scenario.open_refs() == ["b", "j2"]
    scenario.complete("b")
    assert scenario.open_refs() == ["after"]


def test_join_without_fork_and_refs_is_passed_at_once() -> None:
    """A JOIN that awaits nothing does not wait."""
    scenario = started(join("j"), task("after"))
    assert scenario.open_refs() == ["after"]


def test_join_of_optional_failure_completes_with_errors() -> None:
    """An awaited task that failed but was optional shows in the status of the JOIN, and the flow goes on."""
    scenario = started(
        fork("f", [task("a", optional=True)], [task("b")]),
        join("j", "a", "b"),
        task("after"),
        others=[task_def("a", **ONCE)],
    )
    scenario.fail("a", "oh")
    scenario.complete("b")
    assert scenario.statuses()["j"] == "COMPLETED_WITH_ERRORS"
    assert scenario.open_refs() == ["after"]


def test_join_of_permissive_failure_fails_when_all_have_ended() -> None:
    """The other branches run to their end, then the JOIN fails with the joined reasons and the workflow with it."""
    scenario = started(
        fork("f", [task("a", permissive=True)], [task("b", permissive=True)], [task("c")]),
        join("j", "a", "b", "c"),
        task("after"),
        others=[task_def("a", **ONCE), task_def("b", **ONCE)],
    )
    scenario.fail("a", "first")
    scenario.fail("b", "second")
    assert scenario.open_refs() == ["c", "j"]
    scenario.complete("c", {"kept": True})

    joined = scenario.task("j")
    assert isinstance(joined, EndedTask)
    assert (joined.status, joined.progress.reason) == (TaskStatus.FAILED, "a: first; b: second")
    assert joined.progress.output == {"c": {"kept": True}}
    assert scenario.status == "FAILED"
    assert scenario.state.failed_refs == ("a", "b", "j")


def test_join_that_fails_is_not_retried_by_itself() -> None:
    """Retries of a definition that happens to have the name of a JOIN do not hold for it."""
    scenario = started(
        fork("f", [task("a", permissive=True)]), join("j"), others=[task_def("a", **ONCE), task_def("j")]
    )
    scenario.fail("a")
    assert attempts(scenario, "j") == [(0, "FAILED")]
    assert scenario.status == "FAILED"


def test_join_of_only_canceled_tasks_is_canceled() -> None:
    """When nothing but cancellations failed, the JOIN is CANCELED and the workflow TERMINATED."""
    child = workflow(task("x"), name="child")
    scenario = started(fork("f", [sub_workflow("a", "child", permissive=True)]), join("j", "a"), others=[child])
    scenario.end_child("a", WorkflowStatus.TERMINATED)
    assert scenario.statuses()["j"] == "CANCELED"
    assert scenario.status == "TERMINATED"


@pytest.mark.parametrize(
    ("fields", "status", "workflow_status"),
    [
        ({"optional": True}, "COMPLETED_WITH_ERRORS", "RUNNING"),
        ({"permissive": True}, "FAILED", "RUNNING"),
        ({}, "FAILED", "FAILED"),
    ],
)
def test_join_that_fails_is_tolerated_like_any_task(fields: dict[str, bool], status: str, workflow_status: str) -> None:
    """An optional or permissive JOIN that fails does not stop the flow behind it."""
    scenario = started(
        fork("f", [task("a", permissive=True)]), join("j", "a", **fields), task("after"), others=[task_def("a", **ONCE)]
    )
    scenario.fail("a")
    assert (scenario.statuses()["j"], scenario.status) == (status, workflow_status)


def test_join_waits_for_the_retry_of_an_awaited_task() -> None:
    """A failed attempt that is followed by another has not ended for good."""
    scenario = started(
        fork("f", [task("a")], [task("b")]),
        join("j", "a", "b"),
        task("after"),
        others=[task_def("a", retry_count=1, retry_delay_seconds=10)],
    )
    scenario.complete("b")
    scenario.fail("a")
    assert scenario.open_refs() == ["j", "a"]
    scenario.wait(10_000)
    scenario.complete("a")
    assert scenario.open_refs() == ["after"]


def test_join_whose_fork_was_skipped_does_not_wait() -> None:
    """When the FORK was stepped over, none of its branches can come."""
    scenario = started(task("first"), fork("f", [task("a")]), join("j", "a"), task("after"))
    scenario.skip("f")
    scenario.complete("first")
    assert scenario.open_refs() == ["after"]


def test_join_counts_a_skipped_task_as_done() -> None:
    """An awaited task that was skipped is not waited for."""
    scenario = started(fork("f", [task("a1"), task("a2")], [task("b")]), join("j", "a2", "b"), task("after"))
    scenario.complete("b")
    scenario.skip("a2", output={"by": "hand"})
    assert scenario.open_refs() == ["a1", "after"]
    assert output_of(scenario, "j") == {"a2": {"by": "hand"}}


def test_join_timeout_of_its_definition_holds() -> None:
    """A definition that is registered under the name of a JOIN bounds its wait."""
    scenario = started(fork("f", [task("a")]), join("j"), others=[task_def("j", timeout_seconds=10)])
    scenario.wait(10_000)
    assert scenario.statuses()["j"] == "TIMED_OUT"
    assert scenario.status == "TIMED_OUT"


def test_joins_that_wait_for_each_other_end() -> None:
    """Even a definition that no registration would accept cannot hold a workflow for ever."""
    scenario = Scenario(
        workflow(fork("f", [join("x", "y"), task("a")], [join("y", "x"), task("b")]), join("j"), task("after"))
    )
    scenario.start()
    assert scenario.open_refs() == ["j", "a", "b"]
