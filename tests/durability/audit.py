"""The audit: what the log itself says, against what clients were told.

Holds the reading of a whole `events` partition. Must not trust the server: it folds the records on its own. Keeps no
opinion: every finding is a sentence in the returned list.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.applier import apply
from engine.events import TaskEnded
from engine.ids import task_id
from engine.model import WorkflowState
from streams.partition.chain import Chain
from streams.ports import Log
from streams.records import DecisionRecord
from streams.topics import EVENTS


async def fold_log(log: Log, partitions: int) -> tuple[dict[str, WorkflowState], Counter[str]]:
    """Return every workflow as the fold of the log, and how often each attempt was ended."""
    states: dict[str, WorkflowState] = {}
    ends: Counter[str] = Counter()
    for partition in range(partitions):
        chain = Chain(partition)
        offsets = await log.offsets(EVENTS, partition)
        reader = log.reader(EVENTS, partition, from_offset=0)
        while chain.next_offset < offsets.next:
            for record in await reader.read(records_max=1_000, wait_ms=1_000):
                entry = chain.read(record)
                if isinstance(entry, DecisionRecord):
                    _fold(entry, states, ends)
        await reader.close()
    return states, ends


def findings(
    told: Mapping[str, Mapping[str, object]],
    acknowledged: Mapping[str, int],
    states: Mapping[str, WorkflowState],
    ends: Mapping[str, int],
) -> Sequence[str]:
    """Return whatever the log and the clients do not agree about."""
    found = [f"task {task} was ended {count} times" for task, count in ends.items() if count > 1]
    for workflow_id, workflow in told.items():
        state = states.get(workflow_id)
        if state is None:
            found.append(f"workflow {workflow_id} was acknowledged and is not in the log")
        elif state.status.value != workflow["status"] or state.output != workflow["output"]:
            found.append(f"workflow {workflow_id}: told {workflow['status']}, the log says {state.status}")
    found += [
        f"task {task}: its result was acknowledged and it never ended" for task in acknowledged if not ends.get(task)
    ]
    return found


def _fold(record: DecisionRecord, states: dict[str, WorkflowState], ends: Counter[str]) -> None:
    state = states.get(record.workflow_id)
    for event in record.events:
        state = apply(state, event)
        if isinstance(event, TaskEnded):
            ends[task_id(record.workflow_id, event.seq)] += 1
    if state is not None:
        states[record.workflow_id] = state
