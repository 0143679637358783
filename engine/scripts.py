"""What a script has to compute for a task: JavaScript or jq that the engine cannot evaluate itself.

Holds the derivation of a request from the state, for whoever runs scripts, and the scheduling of tasks that wait for
one. Must not run anything. Keeps the invariant that a request is a function of state and definition: asked again, by a
new owner too, it is the same again.

An answer comes as the report of a result whose output has `result`, and for the condition of a loop `iteration`.
"""

from typing import Final

import msgspec

from engine.conditions import condition_document, script_document
from engine.dispatch import TO_SCRIPT
from engine.draft import Attempt, Draft
from engine.expressions.budget import ResolutionExceeded
from engine.graph import Graph, Node
from engine.ids import TaskSeq
from engine.json_value import JsonObject
from engine.model import OpenTask, WorkflowState
from engine.nodes import node_of
from engine.outside import schedule_outside

JAVASCRIPT: Final = "javascript"
JQ: Final = "jq"
COMPLETION: Final = "completion"
"""The form of a source whose value is that of its last statement."""
FUNCTION: Final = "function"
"""The form of a source that is the body of a function."""

EVALUATORS: Final = frozenset({"javascript", "graaljs"})
"""The words for JavaScript in definitions."""

EXPRESSION: Final = "expression"
SCRIPT_EXPRESSION: Final = "scriptExpression"
QUERY_EXPRESSION: Final = "queryExpression"
"""The input keys under which INLINE, LAMBDA and JSON_JQ_TRANSFORM have their source."""


class ScriptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A script to run over a document, at an instant. `iteration`: the pass of a loop whose condition it is, else 0."""

    language: str
    form: str
    source: str
    document: JsonObject
    now_ms: int
    iteration: int = 0


def script_of(state: WorkflowState, task: OpenTask, graph: Graph) -> ScriptRequest:
    """Return what has to be computed for a task that is out with dispatch `script`."""
    spec = task.spec
    node = node_of(graph, state, spec)
    if spec.repeats:
        source = node.task.loop_condition or ""
        try:
            document = script_document(source, condition_document(state, graph, node, task), node.ref)
        except ResolutionExceeded as error:
            source, document = f"throw new Error({msgspec.json.encode(str(error)).decode()})", {}
        return _javascript(task, source, document, iteration=state.loops[spec.seq])
    match spec.type:
        case "SWITCH":
            return _javascript(task, node.task.expression or "", spec.input)
        case "DECISION":
            return _javascript(task, node.task.case_expression or "", spec.input)
        case "LAMBDA":
            return _javascript(task, str(spec.input[SCRIPT_EXPRESSION]), spec.input, form=FUNCTION)
        case "JSON_JQ_TRANSFORM":
            return ScriptRequest(
                language=JQ,
                form=COMPLETION,
                source=str(spec.input[QUERY_EXPRESSION]),
                document=spec.input,
                now_ms=task.progress.updated_at_ms,
            )
        case _:
            return _javascript(task, str(spec.input[EXPRESSION]), spec.input)


def schedule_script(draft: Draft, node: Node, attempt: Attempt, given: JsonObject) -> TaskSeq:
    """Schedule a task whose result a script computes, and begin it, unless it is delayed."""
    return schedule_outside(draft, node, attempt, given, dispatch=TO_SCRIPT)


def _javascript(
    task: OpenTask, source: str, document: JsonObject, *, form: str = COMPLETION, iteration: int = 0
) -> ScriptRequest:
    return ScriptRequest(
        language=JAVASCRIPT,
        form=form,
        source=source,
        document=document,
        now_ms=task.progress.updated_at_ms,
        iteration=iteration,
    )
