"""Records for topics that are not Podium's, on whatever cluster.

Holds one producer of aiokafka. Must not create topics, nor know what it sends. Keeps the invariants that `publish`
returns only when all in-sync brokers have the record, and that records of one key sent one after the other stay in
order. The log's own producer is not used here: a foreign cluster in trouble must not touch the lanes of the log, and
records of others have headers.
"""

import asyncio
import contextlib
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from streams.kafka.settings import KafkaSettings, client_arguments
from streams.publishing.messages import KafkaMessage, SinkFailed, SinkRefused

CLOSE_S_MAX: Final = 5.0
"""For what is under way when the process ends; who waited for it sends it again."""
_REFUSED: Final = (MessageSizeTooLargeError, TopicAuthorizationFailedError, UnicodeError, AssertionError, TypeError)


class KafkaPublisher:
    """A `TopicPublisher`. It connects when the first record comes."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Publish to the cluster that `settings` name; the topic prefix plays no part."""
        self._settings = settings
        self._producer: Any = None  # aiokafka has no types
        self._starting = asyncio.Lock()

    async def publish(self, message: KafkaMessage, *, find_ms: int, acknowledge_ms: int) -> None:
        """See `TopicPublisher`."""
        topic = message.topic
        try:
            async with asyncio.timeout(find_ms / 1_000):
                producer = await self._started()
                await producer.partitions_for(topic)
        except TimeoutError:
            raise SinkFailed(f"topic {topic} was not found within {find_ms} ms; create it first") from None
        except (KafkaError, OSError) as error:
            raise SinkFailed(f"topic {topic} cannot be reached: {_text(error)}") from error
        try:
            async with asyncio.timeout(acknowledge_ms / 1_000):
                await producer.send_and_wait(topic, key=message.key, value=message.value, headers=list(message.headers))
        except TimeoutError:
            raise SinkFailed(f"topic {topic} did not acknowledge within {acknowledge_ms} ms") from None
        except _REFUSED as error:
            raise SinkRefused(f"topic {topic} does not take the record: {_text(error)}") from error
        except (KafkaError, OSError) as error:
            raise SinkFailed(f"topic {topic} did not take the record: {_text(error)}") from error

    async def close(self) -> None:
        """See `TopicPublisher`."""
        async with self._starting:
            producer, self._producer = self._producer, None
            if producer is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_S_MAX):
                        await producer.stop()

    async def _started(self) -> Any:  # noqa: ANN401  aiokafka has no types
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **client_arguments(self._settings),
                    acks="all",
                    max_request_size=self._settings.batch_bytes_max,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
