"""From the text of a regular expression to a `Pattern`.

Holds the parser. Must not match. Keeps the invariants that a program is bounded, and that what cannot be matched
without trying again and again (back references, look-around, possessive quantifiers) is refused by name.

Source: Java's `Pattern`; the flags `i`, `s`, `m`, `u` and `d` as Jayway JsonPath reads them.
"""

import re
from typing import Final, NoReturn

from engine.expressions.patterns import PROGRAM_MAX, Boundary, Characters, Instruction, Jump, Pattern, Split

FLAGS: Final = frozenset("ismud")
GROUPS_MAX: Final = 50
"""In one another."""
_LINE_BREAKS: Final = (("\n", "\n"), ("\r", "\r"), ("\x85", "\x85"), ("\u2028", "\u2029"))
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b", "0": "\0"}
_TIMES: Final = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_HEX: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")

Program = list[Instruction]


class PatternInvalid(ValueError):
    """A regular expression cannot be read, or is of a kind that is not served. The message says where and why."""


def parse_pattern(source: str, flags: str = "") -> Pattern:
    """Return the pattern that a text spells.

    Raises:
        PatternInvalid: the text is none, or one of a kind that is not served.
    """
    unknown = sorted(set(flags) - FLAGS)
    if unknown:
        raise PatternInvalid(
            f"the flags of a regular expression are {''.join(sorted(FLAGS))}, found {''.join(unknown)}"
        )
    reader = _Reader(source, flags)
    program = reader.alternatives(0)
    if reader.position < len(source):
        reader.refuse("an opening parenthesis before ')'")
    return Pattern(source=source, program=tuple(program))


class _Reader:
    """Reads one pattern, from the left to the right. Programs are relative: a jump is a distance until it is placed."""

    def __init__(self, source: str, flags: str) -> None:
        self.source = source
        self.position = 0
        self.any_case, self.dot_all, self.many_lines = ("i" in flags), ("s" in flags), ("m" in flags)

    def alternatives(self, depth: int) -> Program:
        if depth > GROUPS_MAX:
            self.refuse(f"at most {GROUPS_MAX} groups in one another")
        program = self._sequence(depth)
        while self._take("|"):
            other = self._sequence(depth)
            split = Split(first=1, second=len(program) + 2)
            program = [split, *_moved(program, 1), Jump(to=len(program) + 2 + len(other))]
            program.extend(_moved(other, len(program)))
            self._bound(program)
        return program

    def refuse(self, expected: str) -> NoReturn:
        found = repr(self.source[self.position]) if self.position < len(self.source) else "the end"
        raise PatternInvalid(
            f"expected {expected} at character {self.position + 1} of the regular expression /{self.source}/, "
            f"found {found}"
        )

    def _take(self, text: str) -> bool:
        if not self.source.startswith(text, self.position):
            return False
        self.position += len(text)
        return True

    def _bound(self, program: Program) -> None:
        if len(program) > PROGRAM_MAX:
            raise PatternInvalid(f"the regular expression /{self.source:.100}/ is too large: repeat less in it")

    def _sequence(self, depth: int) -> Program:
        program: Program = []
        while self.position < len(self.source) and self.source[self.position] not in "|)":
            program.extend(_moved(self._repeated(self._atom(depth)), len(program)))
            self._bound(program)
        return program

    def _repeated(self, atom: Program) -> Program:
        least, most = self._times()
        if (least, most) == (1, 1):
            return atom
        if len(atom) * max(least, most or 0, 1) > PROGRAM_MAX:
            self._bound([*atom] * (PROGRAM_MAX + 1))
        program: Program = []
        for _ in range(least):
            program.extend(_moved(atom, len(program)))
        if most is None:
            start = len(program)
            program.append(Split(first=start + 1, second=start + len(atom) + 2))
            program.extend(_moved(atom, start + 1))
            program.append(Jump(to=start))
            return program
        end = len(program) + (most - least) * (len(atom) + 1)
        for _ in range(most - least):
            program.append(Split(first=len(program) + 1, second=end))
            program.extend(_moved(atom, len(program)))
        return program

    def _times(self) -> tuple[int, int | None]:
        counted = _TIMES.match(self.source, self.position)
        if counted is not None:
            self.position = counted.end()
            least = int(counted.group(1))
            most = least if counted.group(2) is None else int(counted.group(3)) if counted.group(3) else None
            if most is not None and most < least:
                self.refuse("a range of repetitions that rises")
        elif self._take("*"):
            least, most = 0, None
        elif self._take("+"):
            least, most = 1, None
        elif self._take("?"):
            least, most = 0, 1
        else:
            return 1, 1
        if self.source.startswith("+", self.position):
            self.refuse("no possessive quantifier, which is not served,")
        self._take("?")
        return least, most

    def _atom(self, depth: int) -> Program:
        character = self.source[self.position]
        if character == "(":
            return self._group(depth)
        if character == "[":
            return [self._set()]
        if character in "*+?{":
            self.refuse("something to repeat")
        self.position += 1
        if character == ".":
            return [Characters(negated=True, ranges=() if self.dot_all else _LINE_BREAKS)]
        if character in "^$":
            return [Boundary(kind=character, many_lines=self.many_lines)]
        if character == "\\":
            return [self._escape()]
        return [self._one(character)]

    def _group(self, depth: int) -> Program:
        self.position += 1
        if self.source.startswith("?", self.position) and not self._take("?:"):
            named = re.compile(r"\?<[A-Za-z]\w*>").match(self.source, self.position)
            if named is None:
                self.refuse("a group without look-around or flags, which are not served,")
            self.position = named.end()
        program = self.alternatives(depth + 1)
        if not self._take(")"):
            self.refuse("')'")
        return program

    def _one(self, character: str) -> Characters:
        return Characters(ranges=((character, character),), any_case=self.any_case)

    def _escape(self) -> Instruction:
        if self.position >= len(self.source):
            self.refuse("a character behind '\\'")
        name = self.source[self.position]
        if name in "bB":
            self.position += 1
            return Boundary(kind=name)
        if name in "dDwWsS":
            self.position += 1
            return Characters(classes=name)
        return self._one(self._escaped())

    def _escaped(self) -> str:
        """Return the character that an escape stands for."""
        coded = _HEX.match(self.source, self.position)
        if coded is not None:
            self.position = coded.end()
            return chr(int(coded.group(1) or coded.group(2), 16))
        name = self.source[self.position : self.position + 1]
        if not name or (name not in _CONTROLS and name.isascii() and name.isalnum()):
            self.refuse("an escape that is served (not a back reference or a property)")
        self.position += 1
        return _CONTROLS.get(name, name)

    def _set(self) -> Characters:
        self.position += 1
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        classes = ""
        is_first = True
        while is_first or not self.source.startswith("]", self.position):
            is_first = False
            if self.position >= len(self.source):
                self.refuse("']'")
            if self.source.startswith(("[", "&&"), self.position):
                self.refuse("no set within a set, which is not served,")
            first = self._member()
            if len(first) > 1:
                classes += first[1:]
                continue
            last = first
            if self.source.startswith("-", self.position) and not self.source.startswith("-]", self.position):
                self.position += 1
                last = self._member()
                if len(last) != 1 or last < first:
                    self.refuse("a range that rises")
            ranges.append((first, last))
        self.position += 1
        return Characters(ranges=tuple(ranges), classes=classes, negated=negated, any_case=self.any_case)

    def _member(self) -> str:
        """Return one character of a set, or a backslash and the name of a class."""
        character = self.source[self.position : self.position + 1]
        if not character:
            self.refuse("']'")
        self.position += 1
        if character != "\\":
            return character
        if self.source[self.position : self.position + 1] in ("d", "D", "w", "W", "s", "S"):
            self.position += 1
            return "\\" + self.source[self.position - 1]
        return self._escaped()


def _moved(program: Program, by: int) -> Program:
    """Return a program that begins `by` places later."""
    if not by:
        return program
    moved: Program = []
    for instruction in program:
        if isinstance(instruction, Split):
            moved.append(Split(first=instruction.first + by, second=instruction.second + by))
        elif isinstance(instruction, Jump):
            moved.append(Jump(to=instruction.to + by))
        else:
            moved.append(instruction)
    return moved
