"""Claims about TERMINATE: the workflow ends here, as its input says."""

import pytest

from engine.json_value import JsonObject, JsonValue
from tests.engine.building import fork, join, started, switch, task


def _terminate(**given: JsonValue) -> JsonObject:
    return {"input_parameters": {"terminationStatus": "COMPLETED", **given}}


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED"])
def test_terminate_ends_the_workflow_with_status_reason_and_output(status: str) -> None:
    """All three come from the input; the reason is kept for a success too."""
    given = _terminate(
        terminationStatus=status, terminationReason="enough", workflowOutput={"n": "${workflow.input.n}"}
    )
    scenario = started(task("t", "TERMINATE", **given), task("never"), n=4)

    assert (scenario.status, scenario.state.reason, scenario.output) == (status, "enough", {"n": 4})
    assert scenario.statuses() == {"t": "COMPLETED"}


@pytest.mark.parametrize(("given", "output"), [(None, {}), ("text", {"output": "text"}), ([1], {"output": [1]})])
def test_terminate_output_that_is_no_object_is_wrapped(given: JsonValue, output: JsonObject) -> None:
    """A workflow's output is an object; nothing is the empty one."""
    assert started(task("t", "TERMINATE", **_terminate(workflowOutput=given))).output == output


def test_terminate_in_a_branch_cancels_what_is_open() -> None:
    """Whatever else runs is cancelled, also when the workflow is a success."""
    scenario = started(
        fork("f", [task("a"), task("t", "TERMINATE", **_terminate())], [task("b")]), join("j"), task("never")
    )
    scenario.complete("a")
    assert scenario.status == "COMPLETED"
    assert scenario.statuses() == {
        "f": "COMPLETED",
        "a": "COMPLETED",
        "b": "CANCELED",
        "j": "CANCELED",
        "t": "COMPLETED",
    }
    assert scenario.state.failed_refs == ()


def test_terminate_in_a_case_ends_the_workflow() -> None:
    """A TERMINATE on the way out of a SWITCH leads nowhere."""
    scenario = started(
        switch("s", "${workflow.input.bad}", {"true": [task("t", "TERMINATE", **_terminate())]}), task("a"), bad=True
    )
    assert scenario.status == "COMPLETED"


def test_terminate_that_was_skipped_is_stepped_over() -> None:
    """Without it the flow goes on behind it."""
    scenario = started(task("a"), task("t", "TERMINATE", **_terminate()), task("after"))
    scenario.skip("t")
    scenario.complete("a")
    assert scenario.open_refs() == ["after"]
