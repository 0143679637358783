"""A Podium worker in one file: poll for a task, do it, report the result. Copy it and bring your own work.

Holds the loop and nothing else: it needs only `requests`, and any language with HTTP can do the same. Must
not know what the work is; that is the handler's part. Keeps the invariant that a task is reported when it has
an outcome, good or bad, and not when this process dies: then the response timeout gives it to another worker.
"""

import json
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

Task = dict[str, Any]
Result = dict[str, Any]
Handler = Callable[[Task], dict[str, Any]]
"""Takes a task, returns its `outputData`. An exception fails the task. The same task may come twice."""


class TerminalFailure(Exception):
    """Raise this in a handler when no further try can help. The text becomes the reason that people read."""


class Worker:
    """Does the tasks of one type, one at a time. To do more at a time, start more processes."""

    def __init__(self, *, server: str, task_type: str, worker_id: str) -> None:
        """Use a server such as `http://127.0.0.1:8080`. `worker_id` is shown to people as the doer."""
        self._tasks_url = f"{server}/api/tasks"
        self._task_type = task_type
        self._worker_id = worker_id
        self._http = requests.Session()
        # A finished result outlives a short absence of the server. To report it twice does no harm.
        patience = Retry(total=8, backoff_factor=0.2, status_forcelist=(502, 503, 504), allowed_methods=None)
        self._http.mount("http", HTTPAdapter(max_retries=patience))

    def run(self, handler: Handler) -> None:
        """Poll, work and report until the process is stopped."""
        self._say("waits for tasks")
        while True:
            try:
                for task in self._poll():
                    with self._lease(task):
                        result = self._attempt(handler, task)
                    self._send(task, result)
                    self._say(f"{task['taskId']}: {result['status']} {result.get('reasonForIncompletion', '')}")
            except requests.RequestException as error:
                self._say(f"the server cannot be reached or refuses, next try in a second: {error}")
                time.sleep(1)

    def _poll(self) -> list[Task]:
        query: dict[str, str | int] = {"count": 1, "timeout": 5000, "workerId": self._worker_id}
        response = self._http.get(f"{self._tasks_url}/poll/batch/{self._task_type}", params=query, timeout=30)
        response.raise_for_status()
        tasks: list[Task] = response.json()
        return tasks

    def _attempt(self, handler: Handler, task: Task) -> Result:
        self._say(f"{task['taskId']}: begins")
        try:
            output = handler(task)
            json.dumps(output, allow_nan=False)  # an output that cannot be sent fails its task, not this process
            return {"status": "COMPLETED", "outputData": output}
        except TerminalFailure as failure:
            return {"status": "FAILED_WITH_TERMINAL_ERROR", "reasonForIncompletion": str(failure)}
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is that task's failure
            reason = f"{type(error).__name__}: {error}"
            log = {"log": traceback.format_exc(), "createdTime": int(time.time() * 1000)}
            return {"status": "FAILED", "reasonForIncompletion": reason, "logs": [log]}

    @contextmanager
    def _lease(self, task: Task) -> Iterator[None]:
        """Tell the server, three times per response timeout, that somebody still works on the task."""
        done = threading.Event()
        pause_seconds = max(task.get("responseTimeoutSeconds", 3600), 1) / 3

        def keep() -> None:
            while not done.wait(pause_seconds):
                try:
                    self._send(task, {"status": "IN_PROGRESS", "extendLease": True})
                except requests.RequestException as error:
                    self._say(f"{task['taskId']}: the lease was not extended: {error}")

        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _send(self, task: Task, result: Result) -> None:
        whose = {
            "workflowInstanceId": task["workflowInstanceId"],
            "taskId": task["taskId"],
            "workerId": self._worker_id,
        }
        self._http.post(self._tasks_url, json=whose | result, timeout=30).raise_for_status()

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {self._worker_id} {text}", flush=True)
