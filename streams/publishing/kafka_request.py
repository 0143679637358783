"""The input of a KAFKA_PUBLISH task as a record that may be published.

Holds the reading of `kafka_request`. Must not connect. Keeps the invariant that a record carries the id of its attempt.

Source: Conductor's `KafkaPublishTask.Input`, `KafkaProducerManager`.
"""

from typing import Final

import msgspec

from engine.expressions.references import written
from engine.json_value import JsonObject, JsonValue
from streams.publishing.messages import MESSAGE_ID_HEADER, KafkaMessage, SinkRefused

WAIT_MS: Final = 5_000
"""For the topic, and for the acknowledgement, where the request says nothing. (Conductor: 500 and 100.)"""
WAIT_MS_MAX: Final = 300_000
_INTEGER_BYTES: Final = {"LongSerializer": 8, "IntegerSerializer": 4}


class KafkaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A record, where it goes and how long that may take. `servers` is "" for the server's own brokers."""

    message: KafkaMessage
    servers: str
    find_ms: int
    acknowledge_ms: int


def kafka_request_of(given: JsonValue, *, message_id: str) -> KafkaRequest:
    """Return what a `kafka_request` asks for.

    Raises:
        SinkRefused: something is missing or has the wrong form.
    """
    if not isinstance(given, dict):
        raise SinkRefused(f"kafka_request should be an object and is {given!r:.100}")
    topic, servers = given.get("topic"), given.get("bootStrapServers")
    if not isinstance(topic, str) or not topic.strip():
        raise SinkRefused(f"topic should be the name of a topic and is {topic!r:.100}")
    if servers is not None and not isinstance(servers, str):
        raise SinkRefused(f"bootStrapServers should be HOST:PORT[,…] and is {servers!r:.100}")
    headers = (*_headers(given.get("headers")), (MESSAGE_ID_HEADER, message_id.encode()))
    return KafkaRequest(
        message=KafkaMessage(
            topic=topic.strip(),
            key=_key(given),
            value=msgspec.json.encode(given.get("value")),
            headers=headers,
        ),
        servers=(servers or "").strip(),
        find_ms=_milliseconds("maxBlockMs", given.get("maxBlockMs")),
        acknowledge_ms=_milliseconds("requestTimeoutMs", given.get("requestTimeoutMs")),
    )


def _key(given: JsonObject) -> bytes | None:
    key, serializer = given.get("key"), str(given.get("keySerializer") or "")
    if key is None:
        return None
    length = _INTEGER_BYTES.get(serializer.rpartition(".")[2])
    if length is None:
        return written(key).encode(errors="replace")
    try:
        return int(str(key)).to_bytes(length, "big", signed=True)
    except (ValueError, OverflowError):
        expected = f"a whole number of {length} bytes, as its keySerializer has it"
        raise SinkRefused(f"key should be {expected}, and is {key!r:.100}") from None


def _headers(given: JsonValue) -> tuple[tuple[str, bytes], ...]:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise SinkRefused(f"headers should be an object and is {given!r:.100}")
    return tuple((name, written(value).encode(errors="replace")) for name, value in given.items())


def _milliseconds(name: str, value: JsonValue) -> int:
    if value is None:
        return WAIT_MS
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= WAIT_MS_MAX:
        raise SinkRefused(f"{name} should be 1 to {WAIT_MS_MAX} milliseconds and is {value!r:.100}")
    return int(value)
