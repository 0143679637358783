"""HTTP: a request that Podium itself makes, once the decision to make it is in the log.

The built-in worker reports like any other. With `asyncComplete` its report leaves the task open until somebody
completes it. Source: Conductor's `HttpTask`.
"""

from typing import Final

from engine.commands import ReportTaskResult
from engine.dispatch import TO_HTTP
from engine.draft import Attempt, Draft
from engine.graph import Node
from engine.inputs import task_input
from engine.model import OpenTask
from engine.outside import schedule_outside, take_answer

REQUEST: Final = "http_request"


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the request and begin it, unless it is delayed or has to wait for a slot."""
    given = task_input(draft, node.task, node.task_definition)
    schedule_outside(draft, node, attempt, given, dispatch=TO_HTTP)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the answer."""
    take_answer(draft, task, result, request=REQUEST)
