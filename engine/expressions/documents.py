"""The documents that expressions are read from.

Holds the port of such a document, and the plain one over a JSON value. Must not know a workflow (see `engine.lookup`).
Keeps the invariant that asking for one part of a document does not cost the others.
"""

from enum import Enum
from typing import Final, Protocol

from engine.expressions.budget import Budget
from engine.json_value import JsonValue


class Missing(Enum):
    """The type of `MISSING`: there is no such root."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Lookup(Protocol):
    """The document that references are read from."""

    @property
    def budget(self) -> Budget:
        """What queries are charged to."""
        ...

    def root(self, name: str) -> JsonValue | Missing:
        """Return what a first segment names (`workflow`, or a task's reference name), or `MISSING`."""
        ...

    def whole(self) -> JsonValue:
        """Return all of it, for a query that does not begin with a name."""
        ...

    def note_deferred(self) -> None:
        """Take note that a template names what the engine does not know."""
        ...


class ValueLookup:
    """A lookup over one JSON value."""

    __slots__ = ("_value", "budget")

    def __init__(self, value: JsonValue) -> None:
        """Look at a value that nobody changes meanwhile."""
        self._value = value
        self.budget = Budget()

    def root(self, name: str) -> JsonValue | Missing:
        """Return the member of that name."""
        return self._value.get(name, MISSING) if isinstance(self._value, dict) else MISSING

    def whole(self) -> JsonValue:
        """Return the value."""
        return self._value

    def note_deferred(self) -> None:
        """Do nothing: there is nobody to hand a value to."""
