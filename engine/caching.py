"""Outputs of tasks that are kept for others: `cacheConfig`.

Holds which attempt has which key, and the question to the cache. Must not keep anything itself. Keeps the invariants
that an output is found only under the name of its task and the very key that it was kept under, and not after its time;
and that what was found is in the events, so no replay asks a cache.

A cache may forget at any moment: then the task is simply done. An output that came from a cache is not kept anew, so
nothing outlives its time by being used.

Source: Conductor's `CacheConfig`, which its open-source server accepts and ignores.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from engine.draft import Attempt, Draft
from engine.expressions.documents import Missing
from engine.expressions.references import resolve
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.lookup import StateLookup

CACHEABLE: Final = frozenset({"HTTP", "INLINE", "JSON_JQ_TRANSFORM", "LAMBDA", "SUB_WORKFLOW"})
"""The built-in types whose output can be kept, besides all tasks of workers. Others do something, or wait."""


class CacheConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the output of a task is kept. `key`: an expression over the task's input, as a rule."""

    key: str
    ttl_in_second: int


def find_output(draft: Draft, node: Node, attempt: Attempt) -> tuple[Attempt, JsonObject, JsonObject | None]:
    """Return the attempt with the key that its output will be kept under, its input, and the output if one is kept.

    A key that is made of nothing keeps nothing. In the place of a secret the input has the reference to it, and so
    has a key that is made of that.
    """
    given = task_input(draft, node.task, node.task_definition)
    config = msgspec.convert(node.task.cache_config, CacheConfig, strict=False)
    key = resolve(config.key, _InputFirst(draft, given))
    if key is None or key == "":
        return attempt, given, None
    text = key if isinstance(key, str) else msgspec.json.encode(key, order="deterministic").decode()
    found = draft.context.cache.find(node.task.name, text, draft.now_ms)
    keeps = replace(attempt, cache_key=text, cache_ms=config.ttl_in_second * 1000)
    return (keeps, given, None) if found is None else (attempt, given, found)


class _InputFirst(StateLookup):
    """The task's own input: as `input`, and by its keys; then what every expression sees."""

    __slots__ = ("_input",)

    def __init__(self, draft: Draft, task_input: JsonObject) -> None:
        super().__init__(draft.state, draft.next_seq(), decision=draft.budget)
        self._input = task_input

    def root(self, name: str) -> JsonValue | Missing:
        """Return a value of the input by its key, `input` as a whole, or a document of the workflow."""
        if name in self._input:
            return self._input[name]
        return self._input if name == "input" else super().root(name)
