"""Claims about the projection: the history is the log, told again.

Real decisions of the real machine, the real engine in a directory; the log is the one in memory.
"""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec

from engine.commands import (
    ClaimTask,
    ReportTaskResult,
    RestartWorkflow,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.events import Event, TaskScheduled
from engine.ids import TaskId, TaskSeq, WorkflowId, task_id
from engine.model import status_of
from engine.status import TaskStatus
from streams.history import HistorySettings, HistoryStore
from streams.history.store import BatchRows
from streams.partition.chain import Chain
from streams.records import DecisionRecord
from streams.topics import EVENTS
from tests.streams.history.projecting import all_rows, forget_positions, memory_log, projected, wait_written
from tests.streams.history.recorded import FIRST_MS, Crowd, RecordedPartition

START = StartWorkflow(name="three_tasks", workflow_id=WorkflowId("w"), input={"a": 1})


def believed_events(recorded: RecordedPartition) -> dict[str, list[Event]]:
    """Return the events of each workflow, as the chain of records has them."""
    chain = Chain(0)
    found: dict[str, list[Event]] = {}
    for offset, value in enumerate(recorded.records):
        entry = chain.read(recorded.log_record(offset, value))
        if isinstance(entry, DecisionRecord) and entry.events:
            found.setdefault(entry.workflow_id, []).extend(entry.events)
    return found


async def project_all(recorded: RecordedPartition, store: HistoryStore, settings: HistorySettings) -> None:
    """Project a whole log, from where an earlier projection stopped."""
    async with (
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings) as projector,
    ):
        await wait_written(projector, 0, len(recorded.records))


def crowd_of(*, seed: int, steps: int) -> tuple[RecordedPartition, Crowd]:
    """Return a log of random lives, and who lives in it."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=seed)
    crowd.live(steps)
    return recorded, crowd


async def test_every_event_of_the_log_is_there_once_and_in_order(tmp_path: Path) -> None:
    """`workflow_events` holds what the chain of records holds, nothing less, more or elsewhere."""
    recorded, _ = crowd_of(seed=1, steps=900)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)

        for workflow_id, events in believed_events(recorded).items():
            found = await store.events(WorkflowId(workflow_id))
            assert [item.event for item in found] == events
            assert [item.version for item in found] == list(range(1, len(events) + 1))
        total = await all_rows(store, "SELECT count() FROM workflow_events")
        assert total == [(sum(len(events) for events in believed_events(recorded).values()),)]


async def test_a_state_is_what_its_owner_has(tmp_path: Path) -> None:
    """The fold of the recorded events equals the live state, also half-way through a workflow's life."""
    recorded, crowd = crowd_of(seed=2, steps=600)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)

        for name in crowd.ids:
            state = recorded.state(name)
            assert await store.state(WorkflowId(name)) == state
            earlier = await store.state(WorkflowId(name), version=1)
            assert earlier is not None
            assert (earlier.version, earlier.created_at_ms) == (1, crowd.first_starts[name])
        assert await store.state(WorkflowId("nobody")) is None
        assert await store.events(WorkflowId("nobody")) == []


async def test_every_attempt_has_a_row_also_those_before_a_restart(tmp_path: Path) -> None:
    """`task_executions` has one row per scheduled attempt; those of the present run look as their owner has them."""
    recorded, crowd = crowd_of(seed=3, steps=900)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)

        found = await all_rows(
            store,
            "SELECT workflow_id, seq, task_id, status, worker_id, toUnixTimestamp64Milli(started_at), output "
            "FROM task_executions FINAL",
        )
        scheduled = {
            (workflow_id, event.seq)
            for workflow_id, events in believed_events(recorded).items()
            for event in events
            if isinstance(event, TaskScheduled)
        }
        assert Counter((row[0], row[1]) for row in found) == Counter(scheduled)
        rows = {(row[0], row[1]): row for row in found}
        for name in crowd.ids:
            state = recorded.state(name)
            for seq, task in state.tasks.items():
                assert rows[name, seq][2:] == (
                    task_id(state.workflow_id, seq),
                    status_of(task).value,
                    task.progress.worker_id,
                    task.progress.started_at_ms,
                    msgspec.json.encode(task.progress.output).decode(),
                )


async def test_a_workflow_has_one_row_whose_place_never_moves(tmp_path: Path) -> None:
    """A restart months later begins a new run, and the row stays under the instant of the first start."""
    recorded = RecordedPartition()
    recorded.send(START, at_ms=FIRST_MS)
    recorded.send(TerminateWorkflow(workflow_id=WorkflowId("w")), at_ms=FIRST_MS + 1)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)
        later = FIRST_MS + 90 * 86_400_000
        recorded.send(RestartWorkflow(workflow_id=WorkflowId("w")), at_ms=later)
        await project_all(recorded, store, settings)

        found = await all_rows(
            store,
            "SELECT toUnixTimestamp64Milli(created_at), toUnixTimestamp64Milli(started_at), status "
            "FROM workflow_executions FINAL",
        )
        assert found == [(FIRST_MS, later, "RUNNING")]
        partitions = await all_rows(store, "SELECT DISTINCT toYYYYMM(created_at) FROM workflow_events")
        assert len(partitions) == 1


async def test_a_batch_written_twice_changes_nothing(tmp_path: Path) -> None:
    """A projection that begins again from the first record leaves every row as it was."""
    recorded, _ = crowd_of(seed=4, steps=400)
    settings = HistorySettings(directory=tmp_path)
    questions = [
        f"SELECT * FROM {table} FINAL ORDER BY ALL"  # noqa: S608 (a constant)
        for table in ("workflow_executions", "task_executions", "workflow_events")
    ]
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)
        before = [await all_rows(store, question) for question in questions]
        await forget_positions(store)
        await project_all(recorded, store, settings)

        assert [await all_rows(store, question) for question in questions] == before


async def test_a_projection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Stopped after any number of records and begun anew, with states kept or not, the projection misses nothing."""
    recorded, crowd = crowd_of(seed=5, steps=300)
    values = recorded.new_records()
    async with HistoryStore(HistorySettings(directory=tmp_path)) as store, memory_log([]) as log:
        step = len(values) // 7
        for number, start in enumerate(range(0, len(values), step)):
            piece = values[start : start + step]
            await log.append(EVENTS, 0, piece)
            settings = HistorySettings(
                directory=tmp_path, cached_tasks_max=(0, 50_000)[number % 2], linger_ms=5, linger_ms_max=10
            )
            async with projected(log, store, settings) as projector:
                await wait_written(projector, 0, start + len(piece))

        for name in crowd.ids:
            assert await store.state(WorkflowId(name)) == recorded.state(name)


async def test_states_that_are_not_kept_are_folded_anew(tmp_path: Path) -> None:
    """With room for no state at all, a log that comes record by record is projected all the same."""
    recorded, crowd = crowd_of(seed=6, steps=120)
    settings = HistorySettings(directory=tmp_path, cached_tasks_max=0, linger_ms=5, linger_ms_max=10)
    async with (
        HistoryStore(settings) as store,
        memory_log([]) as log,
        projected(log, store, settings) as projector,
    ):
        for offset, record in enumerate(recorded.new_records()):
            await log.append(EVENTS, 0, [record])
            if offset % 5 == 0:
                await wait_written(projector, 0, offset + 1)
        await wait_written(projector, 0, len(recorded.records))

        for name in crowd.ids:
            assert await store.state(WorkflowId(name)) == recorded.state(name)


async def test_the_word_of_a_superseded_owner_is_not_projected(tmp_path: Path) -> None:
    """A decision that carries an older epoch than the newest claim before it leaves no row."""
    recorded = RecordedPartition()
    recorded.send(START, at_ms=FIRST_MS)
    stale = RecordedPartition()
    stale.send(START, at_ms=FIRST_MS)
    late = stale.send(TerminateWorkflow(workflow_id=WorkflowId("w"), reason="late word"), at_ms=FIRST_MS + 9)
    recorded.claim("owner-2")
    recorded.append_raw(late[0].value or b"")
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        async with memory_log(recorded.new_records()) as log, projected(log, store, settings) as projector:
            await wait_written(projector, 0, 3)
        state = await store.state(WorkflowId("w"))

        assert state is not None
        assert state.status.value == "RUNNING"


async def test_a_refused_command_leaves_no_row_but_is_passed(tmp_path: Path) -> None:
    """Refusals move the position and nothing else."""
    recorded = RecordedPartition()
    for number in range(30):
        recorded.send(TerminateWorkflow(workflow_id=WorkflowId(f"nobody-{number}")), at_ms=FIRST_MS + number)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)

        assert await all_rows(store, "SELECT count() FROM workflow_events") == [(0,)]
        assert await all_rows(store, "SELECT count() FROM workflow_executions") == [(0,)]


async def test_an_ignored_result_is_recorded_with_its_reason(tmp_path: Path) -> None:
    """A result for an ended attempt is an event of the history, although it changed nothing."""
    recorded = RecordedPartition()
    recorded.send(START, at_ms=FIRST_MS)
    report = ReportTaskResult(
        workflow_instance_id=WorkflowId("w"), task_id=TaskId("w~1"), status=TaskStatus.COMPLETED, worker_id="x"
    )
    recorded.send(report, at_ms=FIRST_MS + 5)
    recorded.send(report, at_ms=FIRST_MS + 6)
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)

        found = await all_rows(store, "SELECT task_seq, body FROM workflow_events WHERE event = 'result_ignored'")
        assert [row[0] for row in found] == [1]
        assert "reason" in str(found[0][1])


async def test_a_decision_in_parts_is_projected_whole_or_not_at_all(tmp_path: Path) -> None:
    """A decision too large for a record is joined from its parts; without its last part it leaves no row."""
    recorded = RecordedPartition()
    large = {"text": "x" * 2_000_000}
    sent = recorded.send(
        msgspec.structs.replace(START, input=large),
        StartWorkflow(name="three_tasks", workflow_id=WorkflowId("v")),
        at_ms=FIRST_MS,
    )
    assert len(sent) > 3
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store, memory_log(recorded.new_records()[:3]) as log:
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, 0)
            assert await store.state(WorkflowId("w")) is None
        await log.append(EVENTS, 0, recorded.new_records(start=3))
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, len(recorded.records))

        state = await store.state(WorkflowId("w"))
        assert state is not None
        assert state.started.input == large


async def test_a_broken_chain_halts_its_partition_and_no_other(tmp_path: Path) -> None:
    """A record that does not follow the one before it stops the projection there, and says where."""
    sound = RecordedPartition(partition=1, partitions=2)
    sound.send(StartWorkflow(name="three_tasks", workflow_id=WorkflowId("b1")), at_ms=FIRST_MS)
    broken = RecordedPartition(partition=0, partitions=2)
    for name in ("a", "c", "e", "g"):
        broken.send(StartWorkflow(name="three_tasks", workflow_id=WorkflowId(name)), at_ms=FIRST_MS)
    cut = [*broken.new_records()[:2], *broken.new_records()[3:]]
    settings = HistorySettings(directory=tmp_path, linger_ms=5, linger_ms_max=10)
    async with (
        HistoryStore(settings) as store,
        memory_log(cut, sound.new_records()) as log,
        projected(log, store, settings, partitions=(0, 1)) as projector,
    ):
        await wait_written(projector, 1, len(sound.records), halted={0})
        lag = await projector.lag()

        assert list(lag.halted) == [0]
        assert "offset 2" in lag.halted[0]
        await wait_written(projector, 0, 2, halted={0})
        found = await all_rows(store, "SELECT workflow_id FROM workflow_executions ORDER BY workflow_id")
        assert found == [("a",), ("b1",)]


async def test_a_history_of_another_log_is_noticed(tmp_path: Path) -> None:
    """A log that is shorter than the history, or says something else, halts the projection; nothing is overwritten."""
    recorded, _ = crowd_of(seed=9, steps=60)
    other = RecordedPartition()
    for number in range(200):
        other.send(StartWorkflow(name="fork_join", workflow_id=WorkflowId(f"o-{number}")), at_ms=FIRST_MS)
    settings = HistorySettings(directory=tmp_path, linger_ms=5)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)
        before = await all_rows(store, "SELECT count() FROM workflow_events FINAL")
        for records in (recorded.new_records()[:20], other.new_records()):
            async with memory_log(records) as log, projected(log, store, settings) as projector:
                await wait_written(projector, 0, 0, halted={0})

        assert await all_rows(store, "SELECT count() FROM workflow_events FINAL") == before


async def test_the_lag_counts_records_and_falls_to_zero(tmp_path: Path) -> None:
    """Records that are not written yet are counted; when all are, the lag is nothing."""
    recorded, _ = crowd_of(seed=8, steps=50)
    settings = HistorySettings(directory=tmp_path, linger_ms=5, linger_ms_max=10)
    async with (
        HistoryStore(settings) as store,
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings) as projector,
    ):
        await wait_written(projector, 0, len(recorded.records))
        assert (await projector.lag()).records == 0
        assert (await projector.lag()).ms == 0
        projector.unfollow(0)
        known = len(recorded.records)
        recorded.send(START, at_ms=FIRST_MS * 2)  # timers of others may be due by then
        await log.append(EVENTS, 0, recorded.new_records(start=known))
        projector.follow(0)
        await wait_written(projector, 0, len(recorded.records))

        assert await store.state(WorkflowId("w")) == recorded.state("w")


async def test_whoever_waits_for_an_event_is_woken_when_it_is_written(tmp_path: Path) -> None:
    """`wait_projected` is true once the event can be read, and false when the time is over before."""
    recorded = RecordedPartition()
    recorded.send(START, at_ms=FIRST_MS)
    claim = ClaimTask(workflow_instance_id=WorkflowId("w"), task_id=TaskId("w~1"), worker_id="x")
    settings = HistorySettings(directory=tmp_path, linger_ms=5, linger_ms_max=10)
    async with (
        HistoryStore(settings) as store,
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings),
    ):
        version = recorded.state("w").version
        assert await store.wait_projected(WorkflowId("w"), version, timeout_ms=20_000)
        assert not await store.wait_projected(WorkflowId("w"), version + 1, timeout_ms=1)
        sent = recorded.send(claim, at_ms=FIRST_MS + 3)
        await log.append(EVENTS, 0, sent)

        assert await store.wait_projected(WorkflowId("w"), version + 1, timeout_ms=20_000)
        state = await store.state(WorkflowId("w"))
        assert state is not None
        assert status_of(state.tasks[TaskSeq(1)]).value == "IN_PROGRESS"


class HalfWritten(HistoryStore):
    """A store that stops in the middle of a batch: the events are there, the executions are not."""

    def __init__(self, settings: HistorySettings) -> None:
        """Stop at the first batch."""
        super().__init__(settings)
        self.is_half = asyncio.Event()
        self.go_on = asyncio.Event()

    async def write(self, batch: BatchRows) -> None:
        """Write the events of a batch, wait to be told, and write all of it."""
        await super().write(msgspec.structs.replace(batch, tasks=(), executions=(), chains={}))
        self.is_half.set()
        await self.go_on.wait()
        await super().write(batch)


async def test_a_workflow_is_not_projected_before_a_search_finds_it(tmp_path: Path) -> None:
    """Its events are written first; whoever waited for them alone would search in vain a moment later."""
    recorded = RecordedPartition()
    recorded.send(START, at_ms=FIRST_MS)
    settings = HistorySettings(directory=tmp_path, linger_ms=5, linger_ms_max=10)
    async with (
        HalfWritten(settings) as store,
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings),
    ):
        version = recorded.state("w").version
        await store.is_half.wait()
        assert not await store.wait_projected(WorkflowId("w"), version, timeout_ms=1)
        store.go_on.set()
        assert await store.wait_projected(WorkflowId("w"), version, timeout_ms=20_000)
        assert (await store.search(query="workflowId=w", free_text="*", start=0, size=1, sort="")).total == 1


def test_the_crowd_lives_through_everything() -> None:
    """The random lives that the claims above rest on hold restarts, retries, ignored results and every end."""
    recorded, crowd = crowd_of(seed=1, steps=900)
    tags = Counter(
        str(type(event).__struct_config__.tag) for events in believed_events(recorded).values() for event in events
    )
    wanted = {
        "workflow_restarted",
        "workflow_reopened",
        "result_ignored",
        "task_postponed",
        "workflow_paused",
        "workflow_resumed",
        "task_started",
        "task_released",
    }
    assert wanted <= set(tags)
    assert {recorded.state(name).status.value for name in crowd.ids} >= {
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "TERMINATED",
        "PAUSED",
    }
