"""What every test may ask for: a real Kafka broker, and ports that are free.

Must not hold anything that only one folder of tests needs. Keeps two invariants: a session starts one broker
at most, also when several workers run the tests; and a test that needs the broker is never skipped where
`PODIUM_REQUIRE_KAFKA=1` says that it must run.
"""

import os
from collections.abc import Iterator

import pytest

from deploy.kafka.broker import KafkaBroker, free_ports
from deploy.kafka.jars import broker_jars, missing_prerequisite


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for the broker, and keep all of them on one worker, so that they share it."""
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()) or item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.kafka)
            item.add_marker(pytest.mark.xdist_group("kafka"))


@pytest.fixture(scope="session")
def kafka_available() -> None:
    """Skip the test where no broker can run; fail it where `PODIUM_REQUIRE_KAFKA=1` says that one must.

    For tests that start a cluster of their own (`KafkaBroker(folder, nodes=3)`); mark them `kafka`.
    """
    reason = missing_prerequisite()
    if reason is None:
        return
    if os.environ.get("PODIUM_REQUIRE_KAFKA") == "1":
        pytest.fail(f"PODIUM_REQUIRE_KAFKA=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_broker(kafka_available: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker of one node, shared by the session: each test takes topic names of its own.

    A test that stops or kills a broker starts one for itself.
    """
    broker_jars()
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def free_port() -> int:
    """A port on loopback that nobody listens on."""
    return free_ports(1)[0]
