"""Claims about HTTP tasks, through a whole node and a real server on loopback."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from engine.commands import ReportTaskResult
from engine.definitions import WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from streams import requests as requests_module
from streams.command_outlet import CommandOutlet
from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.node import open_node
from streams.requests import BuiltInRequests
from streams.settings import NodeSettings
from streams.topics import COMMANDS, EVENTS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, records
from tests.streams.node.rig import start as start_command
from tests.streams.node.test_node import ended, start


def calling(url: object) -> WorkflowDef:
    """Return a workflow of one HTTP task."""
    task = WorkflowTask(
        name="call",
        task_reference_name=RefName("call"),
        type="HTTP",
        input_parameters={"http_request": {"uri": str(url), "method": "POST", "body": {"n": "${workflow.input.n}"}}},
    )
    return WorkflowDef(name="calling", tasks=(task,), output_parameters={"got": "${call.output.response.body.got}"})


class Server:
    """A server that counts its requests."""

    def __init__(self, url: URL) -> None:
        """Be reached at `url`."""
        self.url = url
        self.bodies: list[JsonObject] = []


@asynccontextmanager
async def serving(answer: Callable[[JsonObject], web.Response]) -> AsyncGenerator[Server]:
    """Serve on loopback while the block runs."""

    async def handle(request: web.Request) -> web.Response:
        body: JsonObject = await request.json()
        found.bodies.append(body)
        return answer(body)

    app = web.Application()
    app.router.add_post("/work", handle)
    async with TestServer(app) as server:
        found = Server(server.make_url("/work"))
        yield found


def echo(body: JsonObject) -> web.Response:
    """Answer with what was sent."""
    return web.json_response({"got": body["n"]})


async def test_an_http_task_calls_a_server_and_its_answer_is_the_output(tmp_path: Path) -> None:
    """Twenty workflows, twenty requests, each with its own input."""
    settings = NodeSettings(
        data_dir=tmp_path / "data", url="http://127.0.0.1:0", history=False, allow_private_targets=True
    )
    async with serving(echo) as server, open_node(settings) as node:
        await node.definitions.put_workflow(calling(server.url))
        answers = await asyncio.gather(*(start(node, "calling", input={"n": number}) for number in range(20)))
        states = [await ended(node, answer.workflow_id) for answer in answers]
    assert [state.output for state in states] == [{"got": number} for number in range(20)]
    assert sorted(body["n"] for body in server.bodies) == list(range(20))


async def test_a_private_address_is_not_called_unless_the_operator_allows_it(tmp_path: Path) -> None:
    """The task fails with the reason, and the server has seen nothing."""
    settings = NodeSettings(data_dir=tmp_path / "data", url="http://127.0.0.1:0", history=False)
    async with serving(echo) as server, open_node(settings) as node:
        await node.definitions.put_workflow(calling(server.url))
        state = await ended(node, (await start(node, "calling", input={"n": 1})).workflow_id)
    assert state.status is WorkflowStatus.FAILED
    assert "Failed to invoke HTTP task" in state.reason
    assert server.bodies == []


async def test_an_answer_too_large_for_the_log_fails_the_task_with_a_reason(tmp_path: Path) -> None:
    """Podium reads 8 MB of an answer; with its escapes that is more than a record holds. Nobody waits for ever."""
    settings = NodeSettings(
        data_dir=tmp_path / "data", url="http://127.0.0.1:0", history=False, allow_private_targets=True
    )
    text = '"' * 5_000_000

    def quotes(_: JsonObject) -> web.Response:
        return web.Response(text=text, content_type="text/plain")

    async with serving(quotes) as server, open_node(settings) as node:
        await node.definitions.put_workflow(calling(server.url))
        async with asyncio.timeout(20):
            state = await ended(node, (await start(node, "calling", input={"n": 1})).workflow_id)
    assert state.status is WorkflowStatus.FAILED
    assert "cannot be stored" in state.reason


class Result:
    """What a request came to."""

    status = TaskStatus.COMPLETED
    output: JsonObject = {}  # noqa: RUF012 - it is only read
    reason = ""


class SlowWorker:
    """A worker whose requests a test lets end, or break."""

    def __init__(self) -> None:
        """Let nothing end yet."""
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.is_broken = False

    async def run(self, task_input: JsonObject, *, attempt_id: str) -> Result:
        """See `RequestWorker`."""
        self.begun.append(attempt_id)
        if self.is_broken:
            raise ZeroDivisionError(str(task_input)[:10])
        await self.may_end.wait()
        return Result()


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


async def http_state(log: HeldLog) -> WorkflowState:
    """Return a workflow whose HTTP task is under way."""
    async with Partition(log, calling("http://127.0.0.1:9/none")).running() as partition:
        log.hold(EVENTS)
        partition.outlet.enqueue(start_command("a", "calling"))
        await log.wait_held(EVENTS)
        state = partition.machine.table.peek(WorkflowId("a"))
        assert state is not None
        log.release(EVENTS)
        return state


def results(found: list[ReportTaskResult]) -> list[tuple[str, TaskStatus | None]]:
    """Return id and status of each report."""
    return [(report.task_id, report.status) for report in found]


async def reports(log: HeldLog) -> list[ReportTaskResult]:
    """Return the reports in the log."""
    return [
        msgspec.json.decode(record.value or b"", type=ReportTaskResult)
        for record in await records(log, COMMANDS)
        if b'"task_result"' in (record.value or b"")
    ]


async def test_a_request_that_is_begun_twice_is_made_once_and_its_result_outlives_a_silent_log(
    log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recovery begins it again while it is under way; the log is away when it ends."""
    monkeypatch.setattr(requests_module, "REPORT_AGAIN_AFTER_S", 0.0)
    state = await http_state(log)
    task = state.tasks[TaskSeq(1)]
    worker, outlet = SlowWorker(), CommandOutlet(log, partitions=1)
    requests = BuiltInRequests(worker, outlet)
    before = len(await reports(log))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(outlet.run()), group.create_task(requests.run())]
        for _ in range(3):
            requests.begin(TaskId("a~1"), task)  # type: ignore[arg-type]  # it is open
            await asyncio.sleep(0)
        log.fail(COMMANDS, LogUnavailable("silent"))
        worker.may_end.set()
        for _ in range(50):
            await asyncio.sleep(0)
        log.heal(COMMANDS)
        while len(await reports(log)) == before:
            await asyncio.sleep(0)
        for one in running:
            one.cancel()
    assert worker.begun == ["a~1"]
    assert results(await reports(log))[before:] == [("a~1", TaskStatus.COMPLETED)]


async def test_a_request_that_breaks_fails_its_task_and_no_other(log: HeldLog) -> None:
    """A defect in making one request must not end the node, nor leave the task open for ever."""
    state = await http_state(log)
    task = state.tasks[TaskSeq(1)]
    worker, outlet = SlowWorker(), CommandOutlet(log, partitions=1)
    requests = BuiltInRequests(worker, outlet)
    before = len(await reports(log))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(outlet.run()), group.create_task(requests.run())]
        worker.is_broken = True
        requests.begin(TaskId("a~1"), task)  # type: ignore[arg-type]  # it is open
        while len(await reports(log)) == before:
            await asyncio.sleep(0)
        worker.is_broken = False
        worker.may_end.set()
        requests.begin(TaskId("a~2"), task)  # type: ignore[arg-type]  # it is open
        while len(await reports(log)) == before + 1:
            await asyncio.sleep(0)
        for one in running:
            one.cancel()
    found = await reports(log)
    assert results(found)[before:] == [
        ("a~1", TaskStatus.FAILED_WITH_TERMINAL_ERROR),
        ("a~2", TaskStatus.COMPLETED),
    ]
    assert "ZeroDivisionError" in (found[before].reason_for_incompletion or "")
