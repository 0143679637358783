"""Claims about what is refused at registration, and where the refusal points."""

import json
from pathlib import Path

import msgspec
import pytest
from _pytest.mark import ParameterSet

from engine.definitions import TaskDef, WorkflowDef
from engine.json_value import JsonObject, JsonValue
from engine.tasks.registry import TASK_TYPES
from engine.validation import SERVED_TASK_TYPES, Violation, validate_task, validate_workflow

EXAMPLE = Path("deploy/demo/video_processing_workflow.json")


def workflow(*tasks: JsonObject, **fields: JsonValue) -> tuple[Violation, ...]:
    """Return the violations of a workflow of these tasks; a name and a reference name are added where missing."""
    complete = [{"name": "work", "taskReferenceName": f"t{number}"} | task for number, task in enumerate(tasks)]
    document = {"name": "w", "tasks": complete} | fields
    return validate_workflow(msgspec.convert(document, WorkflowDef))


def simple(ref: str, **fields: JsonValue) -> JsonObject:
    """Return a task, SIMPLE unless its type is among the fields."""
    return {"name": "work", "taskReferenceName": ref} | fields


def fork(*branches: list[JsonObject], ref: str = "fork") -> JsonObject:
    """Return a FORK_JOIN of these branches."""
    return {"name": "fork", "taskReferenceName": ref, "type": "FORK_JOIN", "forkTasks": list(branches)}


def join(*refs: str, ref: str = "join") -> JsonObject:
    """Return a JOIN that awaits these reference names."""
    return {"name": "join", "taskReferenceName": ref, "type": "JOIN", "joinOn": list(refs)}


def switch(**cases: list[JsonObject]) -> JsonObject:
    """Return a SWITCH over the input key `key`."""
    return {
        "name": "switch",
        "taskReferenceName": "switch",
        "type": "SWITCH",
        "evaluatorType": "value-param",
        "expression": "key",
        "decisionCases": cases,
    }


def expecting(
    path: str, message: str, *tasks: JsonObject, also: tuple[str, ...] = (), **fields: JsonValue
) -> ParameterSet:
    """Return a row of the table, named by its path and message; `also` are paths with a consequence of it."""
    return pytest.param(list(tasks), fields, path, message, also, id=f"{path}-{message}")


@pytest.mark.parametrize(
    ("tasks", "fields", "path", "message", "also"),
    [
        expecting("name", "the name of a workflow should not be empty", simple("a"), name=" "),
        expecting("name", "should have no control characters and has U+000A", simple("a"), name="a\nb"),
        expecting("name", "should have at most 200 characters and has 201", simple("a"), name="x" * 201),
        expecting("version", "version should be at least 1 and is 0", simple("a"), version=0),
        expecting("timeoutSeconds", "timeoutSeconds should be at least 0 and is -1", simple("a"), timeoutSeconds=-1),
        expecting("tasks", "a workflow needs at least one task"),
        expecting("tasks[0].name", "the name of a task should not be empty", simple("a", name="")),
        expecting("tasks[0].taskReferenceName", "a reference name should not be empty", simple("")),
        expecting("tasks[0].taskReferenceName", "control characters and has U+0000", simple("a\0")),
        expecting("tasks[0].taskReferenceName", "at most 200 characters", simple("r" * 201)),
        expecting("tasks[0].type", "type should not be empty", simple("a", type="")),
        expecting("tasks[0].startDelay", "startDelay should be at least 0 and is -5", simple("a", startDelay=-5)),
        expecting("tasks[0].retryCount", "retryCount should be at least 0 and is -1", simple("a", retryCount=-1)),
        expecting(
            "tasks[1].taskReferenceName",
            "reference names are unique in a workflow; 'a' is also the one of tasks[0]",
            simple("a"),
            simple("a"),
        ),
        expecting(
            "tasks[0].forkTasks[1][0].taskReferenceName",
            "'a' is also the one of tasks[0].forkTasks[0][0]",
            fork([simple("a")], [simple("a")]),
            join("a"),
        ),
        expecting(
            "tasks[1].decisionCases.high[0].taskReferenceName",
            "'a' is also the one of tasks[0]",
            simple("a"),
            switch(high=[simple("a")]),
        ),
        expecting(
            "tasks[0].loopOver[0].taskReferenceName",
            "unique",
            simple("loop", type="DO_WHILE", loopCondition="false", loopOver=[simple("loop")]),
        ),
        expecting(
            "tasks[0].type",
            "the task type GRPC is not served yet; served are DECISION",
            simple("event", type="GRPC"),
        ),
        expecting("tasks[0].loopOver", "at least one task", simple("l", type="DO_WHILE", loopCondition="false")),
        expecting(
            "tasks[0].loopCondition",
            "needs loopCondition, or items",
            simple("l", type="DO_WHILE", loopOver=[simple("a")]),
        ),
        expecting(
            "tasks[0].inputParameters.keepLastN",
            "number from 1 on",
            simple("l", type="DO_WHILE", items=[1], loopOver=[simple("a")], inputParameters={"keepLastN": 0}),
        ),
        expecting(
            "tasks[1].taskReferenceName",
            "what 'a' is called in pass 2",
            simple("l", type="DO_WHILE", items=[1], loopOver=[simple("a")]),
            simple("a__2"),
        ),
        expecting(
            "tasks[1].joinOn[0]",
            "once per pass of a loop",
            simple("l", type="DO_WHILE", items=[1], loopOver=[simple("a")]),
            simple("j", type="JOIN", joinOn=["a"]),
        ),
        expecting(
            "tasks[0].dynamicForkTasksParam",
            "a FORK_JOIN_DYNAMIC needs",
            simple("f", type="FORK_JOIN_DYNAMIC"),
            simple("j", type="JOIN"),
        ),
        expecting(
            "tasks[0].dynamicForkTasksInputParamName",
            "beside it",
            simple("f", type="FORK_JOIN_DYNAMIC", dynamicForkTasksParam="tasks"),
            simple("j", type="JOIN"),
        ),
        expecting(
            "tasks[0]",
            "FORK_JOIN_DYNAMIC should be followed by a JOIN",
            simple("f", type="FORK_JOIN_DYNAMIC", dynamicForkJoinTasksParam="all"),
        ),
        expecting("tasks[0].inputParameters.startWorkflow", "a start request", simple("s", type="START_WORKFLOW")),
        expecting(
            "tasks[0].inputParameters.startWorkflow.name",
            "the name of a workflow",
            simple("s", type="START_WORKFLOW", inputParameters={"startWorkflow": {}}),
        ),
        expecting("tasks[0].joinOn", "needs joinOn", simple("e", type="EXCLUSIVE_JOIN")),
        expecting(
            "tasks[0].defaultExclusiveJoinTask[0]",
            "no reference name 'x'",
            simple("e", type="EXCLUSIVE_JOIN", defaultExclusiveJoinTask=["x"]),
        ),
        expecting("tasks[0].inputParameters.expression", "an INLINE needs expression", simple("a", type="INLINE")),
        expecting(
            "tasks[0].inputParameters.evaluatorType",
            "should be javascript or value-param and is 'python'",
            simple("a", type="INLINE", inputParameters={"evaluatorType": "python", "expression": "1"}),
        ),
        expecting("tasks[0].inputParameters.scriptExpression", "a LAMBDA needs", simple("a", type="LAMBDA")),
        expecting(
            "tasks[0].inputParameters.queryExpression",
            "a JSON_JQ_TRANSFORM needs",
            simple("a", type="JSON_JQ_TRANSFORM"),
        ),
        expecting(
            "tasks[0].evaluatorType",
            "should be value-param or javascript and is 'python'",
            switch(a=[simple("a")]) | {"evaluatorType": "python"},
        ),
        expecting("tasks[0].expression", "a SWITCH needs an expression", switch(a=[simple("a")]) | {"expression": ""}),
        expecting("tasks[0].decisionCases", "needs at least one of decisionCases", switch()),
        expecting(
            "tasks[0].caseValueParam",
            "needs caseValueParam or caseExpression",
            simple("d", type="DECISION", decisionCases={"x": [simple("a")]}),
        ),
        expecting("tasks[0].decisionCases", "a DECISION needs", simple("d", type="DECISION", caseValueParam="x")),
        expecting("tasks[0].dynamicTaskNameParam", "needs dynamicTaskNameParam", simple("d", type="DYNAMIC")),
        expecting("tasks[0].forkTasks", "needs at least one branch", fork(), join()),
        expecting("tasks[0].forkTasks[1]", "a branch of a FORK_JOIN needs", fork([simple("a")], []), join("a")),
        expecting("tasks[0]", "should be followed by a JOIN and is followed by nothing", fork([simple("a")])),
        expecting("tasks[0]", "followed by a JOIN and is followed by SIMPLE 'b'", fork([simple("a")]), simple("b")),
        expecting("tasks[1].joinOn[0]", "there is no reference name 'ghost'", fork([simple("a")]), join("ghost")),
        expecting("tasks[1].joinOn[0]", "cannot wait for itself", fork([simple("a")]), join("join")),
        expecting(
            "tasks[1].joinOn[0]",
            "'later' comes after this JOIN or waits for it",
            fork([simple("a")]),
            join("later"),
            simple("later"),
        ),
        expecting(
            "tasks[0].forkTasks[0][1].joinOn[0]",
            "'after' comes after this JOIN or waits for it",
            fork([fork([simple("a")], ref="inner"), join("after", ref="inner_join")]),
            join("inner_join"),
            switch(x=[simple("after")]),
            also=("tasks[1].joinOn[0]",),
        ),
        expecting(
            "tasks[0].forkTasks[0][0].joinOn[0]",
            "'right' comes after this JOIN or waits for it",
            fork([join("right", ref="left")], [join("left", ref="right")]),
            join("left", "right"),
            also=("tasks[0].forkTasks[1][0].joinOn[0]",),
        ),
        expecting("tasks[0].inputParameters.http_request", "needs http_request", simple("h", type="HTTP")),
        expecting("tasks[0].subWorkflowParam", "needs subWorkflowParam", simple("s", type="SUB_WORKFLOW")),
        expecting(
            "tasks[0].subWorkflowParam.name",
            "needs the name of a workflow",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={}),
        ),
        expecting(
            "tasks[0].subWorkflowParam.workflowDefinition",
            "should be a definition, or an expression",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": "literal"}),
        ),
        expecting(
            "tasks[0].subWorkflowParam.workflowDefinition",
            "Expected `array`",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": {"name": "c", "tasks": 5}}),
        ),
        expecting(
            "tasks[0].subWorkflowParam.workflowDefinition.tasks[0].type",
            "GRPC is not served yet",
            simple(
                "s",
                type="SUB_WORKFLOW",
                subWorkflowParam={"workflowDefinition": {"name": "c", "tasks": [simple("a", type="GRPC")]}},
            ),
        ),
        expecting(
            "tasks[0].subWorkflowParam.priority",
            "priority should be 0 to 99",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={"name": "c", "priority": 100}),
        ),
        expecting(
            "tasks[0].subWorkflowParam.idempotencyStrategy",
            "should be one of",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={"name": "c", "idempotencyStrategy": "ONCE"}),
        ),
        expecting(
            "tasks[0].inputParameters.terminationStatus",
            "one of COMPLETED, FAILED, TERMINATED, literally, and is None",
            simple("t", type="TERMINATE"),
        ),
        expecting(
            "tasks[0].inputParameters.terminationStatus",
            "literally, and is '${workflow.input.status}'",
            simple("t", type="TERMINATE", inputParameters={"terminationStatus": "${workflow.input.status}"}),
        ),
        expecting(
            "tasks[0].optional",
            "cannot be optional",
            simple("t", type="TERMINATE", optional=True, inputParameters={"terminationStatus": "FAILED"}),
        ),
        expecting(
            "tasks[0].inputParameters",
            "duration or until, not both",
            simple("w", type="WAIT", inputParameters={"duration": "5s", "until": "2030-01-01"}),
        ),
        expecting(
            "tasks[0].inputParameters.duration",
            "expected whole days, hours",
            simple("w", type="WAIT", inputParameters={"duration": "soon"}),
        ),
        expecting(
            "tasks[0].inputParameters.until",
            "expected 'yyyy-MM-dd HH:mm'",
            simple("w", type="WAIT", inputParameters={"until": "2030-13-01"}),
        ),
        expecting(
            "tasks[0].inputParameters.a.b[1]",
            "begins with 'workflow' or the reference name of a task of this workflow, found 'ghost'",
            simple("a", inputParameters={"a": {"b": [1, "x ${ghost.output.y}"]}}),
        ),
        expecting(
            "tasks[0].inputParameters['a key']",
            "write $${…} for literal text",
            simple("a", inputParameters={"a key": "${HOME}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "expected ')' or an operator at character 27 of 'workflow.input.list[?(@.a ~ 1)]', found '~'",
            simple("a", inputParameters={"x": "${workflow.input.list[?(@.a ~ 1)]}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "of a task of this workflow, found 'ghost'",
            simple("a", inputParameters={"x": "${workflow.input.list[?(@.a == $.ghost.output.a)]}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "found 'ghost'",
            simple("a", inputParameters={"x": "${workflow.input.${ghost.output.key}}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "expected a name, as in ${workflow.secrets.API_KEY}",
            simple("a", inputParameters={"x": "${workflow.secrets}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "${workflow.secrets.token} cannot stand here: only the input of a task that is handed out",
            simple("a", type="SET_VARIABLE", inputParameters={"x": "${workflow.secrets.token}"}),
        ),
        expecting(
            "outputParameters.x",
            "${workflow.env.region} cannot stand here",
            simple("a"),
            outputParameters={"x": "${workflow.env.region}"},
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "a secret or the environment cannot be part of a path",
            simple("a", inputParameters={"x": "${workflow.input.${workflow.secrets.token}}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "has to be written out",
            simple("a", inputParameters={"x": "${workflow.secrets.${workflow.input.name}}"}),
        ),
        expecting(
            "tasks[0].inputParameters.x",
            "not compare with one",
            simple("a", inputParameters={"x": "${workflow.input.list[?(@.a == $.workflow.secrets.token)]}"}),
        ),
        expecting(
            "tasks[0].inputParameters.expression",
            "give ${workflow.secrets.token} as an input of its own",
            simple("a", type="INLINE", inputParameters={"expression": "'${workflow.secrets.token}'"}),
        ),
        expecting(
            "outputParameters.x",
            "found 'CPEWF_TASK_ID'",
            simple("a"),
            outputParameters={"x": "${CPEWF_TASK_ID}"},
        ),
        expecting("outputParameters.x", "found 'ghost'", simple("a"), outputParameters={"x": "${ghost.output}"}),
        expecting(
            "tasks[0].subWorkflowParam.name",
            "found 'ghost'",
            simple("s", type="SUB_WORKFLOW", subWorkflowParam={"name": "${ghost.output.name}"}),
        ),
        expecting(
            "tasks[0].taskDefinition.retryCount",
            "retryCount should be at least 0",
            simple("a", taskDefinition={"name": "work", "retryCount": -1}),
        ),
    ],
)
def test_workflow_that_breaks_one_rule_is_told_where_and_what(
    tasks: list[JsonObject], fields: JsonObject, path: str, message: str, also: tuple[str, ...]
) -> None:
    """This rule is broken and no other; the path leads to the place in the JSON."""
    violations = workflow(*tasks, **fields)

    assert sorted(found.path for found in violations) == sorted((path, *also))
    assert any(found.path == path and message in found.message for found in violations), violations


@pytest.mark.parametrize(
    "tasks",
    [
        [simple("a b-c_d"), simple("e", inputParameters={"x": "${a b-c_d.output.y} $${literal} ${}"})],
        [simple("a", type="my_worker_type"), simple("b", type="USER_DEFINED")],
        [fork([simple("a")], [simple("b")]), join("a", "b")],
        [fork([simple("a")]), join()],
        [simple("first"), fork([simple("a"), simple("b")]), join("a", "b", "first")],
        [fork([simple("a")], [join("a", ref="mid")]), join("mid")],
        [fork([switch(x=[simple("a")], y=[simple("b")])]), join("a", "b", "switch")],
        [switch(x=[]) | {"evaluatorType": "javascript", "expression": "$.a > 5 ? 'x' : 'y';"}],
        [simple("d", type="DECISION", caseExpression="$.a", decisionCases={"x": [simple("a")]})],
        [simple("d", type="DYNAMIC", dynamicTaskNameParam="taskToRun")],
        [simple("h", type="HTTP", inputParameters={"uri": "http://example.com", "method": "GET"})],
        [simple("h", type="HTTP", inputParameters={"http_request": "${workflow.input.request}"})],
        [simple("s", type="SUB_WORKFLOW", subWorkflowParam={"name": "child", "priority": "${workflow.input.p}"})],
        [simple("s", type="SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": "${workflow.input.d}"})],
        [simple("w", type="WAIT")],
        [simple("w", type="WAIT", inputParameters={"duration": "${workflow.input.seconds}"})],
        [simple("w", type="WAIT", inputParameters={"until": "2030-01-01 12:00 Europe/Vienna"})],
        [simple("v", type="SET_VARIABLE", inputParameters={"x": 1}), simple("n", type="NOOP")],
        [simple("u", type="HUMAN")],
        [simple("t", type="TERMINATE", inputParameters={"terminationStatus": "COMPLETED"})],
        [
            simple(
                "s",
                type="SUB_WORKFLOW",
                subWorkflowParam={
                    "workflowDefinition": {"name": "c", "tasks": [simple("s", inputParameters={"x": "${s.output}"})]}
                },
            )
        ],
    ],
    ids=str,
)
def test_sound_workflow_has_no_violation(tasks: list[JsonObject]) -> None:
    """Each type in a form that works; reference names of an embedded definition are its own."""
    assert workflow(*tasks) == ()


def test_every_violation_is_told_at_once() -> None:
    """Whoever corrects a definition need not come back for the next message."""
    violations = workflow(
        simple("a", startDelay=-1),
        simple("a", type="GRPC"),
        simple("w", type="WAIT", inputParameters={"duration": "soon", "x": "${ghost.y}"}),
        name="",
        outputParameters={"o": "${workflow...x}"},
    )

    assert [violation.path for violation in violations] == [
        "name",
        "tasks[0].startDelay",
        "tasks[1].taskReferenceName",
        "tasks[1].type",
        "tasks[2].inputParameters.duration",
        "tasks[2].inputParameters.x",
        "outputParameters.o",
    ]


def test_example_of_the_demo_has_no_violation() -> None:
    """The workflow that ships as demo can be registered."""
    assert validate_workflow(msgspec.json.decode(EXAMPLE.read_bytes(), type=WorkflowDef)) == ()


def test_task_definitions_of_the_demo_have_no_violation() -> None:
    """The task definitions that ship as demo can be registered."""
    definitions = json.loads(EXAMPLE.with_name("taskdefs.json").read_text())
    assert [validate_task(msgspec.convert(one, TaskDef)) for one in definitions] == [()] * len(definitions)


def test_served_types_are_those_that_the_engine_does() -> None:
    """Registration and engine read the same list of types."""
    assert set(TASK_TYPES) == SERVED_TASK_TYPES


def test_types_that_a_caller_knows_are_not_refused() -> None:
    """The set of served types is the caller's to widen."""
    definition = msgspec.convert({"name": "w", "tasks": [simple("a", type="GRPC")]}, WorkflowDef)
    assert validate_workflow(definition, known_task_types=SERVED_TASK_TYPES | {"GRPC"}) == ()


def test_nesting_beyond_the_bound_is_told_and_not_entered() -> None:
    """Neither deep tasks, nor deep definitions in one another, nor deep values exhaust the stack."""
    nested = simple("leaf")
    for number in range(60):
        nested = switch(x=[nested]) | {"taskReferenceName": f"s{number}"}
    assert ["nested 50 deep" in found.message for found in workflow(nested)] == [True]

    embedded: JsonObject = {"name": "w", "tasks": [simple("leaf")]}
    for _ in range(60):
        parameters = {"workflowDefinition": embedded}
        embedded = {"name": "w", "tasks": [simple("s", type="SUB_WORKFLOW", subWorkflowParam=parameters)]}
    violations = validate_workflow(msgspec.convert(embedded, WorkflowDef))
    assert ["nested 50 deep" in found.message for found in violations] == [True]

    value: JsonValue = "x"
    for _ in range(150):
        value = [value]
    assert ["nested 100 deep" in f.message for f in workflow(simple("a", inputParameters={"v": value}))] == [True]


def test_large_fork_is_checked_in_linear_time() -> None:
    """Five thousand branches with a JOIN over all of them, each branch awaiting its neighbour."""
    branches = [[simple("b0")]] + [[join(f"b{number - 1}", ref=f"b{number}")] for number in range(1, 5_000)]
    assert workflow(fork(*branches), join(*(f"b{number}" for number in range(5_000)))) == ()


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"name": ""}, "name", "should not be empty"),
        ({"retryCount": -1}, "retryCount", "at least 0 and is -1"),
        ({"retryDelaySeconds": -1}, "retryDelaySeconds", "at least 0"),
        ({"timeoutSeconds": -1}, "timeoutSeconds", "at least 0"),
        ({"responseTimeoutSeconds": 0}, "responseTimeoutSeconds", "at least 1 and is 0"),
        ({"pollTimeoutSeconds": -1}, "pollTimeoutSeconds", "at least 0"),
        ({"totalTimeoutSeconds": -1}, "totalTimeoutSeconds", "at least 0"),
        ({"backoffScaleFactor": 0}, "backoffScaleFactor", "at least 1"),
        ({"maxRetryDelaySeconds": -1}, "maxRetryDelaySeconds", "at least 0"),
        ({"backoffJitterMs": -1}, "backoffJitterMs", "at least 0"),
        ({"concurrentExecLimit": -1}, "concurrentExecLimit", "at least 0"),
        ({"rateLimitPerFrequency": -1}, "rateLimitPerFrequency", "at least 0"),
        ({"timeoutSeconds": 60}, "responseTimeoutSeconds", "at most timeoutSeconds (60) and is 3600"),
        (
            {"timeoutSeconds": 4000, "totalTimeoutSeconds": 3999},
            "timeoutSeconds",
            "at most totalTimeoutSeconds (3999) and is 4000",
        ),
        ({"queue": {"partitions": 0}}, "queue.partitions", "1 to 1024 and is 0"),
        ({"queue": {"key": "videoId"}}, "queue.key", "should be an expression over the task's input"),
        ({"queue": {"key": "${other.output.x}"}}, "queue.key", "not 'other'"),
        ({"queue": {"key": "${input.list[}"}}, "queue.key", "expected 'name'"),
        ({"queue": {"key": "${other.list[*]}"}}, "queue.key", "not 'other'"),
        ({"queue": {"key": "${workflow.secrets.x}"}}, "queue.key", "not '${workflow.secrets.x}'"),
        ({"inputTemplate": {"x": "${a[}"}}, "inputTemplate", "expected 'name'"),
    ],
)
def test_task_definition_that_breaks_one_rule_is_told_where_and_what(
    fields: JsonObject, path: str, message: str
) -> None:
    """Exactly this rule is broken."""
    violations = validate_task(msgspec.convert({"name": "work"} | fields, TaskDef))

    assert [found.path for found in violations] == [path]
    assert message in violations[0].message


def test_sound_task_definition_has_no_violation() -> None:
    """Defaults, and every bound used at its edge."""
    assert validate_task(TaskDef(name="work")) == ()
    edge = {"name": "w", "timeoutSeconds": 60, "responseTimeoutSeconds": 60, "totalTimeoutSeconds": 60}
    queue = {"queue": {"partitions": 8, "key": "${input.videoId}"}}
    assert validate_task(msgspec.convert(edge | queue, TaskDef)) == ()
