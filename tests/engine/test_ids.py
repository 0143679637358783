"""Claims about ids: what derives from what, and what may be an id at all."""

import uuid

import pytest

from engine.ids import (
    WORKFLOW_ID_CHARS_MAX,
    TaskSeq,
    WorkflowId,
    child_workflow_id,
    derived_workflow_id,
    is_workflow_id,
    parse_task_id,
    task_id,
)


@pytest.mark.parametrize("workflow", ["wf", "a~b", "with:colon", "x" * 200])
def test_parse_task_id_reads_what_task_id_wrote(workflow: str) -> None:
    """Whoever holds a task id can find its workflow, whatever that is called."""
    assert parse_task_id(task_id(WorkflowId(workflow), TaskSeq(12))) == (workflow, 12)


@pytest.mark.parametrize("text", ["", "wf", "~1", "wf~", "wf~x", "wf~-1", "wf~1.0", "wf~²", "wf~" + "9" * 13])
def test_parse_task_id_refuses_what_is_none(text: str) -> None:
    """Text from outside is no task id unless it has the form of one."""
    assert parse_task_id(text) is None


def test_derived_id_depends_on_nothing_but_its_seed() -> None:
    """The same attempt always meets the same child; ids look like UUIDs of version 8."""
    child = child_workflow_id(WorkflowId("p"), TaskSeq(3))
    assert child == child_workflow_id(WorkflowId("p"), TaskSeq(3))
    assert len({child, child_workflow_id(WorkflowId("p"), TaskSeq(4)), derived_workflow_id("p3")}) == 3
    assert uuid.UUID(child).version == 8
    assert is_workflow_id(child)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order-1_2.3:4@5+6=7", True),
        ("x" * WORKFLOW_ID_CHARS_MAX, True),
        ("x" * (WORKFLOW_ID_CHARS_MAX + 1), False),
        ("", False),
        ("a b", False),
        ("a/b", False),
        ("a~1", False),
        ("ü", False),
        ("a\0b", False),
    ],
)
def test_workflow_id_is_short_and_plain(text: str, expected: bool) -> None:  # noqa: FBT001
    """What goes into keys, file names and URLs has no surprises in it."""
    assert is_workflow_id(text) is expected
