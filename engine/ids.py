"""Ids: distinct types for distinct things, and how one is derived from another.

Must not draw random numbers: a repeated decision derives the same ids, so a repeated effect is recognised. Keeps the
invariant that a task id names its workflow: whoever holds a task id can find the partition that owns it.
"""

import hashlib
import re
from typing import Final, NewType

WorkflowId = NewType("WorkflowId", str)
TaskId = NewType("TaskId", str)
TaskSeq = NewType("TaskSeq", int)
RefName = NewType("RefName", str)
DefinitionHash = NewType("DefinitionHash", str)

WORKFLOW_ID_CHARS_MAX: Final = 200
"""Longer ids help nobody and must fit, with a task's number, into topic keys, file names and URLs."""

_SEQ_DIGITS_MAX: Final = 12
"""No workflow has that many tasks; a longer number is a mistake."""
_UUID_CHARS: Final = 36
_WORKFLOW_ID: Final = re.compile(r"[A-Za-z0-9\-_.:@+=]+")


def task_id(workflow: WorkflowId, seq: TaskSeq) -> TaskId:
    """Return the id of the attempt that a workflow scheduled as its `seq`-th.

    Numbers are never used twice in a workflow, also not after a restart, so a late result of an earlier run can never
    be taken for one of the present run.
    """
    return TaskId(f"{workflow}~{seq}")


def parse_task_id(text: str) -> tuple[WorkflowId, TaskSeq] | None:
    """Return the workflow and the number that a task id names, or None if it is not a task id of Podium."""
    workflow, mark, seq = text.rpartition("~")
    if not mark or not workflow or not (seq.isascii() and seq.isdigit()) or len(seq) > _SEQ_DIGITS_MAX:
        return None
    return WorkflowId(workflow), TaskSeq(int(seq))


def child_workflow_id(parent: WorkflowId, seq: TaskSeq) -> WorkflowId:
    """Return the id of the sub-workflow that an attempt starts: the same attempt always meets the same child."""
    return derived_workflow_id(f"child\0{parent}\0{seq}")


def started_workflow_id(starter: WorkflowId, seq: TaskSeq) -> WorkflowId:
    """Return the id of the workflow that an attempt starts without waiting for it."""
    return derived_workflow_id(f"start\0{starter}\0{seq}")


def keyed_workflow_id(name: str, key: str) -> WorkflowId:
    """Return the id of the first workflow of a name that an idempotency key starts: equal keys meet in one place."""
    return derived_workflow_id(f"key\0{name}\0{key}")


def successor_workflow_id(root: WorkflowId, generation: int, salt: int) -> WorkflowId:
    """Return the id of a later workflow of an idempotency key. `salt` is such that it lives where the first did."""
    return WorkflowId(f"{root}.{generation}.{salt}")


def generation_of(workflow: WorkflowId) -> tuple[WorkflowId, int] | None:
    """Return the first id and the generation that the id of a successor names, None for any other id."""
    if "." not in workflow:  # every workflow that enters memory comes here
        return None
    root, _, rest = workflow.partition(".")
    generation, _, salt = rest.partition(".")
    if len(root) != _UUID_CHARS or not (generation.isascii() and generation.isdigit() and salt.isdigit()):
        return None
    return WorkflowId(root), int(generation)


def failure_workflow_id(failed: WorkflowId, run: int) -> WorkflowId:
    """Return the id of the workflow that starts because a run of another has failed: one for each run."""
    return derived_workflow_id(f"failure\0{failed}\0{run}")


def derived_workflow_id(seed: str) -> WorkflowId:
    """Return a UUID-shaped id that depends on nothing but `seed` (version 8 of RFC 9562: vendor-specific)."""
    digest = bytearray(hashlib.blake2b(seed.encode(), digest_size=16).digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    text = digest.hex()
    return WorkflowId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def is_workflow_id(text: str) -> bool:
    """Tell whether a text may be a workflow id: letters, digits and `-_.:@+=`, at most 200 characters."""
    return len(text) <= WORKFLOW_ID_CHARS_MAX and _WORKFLOW_ID.fullmatch(text) is not None
