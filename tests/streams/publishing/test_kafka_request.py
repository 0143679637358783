"""Claims about the record that a `kafka_request` asks for."""

import pytest

from engine.json_value import JsonObject, JsonValue
from streams.publishing.kafka_request import WAIT_MS, kafka_request_of
from streams.publishing.messages import SinkRefused

ID = ("podium-message-id", b"wf~1")


def test_request_becomes_a_record_with_the_id_of_its_attempt() -> None:
    """Value as JSON, headers as text."""
    given = {"topic": " t ", "value": {"a": [1]}, "key": "k", "headers": {"x": "y", "n": 1}, "bootStrapServers": "h:1"}
    request = kafka_request_of(given, message_id="wf~1")
    message = request.message
    assert (message.topic, message.key, message.value) == ("t", b"k", b'{"a":[1]}')
    assert message.headers == (("x", b"y"), ("n", b"1"), ID)
    assert (request.servers, request.find_ms, request.acknowledge_ms) == ("h:1", WAIT_MS, WAIT_MS)


@pytest.mark.parametrize(("value", "encoded"), [("text", b'"text"'), (0, b"0"), (False, b"false"), ([], b"[]")])
def test_value_is_always_json(value: JsonValue, encoded: bytes) -> None:
    """Texts too, as in Conductor."""
    assert kafka_request_of({"topic": "t", "value": value}, message_id="m").message.value == encoded


@pytest.mark.parametrize(
    ("key", "serializer", "encoded"),
    [
        (None, None, None),
        ("a", None, b"a"),
        (7, None, b"7"),
        ({"a": 1}, None, b'{"a":1}'),
        (7, "org.apache.kafka.common.serialization.StringSerializer", b"7"),
        (7, "org.apache.kafka.common.serialization.LongSerializer", b"\0\0\0\0\0\0\0\7"),
        ("-1", "org.apache.kafka.common.serialization.LongSerializer", b"\xff" * 8),
        (258, "IntegerSerializer", b"\0\0\1\2"),
    ],
)
def test_key_is_written_as_its_serializer_would(key: JsonValue, serializer: str | None, encoded: bytes | None) -> None:
    """As Java's would."""
    given = {"topic": "t", "value": 1, "key": key, "keySerializer": serializer}
    assert kafka_request_of(given, message_id="m").message.key == encoded


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "t",
        {"value": 1},
        {"topic": 7, "value": 1},
        {"topic": "t", "value": 1, "headers": []},
        {"topic": "t", "value": 1, "bootStrapServers": 7},
        {"topic": "t", "value": 1, "requestTimeoutMs": 0},
        {"topic": "t", "value": 1, "maxBlockMs": "soon"},
        {"topic": "t", "value": 1, "key": "x", "keySerializer": "LongSerializer"},
        {"topic": "t", "value": 1, "key": 2**31, "keySerializer": "IntegerSerializer"},
    ],
)
def test_request_that_asks_for_no_record_is_refused(wrong: JsonObject | str | None) -> None:
    """In words that name the field."""
    with pytest.raises(SinkRefused):
        kafka_request_of(wrong, message_id="m")
