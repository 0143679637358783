"""A client process that starts workflows over REST and learns from the workers when they end.

Holds closed loop (so many in flight) and open loop (so many per second). Must not poll the server for the end: that
would be measured too. Keeps the invariants that a latency in the open loop counts from when the start was due, and that
every workflow is counted once.

Run as `python -m benchmarks.load.http_client CONFIG` with the JSON of `HttpClientConfig`. It warms up, says `warm`,
waits for `go`, runs, and says the JSON of `Runs`.
"""

import asyncio
import sys
from typing import Final

import msgspec

from benchmarks.load.lean_http import Lane, post_request
from benchmarks.load.notices import NoticeReader, now_ns
from benchmarks.load.peer import failing_loudly, first_of, say, wait_go
from benchmarks.load.runs import Runs
from benchmarks.results import BenchmarkFailed

_OK: Final = 200
_AGAIN_AFTER_S: Final = 0.02


class HttpClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does.

    A workflow is over after `notices_each` notices of workers; with 0, when its start is acknowledged. `rate_per_s`:
    open loop; else `in_flight` are kept going. After `seconds_max` nothing more is started. `inputs`: further fields of
    the input as JSON, each with a comma before it. `patient`: a start that fails is tried again. `spread_due_s`: the
    input has `seconds`, so many less the whole seconds since the run began, so that waits end within one second.
    """

    port: int
    name: str
    workflows: int
    in_flight: int
    notices: int
    notices_each: int = 1
    warm_up: int = 0
    rate_per_s: float = 0.0
    seconds_max: float = 60.0
    connections: int = 64
    inputs: str = ""
    patient: bool = False
    spread_due_s: int = 0


class HttpClient:
    """One run: starts workflows and takes note of their ends."""

    def __init__(self, lane: Lane, reader: NoticeReader, config: HttpClientConfig, *, count: int, first: int) -> None:
        """Start nothing yet. Workflows are numbered from `first`."""
        self._lane = lane
        self._reader = reader
        self._config = config
        self._count = count
        self._first = first
        self._ids: dict[int, str] = {}
        self._begun_ns: dict[int, int] = {}
        self._ended_ns: dict[int, int] = {}
        self._notices_left: dict[int, int] = {}
        self._started = 0
        self._stopped = False
        self._over = asyncio.Event()
        self._run_begun_ns = now_ns()

    async def run(self) -> Runs:
        """Start and wait for all."""
        loop = asyncio.get_running_loop()
        config = self._config
        self._run_begun_ns = now_ns()
        stop = loop.call_later(config.seconds_max, self._stop)
        loop.add_reader(config.notices, self._noticed)
        try:
            if config.rate_per_s:
                await self._open_loop(config.rate_per_s)
            else:
                for _ in range(min(config.in_flight, self._count)):
                    self._start(now_ns())
            await asyncio.wait_for(self._over.wait(), config.seconds_max + 60)
        except TimeoutError:
            message = f"of {self._started} workflows started, only {len(self._ended_ns)} ended in time"
            raise BenchmarkFailed(message) from None
        finally:
            stop.cancel()
            loop.remove_reader(config.notices)
        ended = sorted(self._ended_ns)
        return Runs(
            begun_ns=[self._begun_ns[number] for number in ended],
            ended_ns=[self._ended_ns[number] for number in ended],
            ids=[self._ids[number] for number in ended],
        )

    async def _open_loop(self, rate_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        begun_s, begun_ns = loop.time(), now_ns()
        for step in range(self._count):
            due_s = step / rate_per_s
            wait_s = begun_s + due_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif step % 64 == 0:
                await asyncio.sleep(0)
            if self._stopped:
                return
            self._start(begun_ns + int(due_s * 1e9))

    def _start(self, due_ns: int) -> None:
        number = self._first + self._started
        self._started += 1
        config = self._config
        self._begun_ns[number] = due_ns
        self._notices_left[number] = config.notices_each
        more = config.inputs
        if config.spread_due_s:
            seconds = config.spread_due_s - (now_ns() - self._run_begun_ns) // 1_000_000_000
            more += f',"seconds":{seconds}'
        body = f'{{"name":"{config.name}","version":1,"input":{{"number":{number}{more}}}}}'
        self._send(number, post_request("/api/workflow", body.encode()))

    def _send(self, number: int, request: bytes) -> None:
        self._lane.send(request, lambda status, body: self._acknowledged(number, request, status, body))

    def _acknowledged(self, number: int, request: bytes, status: int, body: bytes) -> None:
        if status != _OK:
            if not self._config.patient:
                message = f"a start was answered {status}: {body[:300]!r}"
                raise BenchmarkFailed(message)
            asyncio.get_running_loop().call_later(_AGAIN_AFTER_S, self._send, number, request)
            return
        self._ids[number] = body.decode()
        if not self._config.notices_each:
            self._end(number, now_ns())
        else:
            self._check_over()

    def _noticed(self) -> None:
        for number, at_ns in self._reader.read():
            left = self._notices_left.get(number)
            if left is None:
                continue  # of the warm-up, or of a start that was sent twice
            self._notices_left[number] = left - 1
            if left == 1:
                self._end(number, at_ns)

    def _end(self, number: int, at_ns: int) -> None:
        self._ended_ns[number] = at_ns
        self._notices_left.pop(number, None)
        if not self._config.rate_per_s and self._started < self._count and not self._stopped:
            self._start(now_ns())
        self._check_over()

    def _check_over(self) -> None:
        """All that was to be started has been, and is acknowledged and over."""
        every = self._started >= self._count or self._stopped
        if every and len(self._ended_ns) == len(self._ids) == self._started:
            self._over.set()

    def _stop(self) -> None:
        self._stopped = True
        self._check_over()


async def run(config: HttpClientConfig) -> None:
    """Warm up, wait for the go, run, tell."""
    reader = NoticeReader(config.notices)
    async with (
        failing_loudly() as failure,
        Lane(config.port, connections=min(config.in_flight, config.connections), patient=config.patient) as lane,
    ):

        async def measure() -> None:
            if config.warm_up:
                warm = msgspec.structs.replace(config, rate_per_s=0.0)
                await HttpClient(lane, reader, warm, count=config.warm_up, first=config.workflows).run()
            say("warm")
            wait_go()
            runs = await HttpClient(lane, reader, config, count=config.workflows, first=0).run()
            say(msgspec.json.encode(runs).decode())

        await first_of(measure(), failure)


def main() -> None:
    """Run the process."""
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=HttpClientConfig)))


if __name__ == "__main__":
    main()
