"""A worker process that takes tasks over REST: long batch polls, one result per task.

Holds the worker's loop; its tasks take no time. Must not be measured together with the server. Keeps the invariants of
a real worker: it polls for as many tasks as it has free slots, has one poll per type under way, and holds a slot until
the server has acknowledged the result.

Run as `python -m benchmarks.load.http_worker CONFIG` with the JSON of `HttpWorkerConfig`.
"""

import asyncio
import functools
import signal
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks.load.lean_http import Lane, get_request, post_request
from benchmarks.load.notices import NoticeWriter, now_ns
from benchmarks.load.peer import failing_loudly, first_of, say
from benchmarks.results import BenchmarkFailed

POLL_TIMEOUT_MS: Final = 5_000
AGAIN_AFTER_S: Final = 0.02
_OK: Final = 200
_NO_CONTENT: Final = 204


class HttpWorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does. Tasks of the types in `tell` are told to the client through `notices`.

    `chain`: report by update-v2 and do at once what it answers. `tell_arrival`: a notice carries when the task came,
    not when its result was acknowledged.
    """

    port: int
    task_types: list[str]
    tell: list[str]
    notices: int
    worker_id: str = "worker"
    slots: int = 64
    connections: int = 32
    chain: bool = False
    patient: bool = False
    tell_arrival: bool = False


class _Input(msgspec.Struct):
    number: int = -1


class _Task(msgspec.Struct, rename="camel"):
    """What of a task's JSON is needed; the rest is skipped, not built."""

    task_id: str
    workflow_instance_id: str
    input_data: _Input


_tasks_decoder: Final = msgspec.json.Decoder(list[_Task])
_task_decoder: Final = msgspec.json.Decoder(_Task)


class HttpWorker:
    """Polls one task type and answers every task."""

    def __init__(self, polls: Lane, results: Lane, config: HttpWorkerConfig, task_type: str) -> None:
        """Poll nothing yet."""
        self._polls = polls
        self._results = results
        self._free = config.slots
        self._polling = False
        self._path = "/api/tasks/update-v2" if config.chain else "/api/tasks"
        self._worker_id = config.worker_id
        self._patient = config.patient
        self._tell_arrival = config.tell_arrival
        self._notices = NoticeWriter(config.notices) if task_type in config.tell else None
        self._poll_path = (
            f"/api/tasks/poll/batch/{task_type}?timeout={POLL_TIMEOUT_MS}&workerid={config.worker_id}&count="
        )

    def poll(self) -> None:
        """Ask for as many tasks as there are free slots, unless that is being asked already."""
        if self._free and not self._polling:
            self._polling = True
            self._polls.send(get_request(f"{self._poll_path}{self._free}"), self._polled)

    def _polled(self, status: int, body: bytes) -> None:
        self._polling = False
        if status == _OK:
            for task in _tasks_decoder.decode(body):
                self._do(task)
        else:
            self._later(status, body, self.poll)
            return
        self.poll()

    def _do(self, task: _Task) -> None:
        self._free -= 1
        number = task.input_data.number
        arrived_ns = now_ns() if self._tell_arrival else 0
        result = (
            f'{{"workflowInstanceId":"{task.workflow_instance_id}","taskId":"{task.task_id}",'
            f'"workerId":"{self._worker_id}","status":"COMPLETED","outputData":{{"number":{number}}}}}'
        )
        request = post_request(self._path, result.encode())
        self._report(request, number, arrived_ns)

    def _report(self, request: bytes, number: int, arrived_ns: int) -> None:
        self._results.send(request, functools.partial(self._reported, request, number, arrived_ns))

    def _reported(self, request: bytes, number: int, arrived_ns: int, status: int, body: bytes) -> None:
        if status not in {_OK, _NO_CONTENT}:
            self._later(status, body, functools.partial(self._report, request, number, arrived_ns))
            return
        self._free += 1
        if self._notices is not None:
            self._notices.tell(number, arrived_ns or now_ns())
        if status == _OK and body.startswith(b"{"):
            self._do(_task_decoder.decode(body))
        self.poll()

    def _later(self, status: int, body: bytes, again: Callable[[], None]) -> None:
        """A server that has just been started again may answer 503; a worker that knows this asks again."""
        if not self._patient:
            message = f"the server answered {status}: {body[:300]!r}"
            raise BenchmarkFailed(message)
        asyncio.get_running_loop().call_later(AGAIN_AFTER_S, again)


async def work(config: HttpWorkerConfig) -> None:
    """Work until SIGTERM."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    # Polls have connections of their own, so that a long poll never holds one that a result waits for.
    async with (
        failing_loudly() as failure,
        Lane(config.port, connections=len(config.task_types), patient=config.patient) as polls,
        Lane(config.port, connections=config.connections, patient=config.patient) as results,
    ):
        for task_type in config.task_types:
            HttpWorker(polls, results, config, task_type).poll()
        say("ready")
        await first_of(told.wait(), failure)


def main() -> None:
    """Run the process."""
    asyncio.run(work(msgspec.json.decode(sys.argv[1], type=HttpWorkerConfig)))


if __name__ == "__main__":
    main()
