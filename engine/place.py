"""Where a task of the definition runs: in which pass of which loops, in which branch of a dynamic fork.

Holds the arithmetic of runtime reference names. Must not look into a definition or a state. Keeps the invariant that
a pass is never guessed from a name: a runtime name is the name in the definition and a suffix that Podium itself made,
one `__<pass>` per loop around the task, outermost first; the two are always known apart.
"""

import re
from typing import Final

import msgspec

from engine.events import TaskScheduled
from engine.ids import RefName, TaskSeq

MARK: Final = "__"
_PASS: Final = re.compile(r"__[1-9][0-9]*\Z")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """`suffix` and `iteration` say in which passes; `forked_by` and `branch` in which branch of a dynamic fork.

    `iteration` is the pass of the innermost loop, 0 outside of any. `forked_by` is the attempt that made the branch,
    0 for a task that stands in the definition.
    """

    suffix: str = ""
    iteration: int = 0
    forked_by: TaskSeq = TaskSeq(0)
    branch: int = 0

    def pass_inside(self, iteration: int) -> "Place":
        """Return the place of the body of a loop that is here, in one of its passes."""
        return Place(suffix=f"{self.suffix}{MARK}{iteration}", iteration=iteration)

    def branch_inside(self, forked_by: TaskSeq, branch: int) -> "Place":
        """Return the place of a branch of the dynamic fork that is here."""
        return Place(suffix=self.suffix, iteration=self.iteration, forked_by=forked_by, branch=branch)

    def outer_suffix(self, depth: int) -> str:
        """Return the suffix of what is within the outermost `depth` of the loops around here."""
        passes = self.suffix.split(MARK)
        return MARK.join(passes[: depth + 1])


OUTSIDE: Final = Place()
"""In no loop, and no branch of a dynamic fork."""


def place_at(suffix: str) -> Place:
    """Return the place of a task of the definition that runs in the passes which a suffix names."""
    if not suffix:
        return OUTSIDE
    return Place(suffix=suffix, iteration=int(suffix.rpartition(MARK)[2]))


def place_of(spec: TaskScheduled) -> Place:
    """Return where an attempt runs."""
    if not spec.iteration and not spec.forked_by:
        return OUTSIDE
    suffix = spec.ref[len(spec.node) :]
    return Place(suffix=suffix, iteration=spec.iteration, forked_by=spec.forked_by, branch=spec.branch)


def without_pass(ref: RefName) -> tuple[RefName, int] | None:
    """Return what is left of a name without the last thing in it that reads as a pass, and that pass."""
    found = _PASS.search(ref)
    if found is None or not found.start():
        return None
    return RefName(ref[: found.start()]), int(found.group()[len(MARK) :])
