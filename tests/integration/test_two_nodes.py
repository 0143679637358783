"""Two real nodes on a real broker, asked at the wrong door."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from msgspec.structs import replace

from api.access.keys import new_key, new_key_file, write_key_file
from api.access.permissions import Role
from deploy.kafka.broker import KafkaBroker, free_ports
from engine.json_value import JsonObject
from streams.settings import KAFKA_PARTITIONS
from tests.durability.server import ServerProcess

PREFIX = "two-nodes."
HUMAN = {"name": "approve", "taskReferenceName": "approve", "type": "HUMAN"}
CHILD = {"name": "c", "taskReferenceName": "c", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "approval"}}
BALANCED_WITHIN_S = 30
ROUNDS = 12
"""Each lands parent and child in partitions of their own: the two live apart in about half of them."""


def _nodes(broker: KafkaBroker, folder: Path, key_file: Path) -> list[ServerProcess]:
    shared = ("--kafka", broker.bootstrap, "--topic-prefix", PREFIX, "--key-file", str(key_file))
    return [
        ServerProcess(port, folder / f"node-{port}.log", *shared, "--data", str(folder / f"node-{port}"))
        for port in free_ports(2)
    ]


async def raise_in_words(response: aiohttp.ClientResponse) -> None:
    """Fail with what the server says."""
    if not response.ok:
        raise AssertionError(f"{response.status}: {await response.text()}")


async def test_a_call_that_waits_is_told_of_whoever_is_waited_for_in_another_process(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    """Whichever node is asked, the answer names the task that blocks in the sub-workflow, before the time is over.

    Both nodes ask for a key: what one asks the other on behalf of a caller carries the caller's.
    """
    key, secret = new_key("caller", [Role.AUTHOR], now_ms=0)
    write_key_file(tmp_path / "keys.json", replace(new_key_file(), keys=(key,)))
    basic = {"Authorization": aiohttp.encode_basic_auth(key.id, secret)}
    nodes = _nodes(kafka_broker, tmp_path, tmp_path / "keys.json")
    caller = aiohttp.ClientSession(raise_for_status=raise_in_words, headers=basic)
    async with nodes[0], nodes[1], caller as session:
        await _share_the_partitions(session, nodes)
        for definition in ({"name": "approval", "tasks": [HUMAN]}, {"name": "parent", "tasks": [CHILD]}):
            async with session.post(f"{nodes[0].url}/api/metadata/workflow", json=definition):
                pass
        blocked = [
            await _executed(session, nodes[number % 2].url, "parent", strategy="BLOCKING_TASK")
            for number in range(ROUNDS)
        ]
        assert [(answer["referenceTaskName"], answer["signalTimeout"]) for answer in blocked] == [
            ("approve", False)
        ] * ROUNDS
        assert len({answer["targetWorkflowId"] for answer in blocked}) == ROUNDS
        for node in nodes:
            found = f"{node.url}/api/workflow/{blocked[0]['targetWorkflowId']}/await?waitForSeconds=20"
            async with session.get(found) as answer:
                assert (await answer.json())["signalTimeout"] is False


async def _share_the_partitions(session: aiohttp.ClientSession, nodes: Sequence[ServerProcess]) -> None:
    """Wait until every node decides for some: while partitions move, a call may be told to ask again."""
    async with asyncio.timeout(BALANCED_WITHIN_S):
        for node in nodes:
            while True:
                async with session.get(f"{node.url}/health", raise_for_status=False) as answer:
                    partitions = (await answer.json())["partitions"]
                if 0 < len(partitions["deciding"]) < KAFKA_PARTITIONS and not partitions["recovering"]:
                    break
                await asyncio.sleep(0.05)  # nothing tells when a group of consumers has come to rest


async def _executed(session: aiohttp.ClientSession, node: str, name: str, *, strategy: str) -> JsonObject:
    url = f"{node}/api/workflow/execute/{name}/1?waitForSeconds=30&returnStrategy={strategy}"
    async with session.post(url, json={"name": name}) as reply:
        answer: JsonObject = await reply.json()
        return answer
