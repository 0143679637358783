"""Claims about idempotency keys in a partition: one key, one workflow, whoever asks and whoever owns it."""

import pytest

from engine.commands import Parent, RemoveWorkflow, ReportChildEnd, ReportChildStart, StartWorkflow
from engine.definitions import WorkflowDef
from engine.ids import TaskSeq, WorkflowId, keyed_workflow_id
from engine.rejections import RejectionCode
from engine.status import WorkflowStatus
from streams.partition.machine import PartitionMachine
from streams.partition.table import ENDED_IDS_MAX
from streams.partition.turn import Outbox
from streams.service import Answer
from streams.topics import partition_of
from tests.engine.building import task
from tests.streams.partition.driving import Ground, result

FLOW = WorkflowDef(name="flow", tasks=(task("one"),))
FIRST = keyed_workflow_id("flow", "k")


def keyed(strategy: str | None = None, **fields: object) -> StartWorkflow:
    """Return a start with the key `k`."""
    return StartWorkflow(name="flow", idempotency_key="k", idempotency_strategy=strategy, request_id="r", **fields)  # type: ignore[arg-type]


def asker(seq: int = 1) -> Parent:
    """Return a task of another workflow."""
    return Parent(workflow_id=WorkflowId("asker"), task_seq=TaskSeq(seq))


def answer(outbox: Outbox) -> Answer:
    """Return the one answer of an outbox."""
    ((_, found),) = outbox.replies
    return found


def begin(ground: Ground, machine: PartitionMachine, strategy: str | None = None) -> WorkflowId:
    """Start by the key and return the id that the answer names."""
    found = answer(ground.settle(machine, keyed(strategy)))
    assert found.rejected is None
    return found.workflow_id


def end(ground: Ground, machine: PartitionMachine, workflow_id: WorkflowId) -> None:
    """Bring a workflow to its end, and let it leave memory."""
    ground.settle(machine, result(1, workflow_id=workflow_id))
    machine.evict(workflow_id)


def other_home() -> int:
    """Return the partition of two in which the key is decided about."""
    return partition_of(FIRST.encode(), 2)


@pytest.mark.parametrize("key", [b"", b"something", FIRST.encode()])
def test_key_decides_the_id_whatever_the_record_is_keyed_by(key: bytes) -> None:
    """A service may key its record as it likes; a record without a key too."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    source = ground.bytes(b'{"command":"start_workflow","name":"flow","idempotencyKey":"k"}', key=key)
    ground.settle(machine, source)
    assert ground.decisions()[-1].workflow_id == FIRST


def test_start_that_came_to_another_partition_is_forwarded_to_that_of_its_key() -> None:
    """There it meets all others with the same key."""
    ground = Ground(FLOW, partition=1 - other_home(), partitions=2)
    machine, _ = ground.take_over()
    outbox = ground.settle(machine, keyed())
    assert [home for home, _ in outbox.forwards] == [other_home()]
    assert len(machine.table) == 0


def test_returning_strategy_answers_with_the_same_workflow_open_ended_or_gone() -> None:
    """RETURN_EXISTING is what holds where no strategy is named."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    assert begin(ground, machine) == FIRST
    assert begin(ground, machine, "RETURN_EXISTING") == FIRST
    ground.settle(machine, result(1, workflow_id=FIRST))
    assert begin(ground, machine) == FIRST
    machine.evict(FIRST)
    assert begin(ground, machine) == FIRST
    assert machine.table.get(FIRST) is None


def test_failing_strategy_refuses_whatever_became_of_the_first() -> None:
    """The refusal names the workflow, so that the caller can look at it."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    begin(ground, machine, "FAIL")
    for became in ("open", "ended", "gone"):
        if became == "ended":
            ground.settle(machine, result(1, workflow_id=FIRST))
        elif became == "gone":
            machine.evict(FIRST)
        refused = answer(ground.settle(machine, keyed("FAIL"))).rejected
        assert refused is not None
        assert refused.code is RejectionCode.WORKFLOW_EXISTS
        assert FIRST in refused.reason


def test_running_strategy_starts_a_successor_only_when_the_newest_has_ended() -> None:
    """Each has an id of its own, and all live in the partition of the first."""
    ground = Ground(FLOW, partition=other_home(), partitions=2)
    machine, _ = ground.take_over()
    ids = []
    for _ in range(3):
        ids.append(begin(ground, machine, "FAIL_ON_RUNNING"))
        assert answer(ground.settle(machine, keyed("FAIL_ON_RUNNING"))).rejected is not None
        end(ground, machine, ids[-1])
    assert ids[0] == FIRST
    assert len(set(ids)) == 3
    assert {partition_of(one.encode(), 2) for one in ids} == {other_home()}
    assert begin(ground, machine) == ids[-1]


@pytest.mark.parametrize("strategy", ["RETURN_EXISTING", "FAIL", "FAIL_ON_RUNNING"])
def test_key_of_a_removed_workflow_begins_a_successor(strategy: str) -> None:
    """There is nothing left to answer with, and the id is not to come back."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    begin(ground, machine)
    ground.settle(machine, result(1, workflow_id=FIRST))
    ground.settle(machine, RemoveWorkflow(workflow_id=FIRST))
    following = begin(ground, machine, strategy)
    assert following != FIRST
    assert machine.table.holder_of(FIRST) == following


def test_next_owner_knows_what_each_key_stands_for() -> None:
    """From the log alone: the newest successor, open or ended."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, result(1, workflow_id=begin(ground, machine)))
    second = begin(ground, machine, "FAIL_ON_RUNNING")
    successor, _ = ground.take_over()
    assert begin(ground, successor) == second
    assert answer(ground.settle(successor, keyed("FAIL_ON_RUNNING"))).rejected is not None


def test_forgotten_key_is_forgotten_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the bound on remembered ids takes the newest workflow of a key, the key begins anew."""
    assert ENDED_IDS_MAX == 200_000
    monkeypatch.setattr("streams.partition.table.ENDED_IDS_MAX", 1)
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    end(ground, machine, begin(ground, machine))
    end(ground, machine, begin(ground, machine, "FAIL_ON_RUNNING"))
    machine.table.note_ended(WorkflowId("another"))
    assert machine.table.holder_of(FIRST) == FIRST
    assert begin(ground, machine, "FAIL") == FIRST


def test_task_learns_which_workflow_it_came_to_if_that_is_not_the_first() -> None:
    """The first it knows by itself."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    assert ground.settle(machine, keyed("FAIL_ON_RUNNING", parent=asker())).commands == []
    end(ground, machine, FIRST)
    (notice,) = ground.settle(machine, keyed("FAIL_ON_RUNNING", parent=asker(2))).commands
    assert isinstance(notice, ReportChildStart)
    assert (notice.workflow_id, notice.task_seq) == ("asker", 2)
    assert notice.child_id == machine.table.holder_of(FIRST)


def test_start_of_one_task_that_comes_twice_meets_the_workflow_that_it_began() -> None:
    """Effects may be sent twice: a strategy that refuses must not take its own workflow for another's."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    for _ in range(2):
        outbox = ground.settle(machine, keyed("FAIL", parent=asker()))
        assert (answer(outbox).rejected, outbox.commands) == (None, [])


@pytest.mark.parametrize("strategy", ["FAIL", "FAIL_ON_RUNNING"])
def test_refused_sub_workflow_fails_its_task(strategy: str) -> None:
    """It names the workflow that the task waits for: the first of the key."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    begin(ground, machine)
    (notice,) = ground.settle(machine, keyed(strategy, parent=asker())).commands
    assert isinstance(notice, ReportChildEnd)
    assert (notice.child_id, notice.status) == (FIRST, WorkflowStatus.FAILED)


def test_sub_workflow_that_has_left_memory_cannot_be_attached_to() -> None:
    """Its output is in the history, which no decision asks: the task fails with that reason."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    end(ground, machine, begin(ground, machine))
    (notice,) = ground.settle(machine, keyed(parent=asker())).commands
    assert isinstance(notice, ReportChildEnd)
    assert (notice.status, "in the history only" in notice.reason) == (WorkflowStatus.FAILED, True)


def test_starter_is_always_told() -> None:
    """Of a new workflow, of one that is there or has gone, and of a refusal."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()

    def told(strategy: str | None = None) -> tuple[WorkflowId, bool]:
        (notice,) = ground.settle(machine, keyed(strategy, starter=asker())).commands
        assert isinstance(notice, ReportChildStart)
        return notice.child_id, bool(notice.refusal)

    assert told() == (FIRST, False)
    assert told() == (FIRST, False)
    assert told("FAIL") == (FIRST, True)
    end(ground, machine, FIRST)
    assert told() == (FIRST, False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"workflow_id": FIRST}, "either a workflowId or an idempotencyKey"),
        ({"strategy": "PERHAPS"}, "idempotencyStrategy should be one of RETURN_EXISTING, FAIL, FAIL_ON_RUNNING"),
    ],
)
def test_start_that_cannot_be_meant_is_refused(fields: dict[str, str], reason: str) -> None:
    """Rather than one of its fields being ignored."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    refused = answer(ground.settle(machine, keyed(**fields))).rejected
    assert refused is not None
    assert (refused.code, reason in refused.reason) == (RejectionCode.ARGUMENT_INVALID, True)
