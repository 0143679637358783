"""Claims about notices: what listeners are told, and that nobody else pays for it."""

import pytest

from engine.context import Listeners
from engine.effects import PublishMessage
from engine.events import MessagePosted
from engine.outward import effects_of
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import loop, started, task, task_def, workflow

LISTENED = {"workflow_status_listener_enabled": True, "workflow_status_listener_sink": "kafka:flows"}


def told(scenario: Scenario) -> list[str]:
    """Return what has been published: the event, after the reference name if it is about a task."""
    return [
        ":".join(filter(None, (message.payload.get("referenceTaskName"), message.payload["event"])))
        for message in scenario.published
    ]


def test_workflow_without_listeners_posts_nothing() -> None:
    """Neither events nor effects."""
    scenario = started(task("a"))
    scenario.complete("a")
    assert not any(isinstance(event, MessagePosted) for event in scenario.events)
    assert not Scenario(workflow(task("a"))).published


def test_listener_is_told_of_every_status_of_its_workflow() -> None:
    """In order, each message with an id of its own, and the end with the output."""
    scenario = Scenario(workflow(task("a"), **LISTENED), task_def("a", retry_count=0))
    scenario.start()
    scenario.pause()
    scenario.resume()
    scenario.fail("a", "broken")
    scenario.retry()
    scenario.terminate("enough")
    scenario.restart()
    scenario.complete("a", {"n": 1})
    expected = ["started", "paused", "resumed", "failed", "retried", "terminated", "restarted", "completed"]
    assert told(scenario) == expected
    assert {message.sink for message in scenario.published} == {"kafka:flows"}
    assert len({message.message_id for message in scenario.published}) == len(expected)
    last = scenario.published[-1]
    assert last.payload == {
        "messageId": last.message_id,
        "event": "completed",
        "at": scenario.now_ms,
        "workflowId": "wf",
        "workflowType": "flow",
        "version": 1,
        "correlationId": None,
        "parentWorkflowId": None,
        "status": "COMPLETED",
        "output": {"n": 1},
        "reasonForIncompletion": None,
    }


def test_message_that_is_derived_again_is_the_same() -> None:
    """A new owner has a newer state; what is sent stands in the log."""
    scenario = Scenario(workflow(task("a"), **LISTENED))
    scenario.start()
    posted = next(event for event in scenario.events if isinstance(event, MessagePosted))
    first = scenario.published[0]
    scenario.complete("a")
    assert effects_of(posted, scenario.state) == (first,)
    assert isinstance(first, PublishMessage)


@pytest.mark.parametrize(
    ("fields", "sink", "names"),
    [
        ({"workflow_status_listener_enabled": True}, "kafka:all", ["kafka:all"]),
        ({"workflow_status_listener_enabled": True}, "", []),
        ({"workflow_status_listener_sink": "kafka:mine"}, "kafka:all", []),
        (LISTENED, "kafka:all", ["kafka:flows"]),
        ({**LISTENED, "workflow_status_listener_sink": "conductor:q"}, "", ["conductor:flow:q"]),
        ({**LISTENED, "workflow_status_listener_sink": "https://example.org/x"}, "", ["https://example.org/x"]),
    ],
)
def test_sink_of_a_workflow_is_its_own_or_the_servers(fields: dict[str, object], sink: str, names: list[str]) -> None:
    """Only where the definition enables the listener."""
    scenario = Scenario(workflow(task("a"), **fields), listeners=Listeners(workflow_sink=sink))
    scenario.start()
    assert [message.sink for message in scenario.published] == names


def test_task_listener_of_the_server_is_told_of_every_task_that_wants_it() -> None:
    """`taskStatusListenerEnabled` is on unless a task definition says otherwise."""
    quiet = task_def("b", task_status_listener_enabled=False)
    scenario = Scenario(workflow(task("a"), task("b")), quiet, listeners=Listeners(task_sink="kafka:tasks"))
    scenario.start()
    scenario.claim("a")
    scenario.complete("a", {"n": 1})
    scenario.complete("b")
    assert told(scenario) == ["a:scheduled", "a:in_progress", "a:completed"]
    assert scenario.published[-1].payload["output"] == {"n": 1}
    assert scenario.published[-1].payload["taskId"] == "wf~1"


def test_state_changes_of_a_task_are_posted_with_their_payload() -> None:
    """Expressions see the workflow as it is at the change: the task's own output is there when it has ended."""
    changes = {
        "onScheduled,onStart": [{"type": "seen", "payload": {"id": "${CPEWF_TASK_ID}"}}],
        "onSuccess": [
            {"type": "kafka:done", "payload": {"n": "${a.output.n}"}},
            {"type": "https://example.org/hook"},
        ],
        "onFailed": [{"type": "failed"}],
    }
    scenario = started(task("a", on_state_change=changes))
    scenario.claim("a")
    scenario.complete("a", {"n": 3})
    assert [(message.sink, message.payload["event"], message.payload["payload"]) for message in scenario.published] == [
        ("conductor:flow:seen", "onScheduled", {"id": "wf~1"}),
        ("conductor:flow:seen", "onStart", {"id": "wf~1"}),
        ("kafka:done", "onSuccess", {"n": 3}),
        ("https://example.org/hook", "onSuccess", {}),
    ]
    assert len({message.message_id for message in scenario.published}) == 4


@pytest.mark.parametrize(
    ("end", "change"),
    [
        (lambda scenario: scenario.fail("a"), "onFailed"),
        (lambda scenario: scenario.fail("a", terminal=True), "onFailed"),
        (lambda scenario: scenario.terminate(), "onCancelled"),
        (lambda scenario: scenario.wait(10_000), "onFailed"),
    ],
    ids=["failed", "failed_for_good", "cancelled", "timed_out"],
)
def test_every_unsuccessful_end_has_its_change(end: object, change: str) -> None:
    """A failure, a timeout, and the end of the workflow around the task."""
    changes = {name: [{"type": name}] for name in ("onSuccess", "onFailed", "onCancelled")}
    definition = task_def("a", retry_count=0, timeout_seconds=10, response_timeout_seconds=10)
    scenario = started(task("a", on_state_change=changes), others=[definition])
    scenario.claim("a")
    end(scenario)  # type: ignore[operator]  # one of the functions above
    assert [message.payload["type"] for message in scenario.published] == [change]


def test_change_in_a_loop_that_forgets_its_passes_is_told_of_the_pass() -> None:
    """The pass is gone by the end of the decision; the message was made before."""
    changes = {"onSuccess": [{"type": "passed", "payload": {"n": "${a.output.n}"}}]}
    body = task("a", "EVENT", sink="kafka:t", on_state_change=changes)
    scenario = started(loop("l", "$.l.iteration < 3", body, input_parameters={"keepLastN": 1}))
    for number in (1, 2, 3):
        scenario.report(f"a__{number}", TaskStatus.COMPLETED, output={"n": number}, worker_id=ENGINE_WORKER)
    assert [message.payload["payload"] for message in scenario.published] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_branch_of_a_dynamic_fork_posts_its_changes() -> None:
    """A task that stands in no definition is a task all the same."""
    branch = {"name": "b", "taskReferenceName": "b", "onStateChange": {"onSuccess": [{"type": "done"}]}}
    given = {"tasks": [branch], "inputs": {}}
    forked = task(
        "f",
        "FORK_JOIN_DYNAMIC",
        dynamic_fork_tasks_param="tasks",
        dynamic_fork_tasks_input_param_name="inputs",
        input_parameters=given,
    )
    scenario = started(forked, task("j", "JOIN"))
    scenario.complete("b")
    assert told(scenario) == ["b:onSuccess"]


def test_skipped_task_posts_nothing_of_itself() -> None:
    """It never was."""
    changes = {name: [{"type": name}] for name in ("onScheduled", "onSuccess", "onFailed")}
    scenario = started(task("a"), task("b", on_state_change=changes))
    scenario.skip("b")
    scenario.complete("a")
    assert [message.payload["type"] for message in scenario.published if message.payload["type"] != "onScheduled"] == []
