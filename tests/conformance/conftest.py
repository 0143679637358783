"""The three backends of the log, one after the other, for tests that claim the same of each.

Must not hold a claim. Keeps the invariant that a test cannot see which backend it has, except through
`Backend`.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from streams.embedded import SqliteLog
from streams.kafka import KafkaLog, KafkaSettings
from streams.memory import MemoryLog, MemoryTopics
from streams.ports import Log


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A way to open the same log again and again.

    `compacts_at_once`: a replaced record can no longer be read as soon as its successor is acknowledged.
    """

    name: str
    open: Callable[[], Log]
    record_bytes_max: int
    compacts_at_once: bool = True


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A backend with a log of its own, empty."""
    if request.param == "memory":
        topics = MemoryTopics()
        yield Backend(name="memory", open=lambda: MemoryLog(topics), record_bytes_max=1_000_000)
    elif request.param == "embedded":
        yield Backend(name="embedded", open=lambda: SqliteLog(tmp_path / "data"), record_bytes_max=8 * 1024 * 1024)
    else:
        broker = request.getfixturevalue("kafka_broker")
        settings = KafkaSettings(bootstrap=broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:12]}.")
        yield Backend(
            name="kafka",
            open=lambda: KafkaLog(settings),
            record_bytes_max=settings.record_bytes_max,
            compacts_at_once=False,
        )
