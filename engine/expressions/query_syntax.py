"""From the text of a path to a `Query`.

Holds the parser. Must not evaluate. Keeps the invariant that it ends after one pass over the text, whatever the text
is, and refuses what it cannot read by saying where and why.

Source: Jayway JsonPath 2.9. What it takes for something else than it says (a step of a slice, text behind a function,
a bracket that is never closed) is refused here.
"""

import re
from typing import Final, NoReturn

import msgspec

from engine.expressions.pattern_syntax import PatternInvalid, parse_pattern
from engine.expressions.patterns import Pattern
from engine.expressions.queries import (
    FUNCTIONS,
    AllOf,
    AnyOf,
    Call,
    Children,
    Comparison,
    Condition,
    Descent,
    Exists,
    Filter,
    Literal,
    Not,
    Operand,
    Positions,
    Query,
    Slice,
    Step,
    Wildcard,
    is_definite,
)
from engine.json_value import JsonValue

DEPTH_MAX: Final = 16
"""Of filters, parentheses and arguments in one another: evaluation is recursive."""

_BLANKS: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[^.\[\]()*]+")
_NAME_IN_FILTER: Final = re.compile(r"[^.\[\]()*\s=!<>~&|,'\"]+")
_POSITIONS: Final = re.compile(r"\s*-?\d{1,9}\s*(?:,\s*-?\d{1,9}\s*)*\]")
_SLICE: Final = re.compile(r"\s*(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*\]")
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_REGULAR: Final = re.compile(r"/((?:[^/\\]|\\.)*)/([a-zA-Z]*)", re.DOTALL)
_SYMBOL: Final = re.compile(r"===|!==|==|!=|<=|>=|=~|<|>")
_WORD: Final = re.compile(r"(in|nin|contains|all|size|empty|subsetof|anyof|noneof)\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CONSTANT: Final = re.compile(r"(true|false|null)\b")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


class PathInvalid(ValueError):
    """A path cannot be read. The message says where and why."""


def parse_query(text: str) -> Query:
    """Return the query that a text spells; `$.` before it may be left out.

    Raises:
        PathInvalid: the text is no path.
    """
    reader = _Reader(text.strip())
    steps = reader.steps(_NAME, 0, first=not reader.take("$"))
    if reader.position < len(reader.text):
        reader.refuse("'.', '[' or the end")
    if not steps:
        reader.refuse("a name behind '$'")
    return Query(from_root=True, steps=steps, is_definite=is_definite(steps))


class _Reader:
    """Reads one path, from the left to the right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def take(self, text: str) -> bool:
        """Step over a text if it is next."""
        if not self.text.startswith(text, self.position):
            return False
        self.position += len(text)
        return True

    def refuse(self, expected: str) -> NoReturn:
        """Say what should be here, and what is."""
        found = repr(self.text[self.position]) if self.position < len(self.text) else "the end"
        raise PathInvalid(f"expected {expected} at character {self.position + 1} of {self.text!r}, found {found}")

    def steps(self, names: re.Pattern[str], depth: int, *, first: bool = False) -> tuple[Step, ...]:
        """Return the steps that begin here. `first`: a name may come without its dot."""
        if depth > DEPTH_MAX:
            self.refuse(f"at most {DEPTH_MAX} filters and parentheses in one another")
        found: list[Step] = []
        while True:
            if self.take("["):
                found.append(self._bracket(depth))
            elif self.take(".."):
                found.append(Descent())
                found.append(self._bracket(depth) if self.take("[") else self._named(names, depth))
            elif first or self.take("."):
                found.append(self._named(names, depth))
            else:
                return tuple(found)
            first = False
            if isinstance(found[-1], Call):
                if self.text.startswith((".", "["), self.position):
                    self.refuse("nothing behind a function")
                if len(found) > 1 and isinstance(found[-2], Descent):
                    self.refuse("a name between '..' and a function")
                return tuple(found)

    def _named(self, names: re.Pattern[str], depth: int) -> Step:
        """Return what stands behind a dot."""
        if self.take("*"):
            return Wildcard()
        name = names.match(self.text, self.position)
        if name is None:
            self.refuse("a name")
        if not self.text.startswith("(", name.end()):
            self.position = name.end()
            return Children(names=(name.group(),))
        if name.group() not in FUNCTIONS:
            self.refuse(f"one of the functions {', '.join(sorted(FUNCTIONS))}")
        self.position = name.end() + 1
        return Call(name=name.group(), arguments=self._arguments(depth))

    def _arguments(self, depth: int) -> tuple[Operand, ...]:
        self._skip()
        if self.take(")"):
            return ()
        arguments = [self._operand(depth + 1)]
        while not self._taken(")"):
            if not self.take(","):
                self.refuse("',' or ')'")
            arguments.append(self._operand(depth + 1))
        if any(isinstance(argument, Pattern) for argument in arguments):
            self.refuse("arguments that are values or paths")
        return tuple(arguments)

    def _bracket(self, depth: int) -> Step:
        """Return what stands behind '['."""
        positions = _POSITIONS.match(self.text, self.position)
        if positions is not None:
            self.position = positions.end()
            return Positions(positions=tuple(int(number) for number in positions.group()[:-1].split(",")))
        piece = _SLICE.match(self.text, self.position)
        if piece is not None and (piece.group(1) or piece.group(2)):
            self.position = piece.end()
            start, end = (None if bound is None else int(bound) for bound in piece.groups())
            return Slice(start=start, end=end)
        self._skip()
        step: Step
        if self.take("*"):
            step = Wildcard()
        elif self.take("?"):
            self._skip()
            if not self.take("("):
                self.refuse("'('")
            step = Filter(condition=self._condition(depth + 1))
            if not self._taken(")"):
                self.refuse("')' or an operator")
        else:
            step = Children(names=self._quoted_names())
        if not self._taken("]"):
            self.refuse("']'")
        return step

    def _quoted_names(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._skip()
            quoted = _QUOTED.match(self.text, self.position)
            if quoted is None:
                self.refuse("'name', a position, a slice such as 0:2, * or ?(condition)")
            self.position = quoted.end()
            names.append(_unquoted(quoted))
            self._skip()
            if not self.take(","):
                return tuple(names)

    # ---- conditions

    def _condition(self, depth: int) -> Condition:
        if depth > DEPTH_MAX:
            self.refuse(f"at most {DEPTH_MAX} filters and parentheses in one another")
        parts = [self._conjunction(depth)]
        while self._taken("||"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else AnyOf(conditions=tuple(parts))

    def _conjunction(self, depth: int) -> Condition:
        parts = [self._negation(depth)]
        while self._taken("&&"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else AllOf(conditions=tuple(parts))

    def _negation(self, depth: int) -> Condition:
        if depth > DEPTH_MAX:
            self.refuse(f"at most {DEPTH_MAX} filters and parentheses in one another")
        if self._taken("!"):
            return Not(condition=self._negation(depth + 1))
        if not self.take("("):
            return self._comparison(depth)
        condition = self._condition(depth + 1)
        if not self._taken(")"):
            self.refuse("')'")
        return condition

    def _comparison(self, depth: int) -> Condition:
        left = self._operand(depth)
        self._skip()
        operator = _SYMBOL.match(self.text, self.position) or _WORD.match(self.text, self.position)
        if operator is None:
            if not isinstance(left, Query):
                self.refuse("an operator")
            return Exists(query=left)
        self.position = operator.end()
        right = self._operand(depth)
        name = operator.group().lower()
        if (name == "=~") is not (isinstance(left, Pattern) or isinstance(right, Pattern)):
            self.refuse("=~ together with a regular expression such as /a.*/")
        if isinstance(left, Pattern):
            left, right = right, left
        return Comparison(left=left, operator=name, right=right)

    def _operand(self, depth: int) -> Operand:
        self._skip()
        for mark, from_root in (("@", False), ("$", True)):
            if self.take(mark):
                steps = self.steps(_NAME_IN_FILTER, depth + 1)
                return Query(from_root=from_root, steps=steps, is_definite=is_definite(steps))
        if quoted := self._matched(_QUOTED):
            return Literal(value=_unquoted(quoted))
        if constant := self._matched(_CONSTANT):
            return Literal(value=_CONSTANTS[constant.group()])
        if number := self._matched(_NUMBER):
            return Literal(value=msgspec.json.decode(_plain_number(number.group())))
        if regular := self._matched(_REGULAR):
            try:
                return parse_pattern(regular.group(1).replace("\\/", "/"), regular.group(2))
            except PatternInvalid as error:
                raise PathInvalid(str(error)) from error
        if not self.text.startswith(("[", "{"), self.position):
            self.refuse("a path, a text, a number, true, false, null or a list")
        return Literal(value=self._structure())

    def _structure(self) -> JsonValue:
        """Return a list or object that is written out, as JSON whose texts may have single quotes."""
        closing = {"[": "]", "{": "}"}
        start, position, expected = self.position, self.position, ""
        pieces: list[str] = []
        while position < len(self.text):
            character = self.text[position]
            quoted = _QUOTED.match(self.text, position) if character in "'\"" else None
            if quoted is not None:
                pieces.append(msgspec.json.encode(_unquoted(quoted)).decode())
                position = quoted.end()
                continue
            pieces.append(character)
            position += 1
            if character in closing:
                expected = closing[character] + expected
            elif expected.startswith(character):
                expected = expected[1:]
                if not expected:
                    break
        try:
            value = msgspec.json.decode("".join(pieces))
        except (msgspec.DecodeError, RecursionError):
            self.position = start
            self.refuse("a list or an object, as in JSON,")
        self.position = position
        return value

    def _matched(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def _taken(self, text: str) -> bool:
        """Step over blanks, and over a text if it is next."""
        self._skip()
        return self.take(text)

    def _skip(self) -> None:
        blanks = _BLANKS.match(self.text, self.position)
        if blanks is not None:
            self.position = blanks.end()


def _unquoted(quoted: re.Match[str]) -> str:
    text = quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
    return _ESCAPED.sub(r"\1", text)


def _plain_number(text: str) -> str:
    """Return a number as JSON spells it: without zeros before it."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + re.sub(r"^0+(?=\d)", "", digits)
