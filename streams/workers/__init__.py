"""Workers: those that Podium runs itself, and the library for those that consume tasks from Kafka.

They must not decide anything about a workflow. The invariant: whatever the outside does, a worker ends with a result
that can be recorded.
"""

from streams.workers.task_function import NonRetryable

__all__ = ["NonRetryable"]
