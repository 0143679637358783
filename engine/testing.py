"""A kit for tests of workflows: no server, no waiting.

Holds the names that users import. Must not know any test framework. Two ways to test a workflow:

- `run_workflow` runs a definition to its end, its tasks answered by functions or by prepared answers (`Mocks`);
- `Scenario` goes step by step: given this, when that, then so.
"""

from engine.mocks import Mocks, TaskMock
from engine.rehearsal import RehearsalEnd, RehearsalLimits
from engine.running import RunImpossible, WorkflowRun, run_workflow
from engine.scenario import Scenario, ScenarioBroken, refusal
from engine.shelf import Shelf

__all__ = [
    "Mocks",
    "RehearsalEnd",
    "RehearsalLimits",
    "RunImpossible",
    "Scenario",
    "ScenarioBroken",
    "Shelf",
    "TaskMock",
    "WorkflowRun",
    "refusal",
    "run_workflow",
]
