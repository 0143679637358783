"""Sinks: where a message goes that leaves a workflow.

Holds the reading of a sink's text, `kafka:<topic>`, `conductor:<queue>` or a URL, and its full name. Must not know what
is behind it, nor whether anybody may send there: the shell does. Keeps the invariant that a full name is read again as
the very same sink, so that it can stand in the log.

Source: Conductor's `Event.computeQueueName`, `EventQueues`.
"""

import re
from typing import Final

from engine.json_value import JsonValue

KAFKA: Final = "kafka:"
CONDUCTOR: Final = "conductor"
QUEUE: Final = "conductor:"
WEBHOOKS: Final = ("http://", "https://")
NOT_SERVED: Final = frozenset({"amqp", "amqp_exchange", "amqp_queue", "jsm", "nats", "nats_stream", "redis", "sqs"})
"""Sinks of Conductor's that Podium does not have."""
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_QUEUE: Final = re.compile(r"[^\s:/][^\s/]{0,199}")


class SinkInvalid(ValueError):
    """A text names no sink. The message says what would."""


def full_name(sink: JsonValue, *, workflow: str, owner: str, webhooks: bool = False) -> str:
    """Return a sink's name as it stands in the log: an internal queue is named with its workflow.

    `owner` names the queue of a sink that is only `conductor`. URLs are sinks of listeners alone (`webhooks`).

    Raises:
        SinkInvalid: it is none.
    """
    if not isinstance(sink, str):
        raise SinkInvalid(f"a sink should be {_expected(webhooks=webhooks)} and is {sink!r:.100}")
    text = sink.strip()
    if text.startswith(KAFKA):
        topic = text.removeprefix(KAFKA)
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise SinkInvalid(f"kafka: should be followed by the name of a topic and is by {topic!r:.100}")
        return text
    if text == CONDUCTOR:
        return f"{QUEUE}{workflow}:{owner}"
    if text.startswith(QUEUE):
        queue = text.removeprefix(QUEUE)
        if not _QUEUE.fullmatch(queue):
            raise SinkInvalid(f"conductor: should be followed by the name of a queue and is by {queue!r:.100}")
        return f"{QUEUE}{workflow}:{queue}"
    if webhooks and text.startswith(WEBHOOKS):
        return text
    kind = text.partition(":")[0]
    if kind in NOT_SERVED:
        raise SinkInvalid(f"sinks of {kind} are not served; a sink is {_expected(webhooks=webhooks)}")
    raise SinkInvalid(f"a sink should be {_expected(webhooks=webhooks)} and is {text!r:.100}")


def is_internal(name: str) -> bool:
    """Tell whether a full name is that of an internal queue."""
    return name.startswith(QUEUE)


def _expected(*, webhooks: bool) -> str:
    names = "kafka:<topic>, conductor or conductor:<queue>"
    return f"{names}, or a URL" if webhooks else names
