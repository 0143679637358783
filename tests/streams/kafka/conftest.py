"""Settings for tests of what only Kafka has.

Must not hold a claim. Keeps tests apart: each has topics and groups of its own.
"""

import uuid

import pytest

from deploy.kafka.broker import KafkaBroker
from streams.kafka import KafkaSettings


@pytest.fixture
def settings(kafka_broker: KafkaBroker) -> KafkaSettings:
    """The shared broker, under a prefix of the test's own."""
    return KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:12]}.")
