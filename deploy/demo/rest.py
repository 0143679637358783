"""The few REST calls that the demo makes besides those of its workers.

Holds one class, one method per call. Must not print, nor decide what a status means. Keeps the invariant that
an answer which is not a success is an exception that carries the server's own words.
"""

from typing import Any

import requests

Json = dict[str, Any]


class RequestRefused(Exception):
    """The server answered, but not with a success. The text is what it said."""


class PodiumServer:
    """A Podium server, by its root URL."""

    def __init__(self, url: str) -> None:
        """Use a server such as `http://127.0.0.1:8080`."""
        self.url = url
        self._http = requests.Session()

    def is_healthy(self) -> bool:
        """Return whether the server is there and ready for work."""
        try:
            response = self._http.get(f"{self.url}/health", timeout=5)
            return response.ok and response.json().get("healthy") is True
        except requests.RequestException:
            return False

    def register(self, *, task_definitions: list[Json], workflow_definition: Json) -> None:
        """Register the definitions. Idempotent: an equal or newer text takes the place of the old one."""
        self._call("POST", "/api/metadata/taskdefs", body=task_definitions)
        self._call("PUT", "/api/metadata/workflow", body=[workflow_definition])

    def start(self, *, name: str, version: int, workflow_input: Json) -> str:
        """Start a workflow and return its id."""
        return self._call(
            "POST", "/api/workflow", body={"name": name, "version": version, "input": workflow_input}
        ).text

    def workflow(self, workflow_id: str) -> Json:
        """Return a workflow with all its tasks, as it is now."""
        found: Json = self._call("GET", f"/api/workflow/{workflow_id}").json()
        return found

    def _call(self, method: str, path: str, *, body: object = None) -> requests.Response:
        response = self._http.request(method, self.url + path, json=body, timeout=30)
        if not response.ok:
            raise RequestRefused(f"{method} {path} was answered with {response.status_code}: {response.text[:2000]}")
        return response
