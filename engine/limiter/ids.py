"""Which limiter counts what.

Holds the derivation of a limiter's id. Must not look anything up. Keeps the invariants that no limiter's id is a
workflow's id, nor holds a character with a meaning in the keys of a topic, and that two things never share a limiter by
accident.
"""

import hashlib
from typing import Final, NewType

from engine.ids import is_workflow_id

LimiterId = NewType("LimiterId", str)

MARK: Final = "#"
"""First character of every limiter's id, and of no workflow's."""
TASK: Final = "task"
"""Everything of one task definition's name."""
EMBEDDED: Final = "embedded"
"""Everything that carries its task definition with it, in the workflow's definition, under one name."""
WORKFLOW: Final = "workflow"
"""The executions of one workflow name that have the same `rateLimitKey`."""

_PLAIN_CHARS_MAX: Final = 150


def limiter_id(kind: str, name: str, key: str = "") -> LimiterId:
    """Return the id of the limiter of a name, or of a key under it: readable where that is possible, else its hash."""
    text = f"{name}@{key}" if key else name
    is_plain = len(text) <= _PLAIN_CHARS_MAX and is_workflow_id(text) and "@" not in name
    if is_plain:
        return LimiterId(f"{MARK}{kind}:{text}")
    digest = hashlib.blake2b(f"{len(name)}\0{name}\0{key}".encode(), digest_size=16).hexdigest()
    return LimiterId(f"{MARK}{kind}:{MARK}{digest}")


def is_limiter_id(text: str) -> bool:
    """Tell whether an id is a limiter's."""
    kind, colon, name = text.removeprefix(MARK).partition(":")
    if not text.startswith(MARK) or not colon or kind not in {TASK, EMBEDDED, WORKFLOW}:
        return False
    return is_workflow_id(name.removeprefix(MARK))
