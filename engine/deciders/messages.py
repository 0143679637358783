"""Deciding about a message that somebody sends to a workflow.

A message waits in the workflow's state until a PULL_WORKFLOW_MESSAGES task takes it. One whose id has been seen
already changes nothing, so a sender may repeat itself. Source: Conductor's workflow message queue.
"""

from typing import Final

import msgspec

from engine.commands import SendMessage
from engine.context import DecideContext
from engine.draft import Draft
from engine.events import MessageReceived
from engine.graph import Graphs
from engine.model import WorkflowState
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.status import WorkflowStatus
from engine.tasks import pull_workflow_messages
from engine.walk import settle

MESSAGE_ID_CHARS_MAX: Final = 200

_encoder: Final = msgspec.json.Encoder()


def send_message(state: WorkflowState, command: SendMessage, context: DecideContext, graphs: Graphs) -> Decision:
    """Keep a message, or give it to the task that waits for one. A message that came before changes nothing.

    Rejects:
        WORKFLOW_NOT_RUNNING: nobody would take it.
        ARGUMENT_INVALID: it has no id that could be kept, or is larger than all messages of a workflow may be.
        MESSAGES_FULL: too many, or too large ones, wait already.
    """
    message_id, limits, inbox = command.message_id, context.limits, state.inbox
    if not 0 < len(message_id) <= MESSAGE_ID_CHARS_MAX:
        reason = f"the id of a message should have 1 to {MESSAGE_ID_CHARS_MAX} characters and has {len(message_id)}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    if message_id in inbox.seen:
        return Accepted(events=(), state=state)
    if state.status is not WorkflowStatus.RUNNING:
        reason = f"cannot send a message to workflow {state.workflow_id}: it should be RUNNING and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_RUNNING, reason=reason)
    size_bytes = len(_encoder.encode(command.payload))
    if size_bytes > limits.messages_bytes_max:
        reason = (
            f"message {message_id} has {size_bytes} bytes; all messages of a workflow may have "
            f"{limits.messages_bytes_max}. Send large payloads by reference."
        )
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    if len(inbox.waiting) >= limits.messages_max or inbox.waiting_bytes + size_bytes > limits.messages_bytes_max:
        reason = (
            f"{len(inbox.waiting)} messages with {inbox.waiting_bytes} bytes wait in workflow {state.workflow_id}; "
            f"it may have {limits.messages_max} with {limits.messages_bytes_max} bytes. Send {message_id} again later."
        )
        return Rejected(code=RejectionCode.MESSAGES_FULL, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    draft.emit(
        MessageReceived(at_ms=context.now_ms, message_id=message_id, payload=command.payload, size_bytes=size_bytes)
    )
    pull_workflow_messages.deliver(draft)
    settle(draft)
    return draft.accept()
