"""Parameters that several resources take.

Holds the values, once each. Must not hold what only one resource takes: that is declared at its top. Keeps the
invariant that one name means the same, with the same default and bounds, wherever it stands for the same thing.
"""

from typing import Final

from api.waiting import WAIT_SECONDS, WAIT_SECONDS_MAX
from api.wire.parameters import Flag, Integer, OneOf, OptionalInteger, Text
from api.wire.workflows import ReturnStrategy

START: Final = Integer(name="start", default=0, about="How many to pass over.")
VERSION: Final = OptionalInteger(name="version", about="Of the definition; the newest if absent.")
DOMAIN: Final = Text(name="domain", about="The domain of the tasks; none if absent.")
TASK_TYPE: Final = Text(name="taskType", required=True, about="The task type.")
REASON: Final = Text(name="reason", about="Why; it is kept with the workflow.")
ARCHIVE_WORKFLOW: Final = Flag(name="archiveWorkflow", default=True, about="Keep it in the history.")
USE_LATEST_DEFINITIONS: Final = Flag(
    name="useLatestDefinitions",
    about="Run by the newest version of the definition and of the task definitions.",
)
RESUME_SUBWORKFLOW_TASKS: Final = Flag(
    name="resumeSubworkflowTasks", about="Go on in the failed sub-workflow instead of starting it anew."
)
TRIGGER_FAILURE_WORKFLOW: Final = Flag(name="triggerFailureWorkflow", about="Start the failure workflow.")
RETURN_STRATEGY: Final = OneOf(
    name="returnStrategy",
    default=ReturnStrategy.TARGET_WORKFLOW,
    about="What the answer shows: the workflow, the one below it in which somebody is waited for, or the task.",
)
REQUEST_ID: Final = Text(name="requestId", about="Comes back in the answer.")
WAIT_FOR_SECONDS: Final = Integer(
    name="waitForSeconds",
    default=WAIT_SECONDS,
    maximum=WAIT_SECONDS_MAX,
    about="How long to wait; 0: the default.",
)
WAIT_UNTIL_TASK_REF: Final = Text(
    name="waitUntilTaskRef", about="Reference names with commas between: wait until one of these tasks has ended."
)
