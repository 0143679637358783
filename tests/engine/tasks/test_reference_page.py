"""Claims about `docs/reference/task-types.md`: it names every type, and every example on it runs."""

import re
from pathlib import Path
from random import Random

import msgspec
import pytest

from engine.definitions import TaskDef, WorkflowDef
from engine.graph import all_tasks
from engine.json_value import JsonObject
from engine.tasks.registry import TASK_TYPES
from engine.validation import validate_task, validate_workflow
from tests.engine.driver import Driver
from tests.engine.generator import Generated

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "task-types.md").read_text()


def _blocks(text: str) -> list[JsonObject]:
    return [msgspec.json.decode(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


TYPES = {title: text for title, text in _sections().items() if re.fullmatch(r"[A-Z_]+", title)}
(GIVEN,) = _blocks(PAGE.split("\n## ", 1)[0])


def test_page_has_a_section_for_every_type_in_order() -> None:
    """Whoever looks for a type finds it, and finds none that does not exist."""
    assert list(TYPES) == sorted(TASK_TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_example_is_valid_and_runs_to_its_end(name: str) -> None:
    """The example has its type, would be accepted at registration, and completes once all is answered."""
    blocks = _blocks(TYPES[name])
    workflows = [msgspec.convert(block, WorkflowDef) for block in blocks if "tasks" in block]
    tasks = [msgspec.convert(block, TaskDef) for block in blocks if "tasks" not in block]
    example = workflows.pop() if name in {"SUB_WORKFLOW", "START_WORKFLOW"} else workflows[0]
    assert name in {task.type for task in all_tasks(example.tasks)}
    assert [*validate_workflow(example), *(found for task in tasks for found in validate_task(task))] == []

    driver = Driver(Random(0), Generated(definition=example, others=(*workflows, *tasks), workflow_input=GIVEN))
    driver.scenario.start(GIVEN)
    driver.finish()
    assert driver.scenario.status == "COMPLETED", driver.scenario.state.reason
