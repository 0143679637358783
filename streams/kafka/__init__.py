"""The log on Kafka.

Holds every use of aiokafka there is. Must not leak a type of it. Keeps the port's promises through the loss
of brokers and leaders.
"""

from streams.kafka.assignment import KafkaAssignment
from streams.kafka.feed import KafkaTaskFeed
from streams.kafka.log import KafkaLog
from streams.kafka.outlet import KafkaOutlet, OutletRecord
from streams.kafka.settings import KafkaSecurity, KafkaSettings

__all__ = [
    "KafkaAssignment",
    "KafkaLog",
    "KafkaOutlet",
    "KafkaSecurity",
    "KafkaSettings",
    "KafkaTaskFeed",
    "OutletRecord",
]
