"""Claims about SWITCH: which case it takes, and what it leaves behind."""

import pytest

from engine.json_value import JsonValue
from engine.model import EndedTask
from engine.testing import Scenario, refusal
from tests.engine.building import answer, attempts, output_of, script_request, started, switch, task, task_def


@pytest.mark.parametrize(
    ("value", "case", "opened"),
    [
        ("hd", "hd", "h"),
        ("sd", "sd", "s"),
        ("other", "other", "d"),
        (None, "null", "d"),
        (True, "true", "t"),
        (4, "4", "four"),
        (4.0, "4", "four"),
    ],
)
def test_switch_takes_the_case_that_the_value_names_as_text(value: JsonValue, case: str, opened: str) -> None:
    """The value's text is the key; what matches no key takes the default."""
    cases = {"hd": [task("h")], "sd": [task("s")], "true": [task("t")], "4": [task("four")]}
    scenario = started(switch("w", "${workflow.input.v}", cases, [task("d")]), v=value)

    assert scenario.open_refs() == [opened]
    assert output_of(scenario, "w") == {"evaluationResult": [case], "selectedCase": case}
    assert scenario.task("w").spec.input == {"value": value, "case": case, "hasChildren": "true"}


def test_switch_branch_leads_on_behind_the_switch() -> None:
    """The last task of the chosen case is followed by what follows the SWITCH."""
    scenario = started(switch("w", "x", {"x": [task("x1"), task("x2")]}), task("after"))
    scenario.complete("x1")
    scenario.complete("x2")
    assert scenario.open_refs() == ["after"]


def test_switch_case_with_an_empty_list_does_nothing() -> None:
    """A key that is there without tasks is taken; the default is for keys that are not there."""
    scenario = started(switch("w", "x", {"x": []}, [task("d")]), task("after"))
    assert scenario.open_refs() == ["after"]
    assert "hasChildren" not in scenario.task("w").spec.input


def test_switch_without_match_and_default_goes_on() -> None:
    """Nothing to do is no error."""
    scenario = started(switch("w", "y", {"x": [task("x")]}), task("after"))
    assert scenario.open_refs() == ["after"]


def test_switch_without_successor_ends_the_workflow_behind_its_case() -> None:
    """A SWITCH at the end of the workflow ends it when the case has ended."""
    scenario = started(switch("w", "x", {"x": [task("x")]}))
    scenario.complete("x", {"n": 1})
    assert (scenario.status, scenario.output) == ("COMPLETED", {"n": 1})


def test_switch_nested_in_a_case_climbs_to_what_follows_the_outer_one() -> None:
    """The end of an inner case leads on in the outer case, and from its end on behind the outer SWITCH."""
    inner = switch("inner", "i", {"i": [task("deep")]})
    scenario = started(switch("outer", "o", {"o": [inner, task("rest")]}), task("after"))
    scenario.complete("deep")
    assert scenario.open_refs() == ["rest"]
    scenario.complete("rest")
    assert scenario.open_refs() == ["after"]


@pytest.mark.parametrize("evaluator", ["javascript", "graaljs"])
def test_switch_evaluates_an_expression_over_its_input(evaluator: str) -> None:
    """`$` is the task's input, and the value of the expression names the case."""
    scenario = started(
        task(
            "w",
            "SWITCH",
            evaluator_type=evaluator,
            expression="$.size > 5 ? 'big' : 'small'",
            input_parameters={"size": "${workflow.input.size}"},
            decision_cases={"big": (task("b"),), "small": (task("s"),)},
        ),
        size=9,
    )
    assert scenario.open_refs() == ["b"]


@pytest.mark.parametrize(
    ("evaluator", "expression"),
    [("javascript", "$.a.b.c"), ("python", "1"), (None, "x")],
)
def test_switch_that_cannot_be_evaluated_fails_the_workflow(evaluator: str | None, expression: str) -> None:
    """An error in the expression, and an unknown evaluator, end the workflow at once: a retry would only repeat it."""
    scenario = started(
        task("w", "SWITCH", evaluator_type=evaluator, expression=expression, decision_cases={"x": (task("x"),)}),
        others=[task_def("w", retry_count=3)],
    )
    assert attempts(scenario, "w") == [(0, "FAILED")]
    assert scenario.status == "FAILED"
    assert scenario.state.reason


def test_switch_that_cannot_be_evaluated_is_stepped_over_when_optional() -> None:
    """An optional SWITCH that fails takes no case, and the flow goes on behind it."""
    scenario = started(
        task("w", "SWITCH", evaluator_type="python", expression="x", default_case=(task("d"),), optional=True),
        task("after"),
    )
    ended = scenario.task("w")
    assert isinstance(ended, EndedTask)
    assert ended.status == "COMPLETED_WITH_ERRORS"
    assert scenario.open_refs() == ["after"]


def _scripted(**fields: object) -> Scenario:
    cases = {"x": (task("a"),), "y": ()}
    expression = "(() => $.value)()"
    given = {"value": "x"}
    return started(
        task(
            "w",
            "SWITCH",
            evaluator_type="javascript",
            expression=expression,
            decision_cases=cases,
            input_parameters=given,
            **fields,
        ),
        task("after"),
    )


def test_switch_with_real_javascript_waits_for_the_script() -> None:
    """It is out, with its expression over its input, until the answer chooses the case."""
    scenario = _scripted()
    request = script_request(scenario, "w")
    assert (request.language, request.form) == ("javascript", "completion")
    assert (request.source, request.document) == ("(() => $.value)()", {"value": "x"})
    assert scenario.task("w").spec.seq in scenario.dispatched
    answer(scenario, "w", "x")
    assert output_of(scenario, "w") == {"evaluationResult": ["x"], "selectedCase": "x"}
    assert scenario.open_refs() == ["a"]


def test_script_that_fails_fails_the_switch_without_a_retry() -> None:
    """With the reason."""
    scenario = _scripted()
    answer(scenario, "w", None, "TypeError: no")
    assert scenario.statuses() == {"w": "FAILED"}
    assert "TypeError: no" in scenario.state.reason


def test_answer_during_a_pause_chooses_at_the_resume() -> None:
    """Nothing new begins while the workflow is paused."""
    scenario = _scripted()
    scenario.pause()
    answer(scenario, "w", "x")
    assert scenario.open_refs() == []
    scenario.resume()
    assert scenario.open_refs() == ["a"]


def test_nobody_but_podium_answers_for_the_script() -> None:
    """A worker's report is refused."""
    assert refusal(_scripted().complete("w", {"result": "x"})).code == "ARGUMENT_INVALID"
