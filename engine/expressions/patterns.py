"""Regular expressions that cannot run away.

Holds the matcher for `=~`: a program of states, all of which are followed at once, character by character. Must not
backtrack. Keeps the invariant that a match takes at most the text's length times the program's, and is charged for it.

Source: Java's `Pattern.matches`, the whole text. Whether a text matches as a whole does not depend on which
alternative is tried first, so greedy and reluctant quantifiers mean the same here.
"""

from typing import Final, TypeAlias

import msgspec

from engine.expressions.budget import Budget

PROGRAM_MAX: Final = 2_000
"""Instructions of one pattern, its repetitions written out."""


class Characters(msgspec.Struct, frozen=True, kw_only=True):
    """One character out of a set; `classes` are `d`, `w`, `s` and their opposites in capitals."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: str = ""
    negated: bool = False
    any_case: bool = False

    def has(self, character: str) -> bool:
        """Tell whether the set has a character."""
        found = self._has(character)
        if self.any_case and not found:
            found = self._has(character.lower()) or self._has(character.upper())
        return found is not self.negated

    def _has(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) or any(
            in_class(name, character) for name in self.classes
        )


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Go on at both places."""

    first: int
    second: int


class Boundary(msgspec.Struct, frozen=True, kw_only=True):
    """Go on only here: `^`, `$`, `b`, `B`; `many_lines` lets the first two hold at every line."""

    kind: str
    many_lines: bool = False


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """Go on elsewhere."""

    to: int


Instruction: TypeAlias = Characters | Split | Boundary | Jump


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled pattern. Who comes to the end of the program has matched."""

    source: str
    program: tuple[Instruction, ...]

    def matches(self, text: str, budget: Budget) -> bool:
        """Tell whether the pattern matches the whole text.

        Raises:
            ResolutionExceeded: it would take too long to know.
        """
        current = self._reachable([0], text, 0, budget)
        for position, character in enumerate(text):
            ahead: list[int] = []
            for place in current:
                instruction = self.program[place] if place < len(self.program) else None
                if isinstance(instruction, Characters) and instruction.has(character):
                    ahead.append(place + 1)
            if not ahead:
                budget.spend(1)
                return False
            current = self._reachable(ahead, text, position + 1, budget)
        return len(self.program) in current

    def _reachable(self, places: list[int], text: str, position: int, budget: Budget) -> set[int]:
        """Return where the program may stand without another character."""
        seen: set[int] = set()
        waiting = places
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            instruction = self.program[place] if place < len(self.program) else None
            if isinstance(instruction, Split):
                waiting.append(instruction.first)
                waiting.append(instruction.second)
            elif isinstance(instruction, Jump):
                waiting.append(instruction.to)
            elif isinstance(instruction, Boundary) and _holds(instruction, text, position):
                waiting.append(place + 1)
        budget.spend(len(seen))
        return seen


def in_class(name: str, character: str) -> bool:
    """Tell whether a character is in one of Java's classes, which know ASCII only."""
    match name.lower():
        case "d":
            found = "0" <= character <= "9"
        case "s":
            found = character in " \t\n\x0b\f\r"
        case _:
            found = character == "_" or (character.isascii() and character.isalnum())
    return found is name.islower()


def _holds(boundary: Boundary, text: str, position: int) -> bool:
    before, after = text[position - 1 : position] if position else "", text[position : position + 1]
    match boundary.kind:
        case "^":
            return not before or (boundary.many_lines and before == "\n")
        case "$":
            return not after or (boundary.many_lines and after == "\n")
        case kind:
            is_between = (bool(before) and in_class("w", before)) is not (bool(after) and in_class("w", after))
            return is_between is (kind == "b")
