"""Claims about what attempts are given: references in workflows that run."""

import msgspec

from engine.codec import pack, unpack
from engine.deferral import Deferral, made_whole
from engine.expressions.budget import LOOKUP_STEPS_MAX
from engine.expressions.references import written
from engine.ids import TaskSeq, task_id
from engine.json_value import JsonObject, JsonValue
from engine.testing import Scenario
from tests.engine.building import (
    attempts,
    fork,
    join,
    loop,
    output_of,
    script_request,
    started,
    task,
    task_def,
    workflow,
)

SECRET = "${workflow.secrets.TOKEN}"
TOO_MUCH = "${workflow.input.rows[*][*]}"
ROWS = [list(range(1_000))] * (LOOKUP_STEPS_MAX // 1_000 + 1)


def given(scenario: Scenario, ref: str) -> JsonObject:
    """Return the recorded input of the newest attempt of a ref."""
    return scenario.task(ref).spec.input


def test_query_over_the_output_of_a_task_gives_a_list() -> None:
    """A filter selects, a function counts."""
    scenario = started(
        task("a"),
        task(
            "b",
            input_parameters={
                "open": "${a.output.items[?(@.state == 'open' && @.size > $.workflow.input.limit)].id}",
                "count": "${a.output.items.length()}",
                "total": "${a.output..size.sum()}",
            },
        ),
        limit=5,
    )
    items = [{"id": 1, "state": "open", "size": 3}, {"id": 2, "state": "open", "size": 7}, {"id": 3, "size": 9}]
    scenario.complete("a", {"items": items})

    assert given(scenario, "b") == {"open": [2], "count": 3, "total": 19.0}


def test_query_over_all_tasks_sees_each_by_its_name_in_the_definition() -> None:
    """Of a looped task, the newest pass."""
    scenario = started(
        loop("l", "$.l['iteration'] < 2", task("body")),
        task("z", input_parameters={"all": "${$..mark}", "s": "${*.status}"}),
    )
    scenario.complete("body__1", {"mark": 1})
    scenario.complete("body__2", {"mark": 2})

    assert 2 in given(scenario, "z")["all"]
    assert given(scenario, "z")["s"] == ["RUNNING", "COMPLETED", "COMPLETED"]


def test_own_task_id_is_the_id_of_the_attempt() -> None:
    """Each attempt sees its own, also within text; the id is that of the task that is handed out."""
    scenario = started(
        task("a"),
        task("b", input_parameters={"me": "${CPEWF_TASK_ID}", "text": "id=${CPEWF_TASK_ID}"}),
        others=[task_def("b", retry_count=1, retry_delay_seconds=0)],
    )
    scenario.complete("a")
    first = task_id(scenario.state.workflow_id, TaskSeq(2))
    assert given(scenario, "b") == {"me": first, "text": f"id={first}"}

    scenario.fail("b")
    assert given(scenario, "b")["me"] == task_id(scenario.state.workflow_id, TaskSeq(3))


def test_template_of_the_task_definition_may_name_what_the_task_may() -> None:
    """Its expressions are resolved like the task's; a reference to nothing leaves room for the template's value."""
    scenario = started(
        task("a", input_parameters={"none": "${workflow.input.nothing}"}),
        others=[task_def("a", input_template={"none": "${workflow.input.x}", "more": ["${workflow.input.x}"]})],
        x=5,
    )
    assert given(scenario, "a") == {"none": 5, "more": [5]}


def test_too_much_work_ends_the_workflow_with_a_clear_reason() -> None:
    """Not the event loop, nor the other workflows."""
    scenario = started(task("a", input_parameters={"x": TOO_MUCH}), rows=ROWS)

    assert scenario.status == "FAILED"
    assert scenario.state.reason == (
        "task a cannot be scheduled: the expressions look at too many values: narrow the path, or compute the value in "
        "a task of its own"
    )


def test_too_much_work_in_the_output_of_a_workflow_fails_it() -> None:
    """It has no output then, and says why."""
    scenario = Scenario(workflow(task("a"), output_parameters={"x": TOO_MUCH}))
    scenario.start({"rows": ROWS})
    scenario.complete("a")

    assert (scenario.status, scenario.output) == ("FAILED", {})
    assert "outputParameters cannot be resolved" in scenario.state.reason


def test_too_much_work_in_the_condition_of_a_loop_fails_the_loop() -> None:
    """Whether the condition is simple or needs a script."""
    for condition in ("$.x == 1", "(() => $.x == 1)()"):
        scenario = started(
            task("rows"),
            loop("l", condition, task("body"), input_parameters={"x": "${body.output.rows[*][*]}"}),
        )
        scenario.complete("rows")
        scenario.complete("body__1", {"rows": ROWS})
        if condition.startswith("("):
            assert "throw new Error(" in script_request(scenario, "l").source
        else:
            assert scenario.status == "FAILED"
            assert "too many values" in scenario.state.reason


# ---- secrets and the environment


def test_secret_stays_a_reference_in_the_recorded_input() -> None:
    """What is recorded is what the definition says; where it stands is recorded beside it."""
    scenario = started(
        task(
            "a",
            "HTTP",
            input_parameters={"http_request": {"headers": {"A": f"Bearer {SECRET}"}, "n": "${workflow.input.n}"}},
        ),
        n=1,
    )
    spec = scenario.task("a").spec

    assert spec.input == {"http_request": {"headers": {"A": f"Bearer {SECRET}"}, "n": 1}}
    assert spec.deferred == (
        Deferral(at=("http_request", "headers", "A"), parts=("Bearer ", "workflow.secrets.TOKEN", "")),
    )


def test_text_that_came_in_as_data_and_looks_like_a_secret_is_no_reference() -> None:
    """Neither alone, nor beside a real reference in the same text, nor escaped."""
    scenario = started(
        task(
            "a",
            input_parameters={
                "evil": "${workflow.input.evil}",
                "both": SECRET + "${workflow.input.evil}",
                "literal": "$" + SECRET,
            },
        ),
        evil=SECRET,
    )
    spec = scenario.task("a").spec

    assert spec.input == {"evil": SECRET, "both": SECRET + SECRET, "literal": SECRET}
    assert spec.deferred == (Deferral(at=("both",), parts=("", "workflow.secrets.TOKEN", SECRET)),)


def test_path_that_is_put_together_never_leads_to_a_secret() -> None:
    """Who fills in the path of an expression cannot reach what the engine does not know."""
    scenario = started(
        task("a", input_parameters={"x": "${workflow.${workflow.input.path}}", "y": "${${workflow.input.all}}"}),
        path="secrets.TOKEN",
        all="workflow.secrets.TOKEN",
    )

    assert given(scenario, "a") == {"x": None, "y": None}
    assert scenario.task("a").spec.deferred == ()


def test_branch_of_a_dynamic_fork_has_no_secrets() -> None:
    """Its definition is data: whoever made the data would choose what is revealed."""
    scenario = started(
        task(
            "f",
            "FORK_JOIN_DYNAMIC",
            dynamic_fork_tasks_param="tasks",
            dynamic_fork_tasks_input_param_name="inputs",
            input_parameters={"tasks": "${workflow.input.tasks}", "inputs": "${workflow.input.inputs}"},
        ),
        join("j"),
        tasks=[{"name": "w", "taskReferenceName": "w", "inputParameters": {"x": SECRET}}],
        inputs={},
    )

    assert given(scenario, "w") == {"x": SECRET}
    assert scenario.task("w").spec.deferred == ()


def test_secret_of_the_template_is_deferred_where_the_template_holds() -> None:
    """The task's own value wins, and then there is nothing to hand out."""
    template = task_def("a", input_template={"x": SECRET, "y": SECRET})
    scenario = started(
        task("a", input_parameters={"x": "${workflow.input.none}", "y": "${workflow.input.n}"}), others=[template], n=1
    )

    assert given(scenario, "a") == {"x": SECRET, "y": 1}
    assert [deferral.at for deferral in scenario.task("a").spec.deferred] == [("x",)]


def test_every_attempt_and_every_branch_has_its_own_secrets() -> None:
    """A retry defers anew; a task without secrets has none, whoever was scheduled before it."""
    scenario = started(
        fork("f", [task("a", input_parameters={"x": SECRET})], [task("b", input_parameters={"x": 1})]),
        join("j"),
        others=[task_def("a", retry_count=1, retry_delay_seconds=0)],
    )
    scenario.fail("a")

    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]
    assert [deferral.at for deferral in scenario.task("a").spec.deferred] == [("x",)]
    assert scenario.task("b").spec.deferred == ()


def test_inline_with_a_secret_is_computed_outside() -> None:
    """The decision does not know the value, however simple the expression is."""
    scenario = started(task("a", "INLINE", input_parameters={"expression": "$.x == 'y'", "x": SECRET}))

    assert scenario.task("a").spec.dispatch == "script"
    assert output_of(scenario, "a") == {}


def test_deferrals_survive_packing() -> None:
    """A snapshot knows where the secrets belong."""
    scenario = started(task("a", input_parameters={"x": [SECRET]}))

    assert unpack(pack(scenario.state)) == scenario.state


def test_input_is_made_whole_without_being_changed() -> None:
    """Copies along the way, typed values, text in between; what is not touched is shared."""
    values: JsonObject = {"s": "secret", "n": 5, "o": {"k": 1}}
    before: JsonObject = {"a": [{"b": "?", "c": {}}, "?"], "d": "?", "rest": {"r": 1}}
    untouched = msgspec.json.encode(before)

    def value_of(path: str) -> JsonValue:
        return values[path]

    whole = made_whole(
        before,
        (
            Deferral(at=("a", 0, "b"), parts=("<", "s", "|", "o", ">")),
            Deferral(at=("a", 1), parts=("", "n", "")),
            Deferral(at=("d",), parts=("", "o", "")),
        ),
        value_of,
        written,
    )

    assert whole == {"a": [{"b": '<secret|{"k":1}>', "c": {}}, 5], "d": {"k": 1}, "rest": {"r": 1}}
    assert msgspec.json.encode(before) == untouched
    assert whole["rest"] is before["rest"]
