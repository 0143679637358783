"""Claims about the registered definitions, over a log in memory."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from engine.context import DefinitionSource
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask, definition_hash
from engine.ids import DefinitionHash, RefName
from streams.definition_table import content_hash
from streams.errors import LogUnavailable, RecordTooLarge
from streams.memory.log import MemoryLog
from streams.ports import NewRecord
from streams.registry import Registry
from streams.service import Definitions
from streams.topics import DEFINITIONS, engine_topics


def workflow(name: str, version: int = 1, *, description: str = "") -> WorkflowDef:
    """Return a definition of one task."""
    task = WorkflowTask(name="work", task_reference_name=RefName("t"))
    return WorkflowDef(name=name, version=version, description=description, tasks=(task,))


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    """A log with the topics of a node."""
    async with MemoryLog() as log:
        await log.create_topics(engine_topics(partitions=2))
        yield log


async def test_registry_serves_surfaces_and_decisions(log: MemoryLog) -> None:
    """One object is both ports."""
    async with Registry(log) as registry:
        surfaces: Definitions = registry
        decisions: DefinitionSource = registry
        await surfaces.put_workflow(workflow("w"))
        assert decisions.find_workflow("w", None) == (definition_hash(workflow("w")), workflow("w"))


async def test_put_workflow_is_found_at_once_by_name_version_and_hash(log: MemoryLog) -> None:
    """A write returns when every later read on this node sees it."""
    async with Registry(log) as registry:
        definition = workflow("w", 3)
        await registry.put_workflow(definition)

        found = registry.find_workflow("w", 3)
        assert found == (definition_hash(definition), definition)
        assert registry.workflow_at(found[0]) is found[1]
        assert registry.workflow("w") is found[1]
        assert registry.workflow("w", 3) is found[1]
        assert registry.workflow("w", 2) is None
        assert registry.workflow("other") is None


async def test_put_task_is_found_at_once_by_name_and_hash(log: MemoryLog) -> None:
    """Tasks have no versions: the last one holds."""
    async with Registry(log) as registry:
        await registry.put_task(TaskDef(name="t", retry_count=1))
        await registry.put_task(TaskDef(name="t", retry_count=2))

        found = registry.find_task("t")
        assert found == (definition_hash(TaskDef(name="t", retry_count=2)), TaskDef(name="t", retry_count=2))
        assert registry.task_at(found[0]) is found[1]
        assert registry.task("t") is found[1]
        assert registry.find_task("other") is None


async def test_newest_version_is_the_highest_number_whatever_the_order(log: MemoryLog) -> None:
    """Version 10 is newer than 9, also when 9 was registered last or 10 is gone."""
    async with Registry(log) as registry:
        for version in (2, 10, 9):
            await registry.put_workflow(workflow("w", version))
        assert registry.workflow("w") == workflow("w", 10)

        await registry.delete_workflow("w", 10)
        assert registry.workflow("w") == workflow("w", 9)


async def test_put_again_replaces_the_version_and_keeps_the_content_before(log: MemoryLog) -> None:
    """Running workflows find by hash what they were started with."""
    async with Registry(log) as registry:
        before, after = workflow("w", description="before"), workflow("w", description="after")
        await registry.put_workflow(before)
        await registry.put_workflow(after)

        assert registry.workflow("w") == after
        assert registry.workflow_at(definition_hash(before)) == before


async def test_delete_tells_whether_there_was_one_and_keeps_the_content(log: MemoryLog) -> None:
    """A name is free again; its content stays for those that run by it."""
    async with Registry(log) as registry:
        await registry.put_workflow(workflow("w"))
        await registry.put_task(TaskDef(name="t"))

        assert await registry.delete_workflow("w", 2) is False
        assert await registry.delete_workflow("w", 1) is True
        assert await registry.delete_workflow("w", 1) is False
        assert await registry.delete_task("t") is True
        assert await registry.delete_task("t") is False
        assert (registry.workflow("w"), registry.task("t")) == (None, None)
        assert registry.workflow_at(definition_hash(workflow("w"))) == workflow("w")
        assert registry.task_at(definition_hash(TaskDef(name="t"))) == TaskDef(name="t")


async def test_registry_that_opens_later_has_everything_before_it_is_ready(log: MemoryLog) -> None:
    """A restart finds what was registered, what was replaced and what was deleted."""
    async with Registry(log) as first:
        await first.put_workflow(workflow("a/b c", 1))
        await first.put_workflow(workflow("a/b c", 2, description="old"))
        await first.put_workflow(workflow("a/b c", 2, description="new"))
        await first.put_workflow(workflow("gone"))
        await first.delete_workflow("gone", 1)
        await first.put_task(TaskDef(name="t"))

    async with Registry(log) as second:
        assert second.workflows() == [workflow("a/b c", 1), workflow("a/b c", 2, description="new")]
        assert second.tasks() == [TaskDef(name="t")]
        old = definition_hash(workflow("a/b c", 2, description="old"))
        assert second.workflow_at(old) == workflow("a/b c", 2, description="old")


async def test_refresh_finds_what_another_node_has_written(log: MemoryLog) -> None:
    """A start that names an unknown definition asks once more before it is refused."""
    async with Registry(log) as one, Registry(log) as other:
        await one.put_workflow(workflow("w"))
        await other.refresh()
        assert other.workflow("w") == workflow("w")


async def test_identity_of_a_content_is_stable(log: MemoryLog) -> None:
    """The same hash gives the same object: compiled graphs are cached by it."""
    async with Registry(log) as registry:
        await registry.put_workflow(workflow("w"))
        first = registry.workflow("w")
        await registry.put_workflow(workflow("w", 2))
        await registry.put_workflow(workflow("w"))

        assert registry.workflow("w", 1) is first
        assert registry.workflow_at(definition_hash(workflow("w"))) is first


async def test_content_stands_in_the_log_before_what_points_to_it(log: MemoryLog) -> None:
    """Whoever reads the topic can resolve each pointer when it comes."""
    async with Registry(log) as registry:
        await registry.put_workflow(workflow("w"))
    records = await log.reader(DEFINITIONS, 0, from_offset=0).read(records_max=10, wait_ms=0)

    content = definition_hash(workflow("w"))
    assert [record.key for record in records] == [f"blob/{content}".encode(), b"workflow/w/1"]
    assert msgspec.json.decode(records[1].value or b"") == {"hash": content}
    assert msgspec.json.decode(records[0].value or b"", type=WorkflowDef) == workflow("w")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"nonsense", b"{}"),
        (b"\xff\xfe", b"{}"),
        (b"workflow/w/1", b"not json"),
        (b"workflow/w/1", b'{"hash": 5}'),
        (b"workflow/w/1", b'{"hash": "unknown"}'),
        (b"workflow/w/one", b'{"hash": "unknown"}'),
        (b"workflow/w", b'{"hash": "unknown"}'),
        (b"task/t", b'{"hash": "unknown"}'),
        (b"blob/0123", b'{"name": "forged"}'),
        (b"blob/0123", None),
    ],
)
async def test_unreadable_record_is_skipped_with_a_log_line(log: MemoryLog, key: bytes, value: bytes | None) -> None:
    """One bad record neither stops the node nor changes what is registered."""
    await log.append(DEFINITIONS, 0, [NewRecord(key=key, value=value)])
    with capture_logs() as lines:
        async with Registry(log) as registry:
            await registry.put_workflow(workflow("w", 5))
            assert registry.workflows() == [workflow("w", 5)]
            assert registry.tasks() == []
    assert [(line["event"], line["offset"]) for line in lines] == [("definition_skipped", 0)]


async def test_pointer_to_another_kind_of_content_is_skipped(log: MemoryLog) -> None:
    """A content whose shape does not fit is no definition."""
    async with Registry(log) as registry:
        bad = b'{"name": "w", "tasks": 5}'
        content = content_hash(bad)
        await log.append(DEFINITIONS, 0, [NewRecord(key=f"blob/{content}".encode(), value=bad)])
        pointer = msgspec.json.encode({"hash": content})
        await log.append(DEFINITIONS, 0, [NewRecord(key=b"workflow/w/1", value=pointer)])
        with capture_logs() as lines:
            await registry.refresh()
        assert registry.workflow("w") is None
        assert "cannot be read" in lines[0]["reason"]


async def test_unknown_hash_gives_none(log: MemoryLog) -> None:
    """A hash that was never registered is no definition of either kind."""
    async with Registry(log) as registry:
        assert registry.workflow_at(DefinitionHash("0")) is None
        assert registry.task_at(DefinitionHash("0")) is None


async def test_definition_above_the_record_limit_is_refused(log: MemoryLog) -> None:
    """The caller learns it; nothing was registered."""
    async with Registry(log) as registry:
        with pytest.raises(RecordTooLarge):
            await registry.put_workflow(workflow("w", description="x" * 2_000_000))
        assert registry.workflow("w") is None


async def test_log_that_cannot_be_reached_fails_the_write_and_the_opening() -> None:
    """Nobody is told that something is registered when it is not."""
    log = MemoryLog()
    async with log:
        await log.create_topics(engine_topics(partitions=1))
        async with Registry(log) as registry:
            await log.__aexit__(None, None, None)
            with pytest.raises(LogUnavailable):
                await registry.put_workflow(workflow("w"))
        with pytest.raises(LogUnavailable):
            await Registry(log).__aenter__()
