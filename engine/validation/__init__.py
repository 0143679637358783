"""What must hold before a definition is registered or run.

It must not look up other definitions nor change one. The invariant: every violation is told at once, each
with the place where it is.
"""

from engine.validation.task_definition import validate_task
from engine.validation.task_types import BUILT_IN_TASK_TYPES, SERVED_TASK_TYPES
from engine.validation.violations import Violation
from engine.validation.workflow import validate_branch, validate_workflow

__all__ = [
    "BUILT_IN_TASK_TYPES",
    "SERVED_TASK_TYPES",
    "Violation",
    "validate_branch",
    "validate_task",
    "validate_workflow",
]
