"""Claims about JSON_JQ_TRANSFORM."""

import pytest

from engine.json_value import JsonValue
from tests.engine.building import answer, output_of, script_request, started, task


def test_program_runs_over_the_whole_input() -> None:
    """In jq."""
    given = {"queryExpression": ".a[]", "a": "${workflow.input.list}"}
    scenario = started(task("q", "JSON_JQ_TRANSFORM", input_parameters=given), list=[1, 2])
    request = script_request(scenario, "q")
    assert (request.language, request.source) == ("jq", ".a[]")
    assert request.document == {"queryExpression": ".a[]", "a": [1, 2]}


@pytest.mark.parametrize(
    ("results", "output"),
    [
        ([1, 2], {"result": 1, "resultList": [1, 2]}),
        ([], {"result": None, "resultList": []}),
        ([[1]], {"result": [1], "resultList": [[1]]}),
    ],
)
def test_output_holds_the_first_result_and_all(results: JsonValue, output: JsonValue) -> None:
    """A program gives any number of results."""
    scenario = started(task("q", "JSON_JQ_TRANSFORM", input_parameters={"queryExpression": "."}))
    answer(scenario, "q", results)
    assert output_of(scenario, "q") == output
    assert scenario.status == "COMPLETED"


def test_program_that_fails_fails_the_task_with_the_error() -> None:
    """As FAILED, so that a task definition may have it retried."""
    scenario = started(task("q", "JSON_JQ_TRANSFORM", input_parameters={"queryExpression": "error"}))
    answer(scenario, "q", None, "jq: error")
    assert scenario.statuses() == {"q": "FAILED"}
    assert output_of(scenario, "q") == {"error": "jq: error"}


def test_program_that_is_missing_fails_the_task() -> None:
    """An expression may give nothing."""
    given = {"queryExpression": "${workflow.input.nothing}"}
    scenario = started(task("q", "JSON_JQ_TRANSFORM", input_parameters=given))
    assert output_of(scenario, "q") == {"error": "queryExpression is missing"}
