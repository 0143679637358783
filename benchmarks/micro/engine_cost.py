"""What deciding and folding cost, without a log, a network or a loop.

Holds the two measurements. Must not include the making of the commands. Keeps the invariant that decisions and replays
are those of a partition's machine: JSON in, JSON out, chained and folded.
"""

import time

from benchmarks.micro.material import batches, claim, live, new_machine, shelf, spare_the_collector
from benchmarks.results import Result
from streams.partition.chain import Chain
from streams.records import DecisionRecord


def run_decide(*, workflows: int = 5_000) -> Result:
    """Decide about workflows of three tasks: seven commands each, decoded, decided, applied, encoded, their effects."""
    definitions = shelf()
    live(new_machine(definitions), 500)
    machine = new_machine(definitions)
    machine.replay(claim())
    machine.recovered()
    commands = list(batches(workflows))
    spare_the_collector()
    begun = time.process_time()
    next_offset = 1
    for batch in commands:
        turn = machine.decide(batch, 1_700_000_000_000)
        if turn is not None:
            outbox = machine.acknowledged(turn, next_offset)
            machine.effects_done(outbox.sequence)
            next_offset += len(turn.records)
    seconds = time.process_time() - begun
    decisions = sum(map(len, commands))
    return Result(
        case="deciding, 3-task workflows",
        figures={
            "workflows": workflows,
            "decisions_per_workflow": decisions / workflows,
            "cpu_ms_per_workflow": 1000 * seconds / workflows,
            "cpu_us_per_decision": 1e6 * seconds / decisions,
        },
    )


def run_fold(*, workflows: int = 10_000) -> Result:
    """Fold a log of workflows of three tasks: believe each record, decode it, apply its events."""
    definitions = shelf()
    written = live(new_machine(definitions), workflows)
    chain = Chain(0)
    events = 0
    spare_the_collector()
    begun = time.process_time()
    for record in written:
        entry = chain.read(record)
        if isinstance(entry, DecisionRecord):
            events += len(entry.events)
    reading_s = time.process_time() - begun
    machine = new_machine(definitions)
    begun = time.process_time()
    for record in written:
        machine.replay(record)
    seconds = time.process_time() - begun
    return Result(
        case="folding, 3-task workflows",
        figures={
            "records": len(written),
            "events": events,
            "bytes_per_record": sum(len(record.value or b"") for record in written) / len(written),
            "events_per_s": events / seconds,
            "records_per_s": len(written) / seconds,
            "reading_share": reading_s / seconds,
        },
    )
