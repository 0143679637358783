"""Two real nodes on a real broker, asked at the wrong door."""

from pathlib import Path

import aiohttp

from deploy.kafka.broker import KafkaBroker, free_ports
from engine.json_value import JsonObject
from tests.durability.server import ServerProcess

PREFIX = "two-nodes."
HUMAN = {"name": "approve", "taskReferenceName": "approve", "type": "HUMAN"}
CHILD = {"name": "c", "taskReferenceName": "c", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "approval"}}
ROUNDS = 12
"""Each lands parent and child in partitions of their own: the two live apart in about half of them."""


def _nodes(broker: KafkaBroker, folder: Path) -> list[ServerProcess]:
    shared = ("--kafka", broker.bootstrap, "--topic-prefix", PREFIX)
    return [
        ServerProcess(port, folder / f"node-{port}.log", *shared, "--data", str(folder / f"node-{port}"))
        for port in free_ports(2)
    ]


async def test_a_call_that_waits_is_told_of_whoever_is_waited_for_in_another_process(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    """Whichever node is asked, the answer names the task that blocks in the sub-workflow, before the time is over."""
    nodes = _nodes(kafka_broker, tmp_path)
    async with nodes[0], nodes[1], aiohttp.ClientSession(raise_for_status=True) as session:
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


async def _executed(session: aiohttp.ClientSession, node: str, name: str, *, strategy: str) -> JsonObject:
    url = f"{node}/api/workflow/execute/{name}/1?waitForSeconds=30&returnStrategy={strategy}"
    async with session.post(url, json={"name": name}) as reply:
        answer: JsonObject = await reply.json()
        return answer
