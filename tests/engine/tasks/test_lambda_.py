"""Claims about LAMBDA."""

from tests.engine.building import answer, attempts, output_of, script_request, started, task, task_def


def test_lambda_is_the_body_of_a_function() -> None:
    """What it returns is the result."""
    source = "if ($.a > 1) { return {big: true}; } return null;"
    scenario = started(task("l", "LAMBDA", input_parameters={"scriptExpression": source, "a": 2}))
    request = script_request(scenario, "l")
    assert (request.language, request.form, request.source) == ("javascript", "function", source)
    answer(scenario, "l", {"big": True})
    assert output_of(scenario, "l") == {"result": {"big": True}}
    assert scenario.status == "COMPLETED"


def test_lambda_that_fails_is_retried_as_its_definition_says() -> None:
    """Unlike INLINE, it is FAILED."""
    definition = task_def("l", retry_count=1, retry_delay_seconds=0)
    scenario = started(task("l", "LAMBDA", input_parameters={"scriptExpression": "return x;"}), others=[definition])
    answer(scenario, "l", None, "ReferenceError: x is not defined")
    assert attempts(scenario, "l") == [(0, "FAILED"), (1, "IN_PROGRESS")]
    answer(scenario, "l", 1)
    assert scenario.status == "COMPLETED"


def test_lambda_without_a_script_fails_for_good() -> None:
    """An expression may give nothing."""
    scenario = started(task("l", "LAMBDA", input_parameters={"scriptExpression": "${workflow.input.nothing}"}))
    assert scenario.statuses() == {"l": "FAILED_WITH_TERMINAL_ERROR"}
