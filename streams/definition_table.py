"""The registered definitions as look-up tables: what the records of the topic `definitions` add up to.

Holds the record formats and the tables. Must not read a log. Keeps two invariants: the newest version of a workflow is
found without searching, and a content hash always gives the very same object, whoever asks.

Keys: `blob/<hash>` holds a definition's canonical JSON for ever; `workflow/<name>/<version>`, `task/<name>` and
`schema/<name>/<version>` hold `{"hash": …}` and point to one of them, or are deleted.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.ids import DefinitionHash
from streams.ports import NewRecord

_BLOB: Final = "blob/"
_WORKFLOW: Final = "workflow/"
_TASK: Final = "task/"
_SCHEMA: Final = "schema/"

Definition = TypeVar("Definition", WorkflowDef, TaskDef, SchemaDef)


class RecordUnreadable(ValueError):
    """A record of the topic is not one of ours, or names what is not there."""


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What a name stands for now: the hash of a content."""

    hash: DefinitionHash


class DefinitionTable:
    """Applies records in order, answers look-ups. Nothing here waits."""

    def __init__(self) -> None:
        """Begin empty."""
        self._blobs: dict[DefinitionHash, bytes] = {}
        self._workflow_contents = _Contents(WorkflowDef)
        self._task_contents = _Contents(TaskDef)
        self._versions: dict[str, dict[int, DefinitionHash]] = {}
        self._newest: dict[str, int] = {}
        self._tasks: dict[str, DefinitionHash] = {}
        self._schema_contents = _Contents(SchemaDef)
        self._schemas: dict[str, dict[int, DefinitionHash]] = {}

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record into account. Applying one twice changes nothing.

        Raises:
            RecordUnreadable: the record says nothing that can be used; the tables are as before.
        """
        name = _key_of(key)
        if name.startswith(_BLOB):
            self._apply_blob(DefinitionHash(name.removeprefix(_BLOB)), value)
        elif name.startswith(_WORKFLOW):
            self._apply_workflow(*_versioned(name.removeprefix(_WORKFLOW)), value)
        elif name.startswith(_TASK):
            self._apply_task(name.removeprefix(_TASK), value)
        elif name.startswith(_SCHEMA):
            self._apply_schema(*_versioned(name.removeprefix(_SCHEMA)), value)
        else:
            raise RecordUnreadable(f"expected a key blob/…, workflow/…, task/… or schema/…, found {name!r}")

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        """Return a version of a workflow definition; None means the newest."""
        versions = self._versions.get(name)
        if not versions:
            return None
        content = versions.get(self._newest[name] if version is None else version)
        return None if content is None else (content, self._workflow_contents.decoded(content, self._blobs))

    def find_task(self, name: str) -> tuple[DefinitionHash, TaskDef] | None:
        """Return a task definition."""
        content = self._tasks.get(name)
        return None if content is None else (content, self._task_contents.decoded(content, self._blobs))

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        """Return a version of a schema; None means the newest."""
        versions = self._schemas.get(name)
        if not versions:
            return None
        content = versions.get(max(versions) if version is None else version)
        return None if content is None else self._schema_contents.decoded(content, self._blobs)

    def schemas(self) -> Sequence[SchemaDef]:
        """Return every version of every schema, by name and version."""
        return [
            self._schema_contents.decoded(versions[version], self._blobs)
            for _, versions in sorted(self._schemas.items())
            for version in sorted(versions)
        ]

    def workflow_at(self, content: DefinitionHash) -> WorkflowDef | None:
        """Return the workflow definition of this content, registered now or once."""
        return self._workflow_contents.decoded(content, self._blobs) if content in self._blobs else None

    def task_at(self, content: DefinitionHash) -> TaskDef | None:
        """Return the task definition of this content, registered now or once."""
        return self._task_contents.decoded(content, self._blobs) if content in self._blobs else None

    def workflows(self) -> Sequence[WorkflowDef]:
        """Return every version of every workflow definition, by name and version."""
        return [
            self._workflow_contents.decoded(versions[version], self._blobs)
            for _, versions in sorted(self._versions.items())
            for version in sorted(versions)
        ]

    def tasks(self) -> Sequence[TaskDef]:
        """Return every task definition, by name."""
        return [self._task_contents.decoded(content, self._blobs) for _, content in sorted(self._tasks.items())]

    def _apply_blob(self, content: DefinitionHash, value: bytes | None) -> None:
        if value is None:
            raise RecordUnreadable(f"the content {content} was deleted; running workflows may still need it")
        found = content_hash(value)
        if found != content:
            raise RecordUnreadable(f"the content under {content} has the hash {found}")
        self._blobs.setdefault(content, value)

    def _apply_workflow(self, name: str, version: int, value: bytes | None) -> None:
        versions = self._versions.get(name, {})
        if value is None:
            versions.pop(version, None)
        else:
            content = self._pointed(value)
            self._workflow_contents.decoded(content, self._blobs)
            versions[version] = content
        if versions:
            self._versions[name] = versions
            self._newest[name] = max(versions)
        else:
            self._versions.pop(name, None)
            self._newest.pop(name, None)

    def _apply_schema(self, name: str, version: int, value: bytes | None) -> None:
        versions = self._schemas.setdefault(name, {})
        if value is None:
            versions.pop(version, None)
            return
        content = self._pointed(value)
        self._schema_contents.decoded(content, self._blobs)
        versions[version] = content

    def _apply_task(self, name: str, value: bytes | None) -> None:
        if value is None:
            self._tasks.pop(name, None)
            return
        content = self._pointed(value)
        self._task_contents.decoded(content, self._blobs)
        self._tasks[name] = content

    def _pointed(self, value: bytes) -> DefinitionHash:
        try:
            content = msgspec.json.decode(value, type=Pointer).hash
        except msgspec.MsgspecError as error:
            raise RecordUnreadable(f'expected {{"hash": …}}, found {value[:100]!r}: {error}') from error
        if content not in self._blobs:
            raise RecordUnreadable(f"the content {content} that it points to is not in the topic before it")
        return content


class _Contents(Generic[Definition]):
    """The decoded contents of one kind, each decoded once and shared."""

    def __init__(self, kind: type[Definition]) -> None:
        self._decoder: msgspec.json.Decoder[Definition] = msgspec.json.Decoder(kind)
        self._decoded: dict[DefinitionHash, Definition] = {}

    def decoded(self, content: DefinitionHash, blobs: dict[DefinitionHash, bytes]) -> Definition:
        found = self._decoded.get(content)
        if found is None:
            try:
                found = self._decoder.decode(blobs[content])
            except msgspec.MsgspecError as error:
                raise RecordUnreadable(f"the content {content} cannot be read: {error}") from error
            self._decoded[content] = found
        return found


def workflow_key(name: str, version: int) -> bytes:
    """Return the key of a workflow definition's pointer."""
    return f"{_WORKFLOW}{name}/{version}".encode()


def task_key(name: str) -> bytes:
    """Return the key of a task definition's pointer."""
    return f"{_TASK}{name}".encode()


def schema_key(name: str, version: int) -> bytes:
    """Return the key of a schema's pointer."""
    return f"{_SCHEMA}{name}/{version}".encode()


def records_of(key: bytes, definition: WorkflowDef | TaskDef | SchemaDef) -> tuple[NewRecord, NewRecord]:
    """Return the records that register a definition, to be appended in this order: content, pointer."""
    value = msgspec.json.encode(definition, order="deterministic")
    content = content_hash(value)
    return (
        NewRecord(key=f"{_BLOB}{content}".encode(), value=value),
        NewRecord(key=key, value=msgspec.json.encode(Pointer(hash=content))),
    )


def content_hash(value: bytes) -> DefinitionHash:
    """Return the name of a canonical JSON: the same as `engine.definitions.definition_hash` of what it holds."""
    return DefinitionHash(hashlib.blake2b(value, digest_size=16).hexdigest())


def _key_of(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError as error:
        raise RecordUnreadable(f"the key {key!r} is not UTF-8") from error


def _versioned(text: str) -> tuple[str, int]:
    name, mark, version = text.rpartition("/")
    if not mark or not name or not (version.isascii() and version.isdigit()) or len(version) > 10:  # noqa: PLR2004
        raise RecordUnreadable(f"expected <name>/<version> behind workflow/ or schema/, found {text}")
    return name, int(version)
