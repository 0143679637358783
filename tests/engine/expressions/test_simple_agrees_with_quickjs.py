"""Simple expressions mean what JavaScript says they mean: 100,000 of them against an independent engine.

Holds the generator and the comparison. Must not hold expected values: QuickJS gives them. The invariant:
value, type and failure agree for every generated expression and document.
"""

import json
import math
import random

import pytest
import quickjs

from engine.expressions import simple
from engine.json_value import JsonValue

SAMPLE = 4_000
"""So many are tried with every run of the tests."""
EXPRESSIONS = 100_000
BATCHES = 5
PER_DOCUMENT = 200

# JavaScript's own words about a value, so that -0, NaN, undefined and number formatting are compared too.
DESCRIBE = """
function described(source) {
  let value;
  try { value = (0, eval)(source); } catch (error) { return "throws " + error.name; }
  if (Object.is(value, -0)) return "number -0";
  if (value === undefined) return "undefined";
  if (value !== null && typeof value === "object") return "object " + JSON.stringify(value);
  return (value === null ? "null" : typeof value) + " " + JSON.stringify(String(value));
}
"""

OPERATORS = ["==", "!=", "===", "!==", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "&&", "||"]
KEYS = ["a", "b", "n", "s", "list", "flag", "nothing", "deep", "empty", "length", "toText", "ünï"]
TEXTS = [
    "",
    "x",
    "10",
    " 12 ",
    "1e3",
    "0x1F",
    "-0",
    "abc",
    "null",
    "true",
    "NaN",
    "Infinity",
    "ä€",
    "😀z",
    "[object Object]",
    "1,2",
]
NUMBERS = [
    "0",
    "1",
    "2",
    "5",
    "10",
    "0.1",
    "1.5",
    ".5",
    "7.",
    "1e21",
    "1e-7",
    "123456789012345680000",
    "0x1f",
    "0b101",
    "1e400",
]
PLAIN_VALUES: list[JsonValue] = [
    None,
    True,
    False,
    0,
    -0.0,
    1,
    5,
    -3,
    2.5,
    1e21,
    5e-324,
    1.79e308,
    2**53 + 1,
    10**30,
]


class Generator:
    """Random expressions and documents; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self) -> dict[str, JsonValue]:
        """Return an object with most of the keys that expressions name."""
        return {key: self.value(3) for key in self.random.sample(KEYS, 8)} | {"a": {"b": self.value(2)}}

    def value(self, depth: int) -> JsonValue:
        """Return any JSON value, nested at most `depth` deep."""
        choose = self.random.random()
        if depth and choose < 0.15:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        if depth and choose < 0.3:
            return {key: self.value(depth - 1) for key in self.random.sample(KEYS, self.random.randrange(4))}
        if choose < 0.8:
            return self.random.choice(PLAIN_VALUES)
        return self.random.choice(
            [self.random.choice(TEXTS), self.random.uniform(-1e6, 1e6), self.random.randrange(-100, 100)]
        )

    def expression(self, depth: int) -> str:
        """Return an expression with operators at most `depth` deep."""
        if depth == 0 or self.random.random() < 0.15:
            return self.leaf()
        kind = self.random.random()
        if kind < 0.65:
            operator = self.random.choice(OPERATORS)
            return f"{self.expression(depth - 1)}{self.space()}{operator} {self.expression(depth - 1)}"
        if kind < 0.75:
            return f"({self.expression(depth - 1)})"
        if kind < 0.87:
            return f"{self.random.choice('!-+')} {self.operand(depth - 1)}"
        return f"({self.operand(depth - 1)} ? {self.expression(depth - 1)} : {self.expression(depth - 1)})"

    def operand(self, depth: int) -> str:
        """Return what may follow a sign: a value, or an expression in parentheses."""
        return self.leaf() if self.random.random() < 0.5 else f"({self.expression(depth)})"

    def leaf(self) -> str:
        """Return a member of the document or a literal."""
        kind = self.random.random()
        if kind < 0.55:
            return "$" + "".join(self.step() for _ in range(self.random.choice([1, 1, 1, 2, 2, 3])))
        if kind < 0.7:
            return self.random.choice(NUMBERS)
        if kind < 0.85:
            text = self.random.choice(TEXTS)
            return json.dumps(text, ensure_ascii=False) if self.random.random() < 0.5 else f"'{text}'"
        return self.random.choice(["true", "false", "null", "undefined", "$", "'it\\'s\\n'"])

    def step(self) -> str:
        """Return one property access in one of its spellings."""
        key = self.random.choice(KEYS)
        choose = self.random.random()
        if choose < 0.15:
            return f"[{self.random.randrange(4)}]"
        if choose < 0.25 or not key.isascii():
            return f"['{key}']"
        return f".{key}"

    def space(self) -> str:
        """Return white space, or none."""
        return self.random.choice(["", " ", "\n", "\t "])


def described(source: str, document: JsonValue) -> str:
    """Return what `described` of the engine says, computed by the evaluator under test."""
    try:
        value = simple.evaluate_raw(source, document)
    except simple.EvaluationFailed:
        return "throws TypeError"
    if value is simple.UNDEFINED:
        return "undefined"
    if isinstance(value, dict | list):
        return "object " + canonical(value)
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        return "number -0"
    kind = {type(None): "null", bool: "boolean", str: "string"}.get(type(value), "number")
    return f"{kind} {json.dumps(simple.text_of(value))}"


def canonical(value: JsonValue) -> str:
    """Return JSON with every number as a double and no negative zero, as `JSON.stringify` does."""
    plain = json.loads(json.dumps(value), parse_int=double, parse_float=double)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True)


def double(text: str) -> float:
    """Return a number as JavaScript has it, without the sign of zero."""
    return float(text) + 0.0


def comparable(text: str) -> str:
    """Return what the other engine said, its JSON in the spelling of Python."""
    kind, _, described_value = text.partition(" ")
    if kind in {"throws", "undefined"} or described_value == "-0":
        return text
    value = json.loads(described_value)
    return f"{kind} {canonical(value) if kind == 'object' else json.dumps(value)}"


def test_sample_of_expressions_gives_the_same_value_in_quickjs() -> None:
    """Type, value and failure of every expression are those of the other engine."""
    _compare(Generator(seed=20260117), SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_hundred_thousand_expressions_give_the_same_value_in_quickjs(batch: int) -> None:
    """The same for very many, in batches that are bounded in time."""
    _compare(Generator(seed=20260118 + batch), EXPRESSIONS // BATCHES)


def _compare(generator: Generator, expressions: int) -> None:
    differences: list[str] = []
    kinds: set[str] = set()
    for _ in range(expressions // PER_DOCUMENT):
        document = generator.document()
        engine = quickjs.Context()
        engine.eval(DESCRIBE + f"var $ = JSON.parse({json.dumps(json.dumps(document))});")
        describe = engine.get("described")
        for _ in range(PER_DOCUMENT):
            source = generator.expression(4) + generator.random.choice(["", "", " ;"])
            simple.check(source)
            expected, found = comparable(describe(source)), described(source, document)
            kinds.add(expected.split(" ")[0])
            if expected != found:
                differences.append(f"{source!r} over {document!r}: QuickJS {expected}, here {found}")
    assert not differences, "\n".join(differences[:3])
    assert kinds == {"throws", "undefined", "object", "null", "boolean", "number", "string"}
