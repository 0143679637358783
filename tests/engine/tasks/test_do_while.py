"""Claims about DO_WHILE."""

import pytest

from engine.codec import pack, unpack
from engine.context import EngineLimits
from engine.events import PassDropped
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.testing import Scenario, refusal
from tests.engine.building import (
    answer,
    attempts,
    event_names,
    fork,
    join,
    loop,
    output_of,
    script_request,
    started,
    sub_workflow,
    switch,
    task,
    task_def,
    workflow,
)


def _finish(scenario: Scenario, steps_max: int = 1_000) -> list[str]:
    """Complete every open worker task with its own name until the workflow has ended; return the order."""
    order: list[str] = []
    for _ in range(steps_max):
        if scenario.state.is_terminal:
            return order
        ref = next(ref for ref in scenario.open_refs() if scenario.task(ref).spec.dispatch == "worker")
        order.append(ref)
        scenario.complete(ref, {"of": ref})
    raise AssertionError(f"not over after {steps_max} steps: {scenario.open_refs()}")


def test_body_runs_until_the_condition_no_longer_holds() -> None:
    """Each pass runs the body in order, under names that carry the number of the pass."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a"), task("b")), task("after"))
    assert _finish(scenario) == ["a__1", "b__1", "a__2", "b__2", "a__3", "b__3", "after"]
    assert scenario.status == "COMPLETED"


def test_body_runs_at_least_once() -> None:
    """The condition is looked at after the pass, as the name says."""
    scenario = started(loop("l", "false", task("a")))
    assert _finish(scenario) == ["a__1"]


def test_output_holds_each_pass_and_the_last_number() -> None:
    """Outputs stand by pass and by the name in the definition."""
    scenario = started(loop("l", "$.l.iteration < 2", task("a")))
    _finish(scenario)
    assert output_of(scenario, "l") == {"iteration": 2, "1": {"a": {"of": "a__1"}}, "2": {"a": {"of": "a__2"}}}


def test_condition_sees_inputs_as_they_are_now_and_outputs_of_this_pass() -> None:
    """`$` holds the loop's input parameters, resolved anew, and what each body task has put out in this pass."""
    set_more = task("set", "SET_VARIABLE", input_parameters={"more": "${a.output.more}"})
    given = {"more": "${workflow.variables.more}"}
    scenario = started(loop("l", "$.more && $.a.more == $.more", task("a"), set_more, input_parameters=given))
    scenario.complete("a__1", {"more": True})
    scenario.complete("a__2", {"more": False})
    assert scenario.status == "COMPLETED"


def test_condition_may_ask_for_an_earlier_pass() -> None:
    """The outputs of passes are there for whoever names them."""
    scenario = started(loop("l", "$.l['1'].a.of == 'a__1' && $.l.iteration < 2", task("a")))
    assert _finish(scenario) == ["a__1", "a__2"]


def test_number_above_zero_means_another_pass_and_text_means_none() -> None:
    """As Conductor reads values of conditions."""
    assert len(_finish(started(loop("l", "3 - $.l.iteration", task("a"))))) == 3
    assert len(_finish(started(loop("l", "'true'", task("a"))))) == 1


def test_names_without_suffix_mean_the_newest_pass() -> None:
    """In the body, and behind the loop, `${a.output}` is what `a` put out last; a pass can be named too."""
    given = {"last": "${a.output.of}", "pass": "${l.output.iteration}", "first": "${l.output.1.a.of}"}
    scenario = started(
        loop("l", "$.l.iteration < 2", task("b", input_parameters=given), task("a")), task("c", input_parameters=given)
    )
    _finish(scenario)
    assert scenario.task("b__1").spec.input == {"last": None, "pass": 1, "first": None}
    assert scenario.task("b__2").spec.input == {"last": "a__1", "pass": 2, "first": "a__1"}
    assert scenario.task("c").spec.input == {"last": "a__2", "pass": 2, "first": "a__1"}


def test_loop_that_runs_shows_all_of_its_output_to_who_asks_for_all() -> None:
    """`${l.output}` within the loop holds the passes so far."""
    body = task("a", input_parameters={"so_far": "${l.output}", "loop": "${l}"})
    scenario = started(loop("l", "$.l.iteration < 2", body))
    scenario.complete("a__1", {"n": 1})
    so_far = scenario.task("a__2").spec.input["so_far"]
    assert so_far == {"iteration": 2, "1": {"a": {"n": 1}}}
    assert scenario.task("a__2").spec.input["loop"]["output"] == so_far


def test_condition_that_cannot_be_evaluated_fails_the_loop_for_good() -> None:
    """The reason says what is wrong; nothing is retried."""
    scenario = started(loop("l", "$.nothing.there > 1", task("a")))
    scenario.complete("a__1")
    assert scenario.statuses()["l"] == "FAILED_WITH_TERMINAL_ERROR"
    assert "cannot read property 'there'" in scenario.task("l").progress.reason
    assert scenario.status == "FAILED"


@pytest.mark.parametrize(("items", "seen"), [([7, 8], [7, 8]), ("one", ["one"]), ({"k": 1}, [{"k": 1}])])
def test_list_mode_runs_once_per_item(items: object, seen: list[object]) -> None:
    """The item and its index are in the loop's output; what is no list is a list of one."""
    body = task("a", input_parameters={"item": "${l.output.loopItem}", "index": "${l.output.loopIndex}"})
    scenario = started(loop("l", None, body, items="${workflow.input.list}"), list=items)
    order = _finish(scenario)
    assert [scenario.task(ref).spec.input for ref in order] == [
        {"item": item, "index": index} for index, item in enumerate(seen)
    ]


def test_list_mode_may_come_as_an_input_parameter() -> None:
    """`_items` means what `items` means."""
    scenario = started(loop("l", None, task("a"), input_parameters={"_items": "${workflow.input.list}"}), list=[1, 2])
    assert _finish(scenario) == ["a__1", "a__2"]


def test_list_mode_with_a_condition_needs_both() -> None:
    """The condition can only end the loop earlier."""
    scenario = started(loop("l", "$.l.loopItem < 2", task("a"), items=[1, 2, 3]))
    assert _finish(scenario) == ["a__1", "a__2"]


@pytest.mark.parametrize("items", [[], None])
def test_empty_list_is_no_pass_at_all(items: object) -> None:
    """The loop is over at once, and says so."""
    scenario = started(loop("l", None, task("a"), items="${workflow.input.list}"), task("after"), list=items)
    assert output_of(scenario, "l") == {"iteration": 0}
    assert scenario.open_refs() == ["after"]


def test_loops_nest_to_any_depth() -> None:
    """A name carries one number per loop around it, outermost first; each inner loop begins anew."""
    inner = loop("k", "$.k.iteration < 2", task("c"))
    middle = loop("m", "$.m.iteration < 2", inner, task("b"))
    scenario = started(loop("l", "$.l.iteration < 2", middle, task("a")))
    assert _finish(scenario) == [
        *("c__1__1__1", "c__1__1__2", "b__1__1", "c__1__2__1", "c__1__2__2", "b__1__2", "a__1"),
        *("c__2__1__1", "c__2__1__2", "b__2__1", "c__2__2__1", "c__2__2__2", "b__2__2", "a__2"),
    ]
    assert output_of(scenario, "l")["2"]["m"]["1"]["k"]["2"] == {"c": {"of": "c__2__1__2"}}
    assert set(output_of(scenario, "l")["1"]) == {"m", "a"}


def test_condition_of_an_outer_loop_sees_the_last_pass_of_an_inner_one() -> None:
    """The inner loop's output by its name, its body's by theirs."""
    inner = loop("m", "$.m.iteration < 2", task("b"))
    scenario = started(loop("l", "$.b.of == 'b__1__2' && $.m.iteration == 2", inner))
    assert _finish(scenario) == ["b__1__1", "b__1__2", "b__2__1", "b__2__2"]


def test_pass_is_over_when_everything_in_it_is() -> None:
    """Branches and cases in the body are awaited, also where the body ends with them."""
    body = [fork("f", [task("a"), task("b")], [switch("s", "${a.output.of}", {"a__1": [task("c")]})]), join("j")]
    scenario = started(loop("l", "$.l.iteration < 2", *body), task("after"))
    assert scenario.open_refs() == ["l", "a__1", "j__1"]
    order = _finish(scenario)
    assert order == ["a__1", "b__1", "a__2", "b__2", "after"]
    assert output_of(scenario, "j__2") == {"b__2": {"of": "b__2"}, "s__2": output_of(scenario, "s__2")}


def test_loop_in_a_branch_runs_beside_the_others() -> None:
    """A FORK with two loops in it: the JOIN awaits both."""
    scenario = started(
        fork(
            "f",
            [loop("l", "$.l.iteration < 2", task("a"))],
            [switch("s", "x", {"x": [loop("m", "$.m.iteration < 3", task("b"))]})],
        ),
        join("j"),
        task("after"),
    )
    assert scenario.open_refs() == ["l", "j", "a__1", "m", "b__1"]
    order = _finish(scenario)
    assert [ref for ref in order if ref[:2] == "a_"] == ["a__1", "a__2"]
    assert [ref for ref in order if ref[0] == "b"] == ["b__1", "b__2", "b__3"]
    assert output_of(scenario, "j")["l"]["iteration"] == 2


def test_join_in_a_loop_may_await_what_is_outside() -> None:
    """A name in `joinOn` means the task in the same pass, or the one outside."""
    inner = [fork("g", [task("b")]), join("k", "b", "a")]
    scenario = started(fork("f", [task("a")], [loop("l", "$.l.iteration < 2", *inner)]), join("j"))
    scenario.complete("b__1")
    assert scenario.statuses()["k__1"] == "IN_PROGRESS"
    scenario.complete("a", {"n": 1})
    assert output_of(scenario, "k__1") == {"a": {"n": 1}}
    scenario.complete("b__2")
    assert scenario.status == "COMPLETED"


def test_join_in_a_pass_gives_up_what_cannot_come() -> None:
    """With nothing but JOINs and loops open, the JOIN ends, and the loop goes on."""
    body = [switch("s", "y", {"x": [task("never")]}, [task("b")]), join("k", "never")]
    scenario = started(loop("l", "$.l.iteration < 2", *body))
    assert _finish(scenario) == ["b__1", "b__2"]


def test_name_with_two_underscores_is_just_a_name() -> None:
    """Only what Podium has put behind a name counts as a pass."""
    scenario = started(
        loop(
            "l__9",
            "$.l__9.iteration < 2",
            task("a__b__3"),
            task("a__b", input_parameters={"x": "${a__b__3.output.of}"}),
        )
    )
    assert _finish(scenario) == ["a__b__3__1", "a__b__1", "a__b__3__2", "a__b__2"]
    assert scenario.task("a__b__2").spec.input == {"x": "a__b__3__2"}


def test_failed_body_task_is_retried_within_its_pass() -> None:
    """A retry is another attempt under the same name; the loop waits for it."""
    scenario = started(loop("l", "$.l.iteration < 2", task("a")), others=[task_def("a", retry_delay_seconds=0)])
    scenario.fail("a__1")
    assert attempts(scenario, "a__1") == [(0, "FAILED"), (1, "SCHEDULED")]
    assert _finish(scenario) == ["a__1", "a__2"]


def test_failed_body_task_ends_the_workflow() -> None:
    """What the loop cannot do without, the workflow cannot do without."""
    scenario = started(loop("l", "true", task("a")))
    scenario.fail("a__1", terminal=True)
    assert scenario.status == "FAILED"
    assert scenario.statuses() == {"l": "CANCELED", "a__1": "FAILED_WITH_TERMINAL_ERROR"}


def test_failed_permissive_body_task_fails_the_loop_at_the_end_of_the_pass() -> None:
    """The rest of the pass still runs."""
    scenario = started(loop("l", "true", task("a", permissive=True), task("b")))
    scenario.fail("a__1", "broken", terminal=True)
    assert scenario.open_refs() == ["l", "b__1"]
    scenario.complete("b__1")
    assert scenario.task("l").progress.reason == "a__1: broken"
    assert scenario.status == "FAILED"


def test_optional_body_task_may_fail() -> None:
    """It counts as done, with errors, and the next pass follows."""
    scenario = started(loop("l", "$.l.iteration < 2", task("a", optional=True)))
    scenario.fail("a__1", terminal=True)
    scenario.complete("a__2")
    assert scenario.status == "COMPLETED"


def test_retry_of_the_workflow_goes_on_with_the_pass_that_failed() -> None:
    """What the earlier passes did is kept; the loop's number goes on counting."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a"), task("b")))
    scenario.complete("a__1", {"n": 1})
    scenario.complete("b__1", {"n": 1})
    scenario.fail("a__2", terminal=True)
    scenario.retry()
    assert scenario.open_refs() == ["l", "a__2"]
    assert output_of(scenario, "l") == {"iteration": 2}
    assert _finish(scenario) == ["a__2", "b__2", "a__3", "b__3"]
    assert output_of(scenario, "l")["1"] == {"a": {"n": 1}, "b": {"n": 1}}


def test_retry_after_the_condition_failed_asks_it_again() -> None:
    """No body task runs a second time for that."""
    given = {"v": "${workflow.variables.v}"}
    scenario = started(
        loop("l", "$.v.x > 1 ? false : false", task("a"), input_parameters=given), task("s", "SET_VARIABLE")
    )
    scenario.complete("a__1")
    assert scenario.status == "FAILED"
    scenario.retry()
    assert attempts(scenario, "a__1") == [(0, "COMPLETED")]
    assert attempts(scenario, "l")[-1] == (1, "FAILED_WITH_TERMINAL_ERROR")


def test_retry_after_termination_keeps_the_list_of_the_first_attempt() -> None:
    """The list is read once, when the loop begins."""
    given = {"v": "${workflow.variables.list}"}
    scenario = started(
        task("set", "SET_VARIABLE", input_parameters={"list": [1, 2]}),
        fork(
            "f",
            [loop("l", None, task("a"), items="${workflow.variables.list}", input_parameters=given)],
            [task("b"), task("again", "SET_VARIABLE", input_parameters={"list": []})],
        ),
        join("j"),
    )
    scenario.complete("b")
    scenario.complete("a__1")
    scenario.terminate()
    scenario.retry()
    scenario.complete("a__2")
    assert scenario.status == "COMPLETED"


def test_restart_begins_with_the_first_pass() -> None:
    """Nothing of the passes before is left."""
    scenario = started(loop("l", "$.l.iteration < 2", task("a")))
    scenario.complete("a__1")
    scenario.terminate()
    scenario.restart()
    assert scenario.open_refs() == ["l", "a__1"]
    assert len(scenario.state.tasks) == 2


def test_termination_cancels_the_loop_and_what_runs_in_it() -> None:
    """A sub-workflow in the body ends too."""
    scenario = started(loop("l", "true", sub_workflow("s", "child")), others=[workflow(name="child")])
    scenario.terminate("enough")
    assert scenario.statuses() == {"l": "CANCELED", "s__1": "CANCELED"}
    assert event_names(scenario.evaluate()) == []


def test_pause_between_passes_holds_the_next_one_back() -> None:
    """What ends the pass is taken; the next pass begins with the resume."""
    scenario = started(loop("l", "$.l.iteration < 2", task("a")))
    scenario.pause()
    scenario.complete("a__1")
    assert scenario.open_refs() == ["l"]
    scenario.resume()
    assert scenario.open_refs() == ["l", "a__2"]


def test_task_of_a_later_pass_can_be_skipped_by_its_full_name() -> None:
    """The pass goes on behind it, also if nothing else is in it."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a")))
    assert refusal(scenario.skip("a")).code == "TASK_NOT_FOUND"
    scenario.skip("a__2")
    scenario.complete("a__1")
    assert scenario.open_refs() == ["l", "a__3"]


def test_update_by_name_means_the_pass_that_runs() -> None:
    """People need not know the number of the pass."""
    scenario = started(loop("l", "$.l.iteration < 2", task("w", "WAIT")))
    scenario.update("w", output={"n": 1})
    assert output_of(scenario, "w__1") == {"n": 1}
    assert scenario.open_refs() == ["l", "w__2"]


def test_loop_takes_no_reports_from_workers() -> None:
    """It ends by its condition."""
    scenario = started(loop("l", "true", task("a")))
    assert refusal(scenario.complete("l")).code == "ARGUMENT_INVALID"


def test_time_that_a_loop_may_take_is_bounded_by_its_definition() -> None:
    """An optional loop whose time is over cancels its pass, and the flow goes on."""
    definition = task_def("l", timeout_seconds=10, timeout_policy="RETRY", response_timeout_seconds=1)
    scenario = started(loop("l", "true", task("a"), optional=True), task("after"), others=[definition])
    scenario.wait(10_000)
    assert scenario.statuses() == {"l": "COMPLETED_WITH_ERRORS", "a__1": "CANCELED", "after": "SCHEDULED"}


def test_keep_last_forgets_the_tasks_of_older_passes() -> None:
    """Output and tasks of the last passes stay; whatever is older leaves nothing behind."""
    inner = loop("m", "$.m.iteration < 2", fork("f", [task("a")], [task("b")]), join("j", "a"))
    scenario = started(loop("l", "$.l.iteration < 5", inner, task("c"), input_parameters={"keepLastN": 2}))
    order = _finish(scenario)
    assert len(order) == 5 * 5
    assert set(output_of(scenario, "l")) == {"iteration", "4", "5"}
    state = scenario.state
    names = [*state.latest, *state.scopes, *state.awaited]
    assert all(name == "l" or name.split("__")[1] in {"4", "5"} for name in names)
    assert unpack(pack(state)) == state
    assert sum(isinstance(event, PassDropped) for event in scenario.events) == 3


def test_report_for_a_forgotten_pass_is_recorded_as_ignored() -> None:
    """A worker that comes very late learns why."""
    scenario = started(loop("l", "$.l.iteration < 5", task("a"), input_parameters={"keepLastN": 1}))
    for number in (1, 2, 3):
        scenario.complete(f"a__{number}")
    assert event_names(scenario.report("a__3", None, seq=2, extend_lease=True)) == ["ResultIgnored"]


def test_keep_last_that_is_no_number_fails_the_loop() -> None:
    """An expression may give anything."""
    scenario = started(loop("l", "true", task("a"), input_parameters={"keepLastN": "${workflow.input.n}"}), n="many")
    assert scenario.status == "FAILED"
    assert "keepLastN" in scenario.state.reason


def test_loop_that_never_waits_ends_with_a_reason() -> None:
    """A decision is bounded: an endless loop of engine tasks fails instead of holding up its partition."""
    never = loop("l", "true", task("n", "NOOP"), input_parameters={"keepLastN": 1})
    scenario = Scenario(workflow(never), limits=EngineLimits(tasks_max=100))
    scenario.start()
    assert scenario.status == "FAILED"
    assert "also in one decision" in scenario.state.reason


STATEMENTS = "if ($.a.n < 2) { true; } else { false; }"


def test_condition_of_statements_is_asked_after_each_pass() -> None:
    """The loop is out only then; the answer names the pass that it is about."""
    scenario = started(loop("l", STATEMENTS, task("a"), input_parameters={"x": "${workflow.input.x}"}), x=5)
    seq = scenario.task("l").spec.seq
    assert seq not in scenario.dispatched
    scenario.complete("a__1", {"n": 1})
    assert seq in scenario.dispatched
    request = script_request(scenario, "l")
    assert (request.source, request.iteration) == (STATEMENTS, 1)
    assert request.document == {"x": 5, "a": {"n": 1}, "l": {"iteration": 1}}
    answer(scenario, "l", result=True)
    assert scenario.open_refs() == ["l", "a__2"]
    scenario.complete("a__2", {"n": 2})
    answer(scenario, "l", result=False)
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    ("source", "sees"),
    [
        ("for (;;) { $.l.iteration < 3; break }", False),
        ("for (;;) { $['l']['loopItem']; break }", False),
        ("Object.keys($.l).length > 3", True),
        ("(d => d.l[1])($)", True),
        ("$['l' + '']['1'] ? 1 : 0; if (1) 2", True),
        ("$.l['2'].a; if (1) 2", True),
        ("$.\\u006c; if (1) 2", True),
    ],
)
def test_script_gets_all_passes_if_its_text_may_reach_them(source: str, sees: bool) -> None:  # noqa: FBT001
    """What a script cannot see is not put together for it."""
    scenario = started(loop("l", source, task("a")))
    scenario.complete("a__1", {"n": 1})
    expected = {"iteration": 1, "1": {"a": {"n": 1}}} if sees else {"iteration": 1}
    assert script_request(scenario, "l").document["l"] == expected


def test_answer_about_another_pass_is_recorded_as_ignored() -> None:
    """An evaluation that was repeated after a crash comes twice."""
    scenario = started(loop("l", STATEMENTS, task("a", "NOOP")))
    answer(scenario, "l", result=True)
    late = {"result": False, "iteration": 1}
    decision = scenario.report("l", TaskStatus.COMPLETED, output=late, worker_id=ENGINE_WORKER)
    assert event_names(decision) == ["ResultIgnored"]
    assert script_request(scenario, "l").iteration == 2


def test_condition_is_asked_again_after_a_pause() -> None:
    """What was said meanwhile was not heard."""
    scenario = started(loop("l", STATEMENTS, task("a", "NOOP")))
    scenario.pause()
    assert event_names(answer(scenario, "l", result=True)) == ["ResultIgnored"]
    assert event_names(scenario.resume()) == ["WorkflowResumed", "ConditionAsked"]
    answer(scenario, "l", result=False)
    assert scenario.status == "COMPLETED"


def test_script_that_fails_fails_the_loop_and_a_retry_asks_again() -> None:
    """The pass does not run a second time."""
    scenario = started(loop("l", STATEMENTS, task("a", "NOOP")))
    answer(scenario, "l", None, "TypeError: no")
    assert scenario.status == "FAILED"
    assert "TypeError: no" in scenario.state.reason
    scenario.retry()
    answer(scenario, "l", result=False)
    assert scenario.status == "COMPLETED"
    assert attempts(scenario, "a__1") == [(0, "COMPLETED")]


def test_loop_that_asks_keeps_joins_outside_waiting() -> None:
    """Somebody outside will answer: nothing is given up meanwhile."""
    scenario = started(fork("f", [loop("l", STATEMENTS, task("a", "NOOP"))], [join("k", "l")]), join("j"))
    assert scenario.open_refs() == ["l", "k", "j"]
    answer(scenario, "l", result=False)
    assert scenario.status == "COMPLETED"
