"""Messages that reach the workflow, and that leave it.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

from engine.events.shape import EventShape
from engine.ids import TaskSeq
from engine.json_value import JsonObject


class MessageReceived(EventShape, frozen=True, kw_only=True, tag="message_received"):
    """Somebody sent the workflow a message. It waits until a task takes it. `size_bytes` is that of its JSON."""

    at_ms: int
    message_id: str
    payload: JsonObject = {}
    size_bytes: int = 0


class MessagesAwaited(EventShape, frozen=True, kw_only=True, tag="messages_awaited"):
    """An attempt waits for messages: there were none when it began."""

    at_ms: int
    seq: TaskSeq


class MessagesDelivered(EventShape, frozen=True, kw_only=True, tag="messages_delivered"):
    """An attempt took the `count` oldest messages that waited; its end follows in the same decision."""

    at_ms: int
    seq: TaskSeq
    count: int


class MessagePosted(EventShape, frozen=True, kw_only=True, tag="message_posted"):
    """A message leaves the workflow for a listener. Whoever gets it twice recognises it by `message_id`.

    `sink` is the full name of where it goes, `payload` its whole content. It is about the attempt `seq`, or about the
    workflow itself (0).
    """

    at_ms: int
    message_id: str
    sink: str
    payload: JsonObject
    seq: TaskSeq = TaskSeq(0)
