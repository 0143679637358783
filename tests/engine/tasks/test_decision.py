"""Claims about DECISION, the older SWITCH."""

from tests.engine.building import answer, output_of, script_request, started, task


def test_decision_takes_the_case_that_a_parameter_names() -> None:
    """`caseValueParam` names the input key whose value is the case."""
    scenario = started(
        task(
            "d",
            "DECISION",
            case_value_param="kind",
            input_parameters={"kind": "${workflow.input.kind}"},
            decision_cases={"a": (task("x"),)},
            default_case=(task("y"),),
        ),
        task("after"),
        kind="a",
    )
    assert scenario.open_refs() == ["x"]
    assert output_of(scenario, "d") == {"caseOutput": ["a"]}
    scenario.complete("x")
    assert scenario.open_refs() == ["after"]


def test_decision_evaluates_a_case_expression() -> None:
    """`caseExpression` is evaluated over the input and wins over `caseValueParam`."""
    scenario = started(
        task(
            "d",
            "DECISION",
            case_expression="$.n > 1 ? 'many' : 'one'",
            case_value_param="n",
            input_parameters={"n": 2},
            decision_cases={"many": (task("m"),), "one": (task("o"),)},
        )
    )
    assert scenario.open_refs() == ["m"]


def test_decision_empty_case_falls_back_to_the_default() -> None:
    """Unlike in a SWITCH, a case without tasks is as good as none."""
    scenario = started(
        task(
            "d",
            "DECISION",
            case_value_param="k",
            input_parameters={"k": "a"},
            decision_cases={"a": ()},
            default_case=(task("y"),),
        )
    )
    assert scenario.open_refs() == ["y"]


def test_decision_without_anything_to_enter_goes_on() -> None:
    """No case and no default lead straight on."""
    scenario = started(
        task("d", "DECISION", case_value_param="missing", decision_cases={"a": (task("x"),)}), task("after")
    )
    assert scenario.open_refs() == ["after"]
    assert output_of(scenario, "d") == {"caseOutput": ["null"]}


def test_decision_with_a_bad_expression_fails_the_workflow() -> None:
    """An expression that cannot be evaluated ends the workflow, with the reason."""
    scenario = started(task("d", "DECISION", case_expression="$.a.b.c", decision_cases={"a": (task("x"),)}))
    assert (scenario.status, scenario.statuses()["d"]) == ("FAILED", "FAILED")


def test_decision_with_real_javascript_waits_for_the_script() -> None:
    """The answer chooses the case."""
    cases = {"x": (task("a"),)}
    scenario = started(task("d", "DECISION", case_expression="if (true) { 'x'; }", decision_cases=cases))
    assert script_request(scenario, "d").source == "if (true) { 'x'; }"
    answer(scenario, "d", "x")
    assert scenario.open_refs() == ["a"]
