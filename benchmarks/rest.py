"""A blocking client for what is not measured: registering, looking, checking.

Must not be used where time is measured; `load.lean_http` is for that. Keeps the invariant that an answer other than
2xx ends the run with what the server said.
"""

import http.client
import time
from typing import Self
from urllib.parse import quote, urlencode

import msgspec

from benchmarks.results import BenchmarkFailed

_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.05
_NOT_FOUND = 404


class Rest:
    """One connection to a server, made when needed. A context manager."""

    def __init__(self, port: int) -> None:
        """Speak to a server on loopback."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def register(self, workflows: list[object], tasks: list[object]) -> None:
        """Register definitions of workflows and tasks."""
        self._call("POST", "/api/metadata/taskdefs", tasks)
        for workflow in workflows:
            self._call("PUT", "/api/metadata/workflow", [workflow])

    def start(self, name: str, **workflow_input: object) -> str:
        """Start a workflow and return its id."""
        return self._call("POST", "/api/workflow", {"name": name, "version": 1, "input": workflow_input}).decode()

    def status(self, workflow_id: str, *, forgets: bool = False) -> str:
        """Return a workflow's status.

        `forgets`: the server keeps no history, so a workflow that it does not know has ended: it knows all
        that are open.
        """
        status, answer = self._asked("GET", _workflow_path(workflow_id, tasks=False), None)
        if forgets and status == _NOT_FOUND:
            return "COMPLETED"
        return str(msgspec.json.decode(_good("GET", workflow_id, status, answer), type=dict[str, object])["status"])

    def workflow(self, workflow_id: str, *, tasks: bool = False) -> dict[str, object]:
        """Return a workflow, with its tasks if asked for."""
        return msgspec.json.decode(self._call("GET", _workflow_path(workflow_id, tasks=tasks)), type=dict[str, object])

    def found_by_search(self, workflow_id: str) -> bool:
        """Tell whether a search for a workflow's id finds it."""
        path = "/api/workflow/search?" + urlencode({"query": f"workflowId='{workflow_id}'", "size": 1})
        return bool(msgspec.json.decode(self._call("GET", path), type=dict[str, object])["totalHits"])

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        return _good(method, path, *self._asked(method, path, body))

    def _asked(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        content = None if body is None else msgspec.json.encode(body)
        self._connection.request(method, path, body=content, headers={"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        return reply.status, reply.read()


def check_completed(
    port: int, workflow_ids: list[str], *, checked_max: int = 1_000, within_s: float = 0.0, forgets: bool = False
) -> int:
    """Ask the server whether workflows are COMPLETED: all of them, or so many evenly chosen ones. Return how many.

    `within_s`: how long one that still runs may take, in all. Only after a crash may there be such. `forgets`: see
    `Rest.status`.

    Raises:
        BenchmarkFailed: one is not.
    """
    step = max(1, -(-len(workflow_ids) // checked_max))
    chosen = workflow_ids[::step]
    until = time.monotonic() + within_s
    with Rest(port) as rest:
        for workflow_id in chosen:
            while (status := rest.status(workflow_id, forgets=forgets)) == "RUNNING" and time.monotonic() < until:
                time.sleep(_LOOK_EVERY_S)
            if status != "COMPLETED":
                message = f"workflow {workflow_id} should be COMPLETED by now, but the server says {status}"
                raise BenchmarkFailed(message)
    return len(chosen)


def _workflow_path(workflow_id: str, *, tasks: bool) -> str:
    return f"/api/workflow/{quote(workflow_id)}?includeTasks={str(tasks).lower()}"


def _good(method: str, path: str, status: int, answer: bytes) -> bytes:
    if status not in range(200, 300):
        message = f"{method} {path} was answered {status}: {answer[:500].decode(errors='replace')}"
        raise BenchmarkFailed(message)
    return answer
