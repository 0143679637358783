"""Claims about taking over a partition: snapshots and the log behind them are as good as the whole log."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec
import pytest

from engine.commands import ClaimTask, RetryWorkflow, TerminateWorkflow
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskSeq, WorkflowId, task_id
from engine.model import WorkflowState
from engine.status import WorkflowStatus
from streams.memory import MemoryTopics
from streams.partition import snapshot_records
from streams.partition.machine import PartitionMachine
from streams.partition.recovery import recover
from streams.partition.restoring import restore
from streams.partition.snapshots import SnapshotCycle
from streams.ports import NewRecord
from streams.records import OwnerClaimed
from streams.topics import COMMANDS, EVENTS, SNAPSHOTS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, completed, decisions, failed, records, start

WAITING = WorkflowDef(
    name="waiting",
    tasks=(
        WorkflowTask(
            name="wait", task_reference_name=RefName("wait"), type="WAIT", input_parameters={"duration": "10 seconds"}
        ),
    ),
)


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


async def snapshot(partition: Partition) -> int:
    """Write a snapshot now, not in half a minute."""
    return await partition.processor._snapshots.write()  # noqa: SLF001


def held(partition: Partition) -> dict[WorkflowId, WorkflowState]:
    """Return every workflow that a partition has in memory."""
    return {state.workflow_id: state for state in partition.machine.table.states()}


async def fully_replayed(log: HeldLog) -> Partition:
    """Return a partition that was folded from the whole log, on a copy without snapshots."""
    copy = HeldLog(MemoryTopics(now_ms=lambda: NOW_MS))
    await copy.__aenter__()
    await copy.create_topics(engine_topics(partitions=1))
    for topic in (COMMANDS, EVENTS):
        for record in await records(log, topic):
            await copy.append(topic, 0, [NewRecord(key=record.key, value=record.value)])
    partition = Partition(copy)
    claim = OwnerClaimed(owner="copy", url="", at_ms=NOW_MS, partitions=1)
    await recover(copy, 0, partition.machine, claim)
    return partition


async def snapshot_keys(log: HeldLog) -> list[str]:
    """Return the keys that the topic holds, but for marker and fences."""
    found = {(record.key or b"").decode() for record in await records(log, SNAPSHOTS) if record.value is not None}
    return sorted(key for key in found if not key.startswith("~"))


async def test_snapshot_and_tail_equal_a_full_replay_of_a_thousand_workflows(log: HeldLog) -> None:
    """Whether a workflow began, moved on or ended before the snapshot or behind it: its state is the same."""
    async with Partition(log).running() as first:
        for number in range(1_000):
            first.outlet.enqueue(start(f"w{number}", "two", input={"number": number}))
        await first.settled()
        for number in range(0, 900, 2):
            first.outlet.enqueue(completed(f"w{number}", 1, number=number))
        for number in range(0, 300, 3):
            first.outlet.enqueue(completed(f"w{number}", 2))
        await first.settled()
        await snapshot(first)
        for number in range(0, 1_000, 5):
            first.outlet.enqueue(completed(f"w{number}", 1, again=number))
        for number in range(0, 1_000, 7):
            first.outlet.enqueue(completed(f"w{number}", 2))
        for number in range(1_000, 1_100):
            first.outlet.enqueue(start(f"w{number}", "two"))
        await first.settled()
    async with Partition(log).running() as second:
        replayed = await fully_replayed(log)
        assert len(held(second)) == 1_100
        assert held(second) == held(replayed)
        assert second.machine.chain.hash == replayed.machine.chain.hash or second.machine.chain.epoch > 0
        assert second.machine.chain.sequence == replayed.machine.chain.sequence


async def test_a_late_result_for_a_workflow_that_ended_before_the_snapshot_does_not_stop_recovery(log: HeldLog) -> None:
    """An ended workflow is in the snapshot for as long as it is in memory: what comes later about it finds it."""
    async with Partition(log).running() as first:
        await first.ask(start("a"))
        await first.ask(completed("a", 1))
        await snapshot(first)
        answer = await first.ask(completed("a", 1))
        assert "COMPLETED since" in answer.ignored
    async with Partition(log).running() as second:
        assert held(second) == held(await fully_replayed(log))
        assert second.ended == ["a"]


async def test_a_retry_of_a_workflow_that_ended_before_the_snapshot_survives_the_next_recovery(log: HeldLog) -> None:
    """It runs again behind the snapshot; whoever recovers has the run before it too."""
    async with Partition(log).running() as first:
        await first.ask(start("a"))
        await first.ask(failed("a", 1))
        await snapshot(first)
        await first.ask(RetryWorkflow(workflow_id=WorkflowId("a")))
    async with Partition(log).running() as second:
        assert held(second) == held(await fully_replayed(log))
        (task,) = await second.poll("work", timeout_ms=1_000)
        assert task["retryCount"] == 1


async def test_a_workflow_that_came_back_from_the_history_is_found_by_the_next_owner(log: HeldLog) -> None:
    """It left memory and the snapshots, came back, was retried: the log alone would begin in its middle."""
    async with Partition(log).running() as first:
        await first.ask(start("a", generated_id=True))
        await snapshot(first)
        await first.ask(failed("a", 1))
        ended = first.machine.table.peek(WorkflowId("a"))
        assert ended is not None
        first.machine.evict(WorkflowId("a"))
        await snapshot(first)
        await first.ask(start("b"))
        await snapshot(first)
        assert await snapshot_keys(log) == ["b"]

        async def remembered(_: WorkflowId) -> WorkflowState | None:
            return ended

        assert await first.processor.take_back(WorkflowId("a"), remembered) == ended
        answer = await first.ask(RetryWorkflow(workflow_id=WorkflowId("a")))
        assert answer.rejected is None
    async with Partition(log).running() as second:
        assert held(second)[WorkflowId("a")].status is WorkflowStatus.RUNNING
        assert held(second) == held(await fully_replayed(log))


async def test_a_workflow_is_not_back_before_its_snapshot_is_durable(log: HeldLog) -> None:
    """A decision about it could otherwise be in the log while what it builds upon is not."""
    async with Partition(log).running() as partition, asyncio.TaskGroup() as group:
        await partition.ask(start("a", generated_id=True))
        await partition.ask(failed("a", 1))
        ended = partition.machine.table.peek(WorkflowId("a"))
        partition.machine.evict(WorkflowId("a"))
        asked: list[WorkflowId] = []

        async def remembered(workflow_id: WorkflowId) -> WorkflowState | None:
            asked.append(workflow_id)
            return ended

        log.hold(SNAPSHOTS)
        back = [group.create_task(partition.processor.take_back(WorkflowId("a"), remembered)) for _ in range(2)]
        await log.wait_held(SNAPSHOTS)
        answer = await partition.ask(RetryWorkflow(workflow_id=WorkflowId("a")))
        assert answer.rejected is not None
        assert WorkflowId("a") not in partition.machine.table
        log.release(SNAPSHOTS)
        assert [await one for one in back] == [ended, None]
        assert asked == ["a"]


async def test_a_crash_within_a_cycle_leaves_the_last_complete_one_in_force(log: HeldLog) -> None:
    """Whichever append of the cycle was the last to arrive, the states are those of the log."""
    async with Partition(log).running() as first:
        for number in range(600):
            first.outlet.enqueue(start(f"w{number}", "two", generated_id=True))
        await first.settled()
        await snapshot(first)
        for number in range(600):
            first.outlet.enqueue(completed(f"w{number}", 1))
        for number in range(300):
            first.outlet.enqueue(completed(f"w{number}", 2))
        await first.settled()
        for number in range(200):
            first.machine.evict(WorkflowId(f"w{number}"))
        first.outlet.enqueue(completed("w599", 2))
        await first.settled()
        async with asyncio.TaskGroup() as group:
            log.hold(SNAPSHOTS)
            writing = group.create_task(first.processor._snapshots.write())  # noqa: SLF001
            appended = 0
            while not writing.done():
                recovered = await recovered_on_a_copy(log)
                expected = held(await fully_replayed(log))
                ended = {wid for wid, state in expected.items() if state.is_terminal}
                found = held(recovered)
                assert {wid: state for wid, state in expected.items() if wid in found} == found
                assert set(expected) - set(found) <= ended
                if log.held(SNAPSHOTS):
                    log.let_go(SNAPSHOTS, 1)
                    appended += 1
                await asyncio.sleep(0)
            assert appended >= 4
            log.release(SNAPSHOTS)


async def recovered_on_a_copy(log: HeldLog) -> Partition:
    """Return a partition recovered from a copy of the log as it is now."""
    copy = HeldLog(MemoryTopics(now_ms=lambda: NOW_MS))
    await copy.__aenter__()
    await copy.create_topics(engine_topics(partitions=1))
    for topic in (COMMANDS, EVENTS, SNAPSHOTS):
        for record in await records(log, topic):
            await copy.append(topic, 0, [NewRecord(key=record.key, value=record.value)])
    partition = Partition(copy)
    claim = OwnerClaimed(owner="copy", url="", at_ms=NOW_MS, partitions=1)
    await recover(copy, 0, partition.machine, claim)
    return partition


async def test_what_has_left_memory_leaves_the_snapshots_and_chosen_ids_are_remembered(log: HeldLog) -> None:
    """The topic shrinks to what is open, and a start with the id of an ended workflow meets it for ever."""
    async with Partition(log).running() as first:
        for name, is_generated in (("chosen", False), ("made", True), ("open", True)):
            await first.ask(start(name, generated_id=is_generated))
        await snapshot(first)
        for name in ("chosen", "made"):
            await first.ask(completed(name, 1))
            first.machine.evict(WorkflowId(name))
        await snapshot(first)
        await first.ask(start("later"))
        await snapshot(first)
        assert await snapshot_keys(log) == ["chosen", "later", "open"]
    async with Partition(log).running() as second:
        assert set(held(second)) == {"later", "open"}
        answer = await second.ask(start("chosen"))
        assert answer.rejected is not None
        assert answer.rejected.code == "WORKFLOW_EXISTS"


async def test_a_workflow_that_ended_between_two_snapshots_was_never_in_one(log: HeldLog) -> None:
    """Short ones cost the topic nothing."""
    async with Partition(log).running() as partition:
        await partition.ask(start("before"))
        await snapshot(partition)
        for number in range(20):
            await partition.ask(start(f"w{number}", generated_id=True))
            await partition.ask(completed(f"w{number}", 1))
            partition.machine.evict(WorkflowId(f"w{number}"))
        before = (await log.offsets(SNAPSHOTS, 0)).next
        await snapshot(partition)
        assert (await log.offsets(SNAPSHOTS, 0)).next == before + 1
        assert await snapshot_keys(log) == ["before"]


async def test_a_state_too_large_for_a_record_comes_in_parts(log: HeldLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is restored whole, its old parts go away, and no snapshot fails because of its size."""
    monkeypatch.setattr(snapshot_records, "PART_BYTES_MAX", 1_000)
    async with Partition(log).running() as first:
        await first.ask(start("big", "two", input={"text": "x" * 3_500}))
        await first.ask(start("small"))
        await snapshot(first)
        parts_before = [key for key in await snapshot_keys(log) if "~" in key]
        await first.ask(completed("big", 1, text="y" * 3_000))
        await snapshot(first)
        await first.ask(start("another"))
        await snapshot(first)
        parts = [key for key in await snapshot_keys(log) if "~" in key]
    assert len(parts_before) >= 4
    assert len(parts) > len(parts_before)
    assert not set(parts) & set(parts_before)
    async with Partition(log).running() as second:
        assert held(second) == held(await fully_replayed(log))
        await second.ask(completed("big", 2))
        second.machine.evict(WorkflowId("big"))
        await snapshot(second)
        await second.ask(start("last"))
        await snapshot(second)
        assert [key for key in await snapshot_keys(log) if "~" in key] == []


async def test_a_real_state_above_a_records_limit_is_snapshotted(log: HeldLog) -> None:
    """One megabyte is what a broker takes; a workflow may hold more than that."""
    async with Partition(log).running() as first:
        await first.ask(start("big", "two", input={"text": "x" * 900_000}))
        await first.ask(completed("big", 1, text="y" * 900_000))
        await snapshot(first)
    async with Partition(log).running() as second:
        assert held(second) == held(await fully_replayed(log))


def _flip(value: bytes) -> bytes:
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 0x10]) + value[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [_flip, lambda value: value[: len(value) // 2], lambda _: b""], ids=["flipped", "cut", "empty"]
)
async def test_damaged_snapshots_are_not_used(log: HeldLog, damage: Callable[[bytes], bytes]) -> None:
    """A flipped bit, a cut or an empty record: the log has everything, and the next snapshot is whole again."""
    async with Partition(log).running() as first:
        for name in ("a", "b", "c"):
            await first.ask(start(name, "two", input={"text": "x" * 200}))
        await snapshot(first)
    hurt = next(record for record in await records(log, SNAPSHOTS) if record.key == b"b")
    await log.append(SNAPSHOTS, 0, [NewRecord(key=b"b", value=damage(hurt.value or b""))])
    async with Partition(log).running() as second:
        assert held(second) == held(await fully_replayed(log))
        await second.ask(completed("a", 1))
        await snapshot(second)
    async with Partition(log).running() as third:
        assert set(held(third)) == {"a", "b", "c"}
        assert third.machine.changed == {}
        assert held(third) == held(await fully_replayed(log))


async def test_an_owner_that_lost_the_partition_unawares_cannot_spoil_the_snapshots(log: HeldLog) -> None:
    """What it writes behind its successor's back is recognised, and nothing is restored from it."""
    async with Partition(log).running() as first:
        await first.ask(start("a", "two"))
        await first.ask(start("b", "two"))
        zombie = SnapshotCycle(log, 0, first.machine, trim_commands=False)
        old = first.machine
        await snapshot(first)
    async with Partition(log).running() as second:
        await second.ask(completed("a", 1))
        await snapshot(second)
        # The old owner wakes up in the middle of a cycle: it appends states that were true once, and no marker.
        stale = old.table.peek(WorkflowId("a"))
        assert stale is not None
        await zombie.keep(stale, sequence=old.chain.sequence)
        await second.ask(completed("a", 2))
    async with Partition(log).running() as third:
        assert held(third) == held(await fully_replayed(log))


async def test_old_fences_go_away_when_nothing_stands_between_them(log: HeldLog) -> None:
    """A partition that changed hands a thousand times does not keep a thousand fences."""
    for number in range(6):
        async with Partition(log).running() as partition:
            await partition.ask(start(f"w{number}", generated_id=True))
            await partition.ask(completed(f"w{number}", 1))
            partition.machine.evict(WorkflowId(f"w{number}"))
            await snapshot(partition)
    live = {record.key for record in await records(log, SNAPSHOTS) if record.value is not None}
    assert len([key for key in live if (key or b"").startswith(b"~fence~")]) <= 2


async def test_decided_commands_are_let_go_with_a_snapshot_and_undecided_ones_are_kept(log: HeldLog) -> None:
    """After a restart from snapshot and trimmed commands nothing is missing and nothing is decided twice."""
    async with Partition(log).running() as first:
        for name in ("a", "b", "c"):
            await first.ask(start(name))
        await snapshot(first)
        assert (await log.offsets(COMMANDS, 0)).earliest == 3
    await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(start("d")))])
    async with Partition(log).running() as second:
        await second.processor.wait_decided(3)
        assert set(held(second)) == {"a", "b", "c", "d"}
    assert [decision.command_offset for decision in await decisions(log)] == [0, 1, 2, 3]


async def test_a_task_whose_claim_is_in_the_log_is_not_offered_again(log: HeldLog) -> None:
    """The commands that were there at the crash are decided before anything is handed out."""
    async with Partition(log).running() as first:
        for name in ("a", "b"):
            await first.ask(start(name))
    claim = ClaimTask(
        workflow_instance_id=WorkflowId("a"),
        task_id=task_id(WorkflowId("a"), TaskSeq(1)),
        worker_id="w",
        claimed_at_ms=NOW_MS,
    )
    await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(claim))])
    async with Partition(log).running() as second:
        polled = await second.poll("work", count=10, timeout_ms=5_000)
        assert [task["workflowInstanceId"] for task in polled] == ["b"]


async def test_a_restored_task_is_not_offered_as_an_unwritten_decision_has_it(log: HeldLog) -> None:
    """The second task of a workflow is offered when the end of the first is in the log, not when it is decided."""
    async with Partition(log).running() as first:
        await first.ask(start("a", "two"))
        await snapshot(first)
    second = Partition(log)
    await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(completed("a", 1)))])
    async with asyncio.TaskGroup() as group:
        outlet = group.create_task(second.outlet.run())
        running = group.create_task(second.processor.run())
        await second.processor.wait_recovered()
        log.hold(EVENTS)
        await log.wait_held(EVENTS)
        for _ in range(100):
            await asyncio.sleep(0)
        assert await second.poll("second") == []
        assert await second.poll("first") == []
        log.release(EVENTS)
        assert len(await second.poll("second", timeout_ms=5_000)) == 1
        running.cancel()
        outlet.cancel()


async def test_timers_of_restored_workflows_fire_on_time_and_never_early(log: HeldLog) -> None:
    """A workflow that nobody has touched since the snapshot wakes at its instant; so does one behind it."""
    async with Partition(log, WAITING).running() as first:
        await first.ask(start("packed", "waiting"))
        await snapshot(first)
        first.now_ms += 3_000
        await first.ask(start("behind", "waiting"))
    second = Partition(log, WAITING)
    second.now_ms = NOW_MS + 9_000
    async with second.running():
        await second.ask(start("probe"))
        assert {state.status for state in held(second).values()} == {WorkflowStatus.RUNNING}
        for now_ms, ended in ((NOW_MS + 9_999, set()), (NOW_MS + 10_000, {"packed"}), (NOW_MS + 12_999, {"packed"})):
            second.now_ms = now_ms
            await second.ask(TerminateWorkflow(workflow_id=WorkflowId("none")))  # any command makes it look
            states = {name: await second.state(name) for name in ("packed", "behind")}
            assert {name for name, state in states.items() if state is not None and state.is_terminal} == ended
        second.now_ms = NOW_MS + 13_000
        await second.ask(TerminateWorkflow(workflow_id=WorkflowId("none")))
        behind = await second.state("behind")
    assert behind is not None
    assert behind.status is WorkflowStatus.COMPLETED
    assert behind.ended_at_ms == NOW_MS + 13_000


async def test_a_timeout_of_a_claimed_task_survives_snapshot_and_restart(log: HeldLog) -> None:
    """The worker died before the restart; its response timeout runs on."""
    definition = TaskDef(name="work", retry_count=1, retry_delay_seconds=0, response_timeout_seconds=5)
    async with Partition(log, definition).running() as first:
        await first.ask(start("a"))
        await first.poll("work", timeout_ms=1_000)
        await first.settled()
        await snapshot(first)
    second = Partition(log, definition)
    second.now_ms = NOW_MS + 5_000
    async with second.running():
        (task,) = await second.poll("work", timeout_ms=5_000)
        assert task["retryCount"] == 1


async def test_a_machine_is_untouched_when_snapshots_are_not_trusted(log: HeldLog) -> None:
    """Nothing of a damaged snapshot is left in it."""
    async with Partition(log).running() as first:
        await first.ask(start("a"))
        await snapshot(first)
    await log.append(SNAPSHOTS, 0, [NewRecord(key=b"~marker", value=b"\xc1")])
    machine = PartitionMachine(
        partition=0, partitions=1, definitions=first.shelf, noise=lambda: 0.0, durable_queues=False
    )
    restored = await snapshot_restore(log, machine)
    assert len(machine.table) == 0
    assert machine.acknowledged_position.next_offset == 0
    assert restored[0] == b"~marker"


async def snapshot_restore(log: HeldLog, machine: PartitionMachine) -> list[bytes]:
    """Restore and return what is left over."""
    return (await restore(log, 0, machine)).left_over
