"""What the condition of a loop sees, and what its value means.

Holds the document over which a `loopCondition` is evaluated after each pass. Must not evaluate. Keeps the invariant
that the document costs what the body has tasks, not what passes have been: the outputs of earlier passes are put
together only for a condition that names them.

Source: Conductor's `DoWhile.evaluateCondition`, `ScriptEvaluator.toBoolean`.
"""

import re

from engine.appliers.loop import pass_outputs
from engine.expressions.references import resolve
from engine.graph import Graph, Node
from engine.ids import RefName
from engine.json_value import JsonObject, JsonValue
from engine.late import LateObject
from engine.lookup import StateLookup
from engine.model import Task, WorkflowState


def condition_document(state: WorkflowState, graph: Graph, node: Node, loop: Task) -> JsonObject:
    """Return what `$` is: the loop's input parameters as they are now, its output, and the output of each body task.

    Raises:
        ResolutionExceeded: the expressions in the input parameters are too much work.
    """
    document: JsonObject = dict(resolve(node.task.input_parameters, StateLookup(state, loop.spec.seq)))
    document[node.ref] = LateObject(loop.progress.output, lambda: pass_outputs(state, loop.spec))
    around = node.place.pass_inside(state.scopes[loop.spec.ref].iteration).suffix
    for ref in graph.refs_inside(node.ref):
        task = _in_pass(state, ref, around, is_direct=graph.nodes[ref].depth == node.depth + 1)
        if task is not None:
            document[ref] = task.progress.output
    return document


def script_document(source: str, document: JsonObject, loop: RefName) -> JsonObject:
    """Return the document as JSON for a script: with the outputs of all passes, unless the script names none."""
    late = document[loop]
    if not isinstance(late, LateObject):
        return document
    return {**document, loop: late.whole() if _may_see_passes(source, loop) else dict(late)}


def goes_on(value: JsonValue) -> bool:
    """Tell whether a condition with this value asks for another pass: true, or a number above 0."""
    if isinstance(value, bool):
        return value
    return isinstance(value, int | float) and value > 0


def _in_pass(state: WorkflowState, ref: RefName, around: str, *, is_direct: bool) -> Task | None:
    """Return the newest attempt of a task in the pass; that of a loop inside, in its last pass."""
    if is_direct:
        return state.task(RefName(ref + around))
    task = state.named(ref)
    return task if task is not None and task.spec.ref.startswith(f"{ref}{around}__") else None


def _may_see_passes(source: str, loop: RefName) -> bool:
    """Tell whether a script could reach the loop's output by anything but `$.<loop>.iteration`, `.loopItem` or kin.

    Every use of `$` has to be spelt out for that: with an alias, a computed name or an escape, nobody knows.
    """
    name = re.escape(loop)
    known = re.compile(rf"\$(?:\.{name}|\[(['\"]){name}\1\])(?:\.|\[['\"])(?:iteration|loopItem|loopIndex)\b")
    rest = known.sub("", source)
    is_named = re.search(rf"(?<![\w$]){name}(?![\w$])", rest) is not None
    return is_named or "\\" in rest or re.search(r"\$(?!\.[A-Za-z_]|\[['\"])", rest) is not None
