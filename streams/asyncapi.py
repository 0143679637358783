"""The public topics as an AsyncAPI 3.0 document, made from the types that the code itself uses.

Holds the document and its YAML. Must not describe a topic that is not public, nor repeat by hand what a type says.
Keeps the invariant that docs/reference/asyncapi.yaml is exactly what this module makes:

    python -m streams.asyncapi > docs/reference/asyncapi.yaml
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Final, get_args

import msgspec

from engine.commands import Command
from engine.ids import TaskId, WorkflowId
from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus, WorkflowStatus
from streams.publishing.messages import InternalEvent
from streams.records import EventRecord
from streams.topics import COMMANDS, DEAD_LETTER, EVENTS, INTERNAL_EVENTS, OUTCOMES, TASKS_PREFIX

INTERNAL_COMMANDS: Final = frozenset({"child_ended", "child_started", "fire_timer", "resume_child", "revive_task"})
"""Commands that Podium sends to itself. They are in the topic, but nobody else has a reason to send them."""

_SCHEMAS: Final = "#/components/schemas/"
_MESSAGES: Final = "#/components/messages/"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_YAML_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_FIELD: Final = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
_DOCUMENT_NOTE: Final = "# Made by `python -m streams.asyncapi`. Change the types, not this file.\n"


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One attempt of a task, for whoever does it: Conductor's Task. Instants are epoch milliseconds, 0 for never.

    `workflow_instance_id` is the key of the commands about it; `response_timeout_seconds` is how long a worker may be
    silent (0: for ever). Fields that have no value are left out.
    """

    task_id: TaskId
    workflow_instance_id: WorkflowId
    task_type: str
    task_def_name: str
    reference_task_name: str
    status: TaskStatus
    input_data: JsonObject
    output_data: JsonObject
    workflow_type: str
    seq: int
    retry_count: int
    poll_count: int
    iteration: int
    loop_over_task: bool
    scheduled_time: int
    start_time: int
    end_time: int
    update_time: int
    first_start_time: int
    queue_wait_time: int
    start_delay_in_seconds: int
    callback_after_seconds: int
    response_timeout_seconds: int
    workflow_priority: int
    retried: bool
    executed: bool
    callback_from_worker: bool
    subworkflow_changed: bool
    rate_limit_per_frequency: int
    rate_limit_frequency_in_seconds: int
    workflow_task: JsonObject | None = None
    correlation_id: str | None = None
    worker_id: str | None = None
    reason_for_incompletion: str | None = None
    domain: str | None = None
    retried_task_id: TaskId | None = None
    sub_workflow_id: WorkflowId | None = None
    isolation_group_id: str | None = None
    execution_name_space: str | None = None


class OutcomeRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A workflow has ended. One that is retried or restarted ends again: the last record of a key counts."""

    workflow_id: WorkflowId
    workflow_type: str
    version: int
    correlation_id: str
    status: WorkflowStatus
    output: JsonObject
    reason_for_incompletion: str
    start_time: int
    end_time: int


class DeadLetterRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record that nobody could use: where it stood, why, and its original bytes as base64."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None


def document() -> JsonObject:
    """Return the AsyncAPI document of the public topics."""
    commands, records = get_args(Command), get_args(EventRecord)
    _, schemas = msgspec.json.schema_components(
        [Command, EventRecord, TaskRecord, OutcomeRecord, InternalEvent, DeadLetterRecord],
        ref_template=_SCHEMAS + "{name}",
    )
    channels = {
        "commands": _channel(COMMANDS, "What shall be done. Services and workers produce here.", commands),
        "events": _channel(EVENTS, "What was decided, for change data capture. Only Podium writes here.", records),
        "tasks": _channel(TASKS_PREFIX + "{taskType}", _TASKS, (TaskRecord,), **_TASK_TYPE),
        "outcomes": _channel(OUTCOMES, "How workflows ended.", (OutcomeRecord,)),
        "internalEvents": _channel(INTERNAL_EVENTS, _INTERNAL, (InternalEvent,)),
        "deadLetter": _channel(DEAD_LETTER, "Records that nobody could use.", (DeadLetterRecord,)),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Podium", "version": "1", "license": {"name": "Apache-2.0"}, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            ("receive" if name == "commands" else "send") + name[0].upper() + name[1:]: {
                "action": "receive" if name == "commands" else "send",
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name in channels
        },
        "components": {
            "messages": {
                message_name(kind): _message(kind)
                for kind in (*commands, *records, TaskRecord, OutcomeRecord, InternalEvent, DeadLetterRecord)
            },
            "schemas": {name: _schema(schema) for name, schema in sorted(schemas.items())},
        },
    }


_ABOUT: Final = (
    "The public topics of Podium on Kafka. Every name begins with the prefix of the installation, `podium.` unless set "
    "otherwise. Values are JSON in UTF-8; unknown fields are ignored, and fields may be added. A key that is a "
    "workflow id is placed by Kafka's default partitioner (murmur2)."
)
_TASKS: Final = (
    "Tasks of one type for its workers: consumer group `workers.{taskType}` with the same prefix. A task may come "
    "twice; the first result counts. Tasks of a domain are in `tasks.{taskType}.{domain}`."
)
_INTERNAL: Final = (
    "The internal queues: what EVENT tasks and listeners send to `conductor:…` sinks. A message may come twice, "
    "with the same `messageId`; messages of one workflow are in order."
)
_TASK_TYPE: Final = {
    "taskType": {
        "description": "The task type. Characters other than letters, digits, `-` and `_` are written as `_` and their "
        "bytes in hexadecimal."
    }
}


def message_name(kind: type) -> str:
    """Return the name under which a type of record is described: its tag, or its class where it has none."""
    tag = getattr(kind, "__struct_config__").tag  # noqa: B009 - `type` does not say that it is a struct
    return str(tag) if tag else kind.__name__


def yaml_of(value: JsonValue) -> str:
    """Return a JSON value as YAML: blocks for what has content, JSON's own notation for everything else."""
    return "\n".join(_lines(value, "")) + "\n"


def _channel(name: str, about: str, kinds: tuple[type, ...], **parameters: JsonObject) -> JsonObject:
    channel: JsonObject = {
        "address": "{prefix}" + name,
        "description": about,
        "parameters": {
            "prefix": {"default": "podium.", "description": "The prefix of the installation."},
            **parameters,
        },
        "messages": {message_name(kind): {"$ref": _MESSAGES + message_name(kind)} for kind in kinds},
    }
    return channel


def _message(kind: type) -> JsonObject:
    name = message_name(kind)
    key = {
        "TaskRecord": "the affinity key of the task, else its id",
        "DeadLetterRecord": "as in the original",
        "owner_claimed": "none",
        "decision_part": "the workflow id",
    }.get(name, "the workflow id")
    message: JsonObject = {"name": name, "summary": (kind.__doc__ or "").split("\n")[0]}
    if name in INTERNAL_COMMANDS:
        message["description"] = "Podium sends this to itself."
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}}}
    message["payload"] = {"$ref": _SCHEMAS + kind.__name__}
    return message


def _schema(value: JsonValue) -> JsonValue:
    """Return a schema in AsyncAPI's dialect: a discriminator is a name, and descriptions speak of JSON's fields."""
    if isinstance(value, list):
        return [_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _schema(inner) for key, inner in value.items()}
    discriminator = found.get("discriminator")
    if isinstance(discriminator, dict) and "mapping" in discriminator:
        found["discriminator"] = discriminator["propertyName"]
    description = found.get("description")
    if isinstance(description, str):
        lines = [line.strip() for line in description.split("\n")]
        found["description"] = _FIELD.sub(lambda name: f"`{_camel(name[1])}`", " ".join(filter(None, lines)))
    return found


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _lines(value: JsonValue, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{indent}{_key(key)}:", inner, indent)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _entry(f"{indent}-", inner, indent)
    else:
        yield indent + json.dumps(value, ensure_ascii=False)


def _entry(start: str, value: JsonValue, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield start
        yield from _lines(value, indent + "  ")
    else:
        yield f"{start} {json.dumps(value, ensure_ascii=False)}"


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _YAML_WORDS
    return key if plain else json.dumps(key, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(_DOCUMENT_NOTE + yaml_of(document()))
