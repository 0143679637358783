"""Simple expressions: everyday JavaScript conditions over `$`, evaluated where the decision is made.

Holds the evaluator. Must not grow into a JavaScript engine: what is outside the grammar is `NotSimple` and
belongs into the script sandbox. Keeps two invariants: the value is the one that a JavaScript engine gives,
and evaluation takes at most one step per node of a tree that is bounded at parsing.

Deliberate difference: a built-in method that is read but not called (`$.text.trim`) counts as undefined here.

Source: Conductor evaluates SWITCH and DECISION expressions with GraalJS, `$` being the task's input.
"""

from typing import assert_never

from engine.expressions import javascript
from engine.expressions.javascript import EvaluationFailed
from engine.expressions.simple_syntax import (
    UNDEFINED,
    Binary,
    Conditional,
    Literal,
    Logical,
    Member,
    Node,
    NotSimple,
    Root,
    Unary,
    Undefined,
    parse,
)
from engine.json_value import JsonValue

__all__ = [
    "UNDEFINED",
    "EvaluationFailed",
    "NotSimple",
    "Undefined",
    "check",
    "evaluate",
    "evaluate_raw",
    "text_of",
]


def check(source: str) -> None:
    """Accept an expression that `evaluate` can evaluate.

    Raises:
        NotSimple: it is not JavaScript, or more of it than is evaluated in process. The message says where.
    """
    parse(source)


def evaluate(source: str, document: JsonValue) -> JsonValue:
    """Return the value of an expression over `document` as JSON; undefined and NaN become null.

    Raises:
        NotSimple: see `check`.
        EvaluationFailed: JavaScript would throw (a property of null is read), or a bound is passed.
    """
    return javascript.to_json(evaluate_raw(source, document))


def evaluate_raw(source: str, document: JsonValue) -> JsonValue:
    """Return the value as JavaScript has it: numbers are floats, and `UNDEFINED` may come out.

    Raises:
        NotSimple, EvaluationFailed: see `evaluate`.
    """
    return _value(parse(source), javascript.from_json(document))


def text_of(value: JsonValue) -> str:
    """Return what `String(value)` gives for a JSON value: the text that SWITCH compares its cases with.

    Raises:
        EvaluationFailed: the value cannot be turned into text.
    """
    return javascript.to_text(javascript.from_json(value))


def _value(node: Node, document: JsonValue) -> JsonValue:
    match node:
        case Literal():
            return node.value
        case Root():
            return document
        case Member():
            return javascript.property_of(_value(node.target, document), node.name)
        case Unary():
            return _unary(node.operator, _value(node.operand, document))
        case Binary():
            return _binary(node.operator, _value(node.left, document), _value(node.right, document))
        case Logical():
            left = _value(node.left, document)
            return left if javascript.truthy(left) is (node.operator == "||") else _value(node.right, document)
        case Conditional():
            holds = javascript.truthy(_value(node.test, document))
            return _value(node.then if holds else node.otherwise, document)
        case _:
            assert_never(node)


def _unary(operator: str, operand: JsonValue) -> JsonValue:
    if operator == "!":
        return not javascript.truthy(operand)
    number = javascript.to_number(operand)
    return -number if operator == "-" else number


def _binary(operator: str, left: JsonValue, right: JsonValue) -> JsonValue:
    match operator:
        case "===":
            return javascript.strictly_equal(left, right)
        case "!==":
            return not javascript.strictly_equal(left, right)
        case "==":
            return javascript.loosely_equal(left, right)
        case "!=":
            return not javascript.loosely_equal(left, right)
        case "<":
            return javascript.less(left, right) is True
        case ">":
            return javascript.less(right, left) is True
        case "<=":
            return javascript.less(right, left) is False
        case ">=":
            return javascript.less(left, right) is False
        case "+":
            return javascript.add(left, right)
        case _:
            return _arithmetic(operator, javascript.to_number(left), javascript.to_number(right))


def _arithmetic(operator: str, left: float, right: float) -> float:
    match operator:
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return javascript.divide(left, right)
        case "%":
            return javascript.remainder(left, right)
        case _:
            raise ValueError(f"the parser accepted the operator {operator!r}, which has no meaning here")
