"""What the brokers' error codes mean here.

Holds the two questions that matter: will the same request succeed later, and was the batch refused for its
size? Must not act. Keeps the meaning of codes that aiokafka has no name for.

Source: the table of error codes in Kafka's protocol guide.
"""

from typing import Final

from aiokafka.errors import for_code

NONE: Final = 0
OFFSET_OUT_OF_RANGE: Final = 1
CORRUPT_MESSAGE: Final = 2
MESSAGE_TOO_LARGE: Final = 10
RECORD_LIST_TOO_LARGE: Final = 18
TOPIC_ALREADY_EXISTS: Final = 36
SESSION_LOST: Final = (70, 71)
"""FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH: the broker has forgotten; ask as for the first time."""

RETRIABLE: Final = frozenset(
    {
        3,  # UNKNOWN_TOPIC_OR_PARTITION: also while news of a topic travels through the cluster
        5,  # LEADER_NOT_AVAILABLE
        6,  # NOT_LEADER_OR_FOLLOWER
        7,  # REQUEST_TIMED_OUT: of an idempotent batch, which may be sent again
        8,  # BROKER_NOT_AVAILABLE
        9,  # REPLICA_NOT_AVAILABLE
        13,  # NETWORK_EXCEPTION
        14,  # COORDINATOR_LOAD_IN_PROGRESS
        15,  # COORDINATOR_NOT_AVAILABLE
        19,  # NOT_ENOUGH_REPLICAS
        20,  # NOT_ENOUGH_REPLICAS_AFTER_APPEND
        56,  # KAFKA_STORAGE_ERROR: the disk of this broker; another may lead soon
        74,  # FENCED_LEADER_EPOCH
        75,  # UNKNOWN_LEADER_EPOCH
        78,  # OFFSET_NOT_AVAILABLE: a new leader that does not know yet how far its records are committed
        103,  # UNKNOWN_TOPIC_ID
    }
)


def name_of(code: int) -> str:
    """Return how to call an error code in a message."""
    return f"{for_code(code).__name__} ({code})"
