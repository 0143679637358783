"""Claims about PULL_WORKFLOW_MESSAGES: each message goes to one task, in the order in which they came."""

import pytest

from engine.codec import pack, unpack
from engine.context import EngineLimits
from engine.definitions import WorkflowTask
from engine.events import MessageReceived
from engine.json_value import JsonObject
from engine.rejections import Accepted, RejectionCode
from engine.testing import Scenario, refusal
from tests.engine.building import event_names, fork, join, loop, output_of, started, switch, task, task_def, workflow


def pull(ref: str, **given: object) -> WorkflowTask:
    """Return a task that takes messages."""
    return task(ref, "PULL_WORKFLOW_MESSAGES", input_parameters=given)


def taken(scenario: Scenario, ref: str) -> list[str]:
    """Return the ids of the messages that a task has taken."""
    output: JsonObject = output_of(scenario, ref)
    assert output["count"] == len(output["messages"])
    return [message["id"] for message in output["messages"]]


def waiting(scenario: Scenario) -> list[str]:
    """Return the ids of the messages that nobody has taken."""
    return [message.message_id for message in scenario.state.inbox.waiting]


def test_pull_waits_for_a_message_and_ends_with_it() -> None:
    """In the decision that takes the message in; nobody polls."""
    scenario = started(pull("p"), task("after"))
    assert scenario.open_refs() == ["p"]
    decision = scenario.send("m1", {"text": "hello"})
    assert event_names(decision)[:3] == ["MessageReceived", "MessagesDelivered", "TaskEnded"]
    assert output_of(scenario, "p") == {
        "messages": [
            {"id": "m1", "workflowId": "wf", "payload": {"text": "hello"}, "receivedAt": "1970-01-01T00:16:40.000Z"}
        ],
        "count": 1,
    }
    assert scenario.open_refs() == ["after"]


def test_pull_takes_what_came_before_it_oldest_first_up_to_its_batch_size() -> None:
    """The others stay for the next one."""
    scenario = started(task("first"), pull("p", batchSize=2), pull("q", batchSize=5))
    for number in range(3):
        scenario.send(f"m{number}")
    scenario.complete("first")
    assert taken(scenario, "p") == ["m0", "m1"]
    assert taken(scenario, "q") == ["m2"]
    assert scenario.status == "COMPLETED"
    assert waiting(scenario) == []
    assert scenario.state.inbox.waiting_bytes == 0


def test_pull_that_does_not_block_ends_without_messages() -> None:
    """And says that there were none."""
    scenario = started(pull("p", blocking=False))
    assert output_of(scenario, "p") == {"messages": [], "count": 0}
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    ("size", "count"), [(None, 1), (0, 1), (-3, 1), ("2", 2), (2.9, 2), (1_000, 100), (True, 1), ("many", 1)]
)
def test_pull_reads_its_batch_size_leniently(size: object, count: int) -> None:
    """At least one, at most a hundred."""
    scenario = started(task("first"), pull("p", batchSize="${workflow.input.size}"), task("after"), size=size)
    for number in range(101):
        scenario.send(f"m{number}")
    scenario.complete("first")
    assert output_of(scenario, "p")["count"] == count


def test_message_whose_id_was_seen_changes_nothing() -> None:
    """Whether it waits still, or has been taken."""
    scenario = started(pull("p"), task("work"), pull("q"))
    for _ in range(2):
        scenario.send("m1", {"n": 1})
    scenario.send("m2")
    for message_id in ("m1", "m2"):
        again = scenario.send(message_id)
        assert isinstance(again, Accepted)
        assert again.events == ()
    scenario.complete("work")
    assert (taken(scenario, "p"), taken(scenario, "q")) == (["m1"], ["m2"])


def test_message_to_a_workflow_that_does_not_run_is_refused() -> None:
    """The sender learns the status; a repetition of one that was taken is still recognised."""
    scenario = started(pull("p"), task("work"))
    scenario.send("m1")
    scenario.pause()
    assert refusal(scenario.send("m2")).code is RejectionCode.WORKFLOW_NOT_RUNNING
    scenario.resume()
    scenario.complete("work")
    assert refusal(scenario.send("m2")).code is RejectionCode.WORKFLOW_NOT_RUNNING
    assert scenario.send("m1") == Accepted(events=(), state=scenario.state)


@pytest.mark.parametrize("message_id", ["", "m" * 201])
def test_message_without_a_usable_id_is_refused(message_id: str) -> None:
    """It could not be recognised, or not be kept."""
    assert refusal(started(pull("p")).send(message_id)).code is RejectionCode.ARGUMENT_INVALID


def test_messages_are_bounded_by_count_and_by_bytes() -> None:
    """The sender of one too many is told to come again; one that will never fit is refused for good."""
    limits = EngineLimits(messages_max=2, messages_bytes_max=50)
    scenario = Scenario(workflow(task("work"), pull("p")), limits=limits)
    scenario.start()
    scenario.send("m1", {"x": "a" * 30})
    assert refusal(scenario.send("m2", {"x": "a" * 30})).code is RejectionCode.MESSAGES_FULL
    assert refusal(scenario.send("m2", {"x": "a" * 60})).code is RejectionCode.ARGUMENT_INVALID
    scenario.send("m2")
    assert refusal(scenario.send("m3")).code is RejectionCode.MESSAGES_FULL
    scenario.complete("work")
    assert taken(scenario, "p") == ["m1"]


def test_tasks_that_wait_are_served_in_the_order_in_which_they_began() -> None:
    """One message, one task; a task that has ended otherwise is passed over."""
    scenario = started(fork("f", [pull("a")], [pull("b")], [pull("c")]), join("j"))
    scenario.update("a")
    scenario.send("m1")
    assert scenario.open_refs() == ["c", "j"]
    scenario.send("m2")
    assert (taken(scenario, "b"), taken(scenario, "c")) == (["m1"], ["m2"])
    assert scenario.status == "COMPLETED"


def test_pull_in_a_loop_takes_one_message_in_each_pass() -> None:
    """Messages that come faster than passes wait for theirs."""
    body = (pull("p"), switch("s", "x", {"x": [task("work")]}))
    scenario = started(loop("l", "$.l.iteration < 3", *body))
    for number in range(3):
        scenario.send(f"m{number}")
    for number in range(3):
        scenario.complete(f"work__{number + 1}")
    assert [taken(scenario, f"p__{number}") for number in (1, 2, 3)] == [["m0"], ["m1"], ["m2"]]
    assert scenario.state.inbox.pulls == ()


def test_pull_with_a_start_delay_takes_messages_when_it_is_over() -> None:
    """Those that came meanwhile wait for it."""
    scenario = started(task("p", "PULL_WORKFLOW_MESSAGES", start_delay=5), task("after"))
    scenario.send("m1")
    assert scenario.open_refs() == ["p"]
    scenario.wait(5_000)
    assert taken(scenario, "p") == ["m1"]


def test_pull_times_out_and_its_next_attempt_takes_the_message() -> None:
    """The time that it may wait is its definition's."""
    definition = task_def("p", timeout_seconds=5, timeout_policy="RETRY", retry_count=1, retry_delay_seconds=0)
    scenario = started(pull("p"), others=[definition])
    scenario.wait(5_000)
    scenario.send("m1")
    assert taken(scenario, "p") == ["m1"]


def test_messages_stay_for_a_retry_and_go_with_a_restart() -> None:
    """A restarted workflow begins with none, and still knows the ids of those that it had."""
    scenario = started(task("work"), pull("p"), others=[task_def("work", retry_count=0)])
    scenario.send("m1")
    scenario.fail("work")
    scenario.retry()
    assert waiting(scenario) == ["m1"]
    scenario.fail("work")
    scenario.restart()
    assert waiting(scenario) == []
    assert scenario.send("m1") == Accepted(events=(), state=scenario.state)


def test_messages_survive_packing() -> None:
    """A snapshot has them."""
    scenario = started(task("work"), pull("p"))
    scenario.send("m1", {"n": 1})
    assert unpack(pack(scenario.state)) == scenario.state


def test_only_the_last_ids_are_remembered() -> None:
    """The memory of a workflow for messages has a bound."""
    scenario = started(loop("l", "$.l.iteration < 1200", pull("p"), input_parameters={"keepLastN": 1}))
    for number in range(1_100):
        scenario.send(f"m{number}")
    assert len(scenario.state.inbox.seen) == 1_000
    assert scenario.state.inbox.seen[-1] == "m1099"
    assert any(isinstance(event, MessageReceived) for event in scenario.events)
