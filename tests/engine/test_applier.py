"""Claims about `apply` and `fold`: they trust the log, and say loudly when it cannot be right."""

import pytest

from engine.applier import apply, fold
from engine.errors import InvariantViolated
from engine.events import TaskEnded, TaskReleased
from engine.ids import TaskSeq
from engine.status import TaskStatus
from tests.engine.building import fork, join, started, task


def test_fold_of_a_part_continues_a_state() -> None:
    """A state from a snapshot and the events since give what all events give."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"))
    for ref in ("a", "b"):
        scenario.complete(ref)
    for cut in range(len(scenario.events)):
        assert fold(scenario.events[cut:], fold(scenario.events[:cut])) == scenario.state


def test_fold_of_nothing_is_nothing() -> None:
    """No events, no workflow."""
    assert fold([]) is None


def test_apply_refuses_a_log_that_does_not_begin_with_a_start() -> None:
    """Only a start makes a workflow."""
    scenario = started(task("a"))
    with pytest.raises(InvariantViolated, match="begins with WorkflowStarted"):
        apply(None, scenario.events[1])


def test_apply_refuses_a_second_start() -> None:
    """A workflow starts once."""
    scenario = started(task("a"))
    with pytest.raises(InvariantViolated, match="workflow wf exists"):
        apply(scenario.state, scenario.events[0])


@pytest.mark.parametrize("seq", [1, 9])
def test_apply_refuses_an_event_for_a_task_that_is_not_open(seq: int) -> None:
    """An attempt ends once, and nothing happens to one that does not exist."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    ended = TaskEnded(at_ms=1, seq=TaskSeq(seq), status=TaskStatus.COMPLETED)
    for event in (ended, TaskReleased(at_ms=1, seq=TaskSeq(seq))):
        with pytest.raises(InvariantViolated, match=f"task {seq} of workflow wf should be open"):
            apply(scenario.state, event)


def test_apply_leaves_the_state_before_as_it_was() -> None:
    """States are values: whoever holds an earlier one can go on from there."""
    scenario = started(task("a"), task("b"))
    before = scenario.state
    copied = fold(scenario.events)
    scenario.complete("a", {"n": 1})
    assert before == copied
