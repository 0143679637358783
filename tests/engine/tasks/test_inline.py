"""Claims about INLINE."""

import pytest

from engine.definitions import WorkflowTask
from engine.json_value import JsonValue
from tests.engine.building import answer, attempts, output_of, script_request, started, task, task_def


def _inline(expression: JsonValue, **given: JsonValue) -> WorkflowTask:
    return task("i", "INLINE", input_parameters={"expression": expression, **given})


@pytest.mark.parametrize(
    ("expression", "given", "result"),
    [
        ("$.a + $.b", {"a": 1, "b": 2}, 3),
        ("$.a > 1 ? 'big' : 'small'", {"evaluatorType": "graaljs", "a": 2}, "big"),
        ("a", {"evaluatorType": "value-param", "a": {"n": 1}}, {"n": 1}),
        ("$.nothing", {}, None),
    ],
)
def test_everyday_expression_is_evaluated_in_the_decision(
    expression: str, given: dict[str, JsonValue], result: JsonValue
) -> None:
    """Nobody is asked, and the flow goes on at once."""
    scenario = started(_inline(expression, **given), task("after"))
    assert output_of(scenario, "i") == {"result": result}
    assert scenario.open_refs() == ["after"]


def test_real_javascript_waits_for_the_script() -> None:
    """`$` is the input; the answer is the result."""
    source = "function e() { return $.a.map(n => n * 2); } e();"
    scenario = started(_inline(source, a="${workflow.input.list}"), task("after"), list=[1, 2])
    request = script_request(scenario, "i")
    assert (request.language, request.form, request.source) == ("javascript", "completion", source)
    assert request.document == {"expression": source, "a": [1, 2]}
    assert scenario.dispatched == {scenario.task("i").spec.seq}
    answer(scenario, "i", [2, 4])
    assert output_of(scenario, "i") == {"result": [2, 4]}
    assert scenario.open_refs() == ["after"]


def test_delayed_expression_is_evaluated_when_the_delay_is_over() -> None:
    """By the script, simple or not."""
    scenario = started(task("i", "INLINE", input_parameters={"expression": "1 + 1"}, start_delay=5))
    assert scenario.dispatched == set()
    scenario.wait(5_000)
    answer(scenario, "i", 2)
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    ("expression", "given", "why"),
    [
        ("$.a.b.c", {}, "cannot read property"),
        ("1", {"evaluatorType": "${workflow.input.evaluator}"}, "should be javascript or value-param and is 'python'"),
        ("${workflow.input.nothing}", {}, "expression of i is missing"),
    ],
)
def test_what_cannot_be_evaluated_fails_for_good_with_the_error(
    expression: str, given: dict[str, JsonValue], why: str
) -> None:
    """The reason is the output's `error` too; no attempt follows."""
    definition = task_def("i", retry_count=3)
    scenario = started(_inline(expression, **given), others=[definition], evaluator="python")
    assert attempts(scenario, "i") == [(0, "FAILED_WITH_TERMINAL_ERROR")]
    assert why in output_of(scenario, "i")["error"]


def test_script_that_fails_fails_the_task_for_good() -> None:
    """With what the script threw."""
    scenario = started(_inline("(() => { throw 1 })()"), others=[task_def("i", retry_count=3)])
    answer(scenario, "i", None, "1")
    assert attempts(scenario, "i") == [(0, "FAILED_WITH_TERMINAL_ERROR")]
    assert output_of(scenario, "i") == {"error": "1"}


def test_person_may_complete_it_in_place_of_the_script() -> None:
    """As with any open task; the script's answer then comes too late."""
    scenario = started(_inline("(() => 1)()"))
    scenario.update("i", output={"result": "mine"})
    assert output_of(scenario, "i") == {"result": "mine"}
