"""Names and partitions of topics: what other producers of Kafka, in any language, compute too."""

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from streams.topics import engine_topics, murmur2, partition_of, task_topic

SIGNED = [
    # What org.apache.kafka.common.utils.Utils.murmur2 of the Java client (4.1.1) returns: signed integers.
    (b"21", -973_932_308),
    (b"foobar", -790_332_482),
    (b"a-little-bit-long-string", -985_981_536),
    (b"a-little-bit-longer-string", -1_486_304_829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    (b"abc", 479_470_107),
]


@pytest.mark.parametrize(("key", "signed"), SIGNED, ids=[key.decode() for key, _ in SIGNED])
def test_murmur2_agrees_with_the_java_client(key: bytes, signed: int) -> None:
    """A workflow id hashes as it does in Kafka's own client, so that producers in Java land right."""
    assert murmur2(key) == signed & 0xFFFFFFFF


@given(key=st.binary(max_size=64))
def test_murmur2_agrees_with_aiokafka_for_any_key(key: bytes) -> None:
    """Of any length, with any bytes."""
    assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF


@given(key=st.binary(min_size=1, max_size=64), partitions=st.integers(1, 1_024))
def test_partition_of_is_what_the_default_partitioner_chooses(key: bytes, partitions: int) -> None:
    """The sign is cut off before the remainder is taken, as in Kafka."""
    assert partition_of(key, partitions) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % partitions


def test_task_topics_of_different_types_never_share_a_name() -> None:
    """Characters that a topic cannot hold are written so that no two types meet, whatever they look like."""
    types = ["encode", "encode video", "encode_20video", "encode/video", "encode.video", "ENCODE", "x" * 300, "x" * 301]
    names = [task_topic(task_type).name for task_type in types]
    names += [task_topic("encode", domain="video").name, task_topic("encode", domain="v").name]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 249 for name in names)


def test_only_the_topics_that_are_the_truth_are_kept_for_ever() -> None:
    """Events and what could not be read stay; the rest is bounded by time or by key."""
    topics = {spec.name: spec for spec in engine_topics(partitions=8)}
    assert {name for name, spec in topics.items() if spec.keep_forever} == {"events", "dead-letter"}
    assert {"snapshots", "definitions"} <= {name for name, spec in topics.items() if spec.compacted}
    assert {topics[name].partitions for name in ("commands", "events", "snapshots", "outcomes")} == {8}
