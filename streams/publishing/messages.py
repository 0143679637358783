"""Messages on their way out, in the forms that they have.

Holds the shapes and the two ways in which sending fails. Must not send. Keeps the invariant that every form names the
message's id.
"""

from typing import Final

import msgspec

from engine.ids import WorkflowId
from engine.json_value import JsonObject

MESSAGE_ID_HEADER: Final = "podium-message-id"
"""Of a record in a topic of somebody else: whoever sees it twice has seen one message twice."""


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A message for a sink. It waits in `outgoing` until the sink has taken it.

    `sink` is a full name; see `engine.sinks`. `at_ms` is when it was decided. `omitted` says why the payload is not
    here, if it is not.
    """

    message_id: str
    workflow_id: WorkflowId
    sink: str
    at_ms: int
    payload: JsonObject = {}
    omitted: str = ""

    @property
    def content(self) -> JsonObject:
        """What the receiver gets."""
        return {"messageId": self.message_id, "omitted": self.omitted} if self.omitted else self.payload


class InternalEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A message of an internal queue, `conductor:<workflow name>:<queue>`: the source of event handlers.

    `event` is the full name of the queue, `at_ms` the instant of the decision that sent it. The same `message_id` a
    second time is the same message.
    """

    message_id: str
    event: str
    workflow_id: WorkflowId
    at_ms: int
    payload: JsonObject


class KafkaMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A record for a topic that is not Podium's."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class SinkRefused(Exception):
    """The message cannot be sent there, however often one tries. The text says what would have to be changed."""


class SinkFailed(Exception):
    """The message was not acknowledged. It may have arrived; another attempt may succeed."""
