"""The table of operations in the reference against the engine: what it calls possible is, and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands import RemoveWorkflow, ResetCallbacks, UpdateVariables, UpgradeWorkflow
from engine.ids import WorkflowId
from engine.rejections import Decision, Rejected
from engine.testing import Scenario
from tests.engine.building import task, task_def, workflow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"
WF = WorkflowId("wf")
STATES = ("RUNNING", "PAUSED", "FAILED", "TERMINATED", "COMPLETED")
OPERATIONS: dict[str, Callable[[Scenario], Decision]] = {
    "pause": Scenario.pause,
    "resume": Scenario.resume,
    "terminate": Scenario.terminate,
    "retry": Scenario.retry,
    "rerun": Scenario.rerun,
    "restart": Scenario.restart,
    "skip a task": lambda scenario: scenario.skip("b"),
    "jump to a task": lambda scenario: scenario.jump("b"),
    "variables, state": lambda scenario: scenario.when(UpdateVariables(workflow_id=WF, variables={"v": 1})),
    "upgrade": lambda scenario: scenario.when(UpgradeWorkflow(workflow_id=WF)),
    "reset callbacks": lambda scenario: scenario.when(ResetCallbacks(workflow_id=WF)),
    "remove": lambda scenario: scenario.when(RemoveWorkflow(workflow_id=WF)),
}


def rows() -> dict[str, list[str]]:
    """Return the table of the page: what comes of each operation in each status."""
    lines = PAGE.read_text(encoding="utf-8").split("## Pause and resume")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in cells[2:]}


def in_status(status: str) -> Scenario:
    """Return a workflow of two tasks in a status."""
    scenario = Scenario(workflow(task("a"), task("b")), task_def("a", retry_count=0))
    scenario.start()
    match status:
        case "PAUSED":
            scenario.pause()
        case "FAILED":
            scenario.fail("a")
        case "TERMINATED":
            scenario.terminate()
        case "COMPLETED":
            scenario.complete("a")
            scenario.complete("b")
        case _:
            pass
    assert scenario.status == status
    return scenario


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_table_of_operations_says_what_is_possible(operation: str, status: str) -> None:
    """A refusal is 409 in the table; a status in capitals is the one that the workflow has afterwards."""
    told = rows()[operation][STATES.index(status)]
    scenario = in_status(status)
    decision = OPERATIONS[operation](scenario)
    assert isinstance(decision, Rejected) == told.startswith("409")
    if isinstance(decision, Rejected):
        assert status in decision.reason
    becomes = re.match(r"[A-Z]+", told)
    if becomes is not None and len(becomes.group()) > 1:
        assert scenario.status == becomes.group()
