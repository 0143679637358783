"""Claims about what an owner hands to the projection of its process: the same rows as by reading the log, for less."""

from collections import Counter
from pathlib import Path
from random import Random
from typing import get_args

import msgspec
import pytest

from engine.applier import apply
from engine.commands import Command, StartWorkflow, TerminateWorkflow
from engine.events import Event, WorkflowRemoved
from engine.ids import WorkflowId
from engine.model import WorkflowState
from engine.rejections import Accepted, Decision
from streams.errors import Fenced
from streams.history import HistorySettings, HistoryStore
from streams.history.batch import Batch
from streams.history.folding import TAKES_TASKS_AWAY, Folding
from streams.history.rows import Row
from streams.partition.chain import Chain
from streams.partition.handover import Handover
from streams.records import DecisionRecord, decode, encode
from streams.topics import EVENTS, engine_topics
from tests.engine.driver import Driver
from tests.streams.history.handing import CountingLog, everything, live_handing_over
from tests.streams.history.projecting import memory_log, projected, wait_written
from tests.streams.history.recorded import FIRST_MS, Crowd, RecordedPartition
from tests.streams.history.test_projection import project_all

RUNS = 160


def decisions_of(seed: int) -> list[tuple[tuple[Event, ...], WorkflowState]]:
    """Return what a random workflow of any task types was decided, each time with the state that its owner then has."""
    driver = Driver(Random(seed))
    decide = driver.scenario.when
    found: list[tuple[tuple[Event, ...], WorkflowState]] = []

    def when(command: Command) -> Decision:
        decision = decide(command)
        if isinstance(decision, Accepted) and decision.events:
            found.append((tuple(decision.events), decision.state))
        return decision

    driver.scenario.when = when  # type: ignore[method-assign]  # to see every decision, also those about timers
    driver.run()
    return found


def as_rows(folding: Folding, event_rows: list[Row]) -> list[object]:
    """Return all rows that a folded decision leads to."""
    batch = Batch(1)
    created_at_ms, state = folding.add_to(batch)
    return [created_at_ms, state, event_rows, sorted(batch.task_rows(), key=str), list(batch.execution_rows())]


@pytest.mark.parametrize("batch", range(4))
def test_a_decision_gives_the_same_rows_from_its_owner_as_from_the_log(batch: int) -> None:
    """For random workflows of all task types: the owner's state gives the rows that the fold of the record gives."""
    for seed in range(batch, RUNS, 4):
        known: tuple[int, WorkflowState] | None = None
        for number, (events, state) in enumerate(decisions_of(seed), start=1):
            decided = DecisionRecord(
                workflow_id=state.workflow_id,
                cause="any",
                at_ms=state.updated_at_ms,
                epoch=0,
                sequence=number,
                previous="",
                events=events,
            )
            read = decode(encode(decided))
            assert isinstance(read, DecisionRecord)
            folded = Folding(read, partition=3, position=number, known=known)
            from_log = as_rows(folded, folded.apply(read.events))
            if not any(type(event) in TAKES_TASKS_AWAY for event in events):
                handed = Folding(decided, partition=3, position=number, known=known)
                assert as_rows(handed, handed.take(state)) == from_log, f"seed {seed}, decision {number}"
            known = (known[0] if known is not None else decided.at_ms, state)


def test_an_event_changes_no_attempt_but_its_own() -> None:
    """What the claim above rests on, for every type of event but the two that take attempts away."""
    seen: Counter[type] = Counter()
    for seed in range(240):
        state: WorkflowState | None = None
        for events, _ in decisions_of(seed):
            for event in events:
                before = state
                state = apply(state, event)
                seen[type(event)] += 1
                assert state.version == (before.version if before is not None else 0) + 1
                if before is None or type(event) in TAKES_TASKS_AWAY:
                    continue
                own = getattr(event, "seq", None)
                assert all(state.tasks.get(seq) is task for seq, task in before.tasks.items() if seq != own)
    assert set(seen) == set(get_args(Event)) - {WorkflowRemoved}  # nothing comes after that


async def test_what_is_handed_over_is_written_as_if_it_had_been_read(tmp_path: Path) -> None:
    """Every row and the position are those of a projection of the log alone; of the log only the claim was read."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=31)
    settings = HistorySettings(directory=tmp_path / "handed", linger_ms=5, linger_ms_max=10)
    async with HistoryStore(settings) as store, CountingLog() as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
        async with projected(log, store, settings) as projector:
            recorded.handover = projector.handover(0)
            recorded.handover.open(len(recorded.records))
            await live_handing_over(recorded, crowd, log, steps=1_500)
            await wait_written(projector, 0, len(recorded.records))
        assert log.events_read == 1
        by_hand = await everything(store)
        ((_, next_offset, chain),) = by_hand[3]
        assert chain == encoded_position(recorded, before_offset=int(str(next_offset)))
    assert await told_by_the_log(recorded, tmp_path / "read") == positions_aside(by_hand)


async def test_a_handover_that_overflows_is_made_good_from_the_log(tmp_path: Path) -> None:
    """A projection that falls behind its owner reads what there was no room for, and takes the rest."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=32)
    settings = HistorySettings(directory=tmp_path / "handed", linger_ms=5, linger_ms_max=10, handed_decisions_max=100)
    async with HistoryStore(settings) as store, CountingLog() as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
        async with projected(log, store, settings) as projector:
            recorded.handover = projector.handover(0)
            recorded.handover.open(len(recorded.records))
            await live_handing_over(recorded, crowd, log, steps=20)
            await wait_written(projector, 0, len(recorded.records))
            start = len(recorded.records)
            crowd.live(350)  # nothing here waits, so nothing is taken meanwhile
            await log.append(EVENTS, 0, recorded.new_records(start=start))
            await wait_written(projector, 0, len(recorded.records))
            read = log.events_read
            for _ in range(9):
                await live_handing_over(recorded, crowd, log, steps=10)
                await wait_written(projector, 0, len(recorded.records))
        assert read > 200
        assert log.events_read == read
        by_hand = await everything(store)
    assert await told_by_the_log(recorded, tmp_path / "read") == positions_aside(by_hand)


async def test_an_owner_elsewhere_in_between_is_read_from_the_log(tmp_path: Path) -> None:
    """A partition that goes to another process and comes back: what that one decided is read, the rest handed over."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=33)
    settings = HistorySettings(directory=tmp_path / "handed", linger_ms=5, linger_ms_max=10)
    async with HistoryStore(settings) as store, CountingLog() as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
        async with projected(log, store, settings) as projector:
            here = projector.handover(0)
            here.open(len(recorded.records))
            recorded.handover = here
            await live_handing_over(recorded, crowd, log, steps=200)
            # Another process claims the partition, and decides. Nobody here is told, but by the log.
            recorded.handover = None
            here.close()
            start = len(recorded.records)
            recorded.claim("elsewhere")
            crowd.live(200)
            elsewhere = recorded.new_records(start=start)
            await log.append(EVENTS, 0, elsewhere)
            # It comes back.
            recorded.handover = here
            start = len(recorded.records)
            recorded.claim("here again")
            await log.append(EVENTS, 0, recorded.new_records(start=start))
            await live_handing_over(recorded, crowd, log, steps=200)
            await wait_written(projector, 0, len(recorded.records))
        assert len(elsewhere) < log.events_read < len(recorded.records) - 100
        by_hand = await everything(store)
    assert await told_by_the_log(recorded, tmp_path / "read") == positions_aside(by_hand)


async def test_a_superseded_owner_hands_nothing_over(tmp_path: Path) -> None:
    """A turn that the log took behind somebody else's claim is no turn: its owner is fenced before it can offer it."""
    recorded = RecordedPartition()
    late = RecordedPartition()
    handover = Handover(decisions_max=100)
    late.handover = handover
    handover.open(1)
    command = StartWorkflow(name="three_tasks", workflow_id=WorkflowId("w"))
    late.append_raw(b"somebody's claim")
    with pytest.raises(Fenced):
        late.send(command, at_ms=FIRST_MS)
    assert handover.take(1) is None
    assert handover.next_offset == 1
    # And if it were handed over all the same, it would not be believed: it does not follow what the log says.
    recorded.send(command, at_ms=FIRST_MS)
    recorded.claim("owner-2")
    foreign = RecordedPartition()
    foreign.send(command, TerminateWorkflow(workflow_id=WorkflowId("w"), reason="late word"), at_ms=FIRST_MS + 9)
    settings = HistorySettings(directory=tmp_path, linger_ms=5, linger_ms_max=10)
    async with (
        HistoryStore(settings) as store,
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings) as projector,
    ):
        wrong = projector.handover(0)
        foreign.handover = wrong
        wrong.open(3)
        foreign.send(TerminateWorkflow(workflow_id=WorkflowId("w"), reason="later word"), at_ms=FIRST_MS + 10)
        recorded.send(TerminateWorkflow(workflow_id=WorkflowId("w"), reason="the word"), at_ms=FIRST_MS + 11)
        await log.append(EVENTS, 0, recorded.new_records(start=3))
        await wait_written(projector, 0, len(recorded.records))
        state = await store.state(WorkflowId("w"))

        assert state is not None
        assert state.reason == "the word"


async def test_a_projection_that_begins_anew_finds_its_place(tmp_path: Path) -> None:
    """Stopped and begun again while the owner goes on, the projection reads what it missed and takes what follows."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=34)
    settings = HistorySettings(directory=tmp_path / "handed", linger_ms=5, linger_ms_max=10)
    async with HistoryStore(settings) as store, CountingLog() as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
        async with projected(log, store, settings) as projector:
            recorded.handover = projector.handover(0)
            recorded.handover.open(len(recorded.records))
            for _ in range(8):
                projector.follow(0)
                await live_handing_over(recorded, crowd, log, steps=60)
                projector.unfollow(0)
                await live_handing_over(recorded, crowd, log, steps=20)
            projector.follow(0)
            await wait_written(projector, 0, len(recorded.records))
        by_hand = await everything(store)
    assert await told_by_the_log(recorded, tmp_path / "read") == positions_aside(by_hand)


async def test_a_decision_in_parts_is_left_to_the_log(tmp_path: Path) -> None:
    """A turn that holds a decision too large for one record is read from the log; the next one is taken again."""
    recorded = RecordedPartition()
    settings = HistorySettings(directory=tmp_path / "handed", linger_ms=5, linger_ms_max=10)
    async with HistoryStore(settings) as store, CountingLog() as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
        async with projected(log, store, settings) as projector:
            recorded.handover = projector.handover(0)
            recorded.handover.open(len(recorded.records))
            for number, text in enumerate(("small", "x" * 2_000_000, "small", "small")):
                command = StartWorkflow(name="three_tasks", workflow_id=WorkflowId(f"w{number}"), input={"text": text})
                await log.append(EVENTS, 0, recorded.send(command, at_ms=FIRST_MS + number))
            await wait_written(projector, 0, len(recorded.records))
        by_hand = await everything(store)
    assert await told_by_the_log(recorded, tmp_path / "read") == positions_aside(by_hand)


def encoded_position(recorded: RecordedPartition, *, before_offset: int) -> str:
    """Return where the chain stands for whoever has read the log up to an offset."""
    chain = Chain(0)
    for offset, value in enumerate(recorded.records[:before_offset]):
        chain.read(recorded.log_record(offset, value))
    return msgspec.json.encode(chain.position).decode()


def positions_aside(found: list[list[tuple[object, ...]]]) -> list[list[tuple[object, ...]]]:
    """Return the tables; a position is only written every two seconds, so the last one may be an earlier one."""
    return found[:3]


async def told_by_the_log(recorded: RecordedPartition, directory: Path) -> list[list[tuple[object, ...]]]:
    """Return the tables of a history of the same log that nobody handed anything to."""
    settings = HistorySettings(directory=directory)
    async with HistoryStore(settings) as store:
        await project_all(recorded, store, settings)
        return positions_aside(await everything(store))
