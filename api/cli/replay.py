"""`podium replay`: what happened to a workflow, event by event, from the log itself.

Must not ask a server nor the history: it reads the records, believes what every reader believes
(`streams.partition.chain`) and folds. Keeps the invariant that the state it prints is the fold of the events
it prints.
"""

import asyncio
import datetime as dt
from typing import Final

import msgspec
import orjson

from api.cli.failures import CommandFailed
from api.cli.open_log import open_view, partitions_of
from engine.applier import apply
from engine.events import Event
from engine.ids import WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState, id_of, status_of
from streams.errors import LogUnavailable, StreamsError
from streams.masking import masked
from streams.partition.chain import Chain
from streams.records import DecisionRecord
from streams.settings import NodeSettings
from streams.topics import EVENTS, partition_of

READ_RECORDS_MAX: Final = 1_000
READ_WAIT_MS: Final = 5_000
"""For the next records of a log that is known to have some."""
VALUE_CHARS_MAX: Final = 160
"""Of one field in a line."""
_PAYLOADS: Final = ("given", "input", "output", "payload", "variables")
"""The fields of events that hold what a definition may mask."""


def replay(settings: NodeSettings, workflow_id: str) -> None:
    """Print the events of a workflow and the state that they lead to.

    Raises:
        CommandFailed: the log cannot be read, or does not know the workflow.
    """
    wanted = WorkflowId(workflow_id)
    try:
        decisions = asyncio.run(_decisions(settings, wanted))
    except StreamsError as error:
        raise CommandFailed(str(error) or f"{type(error).__doc__}") from error
    if not decisions:
        message = f"the log at {settings.kafka or settings.data_dir} knows no workflow {workflow_id}"
        raise CommandFailed(message)
    for line in lines_of(decisions):
        print(line)  # noqa: T201 (the command's output)


def lines_of(decisions: list[DecisionRecord]) -> list[str]:
    """Return what is printed: one line per event, one per refusal, then the state."""
    state: WorkflowState | None = None
    begun_at_ms = decisions[0].at_ms
    lines: list[str] = []
    for decision in decisions:
        when = f"{_instant(decision.at_ms)}  +{(decision.at_ms - begun_at_ms) / 1000:>10.3f} s"
        if decision.rejection is not None:
            lines.append(f"{'':>6}  {when}  {decision.cause}: refused, {decision.rejection.reason}")
        for event in decision.events:
            state = apply(state, event)
            lines.append(
                f"{state.version:>6}  {when}  {decision.cause} → {_event_line(event, state.started.masked_fields)}"
            )
    return lines if state is None else [*lines, "", *_state_lines(state)]


async def _decisions(settings: NodeSettings, workflow_id: WorkflowId) -> list[DecisionRecord]:
    async with open_view(settings) as log:
        partitions = await partitions_of(log)
        if partitions is None:
            return []
        partition = partition_of(workflow_id.encode(), partitions)
        kept = await log.offsets(EVENTS, partition)
        chain = Chain(partition)
        found: list[DecisionRecord] = []
        reader = log.reader(EVENTS, partition, from_offset=kept.earliest)
        try:
            while chain.next_offset < kept.next:
                records = await reader.read(records_max=READ_RECORDS_MAX, wait_ms=READ_WAIT_MS)
                if not records:
                    message = f"no record came within {READ_WAIT_MS} ms, at offset {chain.next_offset} of {kept.next}"
                    raise LogUnavailable(message)
                entries = map(chain.read, records)
                found += [
                    entry for entry in entries if isinstance(entry, DecisionRecord) and entry.workflow_id == workflow_id
                ]
        finally:
            await reader.close()
        return found


def _event_line(event: Event, masked_fields: tuple[str, ...]) -> str:
    wire: JsonObject = msgspec.to_builtins(event)
    wire.update({field: masked(wire[field], masked_fields) for field in _PAYLOADS if field in wire})
    name = wire.pop("event")
    wire.pop("atMs", None)
    return " ".join([name, *(f"{field}={_short(value)}" for field, value in wire.items())])


def _state_lines(state: WorkflowState) -> list[str]:
    title = f"{state.started.name} v{state.started.version} {state.workflow_id}"
    fields = state.started.masked_fields
    lines = [
        f"{title}: {state.status} after {state.version} events",
        f"input     {_short(masked(state.started.input, fields))}",
        f"variables {_short(masked(state.variables, fields))}",
        f"output    {_short(masked(state.output, fields))}",
    ]
    if state.reason:
        lines.append(f"reason    {state.reason}")
    for seq in sorted(state.tasks):
        task = state.tasks[seq]
        lines.append(f"  {id_of(state, task)} {task.spec.ref} ({task.spec.type}): {status_of(task)}")
    return lines


def _short(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _instant(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
