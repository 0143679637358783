"""Who does a task: the words of `TaskScheduled.dispatch`.

Holds the words only. They are in the log, so they are never given another meaning. Keeps the invariant that whoever
derives effects needs no knowledge of task types.
"""

from typing import Final

TO_WORKER: Final = "worker"
"""A worker takes it from the queue of its type."""
TO_HTTP: Final = "http"
"""Podium's own HTTP client."""
TO_SCRIPT: Final = "script"
"""The script sandbox."""
TO_SINK: Final = "sink"
"""Podium's own publisher: a topic of Kafka, or the internal queue."""
TO_CHILD: Final = "child"
"""Another workflow."""
TO_NOBODY: Final = ""
"""The engine itself: the task is over at once, or waits for time, people or other tasks."""
