"""Who waits for the next decision about a workflow.

Holds the watchers of one partition, and the list of what a watcher has still to look at. Must not hold states: who
is told reads the newest one. Keeps the invariant that whoever began to watch before it read a state is told of every
later decision about the workflow once that decision is in the log, and of the end of the partition's life here. While
nobody watches, a decision pays one look at an empty map.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from typing import Protocol, Self

from engine.ids import WorkflowId

Note = Callable[[WorkflowId], None]


class Watches:
    """The watchers of one partition. One event loop, no locks."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._notes: dict[WorkflowId, list[Note]] = {}

    def __bool__(self) -> bool:
        """Tell whether anybody watches."""
        return bool(self._notes)

    def add(self, workflow_id: WorkflowId, note: Note) -> None:
        """Tell of every decision about a workflow from here on."""
        self._notes.setdefault(workflow_id, []).append(note)

    def remove(self, workflow_id: WorkflowId, note: Note) -> None:
        """Stop telling."""
        notes = self._notes[workflow_id]
        notes.remove(note)
        if not notes:
            del self._notes[workflow_id]

    def decided(self, workflow_ids: Iterable[WorkflowId]) -> None:
        """Tell who watches these workflows: decisions about them are in the log."""
        for workflow_id in workflow_ids:
            for note in self._notes.get(workflow_id, ()):
                note(workflow_id)

    def leave(self) -> None:
        """Tell everybody: no decision will come from here any more."""
        self.decided(self._notes)


class Watched(Protocol):
    """A partition that can be watched."""

    @property
    def watches(self) -> Watches:
        """Its watchers."""
        ...


class Watching:
    """One caller's watch over some workflows of this process. A context manager: it leaves nothing behind."""

    def __init__(self, owner_of: Callable[[WorkflowId], Awaitable[Watched]]) -> None:
        """`owner_of` finds where a workflow is decided, or raises `NotOwner`."""
        self._owner_of = owner_of
        self._pending: dict[WorkflowId, None] = {}
        self._noted = asyncio.Event()
        self._watched = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watched.close()

    async def add(self, workflow_id: WorkflowId) -> None:
        """Watch a workflow too, be it there or yet to begin. `next` names it at once: it may have changed before.

        Raises:
            NotOwner: it lives in another process.
        """
        watches = (await self._owner_of(workflow_id)).watches
        watches.add(workflow_id, self.note)
        self._watched.callback(watches.remove, workflow_id, self.note)
        self.note(workflow_id)

    def note(self, workflow_id: WorkflowId) -> None:
        """Have `next` name a workflow."""
        self._pending[workflow_id] = None
        self._noted.set()

    async def next(self) -> WorkflowId:
        """Wait until a watched workflow has changed or has left this process, and name it."""
        while not self._pending:
            self._noted.clear()
            await self._noted.wait()
        workflow_id = next(iter(self._pending))
        del self._pending[workflow_id]
        return workflow_id
