"""What the events of messages change: those that come to a workflow, and those that leave it.

Must not decide. Keeps the invariants that messages wait in the order in which they came, and that the ids of the last
ones are remembered, whether or not they have been taken.
"""

from msgspec.structs import replace

from engine.events import MessagePosted, MessageReceived, MessagesAwaited, MessagesDelivered
from engine.ids import TaskSeq
from engine.model import SEEN_MESSAGES_MAX, EndedTask, Inbox, Message, WorkflowState


def message_received(state: WorkflowState, event: MessageReceived) -> WorkflowState:
    """The message waits, and its id is remembered."""
    inbox = state.inbox
    message = Message(
        message_id=event.message_id,
        payload=event.payload,
        received_at_ms=event.at_ms,
        size_bytes=event.size_bytes,
    )
    received = replace(
        inbox,
        waiting=(*inbox.waiting, message),
        waiting_bytes=inbox.waiting_bytes + event.size_bytes,
        seen=(*inbox.seen[-SEEN_MESSAGES_MAX + 1 :], event.message_id),
    )
    return _with(state, event.at_ms, received)


def messages_awaited(state: WorkflowState, event: MessagesAwaited) -> WorkflowState:
    """The task waits for messages, behind those that do already."""
    pulls = state.inbox.pulls
    over = 0
    while over < len(pulls) and _is_over(state, pulls[over]):
        over += 1
    return _with(state, event.at_ms, replace(state.inbox, pulls=(*pulls[over:], event.seq)))


def messages_delivered(state: WorkflowState, event: MessagesDelivered) -> WorkflowState:
    """The oldest messages are gone from those that wait; what waited for messages before the task is over."""
    inbox = state.inbox
    pulls = inbox.pulls
    if event.seq in pulls:
        pulls = pulls[pulls.index(event.seq) + 1 :]
    taken_bytes = sum(message.size_bytes for message in inbox.waiting[: event.count])
    left = replace(
        inbox,
        waiting=inbox.waiting[event.count :],
        waiting_bytes=inbox.waiting_bytes - taken_bytes,
        pulls=pulls,
    )
    return _with(state, event.at_ms, left)


def message_posted(state: WorkflowState, event: MessagePosted) -> WorkflowState:
    """Nothing changes but the count of events: the message is for others."""
    del event
    return replace(state, version=state.version + 1)


def _with(state: WorkflowState, at_ms: int, inbox: Inbox) -> WorkflowState:
    return replace(state, inbox=inbox, updated_at_ms=at_ms, version=state.version + 1)


def _is_over(state: WorkflowState, seq: TaskSeq) -> bool:
    task = state.tasks.get(seq)
    return task is None or isinstance(task, EndedTask)
