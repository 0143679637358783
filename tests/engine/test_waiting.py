"""Claims about what is said of an open task and of an open workflow."""

from typing import get_args

import pytest

from engine import waiting
from engine.ids import RefName
from engine.model import EndedTask
from engine.spans import instant_text, span_text
from engine.status import TaskStatus
from engine.testing import Scenario
from engine.waiting import LastPoll, WaitReason, nothing_known, task_waits_for, workflow_waits_for
from tests.engine.building import answer, fork, join, loop, started, sub_workflow, task, task_def, workflow

CHILD = workflow(task("inside"), name="child")


def reason(scenario: Scenario, ref: str, last_poll: LastPoll = nothing_known) -> WaitReason:
    """Return what the newest attempt of a ref waits for."""
    found = scenario.task(ref)
    assert not isinstance(found, EndedTask)
    return task_waits_for(scenario.state, found, scenario.graph, last_poll=last_poll)


def said(scenario: Scenario, ref: str, last_poll: LastPoll = nothing_known) -> str:
    """Return the same as a sentence."""
    return reason(scenario, ref, last_poll).sentence(scenario.now_ms)


def said_of_workflow(scenario: Scenario) -> str:
    """Return what the workflow waits for."""
    found = workflow_waits_for(scenario.state, scenario.graph)
    assert found is not None
    return found.sentence(scenario.now_ms)


def test_task_in_its_queue_says_for_how_long_and_who_has_asked() -> None:
    """What the node knows of the queue's pollers is told apart from what it does not know."""
    scenario = started(task("a"), others=[task_def("a", poll_timeout_seconds=600)])
    begun_at_ms = scenario.now_ms
    scenario.wait(180_000)
    due = "; poll timeout in 7 min"
    assert said(scenario, "a") == f"in the queue of type a for 3 min{due}"
    assert said(scenario, "a", lambda *_: 0) == f"in the queue of type a for 3 min; no worker has polled it here{due}"
    never_since = said(scenario, "a", lambda *_: begun_at_ms - 60_000)
    assert never_since == f"in the queue of type a for 3 min; no worker has polled it for 4 min{due}"
    assert "last polled 1 s ago, the workers are busy" in said(scenario, "a", lambda *_: scenario.now_ms - 1_000)


def test_task_in_a_domain_names_it() -> None:
    """Its queue is that of the domain."""
    scenario = Scenario(workflow(task("a")))
    scenario.start({}, task_to_domain={"a": "blue"})
    assert (
        said(scenario, "a", lambda *_: 0)
        == "in the queue of type a in domain blue for 0 s; no worker has polled it here"
    )


def test_task_of_a_worker_says_who_has_it_and_when_he_must_be_heard_of() -> None:
    """The response timeout runs from the worker's last word."""
    scenario = started(task("a"), others=[task_def("a", response_timeout_seconds=60)])
    scenario.claim("a", "w7")
    scenario.wait(20_000)
    assert said(scenario, "a") == "worker w7 has it for 20 s; response timeout in 40 s"


def test_retry_says_which_of_how_many_and_when() -> None:
    """The number comes from the definition, or from the task of the workflow if that names another."""
    scenario = started(task("a", retry_count=2), others=[task_def("a", retry_count=9, retry_delay_seconds=40)])
    scenario.fail("a")
    assert said(scenario, "a") == "retry 1 of 2, due in 40 s"
    scenario.now_ms += 60_000
    assert said(scenario, "a") == "retry 1 of 2, due now"


def test_retry_of_a_dynamic_task_does_not_say_how_many_there_may_be() -> None:
    """Its definition was found while the workflow ran, and is not at hand."""
    dynamic = task("a", "DYNAMIC", dynamic_task_name_param="which", input_parameters={"which": "made_up"})
    scenario = started(dynamic, others=[task_def("made_up", retry_count=1, retry_delay_seconds=5)])
    scenario.fail("a")
    assert said(scenario, "a") == "retry 1, due in 5 s"


def test_delays_say_whose_they_are() -> None:
    """A startDelay is the definition's, a callback is the worker's."""
    scenario = started(task("a", start_delay=90))
    assert said(scenario, "a") == "its start is delayed; due in 1 min 30 s"
    scenario.wait(90_000)
    scenario.claim("a", "w2")
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=30, worker_id="w2")
    assert said(scenario, "a") == "worker w2 has handed it back until later; due in 30 s"


def test_timer_names_its_instant() -> None:
    """In UTC, and from now."""
    scenario = started(task("a", "WAIT", input_parameters={"duration": "2 hours"}))
    assert said(scenario, "a") == "timer until 1970-01-01 02:16:40 UTC, in 2 h"


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("HUMAN", "a person"),
        ("WAIT", "somebody outside (an event, a signal, an update)"),
        ("YIELD", "somebody outside"),
    ],
)
def test_task_that_others_complete_says_so(kind: str, who: str) -> None:
    """A HUMAN task by a person, the others by whatever comes from outside."""
    assert said(started(task("a", kind)), "a").startswith(who)


def test_request_is_told_apart_from_what_follows_its_answer() -> None:
    """With asyncComplete somebody else has the last word."""
    given = {"http_request": {"uri": "http://localhost/", "method": "GET"}}
    scenario = started(task("a", "HTTP", input_parameters=given, async_complete=True))
    scenario.wait(2_000)
    assert said(scenario, "a") == "an HTTP request of Podium is under way for 2 s"
    scenario.report("a", TaskStatus.COMPLETED, worker_id="podium")
    assert said(scenario, "a").startswith("its request is answered, and somebody outside")


def test_script_and_loop_condition_say_that_they_are_computed() -> None:
    """A loop says whether it waits for its pass or for the sandbox."""
    scenario = started(
        loop(
            "l",
            "if ($.l.iteration < 2) { true; } else { false; }",
            task("a"),
            task("b", "INLINE", input_parameters={"expression": "[1].map(n => n)"}),
        )
    )
    assert said(scenario, "l") == "pass 1 of the loop is under way, 1 task open in it"
    assert said_of_workflow(scenario).startswith("a__1: in the queue of type a")
    scenario.complete("a__1")
    assert said(scenario, "b__1") == "its script is being computed for 0 s"
    answer(scenario, "b__1", [1])
    assert said(scenario, "l") == "the condition after pass 1 is being computed for 0 s"
    assert said_of_workflow(scenario) == "l: the condition after pass 1 is being computed for 0 s"


def test_sub_workflow_is_named_with_its_id() -> None:
    """So that one can look there."""
    scenario = started(sub_workflow("a", "child"), others=[CHILD])
    child_id = scenario.task("a").progress.child_id
    scenario.wait(61_000)
    assert said(scenario, "a") == f"sub-workflow child ({child_id}) runs for 1 min 1 s"


def test_join_names_the_branches_that_it_misses() -> None:
    """Up to twenty of them; the others are counted."""
    scenario = started(fork("f", [task("a")], [task("b")], [task("c")]), join("j"))
    scenario.complete("b")
    assert said(scenario, "j") == "joined branches missing: a, c"
    assert said_of_workflow(scenario).startswith("a: in the queue of type a for 0 s (and 2 other open tasks)")
    branches = [[task(f"b{number}")] for number in range(25)]
    wide = started(fork("f", *branches), join("j"))
    assert said(wide, "j").endswith("b19 and 5 more")


def test_join_whose_refs_have_ended_waits_for_what_stands_before_them() -> None:
    """A joined ref that was skipped has ended; its branch has not."""
    scenario = Scenario(workflow(fork("f", [task("a"), task("b")], [task("c")]), join("j")))
    scenario.start()
    scenario.skip("b")
    scenario.complete("c")
    found = reason(scenario, "j")
    assert found == waiting.BranchesAwaited(missing=(), missing_count=0)
    assert found.sentence(0) == "what it joins has ended; what stands before it in its branches has not"


def test_exclusive_join_waits_for_the_first() -> None:
    """One of its refs is enough."""
    exclusive = task("j", "EXCLUSIVE_JOIN", join_on=(RefName("a"), RefName("b")))
    scenario = started(fork("f", [task("a"), task("b")], [exclusive]), join("k"))
    assert said(scenario, "j") == "the first of these to end: a, b"


def test_paused_workflow_says_so_for_everything_that_only_a_resume_moves() -> None:
    """What a worker has may still end; timers, delays and joined ends wait for the resume."""
    wait = task("w", "WAIT", input_parameters={"duration": "5 seconds"})
    scenario = started(
        fork("f", [task("a")], [wait], [task("d", start_delay=5)], [loop("l", "false", task("b"))]), join("j", "a")
    )
    scenario.claim("a")
    scenario.pause()
    scenario.complete("a")
    scenario.complete("b__1")
    paused = "paused by an operator: goes on when the workflow is resumed"
    assert {ref: said(scenario, ref) for ref in ("w", "d", "j", "l")} == dict.fromkeys("wdjl", paused)
    assert said_of_workflow(scenario) == f"{paused}; 2 tasks ended meanwhile"


def test_workflow_says_when_its_own_time_ends_and_an_ended_one_says_nothing() -> None:
    """Nothing is awaited where nothing is open."""
    scenario = Scenario(workflow(task("a", "HUMAN"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    assert said_of_workflow(scenario) == "a: a person has to complete it; workflow timeout in 1 min"
    scenario.update("a")
    assert workflow_waits_for(scenario.state, scenario.graph) is None


def test_every_reason_has_its_own_kind() -> None:
    """Programs tell them apart by it."""
    kinds = [kind.__struct_config__.tag for kind in get_args(WaitReason)]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    ("length_ms", "text"),
    [(-5, "0 s"), (0, "0 s"), (999, "999 ms"), (1_000, "1 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"),
     (90_061_000, "1 d 1 h"), (86_460_000, "1 d")],
)  # fmt: skip
def test_spans_have_their_two_largest_units(length_ms: int, text: str) -> None:
    """Nobody reads seconds of a day."""
    assert span_text(length_ms) == text


def test_instant_outside_of_the_calendar_has_words_too() -> None:
    """A WAIT of a billion days is legal."""
    assert instant_text(10**18) == "the year 31690708"
