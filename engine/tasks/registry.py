"""The one list of task types.

Holds the table from Conductor's type names to their behaviour. Must not hold rules. Keeps the invariant that a name
which is not in the table is a worker's task: its type is its own name.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.commands import ReportTaskResult
from engine.draft import Attempt, Draft, Visit
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.model import OpenTask, Task
from engine.tasks import (
    decision,
    do_while,
    dynamic,
    event,
    exclusive_join,
    fork_join,
    fork_join_dynamic,
    http,
    human,
    inline,
    join,
    json_jq_transform,
    kafka_publish,
    lambda_,
    noop,
    pull_workflow_messages,
    set_variable,
    simple,
    start_workflow,
    sub_workflow,
    switch,
    terminate,
    wait,
    yield_,
)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a task type does.

    `schedule`: the walk enters it. `on_update`: somebody reports on an open attempt; None where nobody outside has
    anything to say, and `of_podium` where only Podium's own workers have. `leads_to`: what the walk enters behind it;
    None where that is simply what follows in the definition. `branches`: what it has the walk enter as soon as it is
    scheduled, outside of the definition. `begin`: what it does when its delay is over, besides being in progress.
    """

    schedule: Callable[[Draft, Node, Attempt], None]
    on_update: Callable[[Draft, OpenTask, ReportTaskResult], None] | None = None
    of_podium: bool = False
    leads_to: Callable[[Node, Task], Sequence[RefName]] | None = None
    branches: Callable[[Node, Task], Sequence[Visit]] | None = None
    begin: Callable[[Draft, TaskSeq], None] | None = None


WORKER: Final = Behaviour(schedule=simple.schedule, on_update=simple.on_update)

TASK_TYPES: Final[dict[str, Behaviour]] = {
    "DECISION": Behaviour(
        schedule=decision.schedule, on_update=decision.on_update, of_podium=True, leads_to=decision.leads_to
    ),
    "DO_WHILE": Behaviour(schedule=do_while.schedule, on_update=do_while.on_update, of_podium=True),
    "DYNAMIC": Behaviour(schedule=dynamic.schedule, on_update=simple.on_update),
    "EVENT": Behaviour(schedule=event.schedule, on_update=event.on_update),
    "EXCLUSIVE_JOIN": Behaviour(schedule=exclusive_join.schedule),
    "FORK_JOIN": Behaviour(schedule=fork_join.schedule, leads_to=fork_join.leads_to),
    "FORK_JOIN_DYNAMIC": Behaviour(
        schedule=fork_join_dynamic.schedule, leads_to=fork_join_dynamic.leads_to, branches=fork_join_dynamic.enters
    ),
    "HTTP": Behaviour(schedule=http.schedule, on_update=http.on_update),
    "HUMAN": Behaviour(schedule=human.schedule, on_update=wait.on_update),
    "INLINE": Behaviour(schedule=inline.schedule, on_update=inline.on_update),
    "JOIN": Behaviour(schedule=join.schedule),
    "JSON_JQ_TRANSFORM": Behaviour(schedule=json_jq_transform.schedule, on_update=json_jq_transform.on_update),
    "KAFKA_PUBLISH": Behaviour(schedule=kafka_publish.schedule, on_update=kafka_publish.on_update),
    "LAMBDA": Behaviour(schedule=lambda_.schedule, on_update=lambda_.on_update),
    "NOOP": Behaviour(schedule=noop.schedule),
    "PULL_WORKFLOW_MESSAGES": Behaviour(
        schedule=pull_workflow_messages.schedule, on_update=wait.on_update, begin=pull_workflow_messages.begin
    ),
    "SET_VARIABLE": Behaviour(schedule=set_variable.schedule),
    "SIMPLE": WORKER,
    "START_WORKFLOW": Behaviour(schedule=start_workflow.schedule),
    "SUB_WORKFLOW": Behaviour(schedule=sub_workflow.schedule, on_update=wait.on_update),
    "SWITCH": Behaviour(schedule=switch.schedule, on_update=switch.on_update, of_podium=True, leads_to=switch.leads_to),
    "TERMINATE": Behaviour(schedule=terminate.schedule, leads_to=terminate.leads_to),
    "WAIT": Behaviour(schedule=wait.schedule, on_update=wait.on_update),
    "YIELD": Behaviour(schedule=yield_.schedule, on_update=wait.on_update),
}


def behaviour_of(task_type: str) -> Behaviour:
    """Return the behaviour of a type; that of a worker's task for a name which is no built-in type."""
    return TASK_TYPES.get(task_type, WORKER)
