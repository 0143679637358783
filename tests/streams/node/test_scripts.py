"""Claims about scripts on a whole node: real JavaScript and real jq, from the definition to the output."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from engine.commands import StartWorkflow
from engine.definitions import WorkflowDef
from engine.ids import WorkflowId
from engine.status import WorkflowStatus
from streams.node import RunningNode, open_node
from streams.settings import NodeSettings
from tests.streams.node.test_node import ended

SCRIPTED = msgspec.convert(
    {
        "name": "scripted",
        "tasks": [
            {
                "name": "double",
                "taskReferenceName": "double",
                "type": "INLINE",
                "inputParameters": {"expression": "$.list.map(n => n * 2)", "list": "${workflow.input.list}"},
            },
            {
                "name": "pick",
                "taskReferenceName": "pick",
                "type": "JSON_JQ_TRANSFORM",
                "inputParameters": {"queryExpression": ".all[] | select(. > 2)", "all": "${double.output.result}"},
            },
            {
                "name": "choose",
                "taskReferenceName": "choose",
                "type": "SWITCH",
                "evaluatorType": "javascript",
                "expression": "(function () { return $.n.toString().length > 0 ? 'some' : 'none'; })()",
                "inputParameters": {"n": "${pick.output.result}"},
                "decisionCases": {
                    "some": [
                        {
                            "name": "loop",
                            "taskReferenceName": "loop",
                            "type": "DO_WHILE",
                            "loopCondition": "if ($.loop.iteration < $.max) { true; } else { false; }",
                            "inputParameters": {"max": 3},
                            "loopOver": [
                                {
                                    "name": "square",
                                    "taskReferenceName": "square",
                                    "type": "LAMBDA",
                                    "inputParameters": {
                                        "scriptExpression": "return $.n * $.n;",
                                        "n": "${loop.output.iteration}",
                                    },
                                }
                            ],
                        }
                    ]
                },
            },
        ],
        "outputParameters": {
            "picked": "${pick.output.resultList}",
            "squares": "${loop.output}",
            "case": "${choose.output.selectedCase}",
        },
    },
    WorkflowDef,
)
BROKEN = msgspec.convert(
    {
        "name": "broken",
        "tasks": [
            {
                "name": "b",
                "taskReferenceName": "b",
                "type": "INLINE",
                "inputParameters": {"expression": "for (;;) {}"},
            }
        ],
    },
    WorkflowDef,
)


@asynccontextmanager
async def _node(folder: Path) -> AsyncIterator[RunningNode]:
    async with open_node(NodeSettings(data_dir=folder, url="http://127.0.0.1:0", history=False)) as node:
        for definition in (SCRIPTED, BROKEN):
            await node.definitions.put_workflow(definition)
        yield node


async def _started(node: RunningNode, name: str, **given: object) -> WorkflowId:
    workflow_id = WorkflowId(f"{name}-1")
    await node.workflows.submit(StartWorkflow(name=name, workflow_id=workflow_id, input=given))
    return workflow_id


async def test_real_javascript_and_jq_decide_and_compute(tmp_path: Path) -> None:
    """INLINE, jq, LAMBDA, a SWITCH over a function and a loop condition of statements, one after the other."""
    async with _node(tmp_path) as node:
        state = await ended(node, await _started(node, "scripted", list=[1, 2, 3]))
    assert state.reason == ""
    assert state.output == {
        "picked": [4, 6],
        "case": "some",
        "squares": {"iteration": 3, **{str(n): {"square": {"result": n * n}} for n in (1, 2, 3)}},
    }


async def test_script_without_end_fails_its_task_with_the_reason(tmp_path: Path) -> None:
    """And nothing else: the node goes on with other scripts."""
    async with _node(tmp_path) as node:
        broken = await ended(node, await _started(node, "broken"))
        whole = await ended(node, await _started(node, "scripted", list=[1, 2, 3]))
    assert "ran longer than 1000 ms" in broken.reason
    assert whole.status is WorkflowStatus.COMPLETED


async def test_script_under_way_at_a_stop_is_run_again_by_the_next_owner(tmp_path: Path) -> None:
    """What was asked for stands in the log, and so does that nobody has answered yet."""
    async with _node(tmp_path) as node:
        workflow_id = await _started(node, "scripted", list=[1, 2, 3])
    async with _node(tmp_path) as node:
        state = await ended(node, workflow_id)
    assert state.status is WorkflowStatus.COMPLETED
