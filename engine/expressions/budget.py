"""How much work the expressions of one decision may be.

Holds the counter that queries are charged to. Must not know what a query is. Keeps the invariant that a query ends,
after a bounded number of steps, however large the payloads are that it looks at.
"""

from typing import Final

LOOKUP_STEPS_MAX: Final = 100_000
"""Values that the queries of one template may look at.

A step takes a fraction of a microsecond, so tens of milliseconds.
"""
DECISION_STEPS_MAX: Final = 1_000_000
"""The same for all templates of one decision, which may schedule many tasks."""
TEXT_CHARS_MAX: Final = 8 * 1024 * 1024
"""Of one text that is put together from values: about what one record of the log can hold."""


class ResolutionExceeded(Exception):
    """An expression is more work than one decision may be, or gives more than can be kept. The message says which."""


class Budget:
    """The steps that are left, for one template and for the decision that it belongs to."""

    __slots__ = ("_left", "_whole")

    def __init__(self, steps_max: int = LOOKUP_STEPS_MAX, whole: "Budget | None" = None) -> None:
        """Begin with `steps_max`, each of which is taken from `whole` as well."""
        self._left = steps_max
        self._whole = whole

    def spend(self, steps: int) -> None:
        """Take steps.

        Raises:
            ResolutionExceeded: there are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise ResolutionExceeded(
                "the expressions look at too many values: narrow the path, or compute the value in a task of its own"
            )
        if self._whole is not None:
            self._whole.spend(steps)
