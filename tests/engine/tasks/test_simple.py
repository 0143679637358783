"""Claims about SIMPLE and user-defined tasks: what a worker does, and what its reports lead to."""

import pytest

from engine.effects import DispatchTask
from engine.model import PendingTask, RunningTask
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import attempts, output_of, started, task, task_def, workflow


def test_start_simple_task_is_scheduled_and_dispatched() -> None:
    """The first task is in its queue, under its name, with its input resolved, once the start is decided."""
    scenario = started(task("a", name="encode", input_parameters={"id": "${workflow.input.videoId}"}), videoId="v1")

    pending = scenario.task("a")
    assert isinstance(pending, PendingTask)
    assert (pending.spec.type, pending.spec.name, pending.spec.dispatch) == ("encode", "encode", "worker")
    assert pending.spec.input == {"id": "v1"}
    assert DispatchTask(seq=pending.spec.seq) in scenario.effects


def test_schedule_user_defined_type_goes_to_the_queue_of_its_type() -> None:
    """A type that is not built in names the queue; the name still names the definition."""
    scenario = started(task("a", "transcode", name="encode"), others=[task_def("encode", retry_count=0)])

    assert (scenario.task("a").spec.type, scenario.task("a").spec.name) == ("transcode", "encode")
    scenario.fail("a")
    assert scenario.status == "FAILED"


def test_schedule_unregistered_task_has_the_default_limits() -> None:
    """A task that nobody defined has the response timeout and the retries of an empty definition."""
    scenario = started(task("a"))

    assert scenario.task("a").spec.timeouts.response_ms == 3_600_000
    scenario.fail("a")
    scenario.wait(60_000)
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]


def test_schedule_embedded_definition_wins_over_the_registered_one() -> None:
    """A definition inside the workflow's own holds for its task."""
    scenario = started(task("a", task_definition=task_def("a", retry_count=0)), others=[task_def("a", retry_count=5)])
    scenario.fail("a")
    assert scenario.status == "FAILED"


def test_schedule_input_template_fills_missing_and_null_keys() -> None:
    """The definition's template stands in for keys that are missing or null, and for no others."""
    scenario = started(
        task("a", input_parameters={"kept": 1, "nulled": None}),
        others=[task_def("a", input_template={"kept": 9, "nulled": 2, "missing": 3})],
    )
    assert scenario.task("a").spec.input == {"kept": 1, "nulled": 2, "missing": 3}


def test_schedule_null_that_no_template_fills_stays() -> None:
    """A reference to nothing is null in the input, not an absent key."""
    scenario = started(task("a", input_parameters={"x": "${workflow.input.nothing}"}), others=[task_def("a")])
    assert scenario.task("a").spec.input == {"x": None}


def test_schedule_own_task_id_can_be_named_in_the_input() -> None:
    """`CPEWF_TASK_ID` stands for the id of the very attempt, also in a retry."""
    scenario = started(
        task("a", input_parameters={"id": "${CPEWF_TASK_ID}"}), others=[task_def("a", retry_delay_seconds=0)]
    )
    assert scenario.task("a").spec.input == {"id": "wf~1"}
    scenario.fail("a")
    assert scenario.task("a").spec.input == {"id": "wf~2"}


def test_complete_task_leads_to_the_next_with_its_output() -> None:
    """What a task puts out is there for the input of the next one."""
    scenario = started(task("a"), task("b", input_parameters={"x": "${a.output.n}"}))
    scenario.complete("a", {"n": 7})

    assert scenario.open_refs() == ["b"]
    assert scenario.task("b").spec.input == {"x": 7}


def test_complete_last_task_completes_the_workflow_with_its_output() -> None:
    """Without declared output parameters the output of the last task is that of the workflow."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a", {"n": 1})
    scenario.complete("b", {"n": 2})
    assert (scenario.status, scenario.output) == ("COMPLETED", {"n": 2})


def test_report_without_claim_counts() -> None:
    """A worker that takes tasks from Kafka need not say that it has begun."""
    scenario = started(task("a"))
    scenario.complete("a")
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize("callback_after_seconds", [0, 30])
def test_in_progress_report_hands_the_task_back(callback_after_seconds: int) -> None:
    """IN_PROGRESS puts the attempt back into its queue, at once or after the time that the worker asked for."""
    scenario = started(task("a"))
    scenario.claim("a")
    scenario.report(
        "a", TaskStatus.IN_PROGRESS, output={"done": 1}, callback_after_seconds=callback_after_seconds, reason="busy"
    )

    pending = scenario.task("a")
    assert isinstance(pending, PendingTask)
    assert pending.progress.output == {"done": 1}
    assert pending.progress.reason == "busy"
    assert pending.progress.callback_after_seconds == callback_after_seconds
    assert (DispatchTask(seq=pending.spec.seq) in scenario.effects) is (callback_after_seconds == 0)
    scenario.wait(callback_after_seconds * 1000)
    scenario.claim("a", "w2")
    again = scenario.task("a")
    assert isinstance(again, RunningTask)
    assert (again.progress.worker_id, again.progress.poll_count) == ("w2", 2)


def test_claim_after_in_progress_keeps_the_first_start() -> None:
    """The run timeout counts from the first start of an attempt, however often it was handed back."""
    scenario = started(task("a"))
    scenario.claim("a")
    begun_at_ms = scenario.now_ms
    scenario.wait(1_000)
    scenario.report("a", TaskStatus.IN_PROGRESS)
    scenario.claim("a")
    assert scenario.task("a").progress.started_at_ms == begun_at_ms


def test_in_progress_with_absurd_callback_is_bounded() -> None:
    """A delay beyond what fits an integer of Conductor is cut to it."""
    scenario = started(task("a"))
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=10**30)
    assert scenario.task("a").progress.callback_after_seconds == 2**31 - 1


def test_in_progress_with_negative_callback_is_handed_out_at_once() -> None:
    """A negative delay is none."""
    scenario = started(task("a"))
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=-5)
    pending = scenario.task("a")
    assert isinstance(pending, PendingTask)
    assert pending.due_at_ms == 0


def test_final_report_replaces_the_output() -> None:
    """A report's output takes the place of an earlier one; nothing is merged."""
    scenario = started(task("a"), task("b"))
    scenario.report("a", TaskStatus.IN_PROGRESS, output={"part": 1})
    scenario.complete("a", {"all": 2})
    assert output_of(scenario, "a") == {"all": 2}


def test_terminal_error_is_not_retried() -> None:
    """FAILED_WITH_TERMINAL_ERROR ends the workflow though attempts are left."""
    scenario = started(task("a"))
    scenario.fail("a", "corrupt", terminal=True)

    assert scenario.status == "FAILED"
    assert attempts(scenario, "a") == [(0, "FAILED_WITH_TERMINAL_ERROR")]
    assert scenario.state.reason == "Task wf~1 failed with status: FAILED and reason: 'corrupt'"
    assert scenario.state.failed_refs == ("a",)
    assert scenario.state.failed_seq == 1


def test_start_delay_keeps_the_task_back() -> None:
    """A task with a startDelay is handed out when that is over, and its delay is not repeated in a retry."""
    scenario = started(task("a", start_delay=5), others=[task_def("a", retry_delay_seconds=0)])
    assert scenario.dispatched == set()
    scenario.wait(4_999)
    assert scenario.dispatched == set()
    scenario.wait(1)
    assert scenario.dispatched == {1}

    scenario.fail("a")
    assert scenario.dispatched == {2}


def test_failed_task_names_are_listed_with_the_workflow() -> None:
    """A workflow that failed says which tasks failed, by reference name and by name; a cancelled task is none."""
    scenario = Scenario(workflow(task("a", name="encode")), task_def("encode", retry_count=0))
    scenario.start()
    scenario.fail("a", "no space")
    assert (scenario.state.failed_refs, scenario.state.failed_names) == (("a",), ("encode",))
